import { divideUp, sqrtUp } from '../aggregation/math.js'
import { WAD } from '../sources/decimal.js'
import { divide, multiply, naturalLogarithm } from './fixedPoint.js'
import { type ReportHistory, SETTLED_SLOTS } from './history.js'
import { annualise } from './impliedVolatility.js'

export interface RealisedVolatilityParameters {
  /** Index of the feed whose moves are measured. */
  of: number
  /** Slots between two samples. */
  sampleSlots: number
  /** N: returns in the window. */
  samples: number
  /** Share of them that must be there, basis points. */
  minCoverageBps: number
}

/** Slots that must be remembered. */
export function realisedVolatilitySlots({ sampleSlots, samples }: RealisedVolatilityParameters): number {
  return sampleSlots * (samples + 2) + SETTLED_SLOTS
}

/** The slots whose reports decide it, of those remembered: the last usable one of each stretch. */
export function sampledSlots(
  history: ReportHistory,
  { of, sampleSlots }: RealisedVolatilityParameters,
): number[] {
  const all = history.values(of, 0, Number.POSITIVE_INFINITY)
  return [...new Map(all.map(({ seq }) => [Math.floor(seq / sampleSlots), seq])).values()]
}

/**
 * Annualised volatility of a feed over the last N + 1 samples of *signed* reports, WAD (1.0 = 100 %), as seen in slot `seq`:
 *
 *   σ = √( Σ ln(pᵢ / pᵢ₋₁)² / Σ (tᵢ − tᵢ₋₁) × 365 days )
 *
 * A sample is the last usable settled report of each stretch of `sampleSlots` slots; stretches begin at multiples of it, so all nodes
 * cut alike. A stretch without one is a gap: the return over it counts with its own length, neither lost nor counted twice. The mean
 * return isn't subtracted: over days it is noise, and 0 the better guess. Interval: the estimator's relative standard error, 1/√(2n).
 */
export function realisedVolatility(
  history: ReportHistory,
  seq: number,
  slotMs: number,
  { of, sampleSlots, samples, minCoverageBps }: RealisedVolatilityParameters,
): { price: bigint; relativeConfidence: bigint } | null {
  const stretch = (slot: number) => Math.floor(slot / sampleSlots)
  // The last stretch whose every slot is settled.
  const last = stretch(seq - SETTLED_SLOTS) - 1
  const byStretch = new Map(
    history
      .values(of, (last - samples) * sampleSlots, (last + 1) * sampleSlots - 1)
      .map((value) => [stretch(value.seq), value]),
  )
  const sampled = [...byStretch.values()]
  const returns = sampled.length - 1
  if (returns < 1 || returns * 10_000 < samples * minCoverageBps) return null
  let squares = 0n
  let previous: (typeof sampled)[number] | undefined
  for (const value of sampled) {
    if (previous) {
      const move = naturalLogarithm(divide(value.price, previous.price))
      squares += multiply(move, move)
    }
    previous = value
  }
  const elapsed = ((sampled.at(-1)?.seq ?? 0) - (sampled[0]?.seq ?? 0)) * slotMs
  const price = annualise(squares, BigInt(elapsed))
  return { price, relativeConfidence: sqrtUp(divideUp(WAD * WAD, 2n * BigInt(returns))) }
}
