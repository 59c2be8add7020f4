import type { Feed } from '@clearspan/shared'
import { UserError } from '@clearspan/shared'
import type { Market, QuoteKind } from '../sources/types.js'

export interface PlanSource {
  id: string
  /** What it fails together with: venue, vendor. Two sources that share a tag have one vote between them. */
  tags: readonly string[]
  markets: readonly Market[]
  /** `bound`: a slow source, which limits what the votes may say and has none itself. Left out: it votes. */
  kind?: QuoteKind
}

/** One source's way to a pair: its market, and for another quote currency the pair that converts it. */
export interface Candidate {
  source: string
  symbol: string
  /** Pair such as `USDT/USD` by which the market's price is multiplied; null when the market is the pair itself. */
  leg: string | null
}

interface Found {
  candidate: Candidate
  tags: readonly string[]
  votes: boolean
}

/** How one pair is priced: candidates in groups that share no tag, one vote a group. */
export interface PairPlan {
  pair: string
  /** `median` of the groups; or for amounts that add up over venues `sum` without the f_s largest groups, so that no liar can add to it. */
  rule: 'median' | 'sum'
  groups: Candidate[][]
  /** Any so many lying tags leave an honest majority of groups: ⌊(groups − 1) / 2⌋. */
  toleratedFaults: number
  /** Groups that must be live for a price: 2 f_s + 1, or fewer for a pair that can't have so many. */
  requiredGroups: number
  /** Slow sources, grouped in the same way. */
  bounds: Candidate[][]
}

export interface Plan {
  feeds: PairPlan[]
  /** Conversion legs by pair. */
  legs: Map<string, PairPlan>
  /** f_s. */
  faultyTags: number
}

/** What start-up found for a feed, for logs and the health page. */
export interface FeedListing {
  feed: string
  /** `source:symbol` of each member of each group. */
  groups: string[][]
  /** The same of the slow sources, which have no vote. */
  bounds: string[][]
  toleratedFaults: number
  /** Live groups without which the feed is held. */
  requiredGroups: number
  /** It can't outvote f_s lying tags, or not even one: whoever lends against it must cap it hard. Only `capped` of the configuration lets it in. */
  capped: boolean
}

export interface PlanParameters {
  feeds: readonly Feed[]
  sources: readonly PlanSource[]
  /** f_s: how many tags may lie at once. */
  faultyTags: number
  /** Feeds that may be listed although they tolerate fewer than f_s, or none. */
  capped: readonly string[]
  /** Feeds whose groups add up. */
  sums?: readonly string[]
}

/**
 * Plans every feed and its conversion legs, and proves the listing: a tag belongs to exactly one group of a pair, so f_s lying tags
 * spoil at most f_s groups, and 2 f_s + 1 groups leave an honest majority. A leg that can't tolerate f_s itself lends its sources'
 * tags to every price converted by it, since one of them then spoils both.
 *
 * Throws UserError naming the feed when one has no voting source, or tolerates less than asked for (never less than one lying tag)
 * without being listed as capped.
 */
export function planFeeds({ feeds, sources, faultyTags, capped, sums = [] }: PlanParameters): {
  plan: Plan
  listings: FeedListing[]
} {
  const legs = new Map<string, PairPlan>()
  const plans = feeds.map(({ name }) =>
    planFeed({ pair: name, rule: sums.includes(name) ? 'sum' : 'median' }, sources, faultyTags, legs),
  )
  const listings = plans.map((plan) => listFeed(plan, faultyTags, capped))
  for (const name of capped) {
    if (!feeds.some((feed) => feed.name === name)) throw new UserError('capped', `${name} is not a feed`)
  }
  return { plan: { feeds: plans, legs, faultyTags }, listings }
}

function listFeed(plan: PairPlan, faultyTags: number, capped: readonly string[]): FeedListing {
  const { pair, groups, bounds, toleratedFaults, requiredGroups } = plan
  const field = `sources (feed ${pair})`
  if (groups.length === 0) {
    throw new UserError(field, 'no source that votes quotes it; add a market, or the leg that converts it')
  }
  const needed = Math.max(1, faultyTags)
  if (toleratedFaults < needed && !capped.includes(pair)) {
    const names = groups.map((group) => group.map(({ source }) => source).join('+')).join(', ')
    throw new UserError(
      field,
      `${groups.length} independent groups (${names}) can't outvote ${needed} lying; ` +
        `have ${2 * needed + 1}, or list the feed under "capped"`,
    )
  }
  const name = (members: Candidate[]) => members.map(({ source, symbol }) => `${source}:${symbol}`)
  return {
    feed: pair,
    groups: groups.map(name),
    bounds: bounds.map(name),
    toleratedFaults,
    requiredGroups,
    capped: toleratedFaults < needed,
  }
}

function planFeed(
  { pair, rule }: Pick<PairPlan, 'pair' | 'rule'>,
  sources: readonly PlanSource[],
  faultyTags: number,
  legs: Map<string, PairPlan>,
): PairPlan {
  const found: Found[] = []
  for (const source of sources) {
    const candidate = bestPath(source, pair, sources)
    if (!candidate) continue
    const tags = [...source.tags]
    if (candidate.leg !== null) {
      const leg = legs.get(candidate.leg) ?? planLeg(candidate.leg, sources, faultyTags)
      legs.set(candidate.leg, leg)
      // A leg that tolerates f_s can't be moved by liars; in a median a broken one would still move all its votes together.
      if (rule === 'median') tags.push(`leg ${candidate.leg}`)
      if (leg.toleratedFaults < faultyTags) {
        const legSources = new Set(leg.groups.flat().map((member) => member.source))
        tags.push(...sources.filter(({ id }) => legSources.has(id)).flatMap((member) => member.tags))
      }
    }
    found.push({ candidate, tags, votes: votes(source) })
  }
  return pairPlan({ pair, rule }, found, faultyTags)
}

/** Legs are priced by direct markets only, so that a conversion is one product and never a cycle. */
function planLeg(pair: string, sources: readonly PlanSource[], faultyTags: number): PairPlan {
  const found = sources.flatMap((source): Found[] => {
    const market = source.markets.find(({ base, quote }) => `${base}/${quote}` === pair)
    if (!market) return []
    const candidate = { source: source.id, symbol: market.symbol, leg: null }
    return [{ candidate, tags: source.tags, votes: votes(source) }]
  })
  return pairPlan({ pair, rule: 'median' }, found, faultyTags)
}

function votes({ kind }: PlanSource): boolean {
  return kind !== 'bound'
}

function pairPlan(
  { pair, rule }: Pick<PairPlan, 'pair' | 'rule'>,
  found: readonly Found[],
  faultyTags: number,
): PairPlan {
  const groups = groupByTag(found.filter((one) => one.votes))
  const bounds = groupByTag(found.filter((one) => !one.votes))
  const toleratedFaults = Math.max(0, Math.floor((groups.length - 1) / 2))
  const requiredGroups = 2 * Math.min(faultyTags, toleratedFaults) + 1
  return { pair, rule, groups, toleratedFaults, requiredGroups, bounds }
}

/**
 * A source has one way to a pair: its direct market, else the first that one leg converts. A venue's USDT market beside its USD market
 * would add no vote, and would tie every USDT venue to that one.
 */
function bestPath(source: PlanSource, pair: string, sources: readonly PlanSource[]): Candidate | null {
  const [base, quote] = pair.split('/')
  const markets = source.markets.filter((market) => market.base === base)
  const direct = markets.find((market) => market.quote === quote)
  if (direct) return { source: source.id, symbol: direct.symbol, leg: null }
  for (const market of markets) {
    const legExists = sources.some(
      (other) =>
        votes(other) && other.markets.some((leg) => leg.base === market.quote && leg.quote === quote),
    )
    if (legExists) return { source: source.id, symbol: market.symbol, leg: `${market.quote}/${quote}` }
  }
  return null
}

/** Joins candidates that share a tag, directly or through others. */
function groupByTag(found: readonly Found[]): Candidate[][] {
  let groups: { tags: Set<string>; members: Candidate[] }[] = []
  for (const { candidate, tags } of found) {
    const joined = groups.filter((group) => tags.some((tag) => group.tags.has(tag)))
    const merged = {
      tags: new Set([...tags, ...joined.flatMap((group) => [...group.tags])]),
      members: [...joined.flatMap((group) => group.members), candidate],
    }
    groups = [...groups.filter((group) => !joined.includes(group)), merged]
  }
  return groups.map((group) => group.members)
}
