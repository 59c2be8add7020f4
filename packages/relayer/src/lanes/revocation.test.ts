import { epochRevokerAbi } from '@clearspan/contracts'
import {
  createLogger,
  createMetrics,
  createQueueBackend,
  RetryableError,
  systemClock,
  systemRandom,
  type TransactionRequest,
} from '@clearspan/shared'
import { decodeFunctionData, encodeAbiParameters, getAddress, numberToHex, pad, toEventSelector } from 'viem'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import type { ChainLog, LogListener } from '../chains/feed.js'
import type { LaneContext, LanePart } from './context.js'
import { createRevocationLane } from './revocation.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const FEE = 1_000n
const RESEND_MS = 60_000
const revokerOf = (chainId: number) => getAddress(pad(numberToHex(chainId), { size: 20 }))

let backend: Awaited<ReturnType<typeof createQueueBackend>>
let part: LanePart | undefined
beforeAll(async () => {
  backend = await createQueueBackend({ clock: systemClock, logger })
})
afterEach(() => part?.lane.close())
afterAll(() => backend.close())

/** A hub (chain 1) and two spokes (2 and 3, endpoints 20 and 30) that know of the orders in `heard`. */
async function startLane() {
  const sent: { eid: number; epoch: number; to: string | null | undefined; value: bigint | undefined }[] = []
  const asked: string[] = []
  const heard = new Set<string>()
  const down = new Set<number>()
  const broken = new Set<number>()
  const listeners = new Map<number, LogListener[]>()
  const time = { now: 1_000_000 }

  const chainOf = (chainId: number) =>
    ({
      chain: { chainId, eid: chainId * 10, contracts: { epochRevoker: revokerOf(chainId) } },
      client: {
        async readContract({
          address,
          functionName,
          args,
        }: {
          address: string
          functionName: string
          args: number[]
        }) {
          if (down.has(chainId)) throw new RetryableError('the node is gone')
          expect(address).toBe(revokerOf(chainId))
          if (functionName === 'quote') return FEE
          asked.push(`${chainId} ${args[0]}`)
          return heard.has(`${chainId} ${args[0]}`)
        },
      },
      feed: {
        listen: (listener: LogListener) =>
          listeners.set(chainId, [...(listeners.get(chainId) ?? []), listener]),
      },
      senders: {
        bulk: {
          async send({ to, data = '0x', value }: TransactionRequest) {
            const { functionName, args } = decodeFunctionData({ abi: epochRevokerAbi, data })
            if (functionName !== 'send') throw new Error(`it calls ${functionName}`)
            const [eid, epoch] = args
            if (broken.has(eid)) throw new RetryableError('no path to that chain')
            sent.push({ eid, epoch, to, value })
          },
        },
      },
    }) as unknown as ChainContext
  const chains = [1, 2, 3].map(chainOf)
  part = await createRevocationLane({
    ...{ backend, chains, hub: chains[0], config: { resendMs: RESEND_MS } },
    ...{
      clock: { ...systemClock, now: () => time.now },
      random: systemRandom,
      logger,
      metrics: createMetrics(),
    },
  } as unknown as LaneContext)

  /** Governance orders it on the hub, as the feed tells. */
  function order(epoch: number) {
    const log = {
      address: revokerOf(1),
      topics: [
        toEventSelector('RevocationOrdered(uint32)'),
        encodeAbiParameters([{ type: 'uint32' }], [epoch]),
      ],
      data: '0x',
    } as unknown as ChainLog
    for (const listener of listeners.get(1) ?? [])
      listener.onLogs([log], {} as Parameters<LogListener['onLogs']>[1])
  }
  /** One more round of the lane: over once it has asked again. */
  async function sweep() {
    const before = asked.length
    await part?.sweep()
    await expect.poll(() => asked.length, { timeout: 10_000 }).toBeGreaterThan(before)
    await idle()
  }
  const idle = () =>
    expect
      .poll(async () => part && (await part.lane.counts()), { timeout: 10_000 })
      .toMatchObject({ waiting: 0, active: 0 })
  return { sent, asked, heard, down, broken, listeners, time, order, sweep, idle }
}

const to = (eid: number, epoch = 7) => ({ eid, epoch, to: revokerOf(1), value: FEE + FEE / 10n })

it('brings an order from the hub to every chain that has not heard it, for the fee and a tenth', async () => {
  const { sent, heard, listeners, order } = await startLane()
  heard.add('3 8')
  order(7)
  order(8)
  await expect.poll(() => sent.length, { timeout: 10_000 }).toBe(3)
  expect(sent).toEqual(expect.arrayContaining([to(20), to(30), to(20, 8)]))
  // Only the hub's word counts: nobody listens to a spoke.
  expect([...listeners.keys()]).toEqual([1])
  expect(listeners.get(1)).toMatchObject([{ addresses: [revokerOf(1)], scrubbed: true }])
})

it('sends again what was not heard, once the first has had its time, and asks no more when all have heard', async () => {
  const { sent, asked, heard, time, order, sweep } = await startLane()
  order(7)
  await expect.poll(() => sent.length, { timeout: 10_000 }).toBe(2)
  await sweep()
  time.now += RESEND_MS - 1
  await sweep()
  expect(sent).toHaveLength(2)
  heard.add('2 7')
  time.now += 1
  await sweep()
  expect(sent.slice(2)).toEqual([to(30)])
  heard.add('3 7')
  await sweep()
  const before = asked.length
  await part?.sweep()
  // An order that comes later shows that nothing of the old one is asked in between.
  order(9)
  await expect.poll(() => sent.length, { timeout: 10_000 }).toBe(5)
  expect(asked.slice(before)).toEqual(['2 9', '3 9'])
})

it('a chain that does not answer keeps an order from no other, and gets it when it is back', async () => {
  const { sent, down, order } = await startLane()
  down.add(2)
  order(7)
  await expect.poll(() => sent, { timeout: 10_000 }).toEqual([to(30)])
  down.delete(2)
  await part?.sweep()
  await expect.poll(() => sent, { timeout: 10_000 }).toEqual([to(30), to(20)])
})

it('a chain to which nothing can be sent keeps an order from no other, nor one order another', async () => {
  const { sent, broken, order } = await startLane()
  broken.add(20)
  order(7)
  order(8)
  await expect.poll(() => sent.length, { timeout: 10_000 }).toBe(2)
  expect(sent).toEqual(expect.arrayContaining([to(30), to(30, 8)]))
  broken.delete(20)
  await part?.sweep()
  await expect.poll(() => sent.length, { timeout: 10_000 }).toBe(4)
  expect(sent.slice(2)).toEqual(expect.arrayContaining([to(20), to(20, 8)]))
})
