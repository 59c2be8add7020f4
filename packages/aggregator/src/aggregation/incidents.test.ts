import { describe, expect, it } from 'vitest'
import type { Quote } from '../sources/types.js'
import { type Aggregate, toObserved } from './aggregate.js'
import { type Prices, priceOf, type SceneOptions, usd, wad } from './scene.test-util.js'

const same = (price: string, names = 'abcde'): Prices =>
  Object.fromEntries([...names].map((name) => [name, usd(price)]))

function within(result: Aggregate, low: string, high: string) {
  if ('hold' in result) throw new Error(`held: ${result.hold}`)
  expect(result.price >= wad(low) && result.price <= wad(high)).toBe(true)
  return result
}

/** What past failures of oracles would have done here. Sums and dates are those of the press. */
describe('incidents: votes', () => {
  it('USDe, October 2025: one of five venues at −35% moves the median by less than 5 bps and is named', () => {
    const venues: Prices = Object.fromEntries(
      ['0.9995', '1.0001', '0.9999', '1.0003', '0.65'].map((price, at) => [`v${at}`, { 'USDE/USD': price }]),
    )
    const result = within(priceOf(venues, { feed: 'USDE/USD' }), '0.9995', '1.0005')
    expect(result.outliers).toEqual(['v4'])
  })

  it('Pyth, September 2021, BTC at $5,402: two publishers slip by decimals; neither moves the price, both are named', () => {
    const venues = same('54020', 'abcde')
    const slip = ({ source, price, market }: Quote) => {
      if (market.base !== 'ETH') return {}
      return source === 'd' ? { price: price * 10n ** 8n } : source === 'e' ? { price: price / 10n } : {}
    }
    expect(priceOf(venues, { faultyTags: 2, change: slip })).toMatchObject({
      price: wad('54020'),
      outliers: ['d', 'e'],
    })
    // All of them by the same: the feed's 64 bits can't hold it.
    const all = priceOf(venues, { change: ({ price }) => ({ price: price * 10n ** 8n }) })
    expect(toObserved(all, -8)).toEqual({ hold: 'out_of_range' })
  })

  it('Mango, October 2022: thin venues pumped tenfold are outvoted, or the feed is listed as one that can’t outvote them', () => {
    const pumped = { thin: usd('0.3'), thinner: usd('0.3') }
    expect(priceOf({ ...pumped, ...same('0.03', 'abc') }, { faultyTags: 2 })).toMatchObject({
      price: wad('0.03'),
    })
    expect(() => priceOf({ ...pumped, a: usd('0.03') }, { faultyTags: 2 })).toThrow(/can't outvote 2 lying/)
  })

  it('Moonwell, November 2025: sources over one depleted pool share its tag, and so one vote', () => {
    const over = ['pool'] as const
    const wrong = { 'WRSETH/USD': '1700000' }
    const honest = { 'WRSETH/USD': '3600' }
    const venues = { a: wrong, b: wrong, c: wrong, d: honest, e: honest, f: honest }
    const options: SceneOptions = { feed: 'WRSETH/USD', tags: { a: over, b: over, c: over } }
    expect(priceOf(venues, options)).toMatchObject({ price: wad('3600'), outliers: ['a', 'b', 'c'] })
    expect(() => priceOf({ a: wrong, b: wrong, c: wrong }, options)).toThrow(/1 independent groups/)
  })
})

describe('incidents: slow sources', () => {
  it('Venus and LUNA, May 2022: Chainlink paused at its floor, all others lower: it has no vote, and alone can only hold', () => {
    const venues = same('0.01', 'abc')
    const floor = { chainlink: { 'ETH/USD': '0.107' } }
    expect(priceOf({ ...venues, ...floor }, { slow: ['chainlink'] })).toEqual({ hold: 'out_of_slow_bounds' })
    // Beside another slow source it doesn't even do that.
    const twap = { twap: { 'ETH/USD': '0.0105' } }
    expect(priceOf({ ...venues, ...floor, ...twap }, { slow: ['chainlink', 'twap'] })).toMatchObject({
      price: wad('0.01'),
    })
  })

  it('bZx, February 2020: a pool’s spot pushed by 10% in one block; only its time-weighted mean is read, and it has no vote', () => {
    // 1 block of 12 s in a mean over 30 minutes.
    const twap = { twap: { 'ETH/USD': '200.13' } }
    const options: SceneOptions = { slow: ['twap'] }
    const quiet = priceOf({ ...same('200', 'abc'), twap: { 'ETH/USD': '200' } }, options)
    expect(priceOf({ ...same('200', 'abc'), ...twap }, options)).toEqual(quiet)
    expect(priceOf({ ...same('200', 'abc'), twap: { 'ETH/USD': '220' } }, options)).toEqual(quiet)
    expect(() => priceOf({ a: usd('200'), b: usd('200'), ...twap }, options)).toThrow(/2 independent groups/)
  })

  it('Aave, March 2026: a guard with a mismatched snapshot was the bug; here it holds or says nothing, and never sets a price', () => {
    for (const answer of ['1', '100', '171', '194.3', '240', '1000']) {
      const venues = { ...same('200', 'abc'), guard: { 'ETH/USD': answer } }
      const result = priceOf(venues, { slow: ['guard'] })
      expect([wad('200'), undefined]).toContain('price' in result ? result.price : undefined)
    }
  })
})
