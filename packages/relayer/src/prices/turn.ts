import type { Clock } from '@clearspan/shared'

/**
 * Whose turn a report is on the hub. The keeper looks at each report first: when accounts fall below with it, the liquidation carries it there;
 * else the price lane does.
 */
export interface ReportTurn {
  /** The keeper's word: whether its transaction carries the report of slot `seq`. Stands for all slots before, which are no longer needed. */
  decide(seq: bigint, carried: boolean): void
  /** While the keeper waits for its transaction it looks at no report, and nobody waits for its word. */
  setAway(away: boolean): void
  /** Whether a liquidation carries the report of slot `seq`; false when the keeper is away or hasn't said so in time. */
  carried(seq: bigint): Promise<boolean>
}

/** @param patienceMs Longest that the hub's price waits for the keeper's word, real ms: a slow keeper costs a liquidation its own transaction, never a price. */
export function createReportTurn(clock: Clock, patienceMs: number): ReportTurn {
  let decided = { seq: -1n, carried: false }
  let isAway = false
  const waiting = new Set<() => void>()

  /** Undefined while the keeper may still look at this slot. */
  function word(seq: bigint): boolean | undefined {
    if (decided.seq >= seq) return decided.carried
    return isAway ? false : undefined
  }

  return {
    decide(seq, carried) {
      if (seq < decided.seq) return
      decided = { seq, carried }
      for (const look of waiting) look()
    },
    setAway(away) {
      isAway = away
      for (const look of waiting) look()
    },
    async carried(seq) {
      const known = word(seq)
      if (known !== undefined) return known
      const patience = new AbortController()
      const look = () => {
        if (word(seq) !== undefined) patience.abort()
      }
      waiting.add(look)
      await clock.sleep(patienceMs, patience.signal).catch(() => {})
      waiting.delete(look)
      return word(seq) ?? false
    },
  }
}
