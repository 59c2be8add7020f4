import { type ChainClient, encodeCounters, type Network, UserError } from '@clearspan/shared'
import { type Address, numberToHex, pad, parseUnits } from 'viem'
import { expect, it } from 'vitest'
import { depthPolicies, depthsSchema, requiredDepths } from './depth.js'
import { type Packet, packetGuid } from './packet.js'

const address = (n: number): Address => pad(numberToHex(n), { size: 20 })
const [vault, spokeGateway, hubGateway, usdc, weth, other] = [1, 2, 3, 4, 5, 6].map(address) as Address[]
const network = {
  hub: { contracts: { hubGateway } },
  chains: [
    {
      name: 'beta',
      chainId: 7,
      contracts: { vault, spokeGateway },
      tokens: [
        { symbol: 'USDC', address: usdc, decimals: 6 },
        { symbol: 'WETH', address: weth, decimals: 18 },
      ],
    },
  ],
} as unknown as Network
const TIERS = [
  { blocks: 5, upTo: { USDC: '1000', WETH: '2' } },
  { blocks: 20, upTo: { USDC: '50000.5' } },
]
const policy = (depth: object) => depthPolicies('depths', network, depthsSchema.parse({ 7: depth })).get(7)

const EPOCH = 3
/** A node, by what it has finalized (its height is 36 more), and what the vault had taken in by a block, in whole tokens. */
function node(finalized: bigint, totals: (block: bigint) => [usdc: number, weth: number], epoch = EPOCH) {
  return {
    getBlock: async () => ({ number: finalized }),
    getBlockNumber: async () => finalized + 36n,
    readContract: async () => epoch,
    multicall: async ({
      contracts,
      blockNumber,
    }: {
      contracts: { args: [Address] }[]
      blockNumber: bigint
    }) => {
      const [inUsdc, inWeth] = totals(blockNumber)
      return contracts.map(({ args: [token] }) => {
        if (token.toLowerCase() === usdc) return [parseUnits(String(inUsdc), 6), 0n, 0n]
        return [token.toLowerCase() === weth ? parseUnits(String(inWeth), 18) : 0n, 0n, 0n]
      })
    },
  } as unknown as ChainClient
}
const down = { getBlock: async () => Promise.reject(new Error('down')) } as unknown as ChainClient
const honest = node(100n, () => [70_000, 10])

interface Told {
  token?: Address
  amount: number
}
function message(totals: Told[], { sender = spokeGateway, epoch = EPOCH } = {}): Packet {
  const key = { nonce: 1n, srcEid: 1, sender: pad(sender!), dstEid: 2, receiver: pad(hubGateway!) }
  const tokens = totals.map(({ token = usdc!, amount }) => ({
    token,
    totalIn: parseUnits(String(amount), token === usdc ? 6 : 18),
    totalOut: 0n,
    shortfall: 0n,
  }))
  const encoded = encodeCounters({ epoch, time: 1n, tokens, rows: [] })
  return { ...key, guid: packetGuid(key), message: encoded }
}
const depthOf = async (packet: Packet, witnesses = [honest, honest, honest], full: unknown = 'finalized') =>
  (await requiredDepths({ witnesses, depth: policy({ full, tiers: TIERS }) }, [packet]))[0]
const deposits = (...totals: Told[]) => message(totals)
const FULL = { blocks: 0n, finalized: true }
const tier = (blocks: bigint) => ({ blocks, finalized: false })

it.each([
  ['nothing new', deposits({ amount: 70_000 }), tier(5n)],
  ['less than the chain has', deposits({ amount: 60_000 }), tier(5n)],
  ['as much as the first tier takes', deposits({ amount: 71_000 }), tier(5n)],
  ['a unit more', deposits({ amount: 71_000.000001 }), tier(20n)],
  ['more than any takes', deposits({ amount: 120_000.500001 }), FULL],
  ['half of one and half of another', deposits({ amount: 70_500 }, { token: weth!, amount: 11 }), tier(5n)],
  ['more than one in sum', deposits({ amount: 70_501 }, { token: weth!, amount: 11 }), FULL],
  ['a token that no tier names', deposits({ token: other!, amount: 1 }), FULL],
  ['another epoch', message([{ amount: 70_000 }], { epoch: 4 }), FULL],
  ["a stranger's", message([{ amount: 70_000 }], { sender: other! }), FULL],
  ['no counters', { ...deposits({ amount: 70_000 }), message: '0x00' as const }, FULL],
])('a message that tells of %s', async (_, packet, depth) => {
  expect(await depthOf(packet)).toEqual(depth)
})

it('what is at risk is counted from the block that is fully deep, however the depth is told', async () => {
  const grows = node(100n, (block) => [Number(block) * 1_000, 0])
  const nodes = [grows, grows, grows]
  // At block 100 it was 100,000; 30 blocks below the height, at 107, it is 7,000 more.
  expect(await depthOf(deposits({ amount: 101_000 }), nodes)).toEqual(tier(5n))
  expect(await depthOf(deposits({ amount: 108_000 }), nodes)).toEqual(tier(20n))
  expect(await depthOf(deposits({ amount: 108_000 }), nodes, 30)).toEqual(tier(5n))
  expect(await depthOf(deposits({ amount: 999_000 }), nodes, 30)).toEqual(tier(30n))
})

it.each([
  ['one that is down', down, tier(5n)],
  ['one that says more was settled', node(100n, () => [1_000_000, 10]), tier(5n)],
  ['one that says more is finalized', node(10_000n, () => [70_000, 10]), tier(5n)],
  ['one of another epoch', node(100n, () => [70_000, 10], 9), tier(5n)],
])('%s of three changes nothing', async (_, faulty, depth) => {
  const packet = deposits({ amount: 71_000 })
  expect(await depthOf(packet, [faulty, honest, honest])).toEqual(depth)
  expect(await depthOf(deposits({ amount: 500_000 }), [faulty, honest, honest])).toEqual(FULL)
})

it('without more than half of the nodes the value is unknown, and the depth full', async () => {
  const liar = node(100n, () => [1_000_000, 10])
  const packet = deposits({ amount: 70_000 })
  expect(await depthOf(packet, [honest, down, down])).toEqual(FULL)
  expect(await depthOf(packet, [honest, liar, down])).toEqual(FULL)
})

it('asks nothing where no depth is configured, or no tier', async () => {
  const packet = deposits({ amount: 1 })
  expect(await requiredDepths({ witnesses: [] }, [packet])).toEqual([{ blocks: 0n, finalized: false }])
  const depth = policy({ full: 12 })
  expect(await requiredDepths({ witnesses: [], depth }, [packet])).toEqual([tier(12n)])
})

it('refuses a chain or token that is not there, and a tier that waits longer than the rest', () => {
  const refused = (depths: object) => () => depthPolicies('depths', network, depthsSchema.parse(depths))
  expect(refused({ 8: { full: 2 } })).toThrow(UserError)
  expect(refused({ 8: { full: 2 } })).toThrow(/depths\.8/)
  expect(refused({ 7: { full: 9, tiers: [{ blocks: 1, upTo: { DOGE: '1' } }] } })).toThrow(/no token DOGE/)
  expect(refused({ 7: { full: 9, tiers: [{ blocks: 10, upTo: {} }] } })).toThrow(/deeper than 9/)
  expect(refused({ 7: { full: 9, tiers: [{ blocks: 1, upTo: { USDC: '1e6' } }] } })).toThrow()
  expect(refused({ 7: { full: 'finalized', tiers: [{ blocks: 99, upTo: { USDC: '1' } }] } })).not.toThrow()
})
