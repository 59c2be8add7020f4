import type { Report } from '@clearspan/shared'
import { type ObservedPrice, toObserved } from '../aggregation/aggregate.js'
import type { ReportedFeedConfig } from './config.js'
import { fixing, fixingSlots } from './fixing.js'
import { createReportHistory, type ReportHistory } from './history.js'
import { realisedVolatility, realisedVolatilitySlots } from './realisedVolatility.js'

/** The feeds that are computed from signed reports. */
export interface ReportedFeeds {
  /** A finished report; in any order. */
  add(report: Report, since?: number): void
  /** What of the reports counts for slots to come, and since when they were heard; none where no feed is made of them. */
  history(): { since: number; reports: Report[] } | null
  /** Their values in slot `seq`, by feed name. */
  observe(seq: number): Map<string, ObservedPrice>
}

export interface ReportedParameters {
  configs: readonly ReportedFeedConfig[]
  feeds: readonly { name: string; exponent: number }[]
  slotMs: number
}

type Compute = (history: ReportHistory, seq: number) => ObservedPrice

export function createReportedFeeds({ configs, feeds, slotMs }: ReportedParameters): ReportedFeeds {
  const indexOf = (name: string) => feeds.findIndex((feed) => feed.name === name)
  const made = configs.map((config): { feed: string; slots: number; compute: Compute } => {
    const feed = indexOf(config.feed)
    const of = indexOf(config.of)
    if (config.kind === 'fixing') {
      const [periodSlots, offsetSlots, windowSlots] = [config.periodMs, config.offsetMs, config.windowMs].map(
        (ms) => ms / slotMs,
      ) as [number, number, number]
      const { minCoverageBps } = config
      const parameters = { of, feed, periodSlots, offsetSlots, windowSlots, minCoverageBps }
      const compute: Compute = (history, seq) => {
        const value = fixing(history, seq, parameters)
        return value ? { ...value, outliers: [] } : { hold: 'no_fixing' }
      }
      return { feed: config.feed, slots: fixingSlots(parameters), compute }
    }
    const parameters = { ...config, of }
    const exponent = feeds[feed]?.exponent ?? 0
    const unit = 10n ** BigInt(18 + exponent)
    const compute: Compute = (history, seq) => {
      const value = realisedVolatility(history, seq, slotMs, parameters)
      if (!value) return { hold: 'too_few_reports' }
      // A price that doesn't move has the least volatility that the feed can say; nought would be no value.
      const price = value.price < unit ? unit : value.price
      return toObserved({ ...value, price, outliers: [] }, exponent)
    }
    return { feed: config.feed, slots: realisedVolatilitySlots(parameters), compute }
  })
  const history = createReportHistory(Math.max(0, ...made.map(({ slots }) => slots)))
  return {
    add: history.add,
    history() {
      const since = history.since()
      return made.length === 0 || since === null ? null : { since, reports: history.reports() }
    },
    observe: (seq) => new Map(made.map(({ feed, compute }) => [feed, compute(history, seq)])),
  }
}
