import type { ReportPrice } from '@clearspan/shared'
import { median } from '../aggregation/math.js'
import { type ReportHistory, SETTLED_SLOTS, type SignedValue } from './history.js'

export interface FixingParameters {
  /** Index of the feed that is fixed, and of the fixing itself. */
  of: number
  feed: number
  /** An expiry each so many slots, the first of them `offsetSlots` after 1970. */
  periodSlots: number
  offsetSlots: number
  /** Slots before the expiry whose mean it is. */
  windowSlots: number
  /** Share of them that must have a signed price, basis points. */
  minCoverageBps: number
}

/** Slots that must be remembered. */
export function fixingSlots({ periodSlots, windowSlots }: FixingParameters): number {
  return periodSlots + windowSlots + 2 * SETTLED_SLOTS
}

/** The slots whose reports decide this fixing and the next, of those remembered at slot `seq`. */
export function fixedSlots(history: ReportHistory, seq: number, parameters: FixingParameters): number[] {
  const { of, feed, periodSlots, windowSlots } = parameters
  const expiry = expiryAt(seq, parameters)
  const next = expiry + periodSlots
  return [
    ...history.values(of, expiry - windowSlots, expiry - 1),
    ...history.values(of, expiry, seq).slice(0, 1),
    ...history.values(feed, expiry, seq).slice(0, 1),
    ...history.values(of, next - windowSlots, seq),
  ].map((value) => value.seq)
}

/** The newest expiry at or before a slot, as a slot. */
function expiryAt(seq: number, { periodSlots, offsetSlots }: FixingParameters): number {
  return seq - ((((seq - offsetSlots) % periodSlots) + periodSlots) % periodSlots)
}

/**
 * The fixing of the newest expiry as seen in slot `seq`, in the fixed feed's units; null while it isn't known.
 *
 * It is the mean of the signed prices over the window before the expiry, each standing until the next (a time-weighted mean: to move it
 * one must move the price all through the window, not for an instant that everybody knows). If too few slots of the window have a price,
 * it is the first signed price at or after the expiry. Once any settled report carries the fixing, that value is repeated until the next
 * expiry, so a node that missed a report or has just started says what was signed, and not what it would have said.
 *
 * A node that was down for a part of the window takes the mean of what it heard before and after, if that is enough of it; never the first
 * price after the expiry, since the others may have had enough.
 */
export function fixing(
  history: ReportHistory,
  seq: number,
  parameters: FixingParameters,
): ReportPrice | null {
  const { of, feed, windowSlots, minCoverageBps } = parameters
  const expiry = expiryAt(seq, parameters)
  const settled = seq - SETTLED_SLOTS
  const [signed] = history.values(feed, expiry, settled)
  if (signed) return { price: signed.price, confidence: signed.confidence }
  const start = expiry - windowSlots
  const since = history.since()
  // Not wholly seen: what is missing may be a report that others have.
  if (settled < expiry || since === null || since > start) return null
  const window = history.values(of, start, expiry - 1)
  const heard = history.heard() ?? Number.POSITIVE_INFINITY
  const isBroken = heard > start
  if (isBroken && (window[0]?.seq ?? heard) >= heard) return null
  if (window.length > 0 && window.length * 10_000 >= windowSlots * minCoverageBps) return mean(window, expiry)
  if (isBroken) return null
  const [first] = history.values(of, expiry, settled)
  return first ? { price: first.price, confidence: first.confidence } : null
}

function mean(values: readonly SignedValue[], end: number): ReportPrice {
  let sum = 0n
  let weight = 0n
  for (const [index, { seq, price }] of values.entries()) {
    const slots = BigInt((values[index + 1]?.seq ?? end) - seq)
    sum += price * slots
    weight += slots
  }
  const confidence = median(values.map((value) => BigInt(value.confidence)))
  return { price: (sum + weight / 2n) / weight, confidence: Number(confidence) }
}
