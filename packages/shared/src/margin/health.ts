import {
  add,
  adverseGrid,
  adverseLine,
  bounded,
  divideUp,
  favourableGrid,
  favourableLine,
  gridShockOf,
  gridSlope,
  impact,
  impactUp,
  isUnsure,
  joint,
  refuse,
  type Sums,
  type Valued,
} from './losses.js'
import { abs, BPS, max, min, mulFloor, WAD } from './math.js'
import { type Interval, intervalOf, type Scenario, scenariosOf } from './scenarios.js'
import type {
  Correlation,
  Health,
  MarginInstrument,
  MarginMarket,
  MarginPortfolio,
  MarginPrice,
  Shocks,
} from './types.js'

/** Held back from IM per underlying (`MarginEngine.ROUNDING`). */
const ROUNDING = 16n
const MAX_ROWS = 21
const CLAIM_BITS = 120n
const NUMBER_BITS = 127n
const NO_SHOCKS: Shocks = { shockIm: 0n, shockMm: 0n, tailShock: 0n, tailDamping: 0n }

interface Exposure {
  feed: number
  claims: bigint
  claimsIm: bigint
  claimsMm: bigint
  size: bigint
  curvedSize: bigint
  curved: boolean
  positions: { instrument: MarginInstrument; size: bigint }[]
  inputsFresh: boolean
  /** Σ quotes: outside every rounding. */
  quote: bigint
}

/** Of one risk class. */
interface ClassSums {
  im: Sums
  mm: Sums
}

/** Value and loss for IM and MM, and what a doubling of the spot would gain by either's claims. */
interface Valuations {
  adverse: Valued
  favourable: Valued
  slopeIm: bigint
  slopeMm: bigint
}

/** One exposure with what it is valued by. */
interface Valuation {
  exposure: Exposure
  price: MarginPrice
  interval: Interval
  shocks: Shocks
}

/**
 * Health of a portfolio, equal to `MarginEngine.health` to the wei.
 *
 * Per underlying, value V and worst loss L; across underlyings of a risk class √((1−ρ)ΣL² + ρ(ΣL)²), across classes the sum. Where all values are
 * straight lines in the spot L is a fraction of what is held, otherwise the worst of a grid of spot and volatility. IM takes the lowest V of the
 * price's interval and L at its high end, MM the highest V and L at the low end; both hold back what selling in a thin market costs.
 *
 * @throws PermanentError where the contract reverts: an id that isn't listed, too many rows, a number beyond its bits.
 */
export function marginHealth(portfolio: MarginPortfolio, market: MarginMarket): Health {
  const exposures = exposuresOf(portfolio, market)
  const warming = portfolio.warming ?? 0n
  const cash = portfolio.cash + warming
  const safeCash = cash - portfolio.impairedCash
  const health: Health = {
    equity: cash,
    im: safeCash,
    mm: cash,
    pnl: warming,
    notional: 0n,
    fresh: true,
    inputsFresh: true,
  }
  if (exposures.length === 0 && warming === 0n) return health
  if (safeCash > 0n) {
    const par = priceOf(market, market.settlementFeed)
    health.fresh = par.fresh
    health.im = par.fresh ? mulFloor(safeCash, min(lowEnd(par), WAD)) : 0n
  }
  const sums = new Map<number, ClassSums>()
  const portfolioSet = portfolio.portfolioSet === true
  let steady = warming
  for (const exposure of exposures) steady += addExposure(health, exposure, market, portfolioSet, sums)
  health.im -= 1n
  for (const [riskClass, { im, mm }] of sums) {
    const { rhoIm, rhoMm } = correlationOf(market, riskClass, portfolioSet)
    health.im -= joint(im, rhoIm)
    health.mm -= joint(mm, rhoMm)
  }
  health.im -= health.pnl - min(steady, market.profitCapIm)
  return health
}

function exposuresOf(portfolio: MarginPortfolio, market: MarginMarket): Exposure[] {
  bounded(portfolio.cash)
  bounded(portfolio.impairedCash)
  bounded(portfolio.warming ?? 0n)
  if (portfolio.claims.length > MAX_ROWS || portfolio.positions.length > MAX_ROWS) refuse('too many rows')
  const exposures = new Map<number, Exposure>()
  const at = (feed: number): Exposure => {
    const found = exposures.get(feed) ?? nothingIn(feed)
    exposures.set(feed, found)
    return found
  }
  for (const { assetId, amount, impaired } of portfolio.claims) {
    const asset = market.assets.get(assetId) ?? refuse(`asset ${assetId} is not listed`)
    if (amount >> CLAIM_BITS !== 0n || impaired > amount) refuse(`claim of asset ${assetId} is out of range`)
    if (amount === 0n) continue
    const exposure = at(asset.feed)
    exposure.claims += amount
    exposure.claimsIm += ((amount - impaired) * asset.creditIm) / BPS
    exposure.claimsMm += (amount * asset.creditMm) / BPS
  }
  for (const { instrumentId, size, quote } of portfolio.positions) {
    const instrument =
      market.instruments.get(instrumentId) ?? refuse(`instrument ${instrumentId} is not listed`)
    if ((abs(size) | abs(quote)) >> NUMBER_BITS !== 0n) refuse(`position ${instrumentId} is out of range`)
    const exposure = at(instrument.feed)
    exposure.size += size
    exposure.quote += quote
    exposure.positions.push({ instrument, size })
    if (size !== 0n && !instrument.fresh) exposure.inputsFresh = false
    if (!instrument.curved) continue
    exposure.curved = true
    exposure.curvedSize += size
  }
  return [...exposures.values()]
}

function nothingIn(feed: number): Exposure {
  return {
    feed,
    claims: 0n,
    claimsIm: 0n,
    claimsMm: 0n,
    size: 0n,
    curvedSize: 0n,
    curved: false,
    positions: [],
    inputsFresh: true,
    quote: 0n,
  }
}

/** @returns Its PnL, profit counting at the lower of the mark and the average. */
function addExposure(
  health: Health,
  exposure: Exposure,
  market: MarginMarket,
  portfolioSet: boolean,
  sums: Map<number, ClassSums>,
): bigint {
  const price = priceOf(market, exposure.feed)
  if (price.price >> NUMBER_BITS !== 0n) refuse(`feed ${exposure.feed} is out of range`)
  const shocks = shocksOf(market, exposure.feed, portfolioSet)
  const interval = intervalOf(price)
  if (!exposure.inputsFresh) health.inputsFresh = false
  if (!price.fresh || !exposure.inputsFresh) health.fresh = false
  if (!price.fresh || isUnsure(interval, shocks)) exposure.claimsIm = 0n

  const pnl = pnlAt(exposure, { spot: price.price, volatility: WAD })
  health.pnl += pnl
  health.equity += pnl + (exposure.claims * price.price) / WAD
  health.notional += (abs(exposure.size) * price.price) / WAD

  const valuation = { exposure, price, interval, shocks }
  const { adverse, favourable, slopeIm, slopeMm } = exposure.curved
    ? overGrid(valuation, market, portfolioSet)
    : alongLine(valuation, pnl)
  const { im, mm } = sumsOf(sums, shocks.riskClass ?? 0)
  health.im += adverse.value - ROUNDING
  add(im, adverse.loss)
  health.mm += favourable.value
  add(mm, favourable.loss)
  // MM's size counts for IM too, so that impairing a claim, which leaves less of it to sell, never helps.
  health.im -= impactUp(divideUp(max(abs(slopeIm), abs(slopeMm)) * interval.imHigh, WAD), shocks.thinnessIm)
  health.mm -= impact((abs(slopeMm) * interval.low) / WAD, shocks.thinnessMm)
  return steadyPnl(valuation, pnl)
}

/** Of `pnl`, what IM counts: profit at the lower of the price and its average. */
function steadyPnl({ exposure, price }: Valuation, pnl: bigint): bigint {
  const { average = 0n } = price
  if (pnl <= 0n || average === 0n) return pnl
  return min(pnl, max(atAverage(exposure, price.price, average, pnl), 0n))
}

/** A straight line is known by two of its points. */
function atAverage(exposure: Exposure, mid: bigint, average: bigint, pnl: bigint): bigint {
  if (exposure.curved) return pnlAt(exposure, { spot: average, volatility: WAD })
  const atZero = pnlAt(exposure, { spot: 0n, volatility: WAD })
  const slope = pnl - atZero
  bounded(slope)
  return atZero + (mid === 0n ? 0n : (slope * average) / mid)
}

function sumsOf(all: Map<number, ClassSums>, riskClass: number): ClassSums {
  const sums = all.get(riskClass) ?? { im: { sum: 0n, squares: 0n }, mm: { sum: 0n, squares: 0n } }
  all.set(riskClass, sums)
  return sums
}

function correlationOf(market: MarginMarket, riskClass: number, portfolioSet: boolean): Correlation {
  const none = { rhoIm: 0n, rhoMm: 0n }
  const { rhoIm, rhoMm } = riskClass === 0 ? market : (market.classes?.get(riskClass) ?? none)
  const { portfolioShock, portfolioRhoIm, portfolioRhoMm } = market.grid
  // A Portfolio set that isn't offered is the Standard set over the finer grid.
  if (!portfolioSet || portfolioShock === 0n) return { rhoIm, rhoMm }
  return { rhoIm: (rhoIm * portfolioRhoIm) / BPS, rhoMm: (rhoMm * portfolioRhoMm) / BPS }
}

function alongLine({ exposure, price, interval, shocks }: Valuation, atMid: bigint): Valuations {
  const atZero = pnlAt(exposure, { spot: 0n, volatility: WAD })
  const slope = atMid - atZero
  bounded(atZero)
  const shock = price.fresh ? shocks.shockIm : 2n * shocks.shockIm
  const slopeIm = slope + (exposure.claimsIm * price.price) / WAD
  const slopeMm = slope + (exposure.claimsMm * price.price) / WAD
  const adverse = adverseLine(slopeIm, interval, shock, shocks)
  const favourable = favourableLine(slopeMm, interval, shocks)
  adverse.value += atZero
  favourable.value += atZero
  return { adverse, favourable, slopeIm, slopeMm }
}

function overGrid(
  { exposure, price, interval, shocks }: Valuation,
  market: MarginMarket,
  portfolioSet: boolean,
): Valuations {
  const { volatilityUp: up, volatilityDown: down, nakedShort } = market.grid
  const scenarios = scenariosOf(price.price, interval, shocks, { up, down }, portfolioSet)
  const naked = divideUp(divideUp(max(-exposure.curvedSize, 0n) * price.price, WAD) * nakedShort, BPS)
  const pnls = new Map<Scenario, bigint>()
  const at = (claims: bigint) => (scenario: Scenario) => {
    const pnl = pnls.get(scenario) ?? pnlAt(exposure, scenario)
    pnls.set(scenario, pnl)
    return pnl + (claims * scenario.spot) / WAD
  }
  const factor = price.fresh ? 1n : 2n
  const [atIm, atMm] = [at(exposure.claimsIm), at(exposure.claimsMm)]
  return {
    adverse: adverseGrid(atIm, scenarios, interval, factor, naked, shocks),
    favourable: favourableGrid(atMm, scenarios, interval, naked, shocks),
    slopeIm: gridSlope(atIm, scenarios, shocks, shocks.thinnessIm),
    slopeMm: gridSlope(atMm, scenarios, shocks, shocks.thinnessIm),
  }
}

function pnlAt(exposure: Exposure, { spot, volatility }: Scenario): bigint {
  if (spot >> NUMBER_BITS !== 0n) refuse(`feed ${exposure.feed} is out of range`)
  let value = exposure.quote
  for (const { instrument, size } of exposure.positions) value += instrument.value(size, spot, volatility)
  return value
}

/** A perpetual, and whatever else is worth its size times the spot. */
export function perpetual(feed: number): MarginInstrument {
  return { feed, curved: false, fresh: true, value: mulFloor }
}

function shocksOf(market: MarginMarket, feed: number, portfolioSet: boolean): Shocks {
  const shocks = market.shocks.get(feed) ?? NO_SHOCKS
  if (!portfolioSet || market.grid.portfolioShock === 0n) return shocks
  const part = (shock: bigint) => (shock * market.grid.portfolioShock) / BPS
  return {
    ...shocks,
    shockIm: part(shocks.shockIm),
    gridShock: part(gridShockOf(shocks)),
    shockMm: part(shocks.shockMm),
  }
}

function priceOf(market: MarginMarket, feed: number): MarginPrice {
  return market.prices.get(feed) ?? refuse(`feed ${feed} has no price`)
}

function lowEnd({ price, confidence, parked }: MarginPrice): bigint {
  const low = confidence < WAD ? (price * (WAD - confidence)) / WAD : 0n
  return parked === 0n ? low : min(low, parked)
}
