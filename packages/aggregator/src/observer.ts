import { type Clock, type Logger, type Random, UserError } from '@clearspan/shared'
import type { ObservedPrice } from './aggregation/aggregate.js'
import type { FeedListing, PlanSource } from './aggregation/plan.js'
import type { OracleNodeConfig } from './config.js'
import { isPolled } from './derived/config.js'
import { createPolledSources, polledSpecs } from './derived/polled.js'
import { checkRules, createDecision, type Decision, type Rules, rulesOf } from './rules.js'
import type { BookEvent, BookState } from './sources/book.js'
import {
  createSource,
  defaultTimings,
  normalizePythId,
  quoteKind,
  type SourceParameters,
  type SourceStatus,
} from './sources/index.js'

/** The sources of a node and what it makes of them. */
export interface Observer {
  start(): void
  stop(): Promise<void>
  /** Every feed's price at `at` (unix ms of network time), or why it is held, in feed order. */
  observe(at: number): ObservedPrice[]
  /** Where each source's book is, by id. */
  books(): [string, BookState][]
  /** What, besides quotes, decides an observation. */
  rules: Rules
  /** A report is finished: what feeds derived from reports are made of. */
  onReport: Decision['onReport']
  /** The reports that count for the slots to come, for whoever must start where this node is. */
  history: Decision['history']
  /** Which reports from before a start count. */
  past: Decision['past']
  listings: FeedListing[]
  statuses(): SourceStatus[]
}

export interface ObserverParameters {
  config: OracleNodeConfig
  networkClock: Clock
  realClock: Clock
  random: Random
  logger: Logger
  /** Keys for services that ask for one, by source id. */
  accessTokens?: Readonly<Record<string, string>> | undefined
  /** Told of all that happens to a source's book: what it holds follows from that, and what is observed from what it holds. */
  onEvent(source: string, event: BookEvent): void
  /** How polled sources are asked; the runtime's own without it. */
  fetch?: typeof globalThis.fetch
}

/** By what a node of this configuration makes prices of quotes. */
export function configuredRules(config: OracleNodeConfig): Rules {
  return rulesOf(config, [
    ...config.sources.map(toSource),
    ...config.derived.filter(isPolled).flatMap((feed) => polledSpecs(feed)),
  ])
}

/** Throws UserError when the sources can't carry the feeds, a token is for none of them, or the network has agreed on other rules. */
export function createObserver({ config, accessTokens = {}, ...injected }: ObserverParameters): Observer {
  const specs = config.sources.map(toSource)
  for (const id of Object.keys(accessTokens)) {
    if (!specs.some((spec) => spec.id === id)) throw new UserError(`accessTokens.${id}`, 'is no source')
  }
  const { maxClockSkewMs } = config
  const rules = configuredRules(config)
  checkRules(rules)
  const { listings, decide, onReport, history, past } = createDecision(rules)
  const timings = { ...defaultTimings, maxSilenceMs: config.maxSilenceMs }
  const sources = [
    ...specs.map((spec) =>
      createSource({
        ...spec,
        ...injected,
        timings,
        accessToken: accessTokens[spec.id],
        maxClockSkewMs,
        onEvent: (event) => injected.onEvent(spec.id, event),
      }),
    ),
    ...config.derived
      .filter(isPolled)
      .flatMap((feed) => createPolledSources(feed, { fetch, ...injected, maxClockSkewMs })),
  ]
  return {
    start() {
      for (const source of sources) source.start()
    },
    async stop() {
      await Promise.all(sources.map((source) => source.stop()))
    },
    observe: (at) =>
      decide(
        sources.flatMap((source) => source.quotes()),
        at,
      ),
    books: () => sources.map((source) => [source.status().id, source.state()]),
    onReport,
    history,
    past,
    listings,
    rules,
    statuses: () => sources.map((source) => source.status()),
  }
}

/** A market is known inside by the symbol that its frames carry; for Pyth that is the price feed id. */
function toSource({
  id,
  adapter,
  url,
  tags,
  markets,
  guardianSets,
  chain,
}: OracleNodeConfig['sources'][number]) {
  return {
    id,
    adapter,
    url,
    tags,
    guardianSets,
    chain,
    kind: quoteKind(adapter),
    markets: markets.map(({ symbol, base, quote, pythId, chainlink, twap }) => {
      const isPyth = adapter === 'hermes' || adapter === 'price-service'
      return { symbol: isPyth ? normalizePythId(pythId ?? symbol) : symbol, base, quote, chainlink, twap }
    }),
  } satisfies PlanSource & Partial<SourceParameters>
}
