import { join } from 'node:path'
import { priceOracleAbi } from '@clearspan/contracts'
import {
  createLogger,
  createQueueBackend,
  type QueueBackend,
  systemClock,
  unpackPrices,
} from '@clearspan/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Relayer } from '../packages/relayer/src/index.js'
import { temporaryDirectory } from './clearspan.js'
import { createTestRelayer, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { startTestOracle, type TestOracle } from './testOracle.js'

// Blocks come every half second; to ask oftener costs a core more than what is tested.
const PATIENCE = { timeout: 280_000, interval: 250 }
const HOUR_MS = 3_600_000
const ETH_HEARTBEAT_MS = 30_000
/** Of which nobody asks for a report. */
const NEVER_BPS = 10_000
const AT_FIRST = { 'ETH/USD': 2_000, 'BTC/USD': 8_000, 'USDC/USD': 1, 'USDT/USD': 1 }

const logger = createLogger({ name: 'test', level: 'silent' })

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let oracle: TestOracle
let on: TestNetwork
let backend: QueueBackend
let relayer: Relayer
const prices: Record<string, number> = { ...AT_FIRST }
let published = 0

beforeAll(async () => {
  dir = await temporaryDirectory()
  oracle = await startTestOracle()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'], nodeUrls: oracle.url })
  backend = await createQueueBackend({ dataDir: join(dir.path, 'queue'), clock: systemClock, logger })
  const [alpha, beta] = on.chains
  relayer = createTestRelayer(on, backend, {
    roles: ['relayer'],
    priceTriggers: {
      [alpha!.chainId]: {
        heartbeatMs: 10 * HOUR_MS,
        deviationBps: NEVER_BPS,
        feeds: { 'ETH/USD': { heartbeatMs: ETH_HEARTBEAT_MS } },
      },
      [beta!.chainId]: {
        heartbeatMs: 10 * HOUR_MS,
        deviationBps: 100,
        feeds: { 'BTC/USD': { deviationBps: NEVER_BPS }, 'USDC/USD': { deviationBps: 20 } },
      },
    },
  })
  await relayer.start()
  oracle.publish(on, (feed) => {
    if (feed === 'ETH/USD') published += 1
    // Always a little: no report equals the one before.
    return prices[feed]! * (1 + (published % 2 === 0 ? 1e-5 : -1e-5))
  })
}, 280_000)
afterAll(async () => {
  await relayer?.stop()
  await backend?.close()
  await on?.stop()
  await oracle?.stop()
  await dir?.remove()
})

/** Reports that a chain has stored, oldest first: seconds, and prices in the order of the feeds. */
async function storedOn(index: number) {
  const { feeds, slotMs } = on.network.oracle
  const logs = await on.chains[index]!.client.getContractEvents({
    address: on.network.chains[index]!.contracts.priceOracle,
    abi: priceOracleAbi,
    eventName: 'ReportStored',
    fromBlock: 0n,
    strict: true,
  })
  return logs.map(({ args }) => ({
    at: (Number(args.seq) * slotMs) / 1000,
    prices: Object.fromEntries(
      unpackPrices(args.values, feeds.length).map(({ price }, i) => [
        feeds[i]!.name,
        Number(price) * 10 ** feeds[i]!.exponent,
      ]),
    ),
  }))
}
const ALPHA = 0
const BETA = 1

/** So many slots' reports have been offered since. */
const offered = (count: number) => {
  const until = published + count
  return expect.poll(() => published, PATIENCE).toBeGreaterThanOrEqual(until)
}
async function expectStored(index: number, count: number): Promise<void> {
  await expect.poll(async () => (await storedOn(index)).length, PATIENCE).toBeGreaterThanOrEqual(count)
  expect(await storedOn(index)).toHaveLength(count)
}

test('a chain gets the first report, and then those that one of its feeds asks for', async () => {
  await expectStored(BETA, 1)
  // Less than it asks for, and of a feed for which it asks for nothing.
  prices['ETH/USD'] = 2_015
  prices['BTC/USD'] = 7_600
  await offered(6)
  expect(await storedOn(BETA)).toHaveLength(1)
  prices['ETH/USD'] = 2_030
  await expectStored(BETA, 2)
  await offered(4)
  // By its own rule a hundredth of what any other needs.
  prices['USDC/USD'] = 0.997
  await expectStored(BETA, 3)
  await offered(4)
  const stored = await storedOn(BETA)
  expect(stored.map(({ prices: at }) => [at['ETH/USD'], at['BTC/USD'], at['USDC/USD']])).toEqual([
    [near(2_000), near(8_000), near(1)],
    [near(2_030), near(7_600), near(1)],
    [near(2_030), near(7_600), near(0.997)],
  ])
}, 600_000)

const near = (price: number) => expect.closeTo(price, -Math.log10(price * 1e-4))

test('a report on its way counts as delivered, however long its block takes', async () => {
  const before = (await storedOn(BETA)).length
  const { chainId } = on.chains[BETA]!
  await on.producer.halt(chainId)
  prices['ETH/USD'] = 2_100
  await offered(6)
  on.producer.resume(chainId)
  await expectStored(BETA, before + 1)
  await offered(3)
  expect(await storedOn(BETA)).toHaveLength(before + 1)
}, 600_000)

test('a heartbeat brings one report each, whatever the prices do', async () => {
  await expect.poll(async () => (await storedOn(ALPHA)).length, PATIENCE).toBeGreaterThanOrEqual(4)
  const times = (await storedOn(ALPHA)).map(({ at }) => at)
  for (const [i, at] of times.slice(1).entries())
    expect(at - times[i]!).toBeGreaterThanOrEqual(ETH_HEARTBEAT_MS / 1000)
  expect(times.length).toBeLessThan(published / 2)
}, 600_000)
