import { collateralVaultAbi, venueGatewayAbi, venueRegistryAbi } from '@clearspan/contracts'
import {
  createLogger,
  createMetrics,
  createQueueBackend,
  type QueueBackend,
  systemClock,
  systemRandom,
  type TransactionRequest,
} from '@clearspan/shared'
import {
  type Address,
  decodeFunctionData,
  encodeAbiParameters,
  encodeEventTopics,
  getAddress,
  type Hex,
  numberToHex,
  pad,
  parseAbiParameters,
} from 'viem'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import type { ChainLog, LogListener } from '../chains/feed.js'
import type { LaneContext } from './context.js'
import { createOffersLane } from './offers.js'

const DAY = 86_400n
const logger = createLogger({ name: 'test', level: 'silent' })
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const account = (n: number) => pad(numberToHex(n), { size: 32 })
const [vault, venueRegistry, token] = [address(1), address(2), address(3)] as const
const [capped, uncapped] = [address(4), address(5)] as const

const log = (from: Address, topics: unknown, data: Hex) =>
  ({ address: from, topics, data, blockNumber: 1n, logIndex: 0 }) as unknown as ChainLog
const capSet = (gateway: Address, cap: bigint) =>
  log(
    venueRegistry,
    encodeEventTopics({ abi: venueRegistryAbi, eventName: 'CapSet', args: { gateway, token } }),
    encodeAbiParameters(parseAbiParameters('uint256'), [cap]),
  )
const paidOut = (recipient: Address, to: Hex) =>
  log(
    vault,
    encodeEventTopics({
      abi: collateralVaultAbi,
      eventName: 'PaidOut',
      args: { account: to, token, recipient },
    }),
    encodeAbiParameters(parseAbiParameters('uint256, uint128'), [5n, 5n]),
  )

/** What a gateway has for an account. */
interface Pending {
  amount: bigint
  refusedAt: bigint
  /** What the venue would do now. */
  takes: boolean
}

let backend: QueueBackend
beforeAll(async () => {
  backend = await createQueueBackend({ clock: systemClock, logger })
})
afterAll(() => backend.close())

/** A chain whose gateways hold what `pending` says. */
async function laneOn(chainId: number, pending: Map<Hex, Pending>) {
  const offered: { gateway: Address; account: Hex }[] = []
  const listeners: LogListener[] = []
  const now = { timestamp: 10n * DAY }
  let looks = 0
  const on = {
    chain: { chainId, contracts: { vault, venueRegistry } },
    client: {
      readContract: async () => 1,
      multicall: async ({ contracts }: { contracts: { functionName: string; args: [number, Hex] }[] }) =>
        contracts.map(({ functionName, args }) => {
          const { amount, refusedAt, takes } = pending.get(args[1])!
          if (functionName === 'pending') return amount
          if (functionName === 'allocations') return [0n, refusedAt]
          looks++
          return { status: 'success', result: takes }
        }),
    },
    feed: { listen: (one: LogListener) => listeners.push(one), head: () => now },
    senders: {
      bulk: {
        sendMany: async (requests: readonly TransactionRequest[]) => {
          for (const { to, data = '0x' } of requests) {
            const { args } = decodeFunctionData({ abi: venueGatewayAbi, data })
            const offer = { gateway: to!, account: (args as readonly [number, Hex, Hex])[1] }
            offered.push(offer)
            // Two logs may be two jobs: the second finds what the first has changed.
            const held = pending.get(offer.account)!
            if (held.takes || held.refusedAt !== 0n) held.amount = 0n
            else held.refusedAt = now.timestamp
          }
          return []
        },
      },
    },
  } as unknown as ChainContext
  const shared = { backend, clock: systemClock, random: systemRandom, logger, metrics: createMetrics() }
  const { lane, sweep } = await createOffersLane(shared as unknown as LaneContext, on)
  return {
    offered,
    now,
    hear: (logs: ChainLog[]) => listeners[0]!.onLogs(logs, {} as never),
    /** Sweeps, and waits until the venues have been asked. */
    async look() {
      const before = looks
      await sweep()
      await expect.poll(() => looks).toBeGreaterThan(before)
    },
    close: () => lane.close(),
  }
}

it('offers what a venue with a cap was paid, and nothing to one without', async () => {
  const pending = new Map([
    [account(1), { amount: 5n, refusedAt: 0n, takes: true }],
    [account(2), { amount: 5n, refusedAt: 0n, takes: true }],
    [account(3), { amount: 0n, refusedAt: 0n, takes: false }],
  ])
  const { hear, offered, close } = await laneOn(1, pending)
  hear([
    capSet(capped, 7n),
    capSet(uncapped, 0n),
    paidOut(uncapped, account(2)),
    paidOut(capped, account(3)),
    paidOut(capped, account(1)),
  ])
  await expect.poll(() => offered).toEqual([{ gateway: capped, account: account(1) }])
  await close()
})

it('offers what is refused once, and again when a day has passed', async () => {
  const refused = { amount: 5n, refusedAt: 0n, takes: false }
  const { hear, look, now, offered, close } = await laneOn(2, new Map([[account(1), refused]]))
  hear([capSet(capped, 7n), paidOut(capped, account(1))])
  const offer = { gateway: capped, account: account(1) }
  await expect.poll(() => offered).toEqual([offer])
  now.timestamp += DAY - 1n
  await look()
  expect(offered).toEqual([offer])
  now.timestamp += 1n
  await look()
  await expect.poll(() => offered).toEqual([offer, offer])
  await close()
})
