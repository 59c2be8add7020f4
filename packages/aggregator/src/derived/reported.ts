import type { Report } from '@clearspan/shared'
import { type ObservedPrice, toObserved } from '../aggregation/aggregate.js'
import type { ReportedFeedConfig } from './config.js'
import { fixedSlots, fixing, fixingSlots } from './fixing.js'
import {
  createReportHistory,
  type Origin,
  type Past,
  type Remembered,
  type ReportHistory,
} from './history.js'
import { realisedVolatility, realisedVolatilitySlots, sampledSlots } from './realisedVolatility.js'

/** The feeds that are computed from signed reports. */
export interface ReportedFeeds {
  /** A finished report; in any order. */
  add(report: Report, origin?: Origin): void
  /** What of the reports counts for slots to come; none where no feed is made of them. */
  history(): Past | null
  /** How many slots back reports count; 0 where no feed is made of them. */
  slots: number
  /** Those of these reports that decide a value in slot `seq` or later. */
  deciding<R extends Remembered>(reports: readonly R[], seq: number): R[]
  /** Their values in slot `seq`, by feed name. */
  observe(seq: number): Map<string, ObservedPrice>
}

export interface ReportedParameters {
  configs: readonly ReportedFeedConfig[]
  feeds: readonly { name: string; exponent: number }[]
  slotMs: number
}

type Compute = (history: ReportHistory, seq: number) => ObservedPrice

interface Made {
  feed: string
  slots: number
  compute: Compute
  deciding(history: ReportHistory, seq: number): number[]
}

export function createReportedFeeds({ configs, feeds, slotMs }: ReportedParameters): ReportedFeeds {
  const indexOf = (name: string) => feeds.findIndex((feed) => feed.name === name)
  const made = configs.map((config): Made => {
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
      return {
        feed: config.feed,
        slots: fixingSlots(parameters),
        compute,
        deciding: (known, seq) => fixedSlots(known, seq, parameters),
      }
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
    return {
      feed: config.feed,
      slots: realisedVolatilitySlots(parameters),
      compute,
      deciding: (known) => sampledSlots(known, parameters),
    }
  })
  const slots = Math.max(0, ...made.map((one) => one.slots))
  const history = createReportHistory(slots)
  return {
    add: history.add,
    history() {
      const since = history.since()
      return made.length === 0 || since === null
        ? null
        : { since, heard: history.heard(), reports: history.reports() }
    },
    slots,
    deciding(reports, seq) {
      const known = createReportHistory(slots)
      for (const { report } of reports) known.add(report)
      const decides = new Set(made.flatMap((one) => one.deciding(known, seq)))
      return reports.filter(({ report }) => decides.has(Number(report.seq)))
    },
    observe: (seq) => new Map(made.map(({ feed, compute }) => [feed, compute(history, seq)])),
  }
}
