import type { Clock } from '@clearspan/shared'

/**
 * Runs `work` with a signal that aborts after `ms` of the clock, or with `parent`, and never later than `work` ends. Rejects when it
 * aborts, even if `work` goes on: fetch leaves who reads a body that it can't unpack waiting, aborted or not.
 */
export async function withDeadline<Result>(
  { clock, ms, parent }: { clock: Clock; ms: number; parent?: AbortSignal },
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  // Not AbortSignal.any: Node 20 may collect a combined signal that only a fetch holds.
  const ended = new AbortController()
  const end = () => ended.abort()
  parent?.addEventListener('abort', end, { once: true })
  void clock.sleep(ms, ended.signal).then(end, () => {})
  const over = new Promise<never>((_, reject) => {
    ended.signal.addEventListener('abort', () => reject(ended.signal.reason), { once: true })
  })
  if (parent?.aborted) end()
  try {
    return await Promise.race([work(ended.signal), over])
  } finally {
    parent?.removeEventListener('abort', end)
    end()
  }
}
