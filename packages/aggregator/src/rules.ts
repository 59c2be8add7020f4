import { oracleSchema, type Report, UNUSABLE_CONFIDENCE, wordSchema } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { z } from 'zod'
import { aggregate, type ObservedPrice, toObserved } from './aggregation/aggregate.js'
import { type FeedListing, type PlanSource, planFeeds } from './aggregation/plan.js'
import { type OracleNodeConfig, oracleNodeConfigSchema } from './config.js'
import { isPolled, reportedFeedSchema } from './derived/config.js'
import { createReportedFeeds, type ReportedFeeds } from './derived/reported.js'
import type { Quote } from './sources/types.js'

const ruleFields = oracleNodeConfigSchema.pick({
  networkId: true,
  index: true,
  faultySources: true,
  capped: true,
  maxClockSkewMs: true,
  maxEventAgeMs: true,
  maxReceiveAgeMs: true,
  maxDispersionBps: true,
  minConfidenceBps: true,
  maxConfidenceBps: true,
  minLiveGroupsBps: true,
  maxBoundDistanceBps: true,
}).shape

/** The part of a configuration that decides what a node observes of given quotes: no address, no secret, nothing of the machine. */
export const rulesSchema = z.strictObject({
  ...ruleFields,
  networkId: wordSchema,
  oracle: oracleSchema,
  sources: z.array(
    z.strictObject({
      id: z.string(),
      tags: z.array(z.string()),
      markets: z.array(z.strictObject({ symbol: z.string(), base: z.string(), quote: z.string() })),
      kind: z.enum(['price', 'bound']).optional(),
    }),
  ),
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
      // How a market is read on chain is in each quote's interval and expiry.
      markets: markets.map(({ symbol, base, quote }) => ({ symbol, base, quote })),
      ...(kind && { kind }),
    })),
    sums: config.derived.filter(({ kind }) => kind === 'depth').map(({ feed }) => feed),
    reported: config.derived.filter((feed) => !isPolled(feed)),
  })
}

/** Configuration hash: two nodes with equal hashes decide alike on equal quotes. */
export function rulesHash(rules: Rules) {
  return keccak256(toHex(JSON.stringify(rules)))
}

export interface Decision {
  listings: FeedListing[]
  /** Every feed's price at `at` (unix ms of network time), or why it is held; in feed order. */
  decide(quotes: readonly Quote[], at: number): ObservedPrice[]
  /** Takes a finished report. `since`: the first slot of which the node that had it knew, if that isn't this report's. */
  onReport(report: Report, since?: number): void
  /** What of the reports taken still counts. */
  history: ReportedFeeds['history']
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
  }
}

/** An observed price as reports carry it. */
export function toReportPrice(observed: ObservedPrice) {
  if ('hold' in observed) return { price: 0n, confidence: UNUSABLE_CONFIDENCE }
  return { price: observed.price, confidence: observed.confidence }
}
