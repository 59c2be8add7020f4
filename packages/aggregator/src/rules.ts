import { oracleSchema, type Report, UNUSABLE_CONFIDENCE, UserError, wordSchema } from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { z } from 'zod'
import { aggregate, type ObservedPrice, toObserved } from './aggregation/aggregate.js'
import { type FeedListing, type PlanSource, planFeeds } from './aggregation/plan.js'
import { aggregationSchema, type OracleNodeConfig, oracleNodeConfigSchema } from './config.js'
import { isPolled, reportedFeedSchema } from './derived/config.js'
import type { Origin } from './derived/history.js'
import { createReportedFeeds, type ReportedFeeds } from './derived/reported.js'
import type { Quote } from './sources/types.js'

const ruleFields = {
  ...oracleNodeConfigSchema.pick({ networkId: true, index: true, faultySources: true, capped: true }).shape,
  ...aggregationSchema.shape,
}

/** The part of a configuration that decides what a node observes of given quotes: no address, no secret, nothing of the machine. */
export const rulesSchema = z.strictObject({
  ...ruleFields,
  networkId: wordSchema,
  oracle: oracleSchema,
  sources: z.array(
    z.strictObject({
      id: z.string(),
      tags: z.array(z.string()),
      markets: z.array(
        z.strictObject({
          symbol: z.string(),
          base: z.string(),
          quote: z.string(),
          /** How it is read on chain: decides what its quotes say, for nodes to agree on. */
          reading: z.record(z.string(), z.unknown()).optional(),
        }),
      ),
      kind: z.enum(['price', 'bound']).optional(),
    }),
  ),
  /** How answers become quotes of polled feeds: for nodes to agree on, too. */
  polled: z.array(z.record(z.string(), z.unknown())).default([]),
  /** Feeds whose groups add up. */
  sums: z.array(z.string()).default([]),
  /** Feeds made of reports. */
  reported: z.array(reportedFeedSchema).default([]),
})

export type Rules = z.output<typeof rulesSchema>

export function rulesOf(config: OracleNodeConfig, sources: readonly PlanSource[]): Rules {
  const decisive = Object.fromEntries(
    Object.keys(ruleFields).map((field) => [field, config[field as keyof typeof ruleFields]]),
  )
  return rulesSchema.parse({
    ...decisive,
    oracle: config.oracle,
    sources: sources.map(({ id, tags, markets, kind }) => ({
      id,
      tags,
      markets: markets.map(({ symbol, base, quote, chainlink, twap }) => ({
        symbol,
        base,
        quote,
        ...((chainlink ?? twap) && { reading: { ...chainlink, ...twap } }),
      })),
      ...(kind && { kind }),
    })),
    polled: config.derived.filter(isPolled).map(({ sources: _, pollMs: __, ...settings }) => settings),
    sums: config.derived.filter(({ kind }) => kind === 'depth').map(({ feed }) => feed),
    reported: config.derived.filter((feed) => !isPolled(feed)),
  })
}

/**
 * What the nodes of an epoch must have in common: two with equal hashes decide alike on equal quotes of equal feeds. Everything but the
 * node's own place, and the epoch's description, which holds this hash (`oracleConfigHash`). The order of sources means nothing.
 */
export function rulesHash({ index: _, oracle: __, sources, ...rules }: Rules): Hex {
  const sorted = sources.toSorted((a, b) => (a.id < b.id ? -1 : 1))
  return keccak256(toHex(JSON.stringify({ ...rules, sources: sorted })))
}

/** @throws UserError when the epoch's nodes have agreed on other rules than these. */
export function checkRules(rules: Rules): void {
  const { epoch, rulesHash: agreed } = rules.oracle
  const own = rulesHash(rules)
  if (agreed !== undefined && agreed.toLowerCase() !== own)
    throw new UserError(
      'oracle.rulesHash',
      `of epoch ${epoch} is ${agreed}, but this configuration's is ${own}: its sources, tags, markets, derived feeds or limits aren't the network's`,
    )
}

export interface Decision {
  listings: FeedListing[]
  /** Every feed's price at `at` (unix ms of network time), or why it is held; in feed order. */
  decide(quotes: readonly Quote[], at: number): ObservedPrice[]
  /** Takes a finished report. */
  onReport(report: Report, origin?: Origin): void
  /** What of the reports taken still counts. */
  history: ReportedFeeds['history']
  /** Which reports from before a start count. */
  past: Pick<ReportedFeeds, 'slots' | 'deciding'>
}

/** What the rules make of quotes, and of the reports before: nothing else. Throws UserError when the sources can't carry the feeds. */
export function createDecision(rules: Rules): Decision {
  const { feeds, slotMs } = rules.oracle
  const reported = createReportedFeeds({ configs: rules.reported, feeds, slotMs })
  const planned = feeds.filter(({ name }) => !rules.reported.some(({ feed }) => feed === name))
  const { plan, listings } = planFeeds({
    feeds: planned,
    // A kind that is left out is absent, not undefined.
    sources: rules.sources.map(({ kind, ...source }) => (kind ? { ...source, kind } : source)),
    faultyTags: rules.faultySources,
    capped: rules.capped,
    sums: rules.sums,
  })
  return {
    listings,
    decide(quotes, at) {
      const observed = reported.observe(at / slotMs)
      for (const [index, value] of aggregate(plan, quotes, at, rules).entries()) {
        const feed = planned[index]
        if (feed) observed.set(feed.name, toObserved(value, feed.exponent))
      }
      return feeds.map(({ name }) => observed.get(name) ?? { hold: 'no_quotes' })
    },
    onReport: reported.add,
    history: reported.history,
    past: reported,
  }
}

/** An observed price as reports carry it. */
export function toReportPrice(observed: ObservedPrice) {
  if ('hold' in observed) return { price: 0n, confidence: UNUSABLE_CONFIDENCE }
  return { price: observed.price, confidence: observed.confidence }
}
