import { PermanentError } from '@clearspan/shared'
import { type Hex, hexToNumber, pad, size, sliceHex } from 'viem'

/** The types that SendUln302 takes; a PacketSent carries options as they were given. */
const [TYPE_1, TYPE_2, TYPE_3] = [1, 2, 3]
const EXECUTOR_WORKER = 1
const HEAD_BYTES = 4

/** Native tokens for somebody on the destination, before the packet is executed. Wei; `receiver` is a 32-byte word. */
export interface NativeDrop {
  amount: bigint
  receiver: Hex
}

/** Gas and wei for the call that the receiver queues under this index. */
export interface ComposeOption {
  index: number
  gas: bigint
  value: bigint
}

/** What a packet asks of the executor. Gas in units of gas, value in wei. */
export interface ExecutorOptions {
  /** Sum over all lzReceive options: enforced and extra ones add up. */
  gas: bigint
  value: bigint
  drops: NativeDrop[]
  /** One for each index, summed likewise. */
  composes: ComposeOption[]
  /** Wants its path executed in order of nonce; whether that is kept is for the receiver to check. */
  ordered: boolean
  /** Asks for what our executor doesn't do: a read, something unknown, or what can't be read. */
  other: boolean
}

/** A packet that asks for nothing. */
export const NO_OPTIONS: ExecutorOptions = {
  gas: 0n,
  value: 0n,
  drops: [],
  composes: [],
  ordered: false,
  other: false,
}

/** Wei that executing a packet lays out, its compose calls aside. */
export function executionValue({ value, drops }: ExecutorOptions, hasDropped: boolean): bigint {
  return hasDropped ? value : drops.reduce((sum, { amount }) => sum + amount, value)
}

/**
 * Reads type-3 options: `0x0003 { workerId u8 | size u16 (1 + body) | type u8 | body }*`. Options of other workers are skipped. The older types
 * 1 and 2 are read as SendUln302 reads them (`UlnOptions.decodeLegacyOptions`).
 * @throws PermanentError when they are malformed, as SendUln302 would have refused them.
 */
export function decodeOptions(options: Hex): ExecutorOptions {
  const length = size(options)
  const type = length < 2 ? undefined : hexToNumber(sliceHex(options, 0, 2))
  if (type === TYPE_1 || type === TYPE_2) return decodeLegacy(options, type)
  if (type !== TYPE_3) throw new PermanentError('options are of no known type')
  const result: ExecutorOptions = { ...NO_OPTIONS, drops: [], composes: [] }
  for (let at = 2; at < length; ) {
    if (at + HEAD_BYTES > length) throw new PermanentError('options end inside the head of one')
    const worker = hexToNumber(sliceHex(options, at, at + 1))
    const end = at + 3 + hexToNumber(sliceHex(options, at + 1, at + 3))
    if (end < at + HEAD_BYTES || end > length) throw new PermanentError('an option has a wrong size')
    if (worker === EXECUTOR_WORKER) {
      const body = end === at + HEAD_BYTES ? '0x' : sliceHex(options, at + HEAD_BYTES, end)
      addOption(result, hexToNumber(sliceHex(options, at + 3, at + HEAD_BYTES)), body)
    }
    at = end
  }
  return result
}

/** `0x0001 gas u256`, or `0x0002 gas u256 | drop u256 | its receiver, 1 to 32 bytes`; either number must fit 128 bits. */
function decodeLegacy(options: Hex, type: number): ExecutorOptions {
  const length = size(options)
  if (type === TYPE_1 ? length !== 34 : length <= 66 || length > 98)
    throw new PermanentError(`options of type ${type} have a wrong size`)
  const word = (at: number) => {
    const value = BigInt(sliceHex(options, at, at + 32))
    if (value >= 1n << 128n) throw new PermanentError(`options of type ${type} hold a number above 128 bits`)
    return value
  }
  const drops = type === TYPE_1 ? [] : [{ amount: word(34), receiver: pad(sliceHex(options, 66)) }]
  return { ...NO_OPTIONS, gas: word(2), drops, composes: [] }
}

/** Sizes of an option's body, by its type: with and without a value where there is one. */
const BODY_BYTES: Record<number, { name: string; sizes: readonly number[] }> = {
  1: { name: 'lzReceive', sizes: [16, 32] },
  2: { name: 'native drop', sizes: [48] },
  3: { name: 'compose', sizes: [18, 34] },
  4: { name: 'ordered', sizes: [0] },
}

function addOption(result: ExecutorOptions, type: number, body: Hex): void {
  const known = BODY_BYTES[type]
  if (known === undefined) {
    result.other = true
    return
  }
  if (!known.sizes.includes(size(body)))
    throw new PermanentError(`an option of type ${known.name} has a wrong size`)
  const word = (at: number) => (size(body) > at ? BigInt(sliceHex(body, at, at + 16)) : 0n)
  if (type === 1) {
    result.gas += word(0)
    result.value += word(16)
  } else if (type === 2) {
    result.drops.push({ amount: word(0), receiver: sliceHex(body, 16, 48) })
  } else if (type === 3) {
    const index = hexToNumber(sliceHex(body, 0, 2))
    const found = result.composes.find((one) => one.index === index)
    const sum = found ?? { index, gas: 0n, value: 0n }
    if (found === undefined) result.composes.push(sum)
    sum.gas += word(2)
    sum.value += word(18)
  } else {
    result.ordered = true
  }
}
