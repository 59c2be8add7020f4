import { WAD } from '../sources/decimal.js'
import { impliedDeviation } from './black76.js'
import { multiply, ONE, squareRoot } from './fixedPoint.js'

export const YEAR_MS = 365n * 86_400_000n
/** Options of the last day say more of that day than of volatility. */
const MIN_LIFE_MS = 86_400_000
const WAD_TO_ONE = ONE / WAD

/** A venue's mark of one option; prices in WAD of one currency. */
export interface OptionMark {
  /** Unix ms. */
  expiry: number
  strike: bigint
  type: 'call' | 'put'
  /** The venue's own forward of that expiry. */
  forward: bigint
  mark: bigint
}

/**
 * At-the-money volatility of one venue for a horizon, annualised, WAD (1.0 = 100 %); null when its marks don't tell.
 *
 * For each expiry more than a day away: the marks of the two strikes nearest to the forward on either side (a put below or at it, a call
 * above: the sides without intrinsic value) are inverted by Black-76 and interpolated linearly in the strike. Between the expiries around
 * the horizon the variance σ²T is interpolated linearly in T; before the first and after the last expiry its σ is taken. Years of 365 days.
 */
export function impliedVolatility(
  marks: readonly OptionMark[],
  at: number,
  horizonMs: number,
): bigint | null {
  const expiries = [...new Set(marks.map(({ expiry }) => expiry))]
    .filter((expiry) => expiry - at > MIN_LIFE_MS)
    .toSorted((a, b) => a - b)
  const target = at + horizonMs
  // Only the expiries around the horizon are inverted, and what lies beyond one that can't be.
  const before = firstKnown(expiries.filter((expiry) => expiry <= target).toReversed(), marks, at)
  const after = firstKnown(
    expiries.filter((expiry) => expiry > target),
    marks,
    at,
  )
  const nearest = before ?? after
  if (!nearest) return null
  if (!before || !after) return annualise(nearest.variance, nearest.life)
  const horizon = BigInt(horizonMs)
  const rise = (after.variance - before.variance) * (horizon - before.life)
  return annualise(before.variance + rise / (after.life - before.life), horizon)
}

interface Term {
  /** ms. */
  life: bigint
  /** σ²T, ×10^50. */
  variance: bigint
}

function firstKnown(expiries: readonly number[], marks: readonly OptionMark[], at: number): Term | null {
  for (const expiry of expiries) {
    const deviation = atTheMoney(marks.filter((mark) => mark.expiry === expiry))
    if (deviation !== null) return { life: BigInt(expiry - at), variance: multiply(deviation, deviation) }
  }
  return null
}

/** σ√T of one expiry at its forward, or null. */
function atTheMoney(marks: readonly OptionMark[]): bigint | null {
  const below = best(marks, ({ type, strike, forward }) => type === 'put' && strike <= forward)
  const above = best(marks, ({ type, strike, forward }) => type === 'call' && strike > forward)
  if (!below || !above) return null
  const low = deviationOf(below)
  const high = deviationOf(above)
  if (low === null || high === null) return null
  // Marks of one expiry may carry forwards of slightly different instants: the mean lies between the strikes, or there is no bracket.
  const forward = (below.forward + above.forward) / 2n
  if (forward < below.strike || forward > above.strike) return null
  return low + ((high - low) * (forward - below.strike)) / (above.strike - below.strike)
}

/** The mark nearest to its forward among those that fit. */
function best(marks: readonly OptionMark[], fits: (mark: OptionMark) => boolean): OptionMark | undefined {
  const distance = ({ strike, forward }: OptionMark) =>
    strike > forward ? strike - forward : forward - strike
  const [nearest] = marks.filter(fits).toSorted((a, b) => {
    const difference = distance(a) - distance(b) || a.mark - b.mark
    return difference < 0n ? -1 : difference > 0n ? 1 : 0
  })
  return nearest
}

function deviationOf({ type, forward, strike, mark }: OptionMark): bigint | null {
  const scaled = { type, forward: forward * WAD_TO_ONE, strike: strike * WAD_TO_ONE }
  return impliedDeviation(scaled, mark * WAD_TO_ONE)
}

/** √(variance / T in years), as a WAD. */
export function annualise(variance: bigint, lifeMs: bigint): bigint {
  return squareRoot((variance * YEAR_MS) / lifeMs) / WAD_TO_ONE
}
