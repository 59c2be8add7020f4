import { oracleSchema, UNUSABLE_CONFIDENCE, wordSchema } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { z } from 'zod'
import { aggregate, type ObservedPrice, toObserved } from './aggregation/aggregate.js'
import { type FeedListing, type PlanSource, planFeeds } from './aggregation/plan.js'
import { type OracleNodeConfig, oracleNodeConfigSchema } from './config.js'
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
  })
}

/** Configuration hash: two nodes with equal hashes decide alike on equal quotes. */
export function rulesHash(rules: Rules) {
  return keccak256(toHex(JSON.stringify(rules)))
}

/** What the rules make of quotes; a pure function of both. Throws UserError when the sources can't carry the feeds. */
export function createDecision(rules: Rules): {
  listings: FeedListing[]
  /** Every feed's price at `at` (unix ms of network time), or why it is held; in feed order. */
  decide(quotes: readonly Quote[], at: number): ObservedPrice[]
} {
  const { plan, listings } = planFeeds({
    feeds: rules.oracle.feeds,
    // A kind that is left out is absent, not undefined.
    sources: rules.sources.map(({ kind, ...source }) => (kind ? { ...source, kind } : source)),
    faultyTags: rules.faultySources,
    capped: rules.capped,
  })
  return {
    listings,
    decide(quotes, at) {
      const aggregates = aggregate(plan, quotes, at, rules)
      return aggregates.map((value, index) => toObserved(value, rules.oracle.feeds[index]?.exponent ?? 0))
    },
  }
}

/** An observed price as reports carry it. */
export function toReportPrice(observed: ObservedPrice) {
  if ('hold' in observed) return { price: 0n, confidence: UNUSABLE_CONFIDENCE }
  return { price: observed.price, confidence: observed.confidence }
}
