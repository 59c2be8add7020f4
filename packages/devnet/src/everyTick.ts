import type { Clock } from '@clearspan/shared'

/** Runs at `firstMs`, then at whole intervals after it, never twice at once; a tick that has passed is dropped. Resolves when the signal is aborted. */
export async function everyTick(options: {
  clock: Clock
  firstMs: number
  intervalMs: number
  signal: AbortSignal
  run: () => Promise<void> | void
}): Promise<void> {
  const { clock, firstMs, intervalMs, signal, run } = options
  for (let tick = firstMs; ; ) {
    try {
      await clock.sleep(tick - clock.now(), signal)
    } catch (error) {
      if (signal.aborted) return
      throw error
    }
    if (signal.aborted) return
    await run()
    tick += intervalMs * Math.max(1, Math.ceil((clock.now() - tick) / intervalMs))
  }
}
