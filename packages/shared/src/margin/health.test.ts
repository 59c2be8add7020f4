// The worked examples of docs/margin.md.
import { expect, test } from 'vitest'
import { PermanentError } from '../errors.js'
import {
  type MarginMarket,
  type MarginPortfolio,
  type MarginPrice,
  marginHealth,
  perpetual,
} from './index.js'
import { NO_GRID } from './margin.test-util.js'

const WAD = 10n ** 18n
const wad = (units: number) => BigInt(Math.round(units * 1e6)) * (WAD / 1_000_000n)
const shocks = { shockIm: 1_000n, shockMm: 600n, tailShock: 5_000n, tailDamping: 1_000n }

function market(confidence: number, fresh = true): MarginMarket {
  const price = (units: number) => ({ price: wad(units), confidence: wad(confidence), parked: 0n, fresh })
  return {
    settlementFeed: 0,
    prices: new Map([
      [0, { ...price(1), confidence: 0n, fresh: true }],
      [1, price(2_000)],
      [2, price(40_000)],
    ]),
    shocks: new Map([
      [1, shocks],
      [2, shocks],
    ]),
    assets: new Map([[1, { feed: 1, creditIm: 9_500n, creditMm: 9_700n }]]),
    instruments: new Map([
      [1, perpetual(1)],
      [2, perpetual(2)],
    ]),
    grid: NO_GRID,
    rhoIm: 6_000n,
    rhoMm: 4_000n,
    profitCapIm: wad(100_000),
  }
}

const portfolio = (parts: Partial<MarginPortfolio>): MarginPortfolio => ({
  cash: 0n,
  impairedCash: 0n,
  claims: [],
  positions: [],
  ...parts,
})
const long = portfolio({ cash: wad(1_000), positions: [{ instrumentId: 1, size: WAD, quote: wad(-2_000) }] })

/** To the cent: what is held back for roundings is some wei. */
function cents({ equity, im, mm }: { equity: bigint; im: bigint; mm: bigint }): number[] {
  return [equity, im, mm].map((x) => Math.round(Number(x) / 1e16) / 100)
}

test('one perpetual', () => {
  expect(cents(marginHealth(long, market(0)))).toEqual([1_000, 800, 880])
})

test('a claim that offsets a short', () => {
  const hedged = portfolio({
    claims: [{ assetId: 1, amount: WAD, impaired: 0n }],
    positions: [{ instrumentId: 1, size: -WAD, quote: wad(2_000) }],
  })
  expect(cents(marginHealth(hedged, market(0)))).toEqual([2_000, 1_890, 1_936.4])
})

test('two underlyings, each price an interval of ± 0.5 %', () => {
  const pair = portfolio({
    cash: wad(20_000),
    positions: [
      { instrumentId: 1, size: 15n * WAD, quote: wad(-30_000) },
      { instrumentId: 2, size: -WAD, quote: wad(40_000) },
    ],
  })
  expect(cents(marginHealth(pair, market(0.005)))).toEqual([20_000, 13_341.67, 16_838.34])
})

test('a stale price doubles the IM shock and leaves MM alone', () => {
  const health = marginHealth(long, market(0, false))
  expect(cents(health)).toEqual([1_000, 600, 880])
  expect(health.fresh).toBe(false)
})

test('cash alone needs no price', () => {
  const { equity, im, mm, fresh } = marginHealth(portfolio({ cash: 7n, impairedCash: 2n }), {
    ...market(0),
    prices: new Map(),
  })
  expect({ equity, im, mm, fresh }).toEqual({ equity: 7n, im: 5n, mm: 7n, fresh: true })
})

test('cash counts for IM at the low end of its token, no more than par, and for nothing at an old price', () => {
  const at = (price: number, change: Partial<MarginPrice> = {}) => {
    const m = market(0)
    const told = { price: wad(price), confidence: 0n, parked: 0n, fresh: true, ...change }
    return cents(marginHealth(long, { ...m, prices: new Map([...m.prices, [0, told]]) }))
  }
  expect(at(1.1)).toEqual([1_000, 800, 880])
  expect(at(0.9)).toEqual([1_000, 700, 880])
  expect(at(1, { confidence: wad(0.2) })).toEqual([1_000, 600, 880])
  expect(at(1, { confidence: wad(1) })).toEqual([1_000, -200, 880])
  expect(at(1, { parked: wad(0.5) })).toEqual([1_000, 300, 880])
  expect(at(1, { fresh: false })).toEqual([1_000, -200, 880])
})

test('a value that is parked moves IM alone, to the worse of both ends', () => {
  const at = (parked: number) => {
    const m = market(0)
    const told = { ...m.prices.get(1)!, parked: wad(parked) }
    return cents(marginHealth(long, { ...m, prices: new Map([...m.prices, [1, told]]) }))
  }
  expect(at(1_500)).toEqual([1_000, 300, 880])
  expect(at(2_500)).toEqual([1_000, 750, 880])
})

/** As a curve, which is valued over the grid, and as the straight line that it is. */
test.each([true, false])('selling more than the market is deep costs (curved: %s)', (curved) => {
  const m = market(0)
  const thin = (thinness: bigint) => ({
    ...m,
    instruments: new Map([[1, { ...perpetual(1), curved }]]),
    shocks: new Map([[1, { ...shocks, thinnessIm: thinness, thinnessMm: thinness }]]),
  })
  const held = portfolio({ positions: [{ instrumentId: 1, size: 20n * WAD, quote: wad(-40_000) }] })
  expect(cents(marginHealth(held, thin(0n)))).toEqual([0, -4_000, -2_400])
  // 40,000 where 2,048 are on the books.
  expect(cents(marginHealth(held, thin(1n << 26n)))).toEqual([0, -7_706.25, -6_106.25])
})

test('what an instrument needs and is old holds new risk back, not the value', () => {
  const m = { ...market(0), instruments: new Map([[1, { ...perpetual(1), fresh: false }]]) }
  const { fresh, inputsFresh, ...health } = marginHealth(long, m)
  expect({ fresh, inputsFresh }).toEqual({ fresh: false, inputsFresh: false })
  expect(cents(health)).toEqual([1_000, 800, 880])
  const closed = portfolio({ positions: [{ instrumentId: 1, size: 0n, quote: WAD }] })
  expect(marginHealth(closed, m).inputsFresh).toBe(true)
})

test('an old price doubles the loss of the grid for IM too', () => {
  const m = { ...market(0, false), instruments: new Map([[1, { ...perpetual(1), curved: true }]]) }
  expect(cents(marginHealth(long, m))).toEqual([1_000, 600, 880])
})

test('an instrument that is not listed is refused, not valued at nothing', () => {
  const unknown = portfolio({ positions: [{ instrumentId: 3, size: WAD, quote: 0n }] })
  expect(() => marginHealth(unknown, market(0))).toThrow(PermanentError)
})
