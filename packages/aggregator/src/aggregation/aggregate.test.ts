import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WAD } from '../sources/decimal.js'
import type { Quote } from '../sources/types.js'
import { aggregate, toObserved } from './aggregate.js'
import { median, sqrtUp } from './math.js'
import { planFeeds } from './plan.js'
import {
  makeScene,
  NOW,
  type Prices,
  parameters,
  priceOf,
  type SceneOptions,
  usd,
  wad,
} from './scene.test-util.js'

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
    const when = (times: Partial<Quote>, who = 'a') =>
      priceOf(venues, { change: ({ source }) => (source === who || who === '*' ? times : {}) })
    expect(when({ eventTime: NOW - 60_001 })).toEqual({ hold: 'no_honest_majority' })
    expect(when({ receiveTime: NOW - 60_001 })).toEqual({ hold: 'no_honest_majority' })
    expect(when({ eventTime: Number.NaN })).toEqual({ hold: 'no_honest_majority' })
    expect(when({ eventTime: NOW - 60_001 }, '*')).toEqual({ hold: 'no_quotes' })
    expect(when({ eventTime: NOW - 60_000 }, '*')).toHaveProperty('price')
  })

  it('refuses an event time further ahead of its receive time than clocks may differ', () => {
    const venues = { a: usd('200'), b: usd('200'), c: usd('200') }
    const ahead = (by: number) =>
      priceOf(venues, {
        change: ({ source }) =>
          source === 'a' ? { eventTime: NOW - 10_000 + by, receiveTime: NOW - 10_000 } : {},
      })
    expect(ahead(2_000)).toHaveProperty('price')
    expect(ahead(2_001)).toEqual({ hold: 'no_honest_majority' })
  })

  it('holds when the live groups are an honest majority, but too small a share of the listed ones', () => {
    const venues = Object.fromEntries([...'abcdefg'].map((id) => [id, usd('200')]))
    const only = (live: string) =>
      priceOf(venues, { change: ({ source }) => (live.includes(source) ? {} : { eventTime: 1 }) })
    expect(only('abcd')).toHaveProperty('price')
    expect(only('abc')).toEqual({ hold: 'too_few_groups' })
    expect(only('ab')).toEqual({ hold: 'no_honest_majority' })
  })

  it('has no price by a leg that is held, never 1.0', () => {
    const venues = {
      a: { 'ETH/USDT': '200' },
      b: { 'USDT/USD': '1' },
      c: { 'USDT/USD': '1' },
      d: { 'USDT/USD': '1' },
    }
    expect(priceOf(venues, { capped: true })).toMatchObject({ price: wad('200') })
    const change = ({ source }: Quote) => (source === 'b' ? { eventTime: 1 } : {})
    expect(priceOf(venues, { capped: true, change })).toEqual({ hold: 'leg_missing' })
  })

  it('holds when venues disagree too much, and prices a real crash of all', () => {
    expect(priceOf({ a: usd('200'), b: usd('150'), c: usd('260') })).toEqual({ hold: 'dispersion' })
    expect(priceOf({ a: usd('120'), b: usd('121'), c: usd('119') })).toMatchObject({ price: wad('120') })
  })

  it('ignores a quote that is wider than a price may be', () => {
    const change = ({ source, price }: Quote) => (source === 'a' ? { confidence: price / 2n } : {})
    const venues = { a: usd('200'), b: usd('200'), c: usd('200') }
    expect(priceOf(venues, { change })).toEqual({ hold: 'no_honest_majority' })
  })

  it('adds confidences of price, leg and dispersion as squares, and floors what agrees', () => {
    const agreeing = priceOf({ a: usd('200'), b: usd('200'), c: usd('200') })
    expect('price' in agreeing && agreeing.relativeConfidence).toBe(WAD / 10_000n)
    const change = ({ price }: Quote) => ({ confidence: price / 100n })
    const legs = { b: { 'USDT/USD': '1' }, c: { 'USDT/USD': '1' }, d: { 'USDT/USD': '1' } }
    const converted = priceOf({ a: { 'ETH/USDT': '200' }, ...legs }, { change, capped: true })
    // √2 %, rounded up.
    expect('price' in converted && converted.relativeConfidence).toBe(14142135623730951n)
  })

  it('takes the newest of two quotes of one market, in either order', () => {
    const venues = { a: { 'ETH/USD': '200' } }
    const { sources, quotes } = makeScene(venues)
    const feeds = [{ name: 'ETH/USD', exponent: -8 }]
    const { plan } = planFeeds({ feeds, sources, faultyTags: 1, capped: ['ETH/USD'] })
    const both = quotes.flatMap((quote) => [quote, { ...quote, price: wad('100'), eventTime: NOW - 1 }])
    for (const order of [both, both.toReversed()]) {
      expect(aggregate(plan, order, NOW, parameters)).toMatchObject([{ price: wad('200') }])
    }
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

describe('slow sources', () => {
  const votes = { a: usd('200'), b: usd('200'), c: usd('200') }
  const bounded = (slow: Prices, options: SceneOptions = {}) =>
    priceOf({ ...votes, ...slow }, { slow: Object.keys(slow), ...options })

  it.each([
    ['agrees', '201', 'price'],
    ['is as far as it may be', '250', 'price'],
    ['is beyond', '250.01', 'hold'],
    ['is beyond on the other side', '166.6', 'hold'],
  ])('never vote: one that %s', (_, slow, outcome) => {
    const result = bounded({ chainlink: { 'ETH/USD': slow } })
    expect(result).toMatchObject(
      outcome === 'price' ? { price: wad('200'), outliers: [] } : { hold: 'out_of_slow_bounds' },
    )
  })

  it('widen by their own confidence', () => {
    const change = ({ kind, price }: Quote) => (kind === 'bound' ? { confidence: price / 10n } : {})
    expect(bounded({ chainlink: { 'ETH/USD': '280' } }, { change })).toHaveProperty('price')
    expect(bounded({ chainlink: { 'ETH/USD': '290' } }, { change })).toHaveProperty('hold')
  })

  it('hold only when more than f_s of them disagree, or all', () => {
    const prices = (...all: string[]) =>
      bounded(Object.fromEntries(all.map((price, at) => [`slow${at}`, { 'ETH/USD': price }])))
    expect(prices('1000', '200')).toHaveProperty('price')
    expect(prices('1000', '10')).toHaveProperty('hold')
    expect(prices('1000', '200', '200')).toHaveProperty('price')
    expect(prices('1000', '1000', '200')).toHaveProperty('hold')
  })

  it('are grouped by tag like any other', () => {
    const slow = { one: { 'ETH/USD': '1000' }, two: { 'ETH/USD': '1000' }, twap: { 'ETH/USD': '200' } }
    expect(bounded(slow)).toHaveProperty('hold')
    expect(bounded(slow, { tags: { one: ['chainlink'], two: ['chainlink'] } })).toHaveProperty('price')
  })

  it('say nothing once expired, without their leg, or as a vote', () => {
    const expired = ({ kind }: Quote) => (kind === 'bound' ? { expiresAt: NOW } : {})
    expect(bounded({ chainlink: { 'ETH/USD': '1000' } }, { change: expired })).toHaveProperty('price')
    const unlimited = ({ kind }: Quote) => (kind === 'bound' ? { expiresAt: null } : {})
    expect(bounded({ chainlink: { 'ETH/USD': '1000' } }, { change: unlimited })).toHaveProperty('price')
    const noLeg = ({ market }: Quote) => (market.base === 'USDT' ? { eventTime: 1 } : {})
    expect(bounded({ twap: { 'ETH/USDT': '1000' } })).toEqual({ hold: 'out_of_slow_bounds' })
    expect(bounded({ twap: { 'ETH/USDT': '1000' } }, { change: noLeg })).toHaveProperty('price')
  })

  it('bound legs too', () => {
    const prices = {
      ...Object.fromEntries(['a', 'b', 'c'].map((id) => [id, { 'USDT/USD': '1' }])),
      x: { 'ETH/USDT': '200' },
      chainlink: { 'USDT/USD': '0.5' },
    }
    expect(priceOf(prices, { slow: ['chainlink'], capped: true })).toEqual({ hold: 'leg_missing' })
  })
})

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
