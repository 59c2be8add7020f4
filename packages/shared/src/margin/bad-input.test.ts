// Bad input ends in a typed error, never in a number (docs/margin.md names the contracts' tests of the same cases).
import { describe, expect, test } from 'vitest'
import { PermanentError } from '../errors.js'
import {
  createOption,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  type OptionMarket,
  optionDeviation,
  optionValue,
  perpetual,
} from './index.js'
import { NO_GRID } from './margin.test-util.js'

const WAD = 10n ** 18n
const NOW = 1_700_000_000n
const TERMS = { isCall: true, strike: 2_200n * WAD, expiry: NOW + 2_592_000n }
const MOMENT: OptionMarket = {
  now: NOW,
  mid: 2_000n * WAD,
  volatility: (WAD * 6n) / 10n,
  skew: { slope: -(WAD / 5n), curvature: WAD / 20n },
  fixing: 0n,
  fresh: true,
}
const PERP = 1
const OPTION = 2
const FEED = 1

interface Changes {
  terms?: Partial<typeof TERMS>
  moment?: Partial<OptionMarket>
  price?: bigint
}

function marketOf({ terms, moment, price = 2_000n * WAD }: Changes = {}): MarginMarket {
  const told = { price, confidence: 0n, parked: 0n, fresh: true }
  const shocks = { shockIm: 1_000n, shockMm: 600n, tailShock: 5_000n, tailDamping: 1_000n }
  return {
    settlementFeed: 0,
    prices: new Map([
      [0, { ...told, price: WAD }],
      [FEED, told],
    ]),
    shocks: new Map([[FEED, shocks]]),
    assets: new Map([[1, { feed: FEED, creditIm: 8_000n, creditMm: 9_000n }]]),
    instruments: new Map([
      [PERP, perpetual(FEED)],
      [OPTION, createOption(FEED, { ...TERMS, ...terms }, { ...MOMENT, ...moment })],
      [3, perpetual(7)],
    ]),
    grid: { ...NO_GRID, volatilityUp: 4_000n, volatilityDown: 3_000n },
    rhoIm: 6_000n,
    rhoMm: 4_000n,
    profitCapIm: WAD,
  }
}

const EMPTY: MarginPortfolio = { cash: 0n, impairedCash: 0n, claims: [], positions: [] }
const held = (instrumentId: number, size = WAD, quote = 0n): MarginPortfolio => ({
  ...EMPTY,
  positions: [{ instrumentId, size, quote }],
})
const claim = (assetId: number, amount = WAD, impaired = 0n): MarginPortfolio => ({
  ...EMPTY,
  claims: [{ assetId, amount, impaired }],
})

test('what the others differ from is valued', () => {
  for (const portfolio of [held(PERP), held(OPTION), claim(1)])
    expect(marginHealth(portfolio, marketOf()).notional >= 0n).toBe(true)
})

describe('of a portfolio', () => {
  const rows = (count: number) => Array.from({ length: count }, () => held(PERP).positions[0]!)
  const limit = 1n << 127n
  test.each<[string, MarginPortfolio]>([
    ['an instrument that is not listed', held(9)],
    ['an asset that is not listed', claim(9)],
    ['an instrument on a feed without a price', held(3)],
    ['more positions than allowed', { ...EMPTY, positions: rows(22) }],
    ['more claims than allowed', { ...EMPTY, claims: Array.from({ length: 22 }, () => claim(1).claims[0]!) }],
    ['a size beyond 127 bits', held(PERP, limit)],
    ['a quote beyond 127 bits', held(PERP, WAD, -limit)],
    ['cash beyond 150 bits', { ...held(PERP), cash: 1n << 150n }],
    ['warming profit beyond 150 bits', { ...held(PERP), warming: 1n << 150n }],
    ['a claim beyond 120 bits', claim(1, 1n << 120n)],
    ['a negative claim', claim(1, -1n)],
    ['more of a claim impaired than there is', claim(1, 1n, 2n)],
    ['a loss beyond 112 bits', held(PERP, limit - 1n)],
  ])('%s', (_, portfolio) => {
    expect(() => marginHealth(portfolio, marketOf())).toThrow(PermanentError)
  })

  test('as many rows as allowed are valued', () => {
    expect(marginHealth({ ...EMPTY, positions: rows(21) }, marketOf()).notional).toBe(42_000n * WAD)
  })
})

describe('of a market', () => {
  test.each<[string, MarginPortfolio, Changes]>([
    ['a price beyond 127 bits', held(PERP), { price: 1n << 127n }],
    ['a negative price', held(PERP), { price: -1n }],
    ['an option on a price beyond 120 bits', held(OPTION), { price: 1n << 120n }],
    ['an option on a feed without a price', held(OPTION), { moment: { mid: 0n } }],
    ['an option without volatility', held(OPTION), { moment: { volatility: 0n } }],
    ['a strike of nothing', held(OPTION), { terms: { strike: 0n } }],
    ['a strike beyond 120 bits', held(OPTION), { terms: { strike: 1n << 120n } }],
  ])('%s', (_, portfolio, changes) => {
    expect(() => marginHealth(portfolio, marketOf(changes))).toThrow(PermanentError)
  })

  test('without the price of the settlement token, cash beside anything else has no value', () => {
    const market = marketOf()
    const prices = new Map([...market.prices].filter(([feed]) => feed !== 0))
    expect(() => marginHealth({ ...held(PERP), cash: 1n }, { ...market, prices })).toThrow(PermanentError)
  })
})

describe('of an option', () => {
  const expired = { ...MOMENT, now: TERMS.expiry }

  test('no deviation of one that has expired, which is worth what it would pay, then what it pays', () => {
    expect(() => optionDeviation(TERMS, expired)).toThrow(PermanentError)
    expect(optionValue(TERMS, expired, 2_300n * WAD)).toBe(100n * WAD)
    expect(optionValue(TERMS, { ...expired, fixing: 2_500n * WAD }, WAD)).toBe(300n * WAD)
    // It needs no volatility any more.
    expect(optionValue(TERMS, { ...expired, volatility: 0n }, 2_300n * WAD)).toBe(100n * WAD)
  })

  test.each<[string, Partial<typeof TERMS>, Partial<OptionMarket>]>([
    ['no price', {}, { mid: 0n }],
    ['no volatility', {}, { volatility: 0n }],
    ['a price beyond 120 bits', {}, { mid: 1n << 120n }],
    ['a strike of nothing', { strike: 0n }, {}],
    ['a strike beyond 120 bits', { strike: 1n << 120n }, {}],
  ])('%s', (_, terms, moment) => {
    expect(() => optionDeviation({ ...TERMS, ...terms }, { ...MOMENT, ...moment })).toThrow(PermanentError)
  })

  test.each([
    ['a spot beyond 120 bits', 1n << 120n, WAD],
    ['a negative spot', -1n, WAD],
    ['a factor on volatility beyond 127 bits', WAD, 1n << 127n],
  ])('%s', (_, spot, factor) => {
    expect(() => optionValue(TERMS, MOMENT, spot, factor)).toThrow(PermanentError)
  })

  test('extremes within the bounds have their limit', () => {
    const most = (1n << 120n) - 1n
    expect(optionValue(TERMS, MOMENT, 0n)).toBe(0n)
    expect(optionValue({ ...TERMS, isCall: false }, MOMENT, 0n)).toBe(TERMS.strike)
    expect(optionValue(TERMS, MOMENT, most)).toBe(most - TERMS.strike)
    expect(optionValue({ ...TERMS, strike: most }, MOMENT, 2_000n * WAD)).toBe(0n)
  })
})
