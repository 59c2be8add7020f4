import { type Report, type ReportPrice, UNUSABLE_CONFIDENCE } from '@clearspan/shared'

/**
 * Slots after which a report is settled: no signature for it is taken any more, so that each node has it or never will. What is derived
 * from settled reports is the same on every node that heard them all.
 */
export const SETTLED_SLOTS = 4

/** One feed's usable value in a signed report. */
export interface SignedValue extends ReportPrice {
  seq: number
}

/** The newest signed reports of this network, kept in memory. */
export interface ReportHistory {
  /** `since`: the first slot of which the node that had the report knew; its own slot without it. */
  add(report: Report, since?: number): void
  /** Usable values of a feed in slots from `from` up to `to`, both included, oldest first. */
  values(feed: number, from: number, to: number): SignedValue[]
  /** The first slot of which this node would know, or null before it has begun. */
  since(): number | null
  /** All that is remembered, oldest first. */
  reports(): Report[]
}

/** `keptSlots`: how many slots back it remembers. */
export function createReportHistory(keptSlots: number): ReportHistory {
  const reports = new Map<number, Report>()
  let first: number | null = null
  let newest = 0
  return {
    add(report, since) {
      const seq = Number(report.seq)
      if (seq < newest - keptSlots || reports.has(seq)) return
      reports.set(seq, report)
      first = Math.min(first ?? seq, since ?? seq, seq)
      if (seq <= newest) return
      newest = seq
      for (const old of reports.keys()) if (old < newest - keptSlots) reports.delete(old)
    },
    values(feed, from, to) {
      const found: SignedValue[] = []
      // Reports finish out of order at times: sorted here, not by when they came.
      for (const [seq, { prices }] of reports) {
        const value = prices[feed]
        if (seq < from || seq > to || !value || value.confidence === UNUSABLE_CONFIDENCE) continue
        if (value.price > 0n) found.push({ seq, ...value })
      }
      return found.toSorted((a, b) => a.seq - b.seq)
    },
    since: () => first,
    reports: () => [...reports.values()].toSorted((a, b) => Number(a.seq - b.seq)),
  }
}
