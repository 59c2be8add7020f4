import { PermanentError } from '../errors.js'
import { abs, BPS, max, min, mulFloor, squareRoot, WAD } from './math.js'
import type { Health, MarginMarket, MarginPortfolio, MarginPrice, Shocks } from './types.js'

/** Held back from IM per underlying (`MarginEngine.ROUNDING`). */
const ROUNDING = 16n
const MAX_ROWS = 21
const CLAIM_BITS = 120n
const PERP_BITS = 127n
const WORD_BITS = 256n
const NO_SHOCKS: Shocks = { shockIm: 0n, shockMm: 0n, tailShock: 0n, tailDamping: 0n }

interface Exposure {
  feed: number
  claims: bigint
  claimsIm: bigint
  claimsMm: bigint
  size: bigint
  positions: { size: bigint; quote: bigint }[]
  /** Σ quotes: outside every rounding. */
  quote: bigint
}

interface Losses {
  sum: bigint
  squares: bigint
}

/**
 * Health of a portfolio by the Standard set, equal to `MarginEngine.health` to the wei.
 *
 * Per underlying, value V and worst loss L over the spots of one end of the price interval, base × (1 ± {½ shock, shock, tail}); across
 * underlyings √((1−ρ)ΣL² + ρ(ΣL)²). IM takes the lower V and higher L of both ends, MM the higher V and lower L.
 *
 * @throws PermanentError where the contract reverts: an id that isn't listed, too many rows, a number beyond its bits.
 */
export function standardHealth(portfolio: MarginPortfolio, market: MarginMarket): Health {
  const exposures = exposuresOf(portfolio, market)
  const safeCash = portfolio.cash - portfolio.impairedCash
  const health: Health = {
    equity: portfolio.cash,
    im: safeCash,
    mm: portfolio.cash,
    pnl: 0n,
    notional: 0n,
    fresh: true,
  }
  if (exposures.length === 0) return health
  if (safeCash > 0n) {
    const par = priceOf(market, market.settlementFeed)
    health.fresh = par.fresh
    health.im = par.fresh ? mulFloor(safeCash, min(lowEnd(par), WAD)) : 0n
  }
  const im: Losses = { sum: 0n, squares: 0n }
  const mm: Losses = { sum: 0n, squares: 0n }
  for (const exposure of exposures) addExposure(health, exposure, market, im, mm)
  health.im -= jointLoss(im, market.rhoIm) + 1n
  health.mm -= jointLoss(mm, market.rhoMm)
  if (health.pnl > market.profitCapIm) health.im -= health.pnl - market.profitCapIm
  return health
}

function exposuresOf(portfolio: MarginPortfolio, market: MarginMarket): Exposure[] {
  if (portfolio.claims.length > MAX_ROWS || portfolio.positions.length > MAX_ROWS) refuse('too many rows')
  const exposures = new Map<number, Exposure>()
  const at = (feed: number): Exposure => {
    let found = exposures.get(feed)
    if (!found) {
      found = { feed, claims: 0n, claimsIm: 0n, claimsMm: 0n, size: 0n, positions: [], quote: 0n }
      exposures.set(feed, found)
    }
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
    const feed = market.instruments.get(instrumentId) ?? refuse(`instrument ${instrumentId} is not listed`)
    if ((abs(size) | abs(quote)) >> PERP_BITS !== 0n) refuse(`position ${instrumentId} is out of range`)
    const exposure = at(feed)
    exposure.size += size
    exposure.quote += quote
    exposure.positions.push({ size, quote })
  }
  return [...exposures.values()]
}

function addExposure(health: Health, e: Exposure, market: MarginMarket, im: Losses, mm: Losses): void {
  const price = priceOf(market, e.feed)
  const shocks = market.shocks.get(e.feed) ?? NO_SHOCKS
  const shockIm = price.fresh ? shocks.shockIm : 2n * shocks.shockIm
  if (!price.fresh) {
    health.fresh = false
    e.claimsIm = 0n
  }
  const low = storedLow(price)
  const high = storedHigh(price)
  const highest = max(high, price.parked)
  const tail = shocks.tailShock
  if (((highest * (BPS + max(tail, shockIm))) / BPS) >> PERP_BITS !== 0n)
    refuse(`feed ${e.feed} is out of range`)

  const pnl = valueAt(e, 0n, price.price)
  health.pnl += pnl
  health.equity += pnl + (e.claims * price.price) / WAD
  health.notional += (abs(e.size) * price.price) / WAD

  const lowest = price.parked === 0n ? low : min(low, price.parked)
  const imLow = worstOf(e, e.claimsIm, lowest, shockIm, shocks)
  const imHigh = highest === lowest ? imLow : worstOf(e, e.claimsIm, highest, shockIm, shocks)
  health.im += min(imLow.value, imHigh.value) - ROUNDING
  add(im, max(imLow.loss, imHigh.loss))

  const mmLow = worstOf(e, e.claimsMm, low, shocks.shockMm, shocks)
  const mmHigh = high === low ? mmLow : worstOf(e, e.claimsMm, high, shocks.shockMm, shocks)
  health.mm += max(mmLow.value, mmHigh.value)
  add(mm, min(mmLow.loss, mmHigh.loss))
}

/** Value at a block's base, and the worst loss from there (`Scenarios.lossOf`). */
function worstOf(
  e: Exposure,
  claims: bigint,
  base: bigint,
  shock: bigint,
  { tailShock, tailDamping }: Shocks,
) {
  const value = valueAt(e, claims, base)
  const down = (by: bigint): bigint => valueAt(e, claims, by < BPS ? (base * (BPS - by)) / BPS : 0n)
  const up = (by: bigint): bigint => valueAt(e, claims, (base * (BPS + by)) / BPS)
  let worst = value
  let tail = value
  // What only rises with the spot is worst at its lowest, what only falls at its highest: roundings included, as each is monotone.
  const rises = e.positions.every(({ size }) => size >= 0n)
  const falls = claims === 0n && e.positions.every(({ size }) => size <= 0n)
  if (!falls) {
    worst = min(worst, down(shock))
    tail = min(tail, down(tailShock))
  }
  if (!rises) {
    worst = min(worst, up(shock))
    tail = min(tail, up(tailShock))
  }
  if (!rises && !falls) {
    const unit = 2n * BPS
    worst = min(worst, valueAt(e, claims, (base * (unit - shock)) / unit))
    worst = min(worst, valueAt(e, claims, (base * (unit + shock)) / unit))
  }
  return { value, loss: max(value - worst, ((value - tail) * tailDamping + BPS - 1n) / BPS) }
}

function valueAt(e: Exposure, claims: bigint, spot: bigint): bigint {
  let value = e.quote + (claims * spot) / WAD
  for (const { size } of e.positions) value += mulFloor(size, spot)
  return value
}

function add(losses: Losses, loss: bigint): void {
  losses.sum += loss
  losses.squares += loss * loss
}

/** √((1−ρ)ΣL² + ρ(ΣL)²), rounded down. */
function jointLoss({ sum, squares }: Losses, rho: bigint): bigint {
  const weighted = (BPS - rho) * squares + rho * sum * sum
  if (weighted >> WORD_BITS !== 0n) refuse('the losses are out of range')
  return squareRoot(weighted / BPS)
}

function priceOf(market: MarginMarket, feed: number): MarginPrice {
  return market.prices.get(feed) ?? refuse(`feed ${feed} has no price`)
}

function lowEnd(price: MarginPrice): bigint {
  const low = storedLow(price)
  return price.parked === 0n ? low : min(low, price.parked)
}

function storedLow({ price, confidence }: MarginPrice): bigint {
  return confidence < WAD ? (price * (WAD - confidence)) / WAD : 0n
}

function storedHigh({ price, confidence }: MarginPrice): bigint {
  return (price * (WAD + confidence)) / WAD
}

function refuse(reason: string): never {
  throw new PermanentError(`margin: ${reason}`)
}
