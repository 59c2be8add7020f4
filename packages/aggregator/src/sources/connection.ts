import type { Clock, Logger, Random } from '@clearspan/shared'
import type { QuoteBook } from './book.js'
import type { ChainSource, Decoded, Market, RejectReason } from './types.js'

/** Bounds of the wait before a reconnect, and of how long a connection may do without something; real ms. */
export interface ConnectionTimings {
  minBackoffMs: number
  maxBackoffMs: number
  /** No frame, heartbeats included, for this long: the socket is silently dead, connect anew. */
  maxSilenceMs: number
  /** Signs of life but no new price for this long: the subscription may be lost, connect anew. */
  maxQuietMs: number
  /** Venues end a connection after 24 hours: an older one is renewed at a moment of our choice. */
  maxLifetimeMs: number
}

export const defaultTimings: ConnectionTimings = {
  minBackoffMs: 250,
  maxBackoffMs: 15_000,
  maxSilenceMs: 30_000,
  maxQuietMs: 120_000,
  maxLifetimeMs: 23.5 * 3_600_000,
}

export interface ConnectionParameters {
  url: string
  markets: readonly Market[]
  book: QuoteBook
  /** Sent as a bearer token with the request that opens a connection; never logged. */
  accessToken?: string | undefined
  /** For sources that are read on chain. */
  chain?: ChainSource | undefined
  /** Stamps frames with their receive time. */
  networkClock: Clock
  /** Reconnects and silence run in real time: a venue's server doesn't live in accelerated time. */
  realClock: Clock
  random: Random
  /** How an RPC is asked. */
  fetch: typeof globalThis.fetch
  timings: ConnectionTimings
  logger: Logger
}

/** What one attempt reports, and what ends it. */
export interface Attempt {
  /** The connection is open: sequences begin anew. */
  opened(): void
  /** Any sign of life. */
  alive(): void
  /** Hands on what a frame means; a gap in the venue's sequence, or a forgery, ends the attempt. */
  take(decoded: Decoded): void
  signal: AbortSignal
}

/** Who sends these doesn't deserve the next frame's verification: each costs milliseconds, so the backoff bounds them. */
const FORGERIES: ReadonlySet<RejectReason> = new Set(['unknown_guardians', 'no_quorum', 'bad_signature'])

/**
 * Keeps one connection up until aborted: `connect` resolves or rejects when its attempt is over, and is tried again after a backoff
 * with jitter, which doubles until a connection has lasted for the longest backoff. One that is silent, quiet or too old is aborted.
 */
export async function keepConnected(
  { realClock, networkClock, random, timings, logger, book }: ConnectionParameters,
  connect: (attempt: Attempt) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let failures = 0
  while (!signal.aborted) {
    const ending = new AbortController()
    const startedAt = realClock.now()
    let lastLife = startedAt
    let lastPrice = startedAt
    const end = (why: string) => {
      logger.warn({ why }, 'connecting to a source anew')
      ending.abort()
    }
    const watch = watchOver()
    try {
      await connect({
        opened: () => book.setConnected(true),
        alive() {
          lastLife = realClock.now()
        },
        take(decoded) {
          lastLife = realClock.now()
          const taken = book.take(decoded, networkClock.now())
          if (taken === 'priced') lastPrice = lastLife
          if (taken === 'gap') end('sequence gap')
          if (decoded.kind === 'rejected' && FORGERIES.has(decoded.reason)) end(decoded.reason)
        },
        signal: AbortSignal.any([ending.signal, signal]),
      })
    } catch (error) {
      logger.debug({ error: describe(error) }, 'source connection failed')
    } finally {
      ending.abort()
      book.setConnected(false)
    }
    await watch
    if (signal.aborted) return
    // A venue that accepts, sends a frame and hangs up must not be hammered: only a connection that lasted counts as a success.
    failures = realClock.now() - startedAt >= timings.maxBackoffMs ? 0 : failures + 1
    const backoff = Math.min(
      timings.maxBackoffMs,
      timings.minBackoffMs * 2 ** Math.min(Math.max(failures - 1, 0), 20),
    )
    // Jitter, so that nodes that lost a venue together don't return to it together.
    await realClock.sleep(backoff * (0.5 + random.next() / 2), signal).catch(() => {})

    async function watchOver() {
      const ended = AbortSignal.any([ending.signal, signal])
      while (!ended.aborted) {
        const deadlines = {
          silent: lastLife + timings.maxSilenceMs,
          'without a new price': lastPrice + timings.maxQuietMs,
          'near the end of its lifetime': startedAt + timings.maxLifetimeMs,
        }
        const now = realClock.now()
        const due = Object.entries(deadlines).find(([, at]) => at <= now)
        if (due) return end(due[0])
        await realClock.sleep(Math.min(...Object.values(deadlines)) - now, ended).catch(() => {})
      }
    }
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
