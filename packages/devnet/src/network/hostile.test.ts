// Every function that a deployment has, called with arguments that nobody means, by strangers and by whom it trusts: it answers, or refuses by an
// error that has a name. Never a panic, nor a revert that says nothing.
import * as contracts from '@clearspan/contracts'
import { type Random, revertOf, seededRandom, systemRandom } from '@clearspan/shared'
import {
  type Abi,
  type AbiFunction,
  type AbiParameter,
  type Address,
  encodeFunctionData,
  type Hex,
  isAddress,
  parseAbi,
  zeroAddress,
} from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { LocalChain } from '../chains/index.js'
import type { Deployment } from './deploy.js'
import { deployAlone, roles } from './deployed.test-util.js'

const EID = 30_901
/** Of each function and caller, beside the extremes. */
const DRAWS = 2

const seed = Math.trunc(systemRandom.next() * 2 ** 31)
const abis = new Map<string, Abi>(
  Object.entries(contracts)
    .filter(([name]) => name.endsWith('Abi'))
    .map(([name, abi]) => [name.slice(0, -3), abi as Abi]),
)
/** Whoever refuses may be another contract that was asked, or a library of solady's, whose errors no ABI has. */
const errors = [
  ...[...abis.values()].flat().filter(({ type }) => type === 'error'),
  ...parseAbi([
    'error MulDivFailed()',
    'error FullMulDivFailed()',
    'error MulWadFailed()',
    'error DivWadFailed()',
    'error Overflow()',
  ]),
]
/** What isn't ours to name, and who may be given nonsense by nobody. */
const EXCEPT = [
  // OpenZeppelin's AccessManager cuts a selector off data that may have none; its ERC-4626 counts as far as 256 bits go.
  ...['schedule', 'execute', 'cancel', 'consumeScheduledOp'].map((name) => `governance.${name}`),
  'insuranceFund.convertToShares',
  // Only the clearinghouse calls it, with a size and a price that it has bounded.
  'perp.onTrade',
]

let chain: LocalChain
let close: (() => Promise<void>) | undefined
let deployed: Deployment

beforeAll(async () => {
  const alone = await deployAlone(EID)
  ;({ chain, deployed, close } = alone)
})
afterAll(async () => {
  await close?.()
})

interface Draw {
  integer(bits: number, signed: boolean): bigint
  address(): Address
  bytes(size: number | undefined): Hex
  length(): number
}

const extreme = (most: boolean): Draw => ({
  integer: (bits, signed) => {
    if (!signed) return most ? 2n ** BigInt(bits) - 1n : 0n
    return most ? 2n ** BigInt(bits - 1) - 1n : -(2n ** BigInt(bits - 1))
  },
  address: () => (most ? '0xffffffffffffffffffffffffffffffffffffffff' : zeroAddress),
  bytes: (size) => `0x${(most ? 'ff' : '00').repeat(size ?? (most ? 3 : 0))}`,
  length: () => (most ? 2 : 0),
})

/** Small ids, round amounts and addresses that exist as often as nonsense. */
function drawn(random: Random, known: readonly Address[]): Draw {
  const below = (count: number) => Math.floor(random.next() * count)
  const word = (size: number) =>
    `0x${Array.from({ length: size }, () => below(256).toString(16).padStart(2, '0')).join('')}` as const
  return {
    integer(bits, signed) {
      const value = below(2) === 0 ? BigInt(below(6)) : 10n ** BigInt(below(Math.floor(bits * 0.3)))
      return signed && below(2) === 0 ? -value : value
    },
    address: () => known[below(known.length)]!,
    bytes(size) {
      const owner = known[below(known.length)]!
      // As often as not the main account of somebody.
      if (size === 32 && below(2) === 0) return `0x${owner.slice(2)}${'00'.repeat(12)}`
      return word(size ?? below(100))
    },
    length: () => below(3),
  }
}

function argument(parameter: AbiParameter, draw: Draw): unknown {
  const { type } = parameter
  const list = /^(.*)\[(\d*)\]$/.exec(type)
  if (list) {
    const length = list[2] === '' ? draw.length() : Number(list[2])
    return Array.from({ length }, () => argument({ ...parameter, type: list[1]! } as AbiParameter, draw))
  }
  if (type === 'tuple') {
    const { components } = parameter as { components: readonly AbiParameter[] }
    return Object.fromEntries(components.map((one) => [one.name, argument(one, draw)]))
  }
  if (type === 'address') return draw.address()
  if (type === 'bool') return draw.length() > 0
  if (type === 'string') return 'x'.repeat(draw.length())
  const bytes = /^bytes(\d*)$/.exec(type)
  if (bytes) return draw.bytes(bytes[1] === '' ? undefined : Number(bytes[1]))
  const integer = /^(u?)int(\d+)$/.exec(type)
  if (!integer) throw new RangeError(`no draw of ${type}`)
  const value = draw.integer(Number(integer[2]), integer[1] === '')
  const bits = BigInt(integer[2]!) - (integer[1] === '' ? 1n : 0n)
  return value >= 2n ** bits ? 2n ** bits - 1n : value
}

/** Name of a manifest's contract → its ABI's. */
const abiOf = (name: string) => abis.get({ vault: 'collateralVault' }[name] ?? name)

test('every function refuses what nobody means by an error with a name', async () => {
  const [alpha] = deployed.chains
  const at = { ...deployed.hub.contracts, ...alpha!.contracts, attestor: alpha!.layerzero.attestor }
  const targets = Object.entries(at).flatMap(([name, address]) => {
    const abi = abiOf(name)
    if (address === undefined || abi === undefined) throw new RangeError(`no ABI of ${name}`)
    return [{ name, address, functions: abi.filter((item): item is AbiFunction => item.type === 'function') }]
  })
  const known = [
    ...targets.map(({ address }) => address),
    ...alpha!.tokens.map(({ address }) => address),
    ...Object.values(roles.traders).map(({ account }) => account.address),
  ]
  expect(known.every((address) => isAddress(address))).toBe(true)
  const random = seededRandom(seed)
  const draws = [extreme(false), extreme(true), ...Array.from({ length: DRAWS }, () => drawn(random, known))]
  const { gateways, ...callers } = {
    gateways: [alpha!.contracts.spokeGateway, deployed.hub.contracts.hubGateway],
    stranger: roles.traders.alice.account.address,
    governance: alpha!.contracts.governance,
    clearinghouse: deployed.hub.contracts.clearinghouse,
    auction: deployed.hub.contracts.liquidationAuction,
  }
  const nameless: string[] = []
  let refused = 0
  for (const { name, address, functions } of targets) {
    const calls = functions
      .filter((item) => !EXCEPT.includes(`${name}.${item.name}`))
      .flatMap((item) =>
        [...Object.values(callers), ...gateways].flatMap((account) =>
          draws.map(async (draw) => {
            const args = item.inputs.map((input) => argument(input, draw))
            const data = encodeFunctionData({ abi: [item], functionName: item.name, args })
            try {
              await chain.client.call({ account, to: address, data })
            } catch (error) {
              const revert = revertOf(error, errors)
              if (revert?.name === undefined || revert.name === 'Panic' || revert.name === 'Error')
                nameless.push(
                  `${name}.${item.name} by ${account}: ${revert?.name} ${revert?.data ?? error} ${data}`,
                )
              else refused++
            }
          }),
        ),
      )
    await Promise.all(calls)
  }
  expect(nameless, `seed ${seed}`).toEqual([])
  expect(refused).toBeGreaterThan(1_000)
})
