import { PermanentError } from '../errors.js'
import { black76Value, logarithmOf, scaledDeviation } from './black76.js'
import { BPS, max, min, mulFloor, squareRoot, WAD } from './math.js'
import type { MarginInstrument } from './types.js'

/** Of `Option.sol`. */
const YEAR = 31_536_000n
const RAMP = 86_400n
const MAX_MONEYNESS = 2n * WAD
const MIN_FACTOR = WAD / 4n
const MAX_FACTOR = 4n * WAD
const MIN_DEVIATION = 10n ** 14n
const MAX_DEVIATION = 10n ** 19n
const MOST_FACTOR = (1n << 127n) - 1n
const LOG_BITS = 96n
const PRICE_BITS = 120n
/** Values that are kept at most of each. */
const REMEMBERED = 1_024

/** As listed: strike WAD, expiry in seconds. */
export interface OptionTerms {
  isCall: boolean
  strike: bigint
  expiry: bigint
}

/** What an option's value depends on beside its terms and the scenario. All WAD but the time. */
export interface OptionMarket {
  /** Seconds. */
  now: bigint
  /** The oracle's price of the underlying. */
  mid: bigint
  /** At the money, 1.0 = 100 % a year. */
  volatility: bigint
  skew: { slope: bigint; curvature: bigint }
  /** 0 until it is known. */
  fixing: bigint
  /** Oracle's price and volatility are fresh; the price alone once expired. */
  fresh: boolean
}

/** Skew in force between an old and a new one, WAD (`Option.skew`). @param ramp bps and seconds, as stored. */
export function skewAt(
  ramp: { fromSlope: bigint; fromCurvature: bigint; slope: bigint; curvature: bigint; since: bigint },
  now: bigint,
): OptionMarket['skew'] {
  const done = min(now - ramp.since, RAMP)
  const mixed = (from: bigint, to: bigint) => ((from * (RAMP - done) + to * done) * (WAD / BPS)) / RAMP
  return { slope: mixed(ramp.fromSlope, ramp.slope), curvature: mixed(ramp.fromCurvature, ramp.curvature) }
}

/**
 * σ√T of an option that has not expired, WAD, before any scenario's factor, as `Option.sol` computes it:
 * σ = at-the-money volatility × (1 + slope × x + curvature × x²), x = ln(K/F)/√T, T in years of 365 days.
 *
 * @throws PermanentError without a price or a volatility, once it has expired, and for a strike that no option has.
 */
export function optionDeviation({ strike, expiry }: OptionTerms, market: OptionMarket): bigint {
  const { now, mid, volatility, skew } = market
  requireStrike({ strike })
  if (now >= expiry) throw new PermanentError('option: it has expired')
  if (mid <= 0n || volatility <= 0n) throw new PermanentError('option: no price or volatility yet')
  const root = squareRoot(((expiry - now) * WAD * WAD) / YEAR)
  const sigma = (volatility * skewFactor(strike, mid, root, skew)) / WAD
  return clamp((sigma * root) / WAD, 1n, MOST_FACTOR)
}

function requireStrike({ strike }: Pick<OptionTerms, 'strike'>): void {
  if (strike <= 0n || strike >> PRICE_BITS !== 0n) throw new PermanentError('option: strike is out of range')
}

/** @param root √T, WAD. */
function skewFactor(strike: bigint, mid: bigint, root: bigint, { slope, curvature }: OptionMarket['skew']) {
  if (slope === 0n && curvature === 0n) return WAD
  if (mid >> PRICE_BITS !== 0n) throw new PermanentError('option: price is out of range')
  const away = ((logarithmOf(strike) - logarithmOfSpot(mid)) * WAD) >> LOG_BITS
  const x = clamp((away * WAD) / root, -MAX_MONEYNESS, MAX_MONEYNESS)
  return clamp(WAD + (slope * x + ((curvature * x) / WAD) * x) / WAD, MIN_FACTOR, MAX_FACTOR)
}

/**
 * Value of one unit, WAD, equal to `Option.sol` to the wei: Black-76 until expiry, then what it pays at the spot, then what it pays.
 *
 * @param spot WAD, below 2^120. @param factor On implied volatility, WAD.
 * @throws PermanentError where the contract reverts.
 */
export function optionValue(
  terms: OptionTerms,
  market: OptionMarket,
  spot: bigint,
  factor: bigint = WAD,
): bigint {
  return createUnit(terms, market)(spot, factor)
}

/** The option on a feed, for the margin twin. */
export function createOption(feed: number, terms: OptionTerms, market: OptionMarket): MarginInstrument {
  const unit = remembered(createUnit(terms, market))
  return {
    feed,
    curved: true,
    fresh: market.fresh || market.fixing !== 0n,
    value: (size, spot, factor) => (size === 0n ? 0n : mulFloor(size, unit(spot, factor))),
  }
}

/** Value of one unit (WAD) at a spot (WAD) with a factor on implied volatility (WAD). */
type UnitValue = (spot: bigint, factor: bigint) => bigint

function createUnit(terms: OptionTerms, market: OptionMarket): UnitValue {
  requireStrike(terms)
  if (market.fixing !== 0n) {
    const payment = intrinsic(terms, market.fixing)
    return () => payment
  }
  const { isCall, strike } = terms
  const deviation = market.now < terms.expiry ? optionDeviation(terms, market) : 0n
  const lnStrike = deviation === 0n ? 0n : logarithmOf(strike)
  return (spot, factor) => {
    if (factor > MOST_FACTOR) throw new PermanentError('option: factor on volatility is out of range')
    if (spot >> PRICE_BITS !== 0n) throw new PermanentError('option: price is out of range')
    if (spot === 0n || deviation === 0n) return intrinsic(terms, spot)
    const s = scaledDeviation(clamp((deviation * factor) / WAD, MIN_DEVIATION, MAX_DEVIATION))
    return black76Value(isCall, spot, strike, logarithmOfSpot(spot), lnStrike, s)
  }
}

/** All accounts of a market are valued in the same scenarios: each is computed for the first of them. */
function remembered(unit: UnitValue): UnitValue {
  const byFactor = new Map<bigint, (spot: bigint) => bigint>()
  return (spot, factor) => {
    const known = byFactor.get(factor) ?? memo((at) => unit(at, factor))
    byFactor.set(factor, known)
    return known(spot)
  }
}

function memo(compute: (x: bigint) => bigint): (x: bigint) => bigint {
  const known = new Map<bigint, bigint>()
  return (x) => {
    const found = known.get(x)
    if (found !== undefined) return found
    const value = compute(x)
    if (known.size === REMEMBERED) known.clear()
    known.set(x, value)
    return value
  }
}

function intrinsic({ isCall, strike }: OptionTerms, price: bigint): bigint {
  return max(isCall ? price - strike : strike - price, 0n)
}

/** Of spots, which the options of an underlying share. */
const logarithmOfSpot = memo(logarithmOf)

function clamp(x: bigint, low: bigint, high: bigint): bigint {
  return max(low, min(x, high))
}
