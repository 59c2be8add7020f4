import { PermanentError } from '../errors.js'
import { black76Value, logarithmOf } from './black76.js'
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
 * @throws PermanentError without a price or a volatility.
 */
export function optionDeviation({ strike, expiry }: OptionTerms, market: OptionMarket): bigint {
  const { now, mid, volatility, skew } = market
  if (mid <= 0n || volatility <= 0n) throw new PermanentError('option: no price or volatility yet')
  const root = squareRoot(((expiry - now) * WAD * WAD) / YEAR)
  const sigma = (volatility * skewFactor(strike, mid, root, skew)) / WAD
  return clamp((sigma * root) / WAD, 1n, MOST_FACTOR)
}

/** @param root √T, WAD. */
function skewFactor(strike: bigint, mid: bigint, root: bigint, { slope, curvature }: OptionMarket['skew']) {
  if (slope === 0n && curvature === 0n) return WAD
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
  if (market.fixing !== 0n) return intrinsic(terms, market.fixing)
  return scenarioValue(terms, market.now < terms.expiry ? optionDeviation(terms, market) : 0n, spot, factor)
}

/** The option on a feed, for the margin twin. */
export function createOption(feed: number, terms: OptionTerms, market: OptionMarket): MarginInstrument {
  const live = market.fixing === 0n && market.now < terms.expiry
  const deviation = live ? optionDeviation(terms, market) : 0n
  return {
    feed,
    curved: true,
    fresh: market.fresh || market.fixing !== 0n,
    value: (size, spot, factor) =>
      size === 0n
        ? 0n
        : mulFloor(
            size,
            market.fixing === 0n
              ? scenarioValue(terms, deviation, spot, factor)
              : intrinsic(terms, market.fixing),
          ),
  }
}

function scenarioValue(terms: OptionTerms, deviation: bigint, spot: bigint, factor: bigint): bigint {
  if (factor > MOST_FACTOR) throw new PermanentError('option: factor on volatility is out of range')
  const lnSpot = spot === 0n ? 0n : logarithmOfSpot(spot)
  if (spot === 0n || deviation === 0n) return intrinsic(terms, spot)
  const { isCall, strike } = terms
  const s = clamp((deviation * factor) / WAD, MIN_DEVIATION, MAX_DEVIATION)
  return black76Value(isCall, spot, strike, lnSpot, logarithmOf(strike), s)
}

function intrinsic({ isCall, strike }: OptionTerms, price: bigint): bigint {
  return max(isCall ? price - strike : strike - price, 0n)
}

function logarithmOfSpot(spot: bigint): bigint {
  if (spot >> PRICE_BITS !== 0n) throw new PermanentError('option: price is out of range')
  return logarithmOf(spot)
}

function clamp(x: bigint, low: bigint, high: bigint): bigint {
  return max(low, min(x, high))
}
