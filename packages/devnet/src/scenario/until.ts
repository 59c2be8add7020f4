import { type Clock, PermanentError } from '@clearspan/shared'

/** Between two looks at a chain, real ms. */
const POLL_MS = 150

/**
 * Looks until `found` answers something, and answers that. Throws PermanentError, with what `missing` says is still missing, after
 * `timeoutMs` of real time; the signal's reason when aborted.
 */
export async function until<T>(options: {
  what: string
  /** Real time. */
  clock: Clock
  timeoutMs: number
  signal: AbortSignal
  found: () => Promise<T | undefined>
  missing?: () => string
}): Promise<T> {
  const { clock, signal } = options
  const deadline = clock.now() + options.timeoutMs
  for (;;) {
    signal.throwIfAborted()
    const result = await options.found()
    if (result !== undefined) return result
    if (clock.now() > deadline) {
      const missing = options.missing === undefined ? '' : `: ${options.missing()}`
      throw new PermanentError(`${options.what} took longer than ${options.timeoutMs / 1000} s${missing}`)
    }
    await clock.sleep(POLL_MS, signal)
  }
}
