import { UserError } from '@clearspan/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decimalToWad, WAD } from '../sources/decimal.js'
import type { Quote } from '../sources/types.js'
import { type AggregationParameters, aggregate, toObserved } from './aggregate.js'
import { median, sqrtUp } from './math.js'
import { type PlanSource, planFeeds } from './plan.js'

const NOW = 1_583_971_200_000
const parameters: AggregationParameters = {
  maxEventAgeMs: 60_000,
  maxReceiveAgeMs: 60_000,
  maxDispersionBps: 1_000,
  minConfidenceBps: 1,
  maxConfidenceBps: 3_333,
}
const wad = (text: string) => decimalToWad(text) ?? 0n

type Prices = Record<string, Record<string, string>>

/** Prices ETH/USD of venues that quote the given prices by pair; each venue is its own tag. */
function priceOf(prices: Prices, change: (quote: Quote) => Partial<Quote> = () => ({}), capped = false) {
  const sources: PlanSource[] = Object.entries(prices).map(([id, pairs]) => ({
    id,
    tags: [id],
    markets: Object.keys(pairs).map((symbol) => {
      const [base = '', quote = ''] = symbol.split('/')
      return { symbol, base, quote }
    }),
  }))
  const quotes = sources.flatMap(({ id, markets }) =>
    markets.map((market): Quote => {
      const price = wad(prices[id]?.[market.symbol] ?? '')
      const times = { eventTime: NOW, receiveTime: NOW, sequence: null }
      const quote: Quote = {
        source: id,
        kind: 'price',
        market,
        price,
        confidence: 0n,
        expiresAt: null,
        ...times,
      }
      return { ...quote, ...change(quote) }
    }),
  )
  const feeds = [{ name: 'ETH/USD', exponent: -8 }]
  const { plan } = planFeeds({ feeds, sources, faultyTags: 1, capped: capped ? ['ETH/USD'] : [] })
  const [result] = aggregate(plan, quotes, NOW, parameters)
  if (!result) throw new Error('no result')
  return result
}
const usd = (price: string, usdt = '1') => ({ 'ETH/USD': price, 'USDT/USD': usdt })

describe('aggregation', () => {
  it('is the median of the groups, and hardly notices one venue at −35%', () => {
    const venues = { a: usd('200'), b: usd('200.02'), c: usd('199.98'), d: usd('200.01'), e: usd('130') }
    expect(priceOf(venues)).toMatchObject({ price: wad('200'), outliers: ['e'] })
  })

  it('converts USDT prices by a broken peg', () => {
    const converted = { 'ETH/USDT': '222.222222222222222222' }
    const venues = {
      a: usd('200', '0.9'),
      b: usd('200', '0.9'),
      c: usd('200', '0.9'),
      x: converted,
      y: converted,
    }
    const result = priceOf(venues)
    expect('price' in result && result.price).toBe(wad('200'))
  })

  it('holds without enough live groups: stale by event time though received just now, or the reverse', () => {
    const venues = { a: usd('200'), b: usd('200'), c: usd('200') }
    expect(priceOf(venues, ({ source }) => (source === 'a' ? { eventTime: NOW - 60_001 } : {}))).toEqual({
      hold: 'too_few_groups',
    })
    expect(priceOf(venues, ({ source }) => (source === 'a' ? { receiveTime: NOW - 60_001 } : {}))).toEqual({
      hold: 'too_few_groups',
    })
    expect(priceOf(venues, () => ({ eventTime: NOW - 60_001 }))).toEqual({ hold: 'no_quotes' })
    expect(priceOf(venues, () => ({ eventTime: NOW - 60_000 }))).toHaveProperty('price')
  })

  it('has no price by a leg that is held, never 1.0', () => {
    const venues = {
      a: { 'ETH/USDT': '200' },
      b: { 'USDT/USD': '1' },
      c: { 'USDT/USD': '1' },
      d: { 'USDT/USD': '1' },
    }
    expect(priceOf(venues, () => ({}), true)).toMatchObject({ price: wad('200') })
    const stale = ({ source }: Quote) => (source === 'b' ? { eventTime: 1 } : {})
    expect(priceOf(venues, stale, true)).toEqual({ hold: 'leg_held' })
  })

  it('holds when venues disagree too much, and prices a real crash of all', () => {
    expect(priceOf({ a: usd('200'), b: usd('150'), c: usd('260') })).toEqual({ hold: 'dispersion' })
    expect(priceOf({ a: usd('120'), b: usd('121'), c: usd('119') })).toMatchObject({ price: wad('120') })
  })

  it('ignores a quote that is wider than a price may be', () => {
    const wide = ({ source, price }: Quote) => (source === 'a' ? { confidence: price / 2n } : {})
    expect(priceOf({ a: usd('200'), b: usd('200'), c: usd('200') }, wide)).toEqual({ hold: 'too_few_groups' })
  })

  it('adds confidences of price, leg and dispersion as squares, and floors what agrees', () => {
    const agreeing = priceOf({ a: usd('200'), b: usd('200'), c: usd('200') })
    expect('price' in agreeing && agreeing.relativeConfidence).toBe(WAD / 10_000n)
    const percent = ({ price }: Quote) => ({ confidence: price / 100n })
    const legs = { b: { 'USDT/USD': '1' }, c: { 'USDT/USD': '1' }, d: { 'USDT/USD': '1' } }
    const converted = priceOf({ a: { 'ETH/USDT': '200' }, ...legs }, percent, true)
    // √2 %, rounded up.
    expect('price' in converted && converted.relativeConfidence).toBe(14142135623730951n)
  })

  it('rounds to the feed unit, and holds what the unit cannot hold', () => {
    const value = { price: wad('200.123456785'), relativeConfidence: WAD / 10_000n, outliers: ['a'] }
    expect(toObserved(value, -8)).toEqual({ price: 20012345679n, confidence: 2, outliers: ['a'] })
    expect(toObserved({ ...value, price: 1n }, -8)).toEqual({ hold: 'out_of_range' })
    expect(toObserved({ ...value, price: 10n ** 30n }, -8)).toEqual({ hold: 'out_of_range' })
    // Half a unit of seven is 714 basis points, beside the one of its own.
    expect(toObserved({ ...value, price: 7n * 10n ** 10n }, -8)).toMatchObject({ price: 7n, confidence: 716 })
  })
})

const bounded = (min: bigint, max: bigint) => fc.bigInt({ min, max })

/** Venues with tags from a small alphabet, in dollars or in USDT, and which tags lie. */
const scene = fc
  .record({
    venues: fc.array(
      fc.record({
        tags: fc.uniqueArray(fc.constantFrom('t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7'), {
          minLength: 1,
          maxLength: 2,
        }),
        quote: fc.constantFrom('USD', 'USD', 'USDT'),
        leg: fc.boolean(),
        price: bounded(190n * WAD, 210n * WAD),
        usdt: bounded((97n * WAD) / 100n, (103n * WAD) / 100n),
        silent: fc.boolean(),
        lie: fc.record({
          price: bounded(0n, 10n ** 40n),
          confidence: bounded(0n, 10n ** 40n),
          age: fc.integer(),
        }),
      }),
      { minLength: 3, maxLength: 12 },
    ),
    faultyTags: fc.constantFrom(1, 2),
    liars: fc.shuffledSubarray(['t0', 't1', 't2', 't3', 't4', 't5', 't6', 't7', 'leg USDT/USD'], {
      maxLength: 2,
    }),
    silence: fc.boolean(),
    /** Liars who agree on a plausible lie do more harm than wild ones. */
    conspiracy: fc.option(fc.constantFrom(80n, 92n, 108n, 120n), { freq: 4 }),
  })
  .map((value) => ({ ...value, liars: value.liars.slice(0, value.faultyTags) }))

function extremes(values: readonly bigint[]): [bigint, bigint] | null {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const [min] = sorted
  const max = sorted.at(-1)
  return min === undefined || max === undefined ? null : [min, max]
}

describe('with at most f_s lying tags', () => {
  it('the price lies in the honest range, or the feed holds', () => {
    let priced = 0
    fc.assert(
      fc.property(scene, ({ venues, faultyTags, liars, silence, conspiracy }) => {
        const sources = venues.map(({ tags, quote, leg }, index) => ({
          id: `v${index}`,
          tags,
          markets: [
            { symbol: `ETH/${quote}`, base: 'ETH', quote },
            ...(leg ? [{ symbol: 'USDT/USD', base: 'USDT', quote: 'USD' }] : []),
          ],
        }))
        const listing = { feeds: [{ name: 'ETH/USD', exponent: -8 }], sources, faultyTags, capped: [] }
        const planned = attempt(() => planFeeds(listing))
        if (!planned) return
        const direct: bigint[] = []
        const legs: bigint[] = []
        const crossed: bigint[] = []
        const quotes = venues.flatMap(({ tags, quote, price, usdt, silent, lie }, index): Quote[] => {
          const lies = tags.some((tag) => liars.includes(tag))
          if (!lies && silent && silence) return []
          return (sources[index]?.markets ?? []).flatMap((market) => {
            const isLeg = market.base === 'USDT'
            const legLies = liars.includes('leg USDT/USD') && quote === 'USDT' && !isLeg
            const honest = isLeg ? usdt : price
            if (!lies && !legLies) (isLeg ? legs : quote === 'USD' ? direct : crossed).push(honest)
            const common = {
              source: `v${index}`,
              kind: 'price' as const,
              market,
              expiresAt: null,
              sequence: null,
            }
            if (!lies && !legLies) {
              return [{ ...common, price: honest, confidence: WAD / 1000n, eventTime: NOW, receiveTime: NOW }]
            }
            if (conspiracy !== null) {
              const agreed = (honest * conspiracy) / 100n
              return [{ ...common, price: agreed, confidence: 0n, eventTime: NOW, receiveTime: NOW }]
            }
            const times = { eventTime: NOW - lie.age, receiveTime: NOW }
            return [{ ...common, price: lie.price, confidence: lie.confidence, ...times }]
          })
        })
        const [result] = aggregate(planned.plan, quotes, NOW, parameters)
        if (!result || 'hold' in result) return
        priced += 1
        const crossRange = extremes(crossed)
        const legRange = extremes(legs)
        const converted =
          crossRange && legRange
            ? [(crossRange[0] * legRange[0]) / WAD, (crossRange[1] * legRange[1]) / WAD]
            : []
        const range = extremes([...direct, ...converted])
        if (!range) throw new Error('a price from nobody honest')
        expect(result.price >= range[0] && result.price <= range[1]).toBe(true)
      }),
      { numRuns: 3_000 },
    )
    expect(priced).toBeGreaterThan(200)
  })
})

function attempt<T>(make: () => T): T | null {
  try {
    return make()
  } catch (error) {
    if (error instanceof UserError) return null
    throw error
  }
}

describe('mathematics', () => {
  it('finds medians and roots', () => {
    expect(median([3n, 1n, 2n])).toBe(2n)
    expect(median([4n, 1n, 2n, 3n])).toBe(2n)
    expect(() => median([])).toThrow(RangeError)
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 1n << 256n }), (value) => {
        const root = sqrtUp(value)
        expect(root * root >= value && (root === 0n || (root - 1n) ** 2n < value)).toBe(true)
      }),
    )
  })
})
