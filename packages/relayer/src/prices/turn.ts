import type { Clock } from '@clearspan/shared'

/** Longest that the hub's price waits for the keeper's word, real ms: a slow keeper costs a liquidation its own transaction, never a price. */
const PATIENCE_MS = 400

/**
 * Whose turn a report is on the hub. The keeper looks at each report first: when accounts fall below with it, the liquidation carries it there;
 * else the price lane does.
 */
export interface ReportTurn {
  /** The keeper's word: whether its transaction carries the report of slot `seq`. Stands for all slots before, which are no longer needed. */
  decide(seq: bigint, carried: boolean): void
  /** Whether a liquidation carries the report of slot `seq`; false when the keeper hasn't said so in time. */
  carried(seq: bigint): Promise<boolean>
}

export function createReportTurn(clock: Clock): ReportTurn {
  let decided = { seq: -1n, carried: false }
  const waiting = new Set<() => void>()

  /** Undefined until the keeper has looked at this slot or a later one. */
  function word(seq: bigint): boolean | undefined {
    return decided.seq < seq ? undefined : decided.carried
  }

  return {
    decide(seq, carried) {
      if (seq < decided.seq) return
      decided = { seq, carried }
      for (const look of waiting) look()
    },
    async carried(seq) {
      const patience = new AbortController()
      const known = new Promise<void>((resolve) => {
        const look = () => {
          if (word(seq) === undefined) return
          waiting.delete(look)
          patience.abort()
          resolve()
        }
        waiting.add(look)
        look()
        clock
          .sleep(PATIENCE_MS, patience.signal)
          .catch(() => {})
          .finally(() => {
            waiting.delete(look)
            resolve()
          })
      })
      await known
      return word(seq) ?? false
    },
  }
}
