import { createPolledSources, isPolled, parseOracleNodeConfig } from '@clearspan/aggregator'
import { createLogger, seededRandom, systemClock } from '@clearspan/shared'
import { zeroHash } from 'viem'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { planDerivedFeeds } from '../network/derivedFeeds.js'
import { planMarkets, withDated } from '../network/markets.js'
import { type DerivativesSimulator, startDerivatives } from './derivatives.js'

const NOW = Date.UTC(2020, 2, 12, 12)
const WAD = 1e18
const logger = createLogger({ name: 'test', level: 'silent' })
/** Of a price: all that a node asks of option and lending markets, by source. */
let spot: number | undefined = 141.16
let fall = 0
let simulator: DerivativesSimulator

beforeAll(async () => {
  simulator = await startDerivatives({ base: 'ETH', spot: () => spot, fall: () => fall, now: () => NOW })
})
afterAll(() => simulator.stop())

/** The first quote of each polled source that isn't a chain, in WAD, asked as a node would. */
async function asked(): Promise<Record<string, number>> {
  const markets = withDated(planMarkets(['ETH'], ['ETH/USD', 'USDC/USD']))
  const { feeds, config } = planDerivedFeeds(markets, [], { slotSeconds: 4 }, simulator.url)
  const { derived } = parseOracleNodeConfig({
    networkId: zeroHash,
    clock: null,
    index: 0,
    oracle: {
      epoch: 1,
      slotMs: 4_000,
      feeds: [...markets.feeds, ...feeds],
      nodes: [1, 2, 3, 4].map((n) => ({ url: 'http://127.0.0.1:1', signer: `0x${`${n}`.repeat(40)}` })),
    },
    sources: [
      {
        id: 'a',
        adapter: 'replay',
        url: 'ws://127.0.0.1:1',
        tags: ['a'],
        markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
      },
    ],
    ...config,
    listen: { host: '127.0.0.1', port: 0 },
    dataDir: '.',
  })
  const sources = derived.filter(isPolled).flatMap((one) =>
    createPolledSources(one, {
      maxClockSkewMs: 1_000,
      networkClock: { ...systemClock, now: () => NOW },
      realClock: systemClock,
      random: seededRandom(1),
      logger,
      fetch,
    }),
  )
  for (const source of sources) source.start()
  try {
    await vi.waitFor(() => expect(sources.map(({ status }) => status().lastFrameTime)).not.toContain(null))
    return Object.fromEntries(
      sources.flatMap(({ quotes }) => quotes().map(({ source, price }) => [source, Number(price) / WAD])),
    )
  } finally {
    await Promise.all(sources.map((source) => source.stop()))
  }
}

test("nodes read the same volatility, rate and depth from every venue's own format", async () => {
  const calm = await asked()
  expect(Object.keys(calm).sort()).toEqual([
    'binance-book',
    'bybit-lending',
    'bybit-options',
    'deribit-options',
    'kraken-book',
    'okx-book',
    'okx-lending',
    'plain-lending',
    'plain-options',
  ])
  expectEach(calm, { options: 0.8, lending: 0.08, book: 20_000_000 })
})

test('volatility and rate rise and books get thinner as the price falls, of a price below one, too', async () => {
  spot = 0.0123
  fall = 0.5
  expectEach(await asked(), { options: 1.8, lending: 0.23, book: 5_000_000 })
})

/** By the last word of each source's id, within a two-hundredth. */
function expectEach(values: Record<string, number>, expected: Record<string, number>): void {
  for (const [source, value] of Object.entries(values))
    expect(value / expected[source.slice(source.indexOf('-') + 1)]!, source).toBeCloseTo(1, 2)
}

test('a market that is silent is silent here', async () => {
  spot = undefined
  expect((await fetch(`${simulator.url}/plain/lending/USDC`)).status).toBe(503)
  expect((await fetch(`${simulator.url}/nobody`)).status).toBe(404)
})
