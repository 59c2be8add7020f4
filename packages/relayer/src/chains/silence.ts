import type { Clock } from '@clearspan/shared'

/** First and longest wait, real ms; it doubles in between. */
const FIRST_MS = 5_000
const MAX_MS = 60_000

/**
 * Sources whose nodes don't answer, by endpoint id: each question to one would keep waiting what has to do with other sources, so for a while
 * nobody asks.
 */
export function createSilence(clock: Clock) {
  const silent = new Map<number, { until: number; waitMs: number }>()
  return {
    has(eid: number): boolean {
      const found = silent.get(eid)
      return found !== undefined && found.until > clock.now()
    },
    note(eid: number, answers: boolean): void {
      if (answers) return void silent.delete(eid)
      const waitMs = Math.min(MAX_MS, 2 * (silent.get(eid)?.waitMs ?? FIRST_MS / 2))
      silent.set(eid, { until: clock.now() + waitMs, waitMs })
    },
  }
}

export type Silence = ReturnType<typeof createSilence>
