import { type Report, type ReportPrice, type ReportSignature, UNUSABLE_CONFIDENCE } from '@clearspan/shared'

/**
 * Slots after which a report is settled: no signature for it is taken any more, so that each node has it or never will. What is derived
 * from settled reports is the same on every node that heard them all.
 */
export const SETTLED_SLOTS = 4

/** One feed's usable value in a signed report. */
export interface SignedValue extends ReportPrice {
  seq: number
}

/** A report and who signed it, as far as that is remembered. */
export interface Remembered {
  report: Report
  signatures?: readonly ReportSignature[] | undefined
}

/** How a report came to be known; one without it was heard just now. */
export interface Origin {
  /** The first slot of which the node that had the report knew. */
  since?: number | undefined
  /** The first slot that the node has heard by itself since it started; null if none yet. */
  heard?: number | null | undefined
  signatures?: readonly ReportSignature[] | undefined
}

/** What of the reports counts for slots to come. */
export interface Past {
  since: number
  heard: number | null
  /** Oldest first. */
  reports: Remembered[]
}

/** The newest signed reports of this network, kept in memory. */
export interface ReportHistory {
  add(report: Report, origin?: Origin): void
  /** Usable values of a feed in slots from `from` up to `to`, both included, oldest first. */
  values(feed: number, from: number, to: number): SignedValue[]
  /** The first slot of which this node would know, or null before it has begun. */
  since(): number | null
  /** The first slot heard without a break up to now; null when all was read back after a start. */
  heard(): number | null
  /** All that is remembered, oldest first. */
  reports(): Remembered[]
}

/** `keptSlots`: how many slots back it remembers. */
export function createReportHistory(keptSlots: number): ReportHistory {
  const reports = new Map<number, Remembered>()
  let first: number | null = null
  let heard: number | null = null
  let newest = 0
  return {
    add(report, origin = {}) {
      const seq = Number(report.seq)
      if (seq < newest - keptSlots) return
      first = Math.min(first ?? seq, origin.since ?? seq, seq)
      const heardSince = origin.heard === undefined ? seq : origin.heard
      if (heardSince !== null) heard = Math.min(heard ?? heardSince, heardSince)
      if (reports.has(seq)) return
      reports.set(seq, { report, signatures: origin.signatures })
      if (seq <= newest) return
      newest = seq
      for (const old of reports.keys()) if (old < newest - keptSlots) reports.delete(old)
    },
    values(feed, from, to) {
      const found: SignedValue[] = []
      // Reports finish out of order at times: sorted here, not by when they came.
      for (const [seq, { report }] of reports) {
        const value = report.prices[feed]
        if (seq < from || seq > to || !value || value.confidence === UNUSABLE_CONFIDENCE) continue
        if (value.price > 0n) found.push({ seq, ...value })
      }
      return found.toSorted((a, b) => a.seq - b.seq)
    },
    since: () => first,
    heard: () => heard,
    reports: () => [...reports.values()].toSorted((a, b) => Number(a.report.seq - b.report.seq)),
  }
}
