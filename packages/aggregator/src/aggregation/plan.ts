import type { Feed } from '@clearspan/shared'
import { UserError } from '@clearspan/shared'
import type { Market } from '../sources/types.js'

export interface PlanSource {
  id: string
  /** What it fails together with: venue, vendor. Two sources that share a tag have one vote between them. */
  tags: readonly string[]
  markets: readonly Market[]
}

/** One source's way to a pair: its market, and for another quote currency the pair that converts it. */
export interface Candidate {
  source: string
  symbol: string
  /** Pair such as `USDT/USD` by which the market's price is multiplied; null when the market is the pair itself. */
  leg: string | null
}

interface Tagged {
  candidate: Candidate
  tags: readonly string[]
}

/** How one pair is priced: candidates in groups that share no tag, one vote a group. */
export interface PairPlan {
  pair: string
  groups: Candidate[][]
  /** Any so many lying tags leave an honest majority of groups: ⌊(groups − 1) / 2⌋. */
  toleratedFaults: number
  /** Groups that must be live for a price: 2 f_s + 1, or fewer for a pair that can't have so many. */
  requiredGroups: number
}

export interface Plan {
  feeds: PairPlan[]
  /** Conversion legs by pair. */
  legs: Map<string, PairPlan>
}

/** What start-up found for a feed, for logs and the health page. */
export interface FeedListing {
  feed: string
  groups: string[][]
  toleratedFaults: number
  /** Listed although it can't outvote one lying tag; the venue must cap it hard. */
  capped: boolean
}

export interface PlanParameters {
  feeds: readonly Feed[]
  sources: readonly PlanSource[]
  /** f_s: how many tags may lie at once. */
  faultyTags: number
  /** Feeds that may be listed with f_s = 0. */
  capped: readonly string[]
}

/**
 * Plans every feed and its conversion legs, and proves the listing: a tag belongs to exactly one group of a pair, so f_s lying tags
 * spoil at most f_s groups, and 2 f_s + 1 groups leave an honest majority. A leg that can't tolerate f_s itself lends its sources'
 * tags to every price converted by it, since one of them then spoils both.
 *
 * Throws UserError naming the feed when one has no source, or tolerates less than asked for without being listed as capped.
 */
export function planFeeds({ feeds, sources, faultyTags, capped }: PlanParameters): {
  plan: Plan
  listings: FeedListing[]
} {
  const legs = new Map<string, PairPlan>()
  const plans: PairPlan[] = []
  const listings = feeds.map(({ name }) => {
    const plan = planFeed(name, sources, faultyTags, legs)
    plans.push(plan)
    const isCapped = capped.includes(name)
    if (plan.groups.length === 0) {
      throw new UserError(
        `sources (feed ${name})`,
        'no source quotes it; add a market, or the leg that converts it',
      )
    }
    if (plan.toleratedFaults < faultyTags && !isCapped) {
      const names = plan.groups.map((group) => group.map(({ source }) => source).join('+')).join(', ')
      throw new UserError(
        `sources (feed ${name})`,
        `${plan.groups.length} independent groups (${names}) can't outvote ${faultyTags} lying; ` +
          `have ${2 * faultyTags + 1}, or list the feed under "capped"`,
      )
    }
    const groups = plan.groups.map((group) => group.map(({ source, symbol }) => `${source}:${symbol}`))
    return {
      feed: name,
      groups,
      toleratedFaults: plan.toleratedFaults,
      capped: plan.toleratedFaults < faultyTags,
    }
  })
  for (const name of capped) {
    if (!feeds.some((feed) => feed.name === name)) throw new UserError('capped', `${name} is not a feed`)
  }
  return { plan: { feeds: plans, legs }, listings }
}

function planFeed(
  pair: string,
  sources: readonly PlanSource[],
  faultyTags: number,
  legs: Map<string, PairPlan>,
): PairPlan {
  const found: Tagged[] = []
  for (const source of sources) {
    const candidate = bestPath(source, pair, sources)
    if (!candidate) continue
    const tags = [...source.tags]
    if (candidate.leg !== null) {
      const leg = legs.get(candidate.leg) ?? planLeg(candidate.leg, sources, faultyTags)
      legs.set(candidate.leg, leg)
      tags.push(`leg ${candidate.leg}`)
      if (leg.toleratedFaults < faultyTags) {
        const legSources = new Set(leg.groups.flat().map((member) => member.source))
        tags.push(...sources.filter(({ id }) => legSources.has(id)).flatMap((member) => member.tags))
      }
    }
    found.push({ candidate, tags })
  }
  return pairPlan(pair, found, faultyTags)
}

/** Legs are priced by direct markets only, so that a conversion is one product and never a cycle. */
function planLeg(pair: string, sources: readonly PlanSource[], faultyTags: number): PairPlan {
  const found = sources.flatMap((source) => {
    const market = source.markets.find(({ base, quote }) => `${base}/${quote}` === pair)
    return market
      ? [{ candidate: { source: source.id, symbol: market.symbol, leg: null }, tags: source.tags }]
      : []
  })
  return pairPlan(pair, found, faultyTags)
}

function pairPlan(pair: string, found: readonly Tagged[], faultyTags: number): PairPlan {
  const groups = groupByTag(found)
  const toleratedFaults = Math.max(0, Math.floor((groups.length - 1) / 2))
  return { pair, groups, toleratedFaults, requiredGroups: 2 * Math.min(faultyTags, toleratedFaults) + 1 }
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
    const legExists = sources.some((other) =>
      other.markets.some((leg) => leg.base === market.quote && leg.quote === quote),
    )
    if (legExists) return { source: source.id, symbol: market.symbol, leg: `${market.quote}/${quote}` }
  }
  return null
}

/** Joins candidates that share a tag, directly or through others. */
function groupByTag(found: readonly Tagged[]): Candidate[][] {
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
