import { type Clock, encodeReport, type Feed, type Report, type ReportSignature } from '@clearspan/shared'
import type { Hex } from 'viem'
import type { ObservedHold } from '../aggregation/aggregate.js'
import type { OracleNodeConfig } from '../config.js'
import type { FinishedJson } from '../http.js'
import { isHeld } from '../observation/message.js'

/** Why a feed of a report has no price: this node's own reason, or that too few nodes had one. */
type HeldReason = ObservedHold | 'too_few_nodes'

/** A finished report as `GET /reports/latest` and each event of `GET /reports/stream` give it. */
export interface FinishedReport {
  /** Decimal text. */
  seq: string
  /** Unix ms of network time. */
  observedAt: number
  report: {
    epoch: number
    seq: string
    /** Prices in units of 10^exponent, as decimal text; confidence in basis points. */
    prices: { feed: string; exponent: number; price: string; confidence: number }[]
  }
  /** Argument of `PriceOracle.update(bytes)`. */
  encoded: Hex
  /** Reason by name of each held feed. */
  reasons: Record<string, HeldReason>
}

/** Finished reports: the newest, and who waits for the next. */
export function createReportBoard({ oracle }: OracleNodeConfig, networkClock: Clock) {
  const listeners = new Set<(report: FinishedJson) => void>()
  const own = new Map<bigint, (HeldReason | null)[]>()
  let newest: { finished: FinishedReport; json: FinishedJson } | null = null

  function describe(report: Report, signatures: ReportSignature[], feeds: readonly Feed[]): FinishedReport {
    const ownReasons = own.get(report.seq) ?? []
    const reasons: Record<string, HeldReason> = {}
    const prices = feeds.map(({ name, exponent }, at) => {
      const value = report.prices[at]
      if (!value) throw new RangeError(`report has no price for feed ${name}`)
      if (isHeld(value)) reasons[name] = ownReasons[at] ?? 'too_few_nodes'
      return { feed: name, exponent, price: `${value.price}`, confidence: value.confidence }
    })
    const seq = `${report.seq}`
    const observedAt = Number(report.seq) * oracle.slotMs
    const encoded = encodeReport(report, signatures)
    return { seq, observedAt, report: { epoch: report.epoch, seq, prices }, encoded, reasons }
  }

  return {
    setOwnReasons(seq: bigint, reasons: (HeldReason | null)[]) {
      own.set(seq, reasons)
      // A report may finish a few slots after its observation, no later.
      for (const old of own.keys()) if (old < seq - 8n) own.delete(old)
    },
    /** `feeds`: of the report's epoch; this configuration's without it. */
    add(report: Report, signatures: ReportSignature[], feeds: readonly Feed[] = oracle.feeds) {
      // Late signatures may finish an older slot after a newer one: the newest stays.
      if (newest && BigInt(newest.finished.seq) >= report.seq) return
      const finished = describe(report, signatures, feeds)
      newest = { finished, json: { seq: finished.seq, json: JSON.stringify(finished) } }
      for (const listener of listeners) listener(newest.json)
    },
    latest: () => newest?.finished ?? null,
    latestJson: () => newest?.json ?? null,
    subscribe(listener: (report: FinishedJson) => void) {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
      }
    },
    /** ms of network time since the newest report's slot began; null before the first. */
    age: () => (newest ? networkClock.now() - newest.finished.observedAt : null),
  }
}
