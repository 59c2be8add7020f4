import type { Clock } from '@clearspan/shared'

/** Runs `work` with a signal that aborts after `ms` of the clock, or with `parent`, and never later than `work` ends. */
export async function withDeadline<Result>(
  { clock, ms, parent }: { clock: Clock; ms: number; parent?: AbortSignal },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  // Not AbortSignal.any: Node 20 may collect a combined signal that only a fetch holds.
  const ended = new AbortController()
  const end = () => ended.abort()
  if (parent?.aborted) end()
  parent?.addEventListener('abort', end, { once: true })
  void clock.sleep(ms, ended.signal).then(end, () => {})
  try {
    return await work(ended.signal)
  } finally {
    parent?.removeEventListener('abort', end)
    end()
  }
}
