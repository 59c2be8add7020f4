import type { Clock } from '@clearspan/shared'

/** Starts now; each call answers the time since, for a person to read. */
export function stopwatch(clock: Pick<Clock, 'now'>): () => string {
  const began = clock.now()
  return () => `${((clock.now() - began) / 1000).toFixed(1)} s`
}
