import { WAD } from '../sources/decimal.js'
import type { Quote, QuoteKind } from '../sources/types.js'
import { divideUp, median, medianDeviation, sqrtUp } from './math.js'
import type { Candidate, PairPlan, Plan } from './plan.js'

/** Why a feed has no price in a round. A hold never carries a number: a clamped or old price would be a guess with a signature. */
export type HoldReason =
  /** No live quote at all. */
  | 'no_quotes'
  /** Too few live groups, some of them only because a conversion leg has no price. */
  | 'leg_missing'
  /** So few groups are live that f_s lying tags could outvote the rest: the listing's proof doesn't hold for the live set. */
  | 'no_honest_majority'
  /** A majority that f_s can't move is live, yet too small a share of the listed groups. */
  | 'too_few_groups'
  /** The groups' median deviation is too large a share of the price. */
  | 'dispersion'
  /** The interval is too wide to be a price. */
  | 'confidence'
  /** The median lies where more slow sources than may lie, or all of them, say that it can't. */
  | 'out_of_slow_bounds'

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
  /** A quote whose event time is further ahead of its receive time comes from a wrong clock, ms of network time. */
  maxClockSkewMs: number
  /** Share of a pair's listed groups that must be live, basis points. */
  minLiveGroupsBps: number
  /** Largest median deviation between groups, basis points of the price. */
  maxDispersionBps: number
  /** No interval is narrower: agreement of stale or copied venues is no certainty. */
  minConfidenceBps: number
  /** A quote or a result with a wider interval is no price. */
  maxConfidenceBps: number
  /** A median further than this from a slow source's interval contradicts it, basis points of the slow price. */
  maxBoundDistanceBps: number
}

interface Vote {
  price: bigint
  /** Relative, WAD. */
  confidence: bigint
}

/** Basis points as a relative WAD. */
const BPS = WAD / 10_000n

/**
 * Prices every feed of the plan from the newest quotes at time `at` (unix ms of network time). Deterministic and bigint only: neither
 * the order of the quotes nor the machine matters.
 *
 * Each group votes with the median of its live members, the price is the median of the groups. With at most f_s lying tags it lies in
 * the range of honest prices; for a price converted by a leg, in the product of the honest ranges. Relative confidence is
 * √(median group confidence² + median deviation²), legs' confidences adding as squares on the way.
 *
 * Slow sources have no vote: where more than f_s of their groups, or all that are live, exclude the median, the feed is held.
 */
export function aggregate(
  plan: Plan,
  quotes: readonly Quote[],
  at: number,
  parameters: AggregationParameters,
): Aggregate[] {
  const round: Round = { live: liveVotes(quotes, at, parameters), legs: new Map(), plan, parameters }
  for (const [pair, legPlan] of plan.legs) round.legs.set(pair, aggregatePair(legPlan, round))
  return plan.feeds.map((feed) => aggregatePair(feed, round))
}

/** What all pairs of a round share. */
interface Round {
  live: Record<QuoteKind, ReadonlyMap<string, Vote>>
  legs: Map<string, Aggregate>
  plan: Plan
  parameters: AggregationParameters
}

function key(source: string, symbol: string): string {
  return `${source} ${symbol}`
}

/** The newest live quote of each market, by kind. */
function liveVotes(quotes: readonly Quote[], at: number, parameters: AggregationParameters): Round['live'] {
  const newest = new Map<string, Quote>()
  for (const quote of quotes) {
    const name = key(quote.source, quote.market.symbol)
    const known = newest.get(name)
    if (!known || isNewer(quote, known)) newest.set(name, quote)
  }
  const live = { price: new Map<string, Vote>(), bound: new Map<string, Vote>() }
  for (const [name, quote] of newest) {
    if (!isFresh(quote, at, parameters) || quote.price <= 0n || quote.confidence < 0n) continue
    const confidence = divideUp(quote.confidence * WAD, quote.price)
    if (confidence > BigInt(parameters.maxConfidenceBps) * BPS) continue
    live[quote.kind].set(name, { price: quote.price, confidence })
  }
  return live
}

/** A total order, so that the same quotes mean the same in any order. */
function isNewer(a: Quote, b: Quote): boolean {
  const order = (q: Quote) => [q.eventTime, q.sequence ?? -1n, q.receiveTime, q.price, q.confidence, q.kind]
  const other = order(b)
  for (const [index, value] of order(a).entries()) {
    const rival = other[index] ?? 0
    if (value !== rival) return value > rival
  }
  return false
}

/** Two clocks, each with its bound: a heartbeat renews neither, and a time that is no number is no time. */
function isFresh(
  { kind, eventTime, receiveTime, expiresAt }: Quote,
  at: number,
  limits: AggregationParameters,
) {
  if (!(eventTime <= receiveTime + limits.maxClockSkewMs)) return false
  // A slow source's answer is old by nature: its own heartbeat says how long it holds.
  if (kind === 'bound') return expiresAt !== null && at < expiresAt
  return at - eventTime <= limits.maxEventAgeMs && at - receiveTime <= limits.maxReceiveAgeMs
}

interface LiveGroups {
  groups: Vote[]
  bySource: [string, Vote][]
  legMissing: boolean
}

function liveGroups(
  listed: readonly Candidate[][],
  kind: QuoteKind,
  round: Round,
  pool: (values: readonly bigint[]) => bigint = median,
): LiveGroups {
  const result: LiveGroups = { groups: [], bySource: [], legMissing: false }
  for (const members of listed) {
    const votes: Vote[] = []
    for (const member of members) {
      const vote = convert(member, round.live[kind], round.legs)
      if (vote === 'leg_missing') result.legMissing = true
      else if (vote) {
        votes.push(vote)
        result.bySource.push([member.source, vote])
      }
    }
    if (votes.length > 0) {
      result.groups.push({
        price: pool(votes.map(({ price }) => price)),
        confidence: median(votes.map(({ confidence }) => confidence)),
      })
    }
  }
  return result
}

function aggregatePair(plan: PairPlan, round: Round): Aggregate {
  const { parameters } = round
  const pool = plan.rule === 'sum' ? sum : median
  const { groups, bySource, legMissing } = liveGroups(plan.groups, 'price', round, pool)
  const shortage = findShortage(plan, groups.length, parameters)
  if (shortage) return { hold: legMissing ? 'leg_missing' : shortage }
  if (plan.rule === 'sum') return addGroups(groups, (plan.requiredGroups - 1) / 2, parameters)
  const combined = combineGroups(groups, parameters)
  if ('hold' in combined) return combined
  const { price } = combined
  if (isOutOfBounds(price, plan, round)) return { hold: 'out_of_slow_bounds' }
  const limit = (price * BigInt(parameters.maxDispersionBps)) / 10_000n
  const outliers = bySource.filter(([, vote]) => vote.price > price + limit || vote.price < price - limit)
  return { ...combined, outliers: outliers.map(([source]) => source) }
}

function sum(values: readonly bigint[]): bigint {
  return values.reduce((total, value) => total + value, 0n)
}

/** All groups but the `faulty` largest. Liars who add are dropped, or less than an honest group that is: never more than the honest sum. */
function addGroups(groups: readonly Vote[], faulty: number, parameters: AggregationParameters): Aggregate {
  const sorted = groups.toSorted((a, b) => (a.price < b.price ? -1 : a.price > b.price ? 1 : 0))
  const kept = sorted.slice(0, sorted.length - faulty)
  const own = median(kept.map(({ confidence }) => confidence))
  const floor = BigInt(parameters.minConfidenceBps) * BPS
  const price = sum(kept.map((group) => group.price))
  return { price, relativeConfidence: own > floor ? own : floor, outliers: [] }
}

function findShortage(plan: PairPlan, live: number, { minLiveGroupsBps }: AggregationParameters) {
  if (live === 0) return 'no_quotes'
  if (live < plan.requiredGroups) return 'no_honest_majority'
  return live * 10_000 < plan.groups.length * minLiveGroupsBps ? 'too_few_groups' : null
}

/**
 * Whether more than f_s slow groups exclude the price, or all that are live. One of several, stuck or pinned at a floor, can't stop a
 * feed that the others support; a single one can, as otherwise it would bound nothing.
 */
function isOutOfBounds(price: bigint, plan: PairPlan, round: Round): boolean {
  const { groups } = liveGroups(plan.bounds, 'bound', round)
  const distance = BigInt(round.parameters.maxBoundDistanceBps) * BPS
  const excluding = groups.filter((slow) => {
    const width = divideUp(slow.price * (distance + slow.confidence), WAD)
    return price > slow.price + width || price < slow.price - width
  })
  const all = excluding.length === groups.length
  return excluding.length > 0 && (all || excluding.length > round.plan.faultyTags)
}

function convert(
  { source, symbol, leg }: Candidate,
  live: ReadonlyMap<string, Vote>,
  legs: ReadonlyMap<string, Aggregate>,
): Vote | 'leg_missing' | null {
  const vote = live.get(key(source, symbol))
  if (!vote) return null
  if (leg === null) return vote
  const rate = legs.get(leg)
  // Never 1.0 in its place.
  if (!rate || 'hold' in rate) return 'leg_missing'
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

/** Why a node has no value of a feed for its observation. */
export type ObservedHold =
  | HoldReason
  /** No positive 64-bit number of the feed's unit, or wider than itself. */
  | 'out_of_range'
  /** Too few signed reports to derive the feed from. */
  | 'too_few_reports'
  /** The newest expiry has no fixing yet, or this node didn't see what it is made of. */
  | 'no_fixing'

/** What a node observed of one feed. */
export type ObservedPrice = { price: bigint; confidence: number; outliers: string[] } | { hold: ObservedHold }

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
