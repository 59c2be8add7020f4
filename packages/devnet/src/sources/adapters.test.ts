import { setTimeout as delay } from 'node:timers/promises'
import { createSource, planFeeds, type Source } from '@clearspan/aggregator'
import { acceleratedClock, createLogger, seededRandom, systemClock } from '@clearspan/shared'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { builtInTape, planVenues, selectWindow } from '../prices/index.js'
import { createTape } from '../prices/tape.js'
import { localGuardianSet } from './pythUpdate.js'
import { type SourceSimulators, startSourceSimulators } from './simulators.js'

const crash = builtInTape()
/** The built-in prices, and Binance's once more as if OKX and Bybit had had them. */
const tape = createTape(crash.name, false, [
  ...crash.series.map((series) => ({ ...series, bars: [...series.bars] })),
  ...crash.series
    .filter(({ source }) => source === 'binance')
    .flatMap((series) => ['okx', 'bybit'].map((source) => ({ ...series, bars: [...series.bars], source }))),
])
const window = selectWindow(tape)
const plan = planVenues(tape, window, seededRandom(1))
const clock = acceleratedClock({ startMs: window.startMs, realStartMs: Date.now(), speed: 60 })
let simulators: SourceSimulators
let sources: Source[] = []

beforeAll(async () => {
  simulators = await startSourceSimulators({
    plan,
    clock,
    realClock: systemClock,
    realTickMs: 50,
    random: seededRandom(2),
  })
  sources = plan.sourceConfigs.map(({ id, adapter, markets }) =>
    createSource({
      id,
      adapter,
      url: simulators.urls[id]!,
      markets,
      guardianSets: [localGuardianSet],
      maxClockSkewMs: 2_000,
      networkClock: clock,
      realClock: systemClock,
      random: seededRandom(3),
      logger: createLogger({ name: 'test', level: 'silent' }),
    }),
  )
  for (const source of sources) source.start()
})
afterAll(async () => {
  await Promise.all(sources.map((source) => source.stop()))
  await simulators.stop()
})

test("the oracle's own planner finds the quorum that the plan promises", () => {
  const { listings } = planFeeds({
    feeds: plan.feeds.map((name) => ({ name, exponent: -8 })),
    sources: plan.sourceConfigs,
    faultyTags: 1,
    capped: [],
  })
  for (const { feed, groups, toleratedFaults } of listings) {
    expect(groups.length, feed).toBeGreaterThanOrEqual(4)
    expect(toleratedFaults).toBeGreaterThanOrEqual(1)
  }
})

test('rows of OKX and Bybit reach the oracle by their own wire formats', () => {
  const adapters = Object.fromEntries(plan.sourceConfigs.map(({ id, adapter }) => [id, adapter]))
  expect(adapters).toMatchObject({ okx: 'okx', bybit: 'bybit', binance: 'binance' })
})

test('every adapter reads every market of its simulator, at the price of its event time, and rejects nothing', async () => {
  const complete = () =>
    sources.every((source, i) => source.quotes().length === plan.sourceConfigs[i]!.markets.length)
  while (!complete()) await delay(20)
  for (const [i, source] of sources.entries()) {
    const { id, markets } = plan.sources[i]!
    for (const quote of source.quotes()) {
      const market = markets.find(({ symbol }) => symbol === quote.market.symbol)!
      const expected = market.price(quote.eventTime)!
      // Pyth's times have whole seconds.
      const tolerance = id.startsWith('pyth') ? 1e-4 : 1e-7
      expect(Math.abs(Number(quote.price) / 1e18 / expected - 1), `${id} ${market.symbol}`).toBeLessThan(
        tolerance,
      )
      expect(Number(quote.confidence) / Number(quote.price)).toBeLessThan(0.001)
      if (market.base !== 'USDT' && plan.sourceConfigs[i]!.adapter !== 'replay')
        expect(quote.confidence, id).toBeGreaterThan(0n)
      expect(quote.eventTime).toBeLessThanOrEqual(quote.receiveTime + 1)
    }
    expect(source.status().rejected, id).toEqual({})
  }
})
