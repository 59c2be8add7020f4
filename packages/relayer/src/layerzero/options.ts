import { PermanentError } from '@clearspan/shared'
import { type Hex, hexToNumber, size, sliceHex } from 'viem'

const TYPE_3 = 3
const EXECUTOR_WORKER = 1
const HEAD_BYTES = 4

/** What a packet asks of the executor. Gas in units of gas, value in wei. */
export interface ExecutorOptions {
  /** Sum over all lzReceive options: enforced and extra ones add up. */
  gas: bigint
  value: bigint
  /** Asks for native drops or compose calls, which are left to another executor. */
  other: boolean
}

/**
 * Reads type-3 options: `0x0003 { workerId u8 | size u16 (1 + body) | type u8 | body }*`. Options of other workers are skipped.
 * @throws PermanentError when they are malformed, as SendUln302 would have refused them.
 */
export function decodeOptions(options: Hex): ExecutorOptions {
  const length = size(options)
  if (length < 2 || hexToNumber(sliceHex(options, 0, 2)) !== TYPE_3)
    throw new PermanentError('options are not of type 3')
  const result: ExecutorOptions = { gas: 0n, value: 0n, other: false }
  for (let at = 2; at < length; ) {
    if (at + HEAD_BYTES > length) throw new PermanentError('options end inside the head of one')
    const worker = hexToNumber(sliceHex(options, at, at + 1))
    const end = at + 3 + hexToNumber(sliceHex(options, at + 1, at + 3))
    if (end < at + HEAD_BYTES || end > length) throw new PermanentError('an option has a wrong size')
    if (worker === EXECUTOR_WORKER) addOption(result, options, at + 3, end)
    at = end
  }
  return result
}

function addOption(result: ExecutorOptions, options: Hex, at: number, end: number): void {
  const type = hexToNumber(sliceHex(options, at, at + 1))
  const body = at + 1
  if (type === 1) {
    if (end - body !== 16 && end - body !== 32)
      throw new PermanentError('an lzReceive option has a wrong size')
    result.gas += BigInt(sliceHex(options, body, body + 16))
    if (end - body === 32) result.value += BigInt(sliceHex(options, body + 16, end))
    return
  }
  // 4 asks for ordered execution, which nonce order gives anyway; 2 is a native drop, 3 a compose call, 5 a read.
  if (type !== 4) result.other = true
}
