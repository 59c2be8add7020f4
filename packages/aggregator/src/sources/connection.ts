import type { Clock, Logger, Random } from '@clearspan/shared'
import type { QuoteBook } from './book.js'
import type { Market } from './types.js'

/** Bounds of the wait before a reconnect, and of the silence after which a connection counts as dead; real ms. */
export interface ConnectionTimings {
  minBackoffMs: number
  maxBackoffMs: number
  /** No frame, heartbeats included, for this long: the socket is silently dead, connect anew. */
  maxSilenceMs: number
}

export const defaultTimings: ConnectionTimings = {
  minBackoffMs: 250,
  maxBackoffMs: 15_000,
  maxSilenceMs: 30_000,
}

export interface ConnectionParameters {
  url: string
  markets: readonly Market[]
  book: QuoteBook
  /** Stamps frames with their receive time. */
  networkClock: Clock
  /** Reconnects and silence run in real time: a venue's server doesn't live in accelerated time. */
  realClock: Clock
  random: Random
  timings: ConnectionTimings
  logger: Logger
}

/** How one attempt tells that it lives. */
export interface Attempt {
  /** Any sign of life: resets the backoff and the silence watch. */
  alive(): void
  signal: AbortSignal
}

/**
 * Keeps one connection up until aborted: `connect` resolves or rejects when its attempt is over, and is tried again after a backoff
 * that doubles until the connection showed life. A silent connection is aborted.
 */
export async function keepConnected(
  { realClock, random, timings, logger, book }: ConnectionParameters,
  connect: (attempt: Attempt) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    const attempt = new AbortController()
    let lastLife = realClock.now()
    const watch = watchSilence()
    try {
      await connect({
        alive() {
          lastLife = realClock.now()
          failures = 0
        },
        signal: AbortSignal.any([attempt.signal, signal]),
      })
    } catch (error) {
      logger.debug({ error: describe(error) }, 'source connection failed')
    } finally {
      attempt.abort()
      book.setConnected(false)
    }
    await watch
    if (signal.aborted) return
    const backoff = Math.min(timings.maxBackoffMs, timings.minBackoffMs * 2 ** Math.min(failures, 20))
    failures += 1
    // Jitter, so that nodes that lost a venue together don't return to it together.
    await realClock.sleep(backoff * (0.5 + random.next() / 2), signal).catch(() => {})

    async function watchSilence() {
      const ended = AbortSignal.any([attempt.signal, signal])
      while (!ended.aborted) {
        const left = lastLife + timings.maxSilenceMs - realClock.now()
        if (left <= 0) {
          logger.warn('source is silent, connecting anew')
          attempt.abort()
          return
        }
        await realClock.sleep(left, ended).catch(() => {})
      }
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
