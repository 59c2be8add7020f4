import { WAD } from '../sources/decimal.js'
import type { Quote } from '../sources/types.js'
import { divideUp, median, medianDeviation, sqrtUp } from './math.js'
import type { Candidate, PairPlan, Plan } from './plan.js'

/** Why a feed has no price in a round. */
export type HoldReason =
  /** No live quote at all. */
  | 'no_quotes'
  /** Fewer live groups than the listing needs. */
  | 'too_few_groups'
  /** Prices only through a leg that itself has no price. */
  | 'leg_held'
  /** The groups' median deviation is too large a share of the price. */
  | 'dispersion'
  /** The interval is too wide to be a price. */
  | 'confidence'

/** A price with the relative half width of its interval, both WAD; or the reason to hold. */
export type Aggregate =
  | {
      price: bigint
      relativeConfidence: bigint
      /** Sources whose own price is further from the result than groups may deviate: worth a look, and without effect on it. */
      outliers: string[]
    }
  | { hold: HoldReason }

export interface AggregationParameters {
  /** A quote whose event time is older than this is stale, ms of network time. */
  maxEventAgeMs: number
  /** The same for the time it was received. */
  maxReceiveAgeMs: number
  /** Largest median deviation between groups, basis points of the price. */
  maxDispersionBps: number
  /** No interval is narrower: agreement of stale or copied venues is no certainty. */
  minConfidenceBps: number
  /** A quote or a result with a wider interval is no price. */
  maxConfidenceBps: number
}

interface Vote {
  price: bigint
  /** Relative, WAD. */
  confidence: bigint
}

/** Basis points as a relative WAD. */
const BPS = WAD / 10_000n

/**
 * Prices every feed of the plan from the newest quotes at time `at` (unix ms of network time). Deterministic, bigint only.
 *
 * Each group votes with the median of its live members, the price is the median of the groups. With at most f_s lying tags it lies in
 * the range of honest prices; for a price converted by a leg, in the product of the honest ranges. Relative confidence is
 * √(median group confidence² + median deviation²), legs' confidences adding as squares on the way.
 */
export function aggregate(
  plan: Plan,
  quotes: readonly Quote[],
  at: number,
  parameters: AggregationParameters,
): Aggregate[] {
  const live = new Map<string, Vote>()
  for (const quote of quotes) {
    const vote = liveVote(quote, at, parameters)
    if (vote) live.set(key(quote.source, quote.market.symbol), vote)
  }
  const legs = new Map<string, Aggregate>()
  for (const [pair, legPlan] of plan.legs) legs.set(pair, aggregatePair(legPlan, live, legs, parameters))
  return plan.feeds.map((feed) => aggregatePair(feed, live, legs, parameters))
}

function key(source: string, symbol: string): string {
  return `${source} ${symbol}`
}

function liveVote(quote: Quote, at: number, parameters: AggregationParameters): Vote | null {
  if (quote.price <= 0n) return null
  if (at - quote.eventTime > parameters.maxEventAgeMs) return null
  if (at - quote.receiveTime > parameters.maxReceiveAgeMs) return null
  const confidence = divideUp(quote.confidence * WAD, quote.price)
  return confidence > BigInt(parameters.maxConfidenceBps) * BPS ? null : { price: quote.price, confidence }
}

function aggregatePair(
  plan: PairPlan,
  live: ReadonlyMap<string, Vote>,
  legs: ReadonlyMap<string, Aggregate>,
  parameters: AggregationParameters,
): Aggregate {
  let legHeld = false
  const groups: Vote[] = []
  const bySource: [string, Vote][] = []
  for (const members of plan.groups) {
    const votes: Vote[] = []
    for (const member of members) {
      const vote = convert(member, live, legs)
      if (vote === 'leg_held') legHeld = true
      else if (vote) {
        votes.push(vote)
        bySource.push([member.source, vote])
      }
    }
    if (votes.length > 0) {
      groups.push({
        price: median(votes.map(({ price }) => price)),
        confidence: median(votes.map(({ confidence }) => confidence)),
      })
    }
  }
  if (groups.length < plan.requiredGroups) {
    if (legHeld) return { hold: 'leg_held' }
    return { hold: groups.length === 0 ? 'no_quotes' : 'too_few_groups' }
  }
  const combined = combineGroups(groups, parameters)
  if ('hold' in combined) return combined
  const { price } = combined
  const limit = (price * BigInt(parameters.maxDispersionBps)) / 10_000n
  const outliers = bySource.filter(([, vote]) => vote.price > price + limit || vote.price < price - limit)
  return { ...combined, outliers: outliers.map(([source]) => source) }
}

function convert(
  { source, symbol, leg }: Candidate,
  live: ReadonlyMap<string, Vote>,
  legs: ReadonlyMap<string, Aggregate>,
): Vote | 'leg_held' | null {
  const vote = live.get(key(source, symbol))
  if (!vote) return null
  if (leg === null) return vote
  const rate = legs.get(leg)
  if (!rate || 'hold' in rate) return 'leg_held'
  const price = (vote.price * rate.price) / WAD
  if (price <= 0n) return null
  return { price, confidence: sqrtUp(vote.confidence ** 2n + rate.relativeConfidence ** 2n) }
}

function combineGroups(
  groups: readonly Vote[],
  parameters: AggregationParameters,
): { price: bigint; relativeConfidence: bigint } | { hold: HoldReason } {
  const prices = groups.map(({ price }) => price)
  const price = median(prices)
  const dispersion = divideUp(medianDeviation(prices, price) * WAD, price)
  if (dispersion > BigInt(parameters.maxDispersionBps) * BPS) return { hold: 'dispersion' }
  const own = median(groups.map(({ confidence }) => confidence))
  const floor = BigInt(parameters.minConfidenceBps) * BPS
  const width = sqrtUp(own ** 2n + dispersion ** 2n)
  const relativeConfidence = width > floor ? width : floor
  if (relativeConfidence > BigInt(parameters.maxConfidenceBps) * BPS) return { hold: 'confidence' }
  return { price, relativeConfidence }
}

/** Largest value of a signed 64-bit price. */
const MAX_PRICE = 2n ** 63n - 1n

/** What a node observed of one feed. */
export type ObservedPrice =
  | { price: bigint; confidence: number; outliers: string[] }
  | { hold: HoldReason | 'out_of_range' }

/**
 * An aggregate in the feed's own unit, 10^exponent of the quote, rounded to nearest, with confidence in basis points, rounded up and
 * widened by the rounding itself. A value that a signed 64-bit price can't hold, or that rounds to nothing, is held.
 */
export function toObserved(aggregate: Aggregate, exponent: number): ObservedPrice {
  if ('hold' in aggregate) return aggregate
  const unit = 10n ** BigInt(18 + exponent)
  const price = (aggregate.price + unit / 2n) / unit
  if (price <= 0n || price > MAX_PRICE) return { hold: 'out_of_range' }
  const rounding = unit > 1n ? WAD / (2n * price) : 0n
  const confidence = divideUp(aggregate.relativeConfidence + rounding, BPS)
  return confidence > 10_000n
    ? { hold: 'out_of_range' }
    : { price, confidence: Number(confidence), outliers: aggregate.outliers }
}
