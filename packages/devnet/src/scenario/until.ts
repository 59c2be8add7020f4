import { PermanentError, systemClock } from '@clearspan/shared'

/** Between two looks at a chain, real ms. */
const POLL_MS = 150

/**
 * Looks until `found` answers something, and answers that. Throws PermanentError, with what `missing` says is still missing, after
 * `timeoutMs` of real time; the signal's reason when aborted.
 */
export async function until<T>(options: {
  what: string
  timeoutMs: number
  signal?: AbortSignal | undefined
  found: () => Promise<T | undefined>
  missing?: () => string
}): Promise<T> {
  const deadline = systemClock.now() + options.timeoutMs
  for (;;) {
    options.signal?.throwIfAborted()
    const result = await options.found()
    if (result !== undefined) return result
    if (systemClock.now() > deadline) {
      const missing = options.missing === undefined ? '' : `: ${options.missing()}`
      throw new PermanentError(`${options.what} took longer than ${options.timeoutMs / 1000} s${missing}`)
    }
    await systemClock.sleep(POLL_MS, options.signal)
  }
}
