// The margin engine's contracts transcribed word by word into bigints: the baseline of the twin.
import { black76, type Health, type MarginMarket, type MarginPortfolio } from '@clearspan/shared'

const WAD = 10n ** 18n
const BPS = 10_000n
const YEAR = 31_536_000n

/** An option as the transcription knows it; all WAD but the time to expiry (seconds). */
export interface PlainOption {
  isCall: boolean
  strike: bigint
  secondsLeft: bigint
  volatility: bigint
}

/** MarginEngine.sol and Losses.sol as they stand, for books of fresh prices without parked values; options without a skew. */
export function transcribed(
  { cash, claims, positions, portfolioSet = false }: MarginPortfolio,
  market: MarginMarket,
  options: ReadonlyMap<number, PlainOption>,
): Health {
  const fresh = { fresh: true, inputsFresh: true }
  const health: Health = { equity: cash, im: cash, mm: cash, pnl: 0n, notional: 0n, ...fresh }
  const settlement = market.prices.get(market.settlementFeed)!
  const par = (settlement.price * (WAD - settlement.confidence)) / WAD
  health.im = floor(cash * (par < WAD ? par : WAD))
  const sums = { im: 0n, mm: 0n, imSquares: 0n, mmSquares: 0n }
  const { grid } = market
  const feeds = new Set([
    ...claims.map(({ assetId }) => market.assets.get(assetId)!.feed),
    ...positions.map(({ instrumentId }) => market.instruments.get(instrumentId)!.feed),
  ])
  for (const feed of feeds) {
    const { shockIm: standardIm, shockMm: standardMm, tailShock, tailDamping } = market.shocks.get(feed)!
    const [shockIm, shockMm] = portfolioSet
      ? [(standardIm * grid.portfolioShock) / BPS, (standardMm * grid.portfolioShock) / BPS]
      : [standardIm, standardMm]
    const { price: mid, confidence } = market.prices.get(feed)!
    const held = positions.filter(({ instrumentId }) => market.instruments.get(instrumentId)!.feed === feed)
    const pnlAt = (spot: bigint, factor: bigint) =>
      held.reduce((sum, { instrumentId, size, quote }) => {
        const option = options.get(instrumentId)
        return sum + floor(size * (option ? worth(option, spot, factor) : spot)) + quote
      }, 0n)
    const claimed = claims.filter(({ assetId }) => market.assets.get(assetId)!.feed === feed)
    const full = claimed.reduce((sum, { amount }) => sum + amount, 0n)
    const credited = (of: 'creditIm' | 'creditMm') =>
      claimed.reduce((sum, { assetId, amount }) => sum + (amount * market.assets.get(assetId)![of]) / BPS, 0n)
    const [low, high] = [WAD - confidence, WAD + confidence]
    const atMid = pnlAt(mid, WAD)
    health.pnl += atMid
    health.equity += atMid + (full * mid) / WAD
    health.notional += (magnitude(held.reduce((sum, { size }) => sum + size, 0n)) * mid) / WAD
    let [lossIm, lossMm] = [0n, 0n]
    if (held.some(({ instrumentId }) => options.has(instrumentId))) {
      const scenarios = gridOf(mid, shockIm, tailShock, market, portfolioSet)
      const curvedSize = held.reduce(
        (sum, { instrumentId, size }) => (options.has(instrumentId) ? sum + size : sum),
        0n,
      )
      const short = curvedSize < 0n ? roundedUp(-curvedSize * mid, WAD) : 0n
      const naked = roundedUp(short * grid.nakedShort, BPS)
      const side = (of: 'creditIm' | 'creditMm') => {
        const claim = credited(of)
        const at = (spot: bigint, factor: bigint) => pnlAt(spot, factor) + (claim * spot) / WAD
        const value = at(mid, WAD)
        const ends = [low, high].map((fraction) => at((mid * fraction) / WAD, WAD))
        const values = scenarios.map(([spot, factor]) => at(spot, factor))
        const least = (list: readonly bigint[]) => list.reduce((x, y) => (y < x ? y : x), value)
        return {
          value,
          ends,
          core: value - least(values.slice(0, -2)),
          tail: value - least(values.slice(-2)),
        }
      }
      const [im, mm] = [side('creditIm'), side('creditMm')]
      lossIm = roundedUp((larger(im.core, roundedUp(im.tail * tailDamping, BPS)) + naked) * high, WAD)
      const part = (x: bigint) => (x * shockMm) / shockIm
      lossMm = ((larger(part(mm.core), (mm.tail * tailDamping) / BPS) + part(naked)) * low) / WAD
      health.im += im.ends.reduce((x, y) => (y < x ? y : x), im.value) - 16n
      health.mm += mm.ends.reduce(larger, mm.value)
    } else {
      const atZero = pnlAt(0n, WAD)
      const slope = (of: 'creditIm' | 'creditMm') => atMid - atZero + (credited(of) * mid) / WAD
      const severity = (long: boolean, shock: bigint) => {
        const bound = (by: bigint) => (long && by > BPS ? BPS : by)
        return larger(bound(shock) * BPS, bound(tailShock) * tailDamping)
      }
      const [im, mm] = [slope('creditIm'), slope('creditMm')]
      lossIm = roundedUp(magnitude(im) * severity(im >= 0n, shockIm) * high, BPS * BPS * WAD)
      lossMm = (magnitude(mm) * severity(mm >= 0n, shockMm) * low) / (BPS * BPS * WAD)
      health.im += atZero + floor(im * (im >= 0n ? low : high)) - 16n
      health.mm += atZero + floor(mm * (mm >= 0n ? high : low))
    }
    sums.im += lossIm
    sums.imSquares += lossIm * lossIm
    sums.mm += lossMm
    sums.mmSquares += lossMm * lossMm
  }
  const rhoIm = portfolioSet ? (market.rhoIm * grid.portfolioRhoIm) / BPS : market.rhoIm
  const rhoMm = portfolioSet ? (market.rhoMm * grid.portfolioRhoMm) / BPS : market.rhoMm
  health.im -= root(((BPS - rhoIm) * sums.imSquares + rhoIm * sums.im * sums.im) / BPS) + 1n
  health.mm -= root(((BPS - rhoMm) * sums.mmSquares + rhoMm * sums.mm * sums.mm) / BPS)
  if (health.pnl > market.profitCapIm) health.im -= health.pnl - market.profitCapIm
  return health
}

/** Spot and factor on volatility of each point: volatility up, down, as it is (Portfolio set); both tails last. */
function gridOf(
  mid: bigint,
  shock: bigint,
  tailShock: bigint,
  { grid }: MarginMarket,
  portfolioSet: boolean,
): [bigint, bigint][] {
  const [up, down] = [BPS + grid.volatilityUp, BPS - grid.volatilityDown].map((x) => x * (WAD / BPS)) as [
    bigint,
    bigint,
  ]
  const steps = portfolioSet ? 3n : 2n
  const moved = (k: bigint, by: bigint, unit: bigint) =>
    (mid * larger(unit * BPS + by * k, 0n)) / (unit * BPS)
  const points: [bigint, bigint][] = []
  for (const factor of portfolioSet ? [up, down, WAD] : [up, down])
    for (let k = -steps; k <= steps; k++)
      if (!(factor === WAD && k === 0n)) points.push([moved(k, shock, steps), factor])
  return [...points, [moved(-1n, tailShock, 1n), up], [moved(1n, tailShock, 1n), up]]
}

/** Option.sol: σ√T from the volatility and the time to expiry, times the scenario's factor. */
function worth(
  { isCall, strike, secondsLeft, volatility }: PlainOption,
  spot: bigint,
  factor: bigint,
): bigint {
  if (spot === 0n) return isCall ? 0n : strike
  const deviation = (volatility * root((secondsLeft * WAD * WAD) / YEAR)) / WAD
  const { call, put } = black76(spot, strike, (deviation * factor) / WAD)
  return isCall ? call : put
}

const larger = (a: bigint, b: bigint) => (a > b ? a : b)
const magnitude = (x: bigint) => (x < 0n ? -x : x)
const roundedUp = (x: bigint, by: bigint) => (x + by - 1n) / by
const floor = (x: bigint) => (x < 0n ? -((-x + WAD - 1n) / WAD) : x / WAD)

/** ⌊√x⌋ by Newton from above. */
function root(x: bigint): bigint {
  if (x === 0n) return 0n
  let guess = 1n << BigInt(Math.ceil(x.toString(2).length / 2))
  for (;;) {
    const next = (guess + x / guess) / 2n
    if (next >= guess) return guess
    guess = next
  }
}
