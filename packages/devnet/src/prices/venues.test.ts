import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, seededRandom } from '@clearspan/shared'
import { describe, expect, test } from 'vitest'
import { builtInTape } from './builtIn.js'
import { loadPriceTape, parsePriceTape } from './csv.js'
import { independentGroups } from './groups.js'
import { createNoise } from './noise.js'
import type { PriceTape } from './tape.js'
import { sharedDirectory } from './testData.js'
import { planVenues, pythFeedId, type VenuePlan } from './venues.js'
import { selectWindow } from './window.js'

const T = Date.UTC(2023, 2, 11)
const HOUR = 3_600_000

/** `name`: `source symbol`, with one price an hour each. */
function tapeOf(series: Record<string, number[]>): PriceTape {
  const rows = Object.entries(series).flatMap(([name, prices]) =>
    prices.map((price, i) => `${T + i * HOUR},${name.replace(' ', ',')},,,,${price},`),
  )
  return parsePriceTape(
    ['timestamp_ms,source,symbol,open,high,low,close,volume', ...rows].join('\n'),
    'p.csv',
  )
}
const plan = (tape: PriceTape, random: Random = seededRandom(1)) => planVenues(tape, tape.range, random)
const market = (made: VenuePlan, source: string, base: string) =>
  made.sources.find(({ id }) => id === source)!.markets.find((one) => one.base === base && one.voting)!

/** Removing any one group leaves three, and no source is in two. */
function expectQuorum(made: VenuePlan) {
  for (const feed of made.feeds) expect(made.groups[feed]!.length, feed).toBeGreaterThanOrEqual(4)
  expect(Object.keys(made.groups)).toEqual(made.feeds)
}

test('sources that share a tag, directly or through another, are one group', () => {
  const vote = (source: string, ...tags: string[]) => ({ source, tags })
  expect(independentGroups([vote('a', 'x'), vote('b', 'y'), vote('c', 'z'), vote('d', 'x', 'y')])).toEqual([
    ['c'],
    ['a', 'b', 'd'],
  ])
})

test('noise stays within its bps, is not constant, and depends on nothing but seed and time', () => {
  const noise = createNoise(7, 10)
  const values = Array.from({ length: 2_000 }, (_, i) => noise(T + i * 17_000))
  expect(Math.max(...values)).toBeLessThanOrEqual(1.001)
  expect(Math.min(...values)).toBeGreaterThanOrEqual(0.999)
  expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(0.001)
  expect(createNoise(7, 10)(T)).toBe(noise(T))
  expect(createNoise(8, 10)(T)).not.toBe(noise(T))
})

test('one series is enough: four adapters, legs, and the report says what was made up', () => {
  const tape = tapeOf({ 'binance ETH-USDT': [200, 190, 150] })
  const made = plan(tape)
  expectQuorum(made)
  expect(made.feeds).toEqual(['ETH/USD', 'USDT/USD', 'USDC/USD'])
  expect(made.sourceConfigs.map(({ id, adapter, tags }) => [id, adapter, ...tags])).toEqual([
    ['binance', 'binance', 'venue:binance'],
    ['coinbase', 'coinbase', 'venue:coinbase'],
    ['kraken', 'kraken', 'venue:kraken'],
    ['pyth-hermes', 'hermes', 'vendor:pyth'],
    ['pyth-price-service', 'price-service', 'vendor:pyth'],
    ['bitstamp', 'replay', 'venue:bitstamp'],
  ])
  expect(made.sourceConfigs.map(({ markets }) => markets[0]!.symbol)).toEqual([
    'ETHUSDT',
    'ETH-USD',
    'ETH/USD',
    pythFeedId('ETH'),
    pythFeedId('ETH'),
    'USDT-USD',
  ])
  expect(market(made, 'binance', 'ETH').price(T + 1)).toBe(200)
  expect(market(made, 'kraken', 'ETH').price(T + 1)).toBeCloseTo(200, 0)
  const { real, simulated, notes } = made.describe()
  expect(real).toEqual(['binance: ETH-USDT'])
  expect(simulated).toContain('coinbase: ETH-USD: the median of p.csv, with noise of ±5 bps')
  expect(simulated).toContain(
    'bitstamp: USDT-USD, USDC-USD: held at 1 USD, since p.csv has no price of it in USD, with noise of ±2 bps',
  )
  expect(notes).toEqual([])
})

test('the same seed gives the same prices, another seed others; outside the window the edge holds', () => {
  const tape = tapeOf({ 'binance ETH-USDT': [200, 190, 150] })
  const at = (seed: number, time: number) =>
    market(plan(tape, seededRandom(seed)), 'coinbase', 'ETH').price(time)
  expect(at(1, T + 5)).toBe(at(1, T + 5))
  expect(at(1, T + 5)).not.toBe(at(2, T + 5))
  const window = { startMs: T + HOUR / 2, endMs: T + 2.5 * HOUR }
  const made = planVenues(tape, window, seededRandom(1))
  for (const source of made.sources)
    for (const { price } of source.markets) {
      expect(price(0)).toBe(price(window.startMs))
      expect(price(T + 99 * HOUR)).toBe(price(window.endMs))
      expect(price(0)).toBeDefined()
    }
  expect(made.trueMid('ETH', 0)).toBe(200)
})

test('a venue votes once for a base, in USD if it can, and never ties USD venues to a leg', () => {
  const made = plan(
    tapeOf({
      'kraken BTC-USDT': [100, 99],
      'kraken BTC-USD': [101, 98],
      'kraken BTC-USDC': [110, 120],
      'kraken USDT-USD': [1, 1],
      'bybit BTC-USDC': [111, 121],
    }),
  )
  expectQuorum(made)
  expect(market(made, 'kraken', 'BTC').symbol).toBe('BTC/USD')
  const kraken = made.sources.find(({ id }) => id === 'kraken')!.markets.map(({ symbol }) => symbol)
  expect(kraken).toEqual(expect.arrayContaining(['BTC/USDT', 'BTC/USDC']))
  expect(made.groups['BTC/USD']).toEqual(expect.arrayContaining([['kraken'], ['bybit'], ['binance']]))
  expect(made.describe().notes).toContain(
    'kraken: BTC-USDT, BTC-USDC: served, but another market of the same venue votes',
  )
})

test('venues that only quote through one leg are one group, so another is added', () => {
  const made = plan(
    tapeOf({ 'kraken BTC-USDT': [100, 99], 'coinbase BTC-USDT': [100, 99], 'binance BTC-USDT': [100, 99] }),
  )
  expectQuorum(made)
  expect(made.groups['BTC/USD']).toContainEqual(['kraken', 'coinbase', 'binance'])
})

test('conversion: the middle price is in USD, and a depeg moves simulated USDT prices the other way', () => {
  const made = plan(tapeOf({ 'kraken BTC-USD': [100, 100], 'coinbase USDT-USD': [0.9, 0.9] }))
  expect(made.trueMid('USDT', T)).toBe(0.9)
  expect(market(made, 'binance', 'BTC').price(T)! * 0.9).toBeCloseTo(100, 0)
  const crossed = plan(tapeOf({ 'binance BTC-USDT': [110], 'binance USDC-USDT': [1.1] }))
  expect(crossed.trueMid('USDT', T)).toBeCloseTo(1 / 1.1)
  expect(crossed.trueMid('USDC', T)).toBe(1)
  expect(crossed.trueMid('BTC', T)).toBeCloseTo(100)
  expect(crossed.describe().simulated).toContain(
    'kraken: USDT-USD: what USDC-USDT of p.csv says while USDC is held at 1 USD, with noise of ±2 bps',
  )
  const viaUsdt = plan(
    tapeOf({ 'binance USDC-USDT': [0.9], 'kraken USDT-USD': [1.01], 'kraken BTC-USD': [1] }),
  )
  expect(viaUsdt.trueMid('USDC', T)).toBeCloseTo(0.909)
})

test('one of two venues that crashes alone is served as it is and moves nobody else', () => {
  const made = plan(
    tapeOf({ 'binance USDE-USDT': [1, 1, 0.65, 0.95], 'uniswap-v3 USDE-USDT': [1, 1, 0.994, 0.994] }),
  )
  const time = T + 2 * HOUR + 1
  expect(market(made, 'binance', 'USDE').price(time)).toBe(0.65)
  expect(market(made, 'uniswap-v3', 'USDE').price(time)).toBe(0.994)
  expect(made.trueMid('USDE', time)).toBe(0.994)
  expect(market(made, 'kraken', 'USDE').price(time)).toBeCloseTo(0.994, 2)
})

test('a series that covers part of the window is served but not counted', () => {
  const made = plan(
    tapeOf({
      'kraken BTC-USD': [5],
      'binance BTC-USDT': Array.from({ length: 20 }, () => 5),
      'coinbase BTC-USD': [5],
    }),
  )
  expectQuorum(made)
  expect(made.groups['BTC/USD']!.flat()).not.toContain('kraken')
  expect(market(made, 'kraken', 'BTC').price(T)).toBe(5)
  expect(market(made, 'kraken', 'BTC').price(T + 10 * HOUR)).toBeUndefined()
})

test('the built-in crash is never called real', () => {
  const made = plan(builtInTape())
  expectQuorum(made)
  expect(made.describe().real).toEqual([])
  expect(made.describe().simulated).toContain('kraken: BTC-USD, ETH-USD as the built-in crash has them')
})

const data = sharedDirectory('data')
describe.skipIf(data === undefined)('recorded crashes', () => {
  const files = data === undefined ? [] : readdirSync(data).filter((file) => file.endsWith('.csv'))

  test.each(files)(
    'every feed of %s has four independent groups that trade all through the window',
    async (file) => {
      const tape = await loadPriceTape(join(data!, file))
      const window = selectWindow(tape)
      const made = planVenues(tape, window, seededRandom(3))
      expectQuorum(made)
      expect(made.feeds.slice(-2)).toEqual(['USDT/USD', 'USDC/USD'])
      const bases = made.feeds.map((feed) => feed.split('/')[0]!)
      for (let i = 0; i <= 96; i++) {
        const time = window.startMs + ((window.endMs - window.startMs) * i) / 96
        for (const base of bases) {
          const live = made.sources.filter(({ markets }) =>
            markets.some((one) => one.base === base && one.voting && one.price(time) !== undefined),
          )
          const groups = made.groups[`${base}/USD`]!
          const alive = groups.filter((group) =>
            group.some((venue) =>
              live.some(({ id }) => id === venue || (venue === 'pyth' && id === 'pyth-hermes')),
            ),
          )
          expect(alive.length, `${base} at ${new Date(time).toISOString()}`).toBeGreaterThanOrEqual(3)
        }
      }
    },
  )

  test('the USDC depeg: legs follow the file', async () => {
    const tape = await loadPriceTape(join(data!, '2023-03-usdc-depeg_1m.csv'))
    const made = planVenues(tape, selectWindow(tape), seededRandom(3))
    const time = Date.UTC(2023, 2, 11, 7, 30)
    expect(made.window.startMs).toBeLessThan(time)
    expect(made.window.endMs).toBeGreaterThan(time)
    expect(made.trueMid('USDC', time)).toBeLessThan(0.95)
    expect(made.trueMid('USDT', time)).toBeGreaterThan(0.99)
    expect(market(made, 'coinbase', 'USDC').price(time)).toBeLessThan(0.95)
  })
})
