// The worked examples of docs/margin.md.
import { expect, test } from 'vitest'
import { PermanentError } from '../errors.js'
import { type MarginMarket, type MarginPortfolio, marginHealth, perpetual } from './index.js'
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

test('an instrument that is not listed is refused, not valued at nothing', () => {
  const unknown = portfolio({ positions: [{ instrumentId: 3, size: WAD, quote: 0n }] })
  expect(() => marginHealth(unknown, market(0))).toThrow(PermanentError)
})
