import type { Clock } from './clock.js'
import type { Logger } from './logger.js'

/** What a process must end before it may end itself, newest first. */
export interface Shutdown {
  /** Registers a disposal. Once `run` has begun, `fn` runs at once: what a start in progress still opens is closed too. */
  add(name: string, fn: () => Promise<unknown> | unknown): void
  /** Runs every disposal in reverse order, each at most `timeoutMs`. Idempotent. Answers the names that failed or timed out. */
  run(): Promise<string[]>
}

export interface ShutdownOptions {
  logger: Logger
  /** Real time. */
  clock: Clock
  /** Longest a single disposal is waited for, in real milliseconds. */
  timeoutMs?: number
}

/** An ordered stack of disposals: one that fails or hangs is reported and never keeps the others from running. */
export function createShutdown({ logger, clock, timeoutMs = 5_000 }: ShutdownOptions): Shutdown {
  const stack: { name: string; fn: () => Promise<unknown> | unknown }[] = []
  let running: Promise<string[]> | undefined

  async function dispose({ name, fn }: (typeof stack)[number]): Promise<boolean> {
    const over = new AbortController()
    try {
      await Promise.race([
        (async () => fn())(),
        clock.sleep(timeoutMs, over.signal).then(() => {
          throw new Error(`still running after ${timeoutMs} ms`)
        }),
      ])
      return true
    } catch (err) {
      logger.error({ err, part: name }, 'shutdown of a part failed')
      return false
    } finally {
      over.abort()
    }
  }

  async function drain(): Promise<string[]> {
    const failed: string[] = []
    for (let next = stack.pop(); next; next = stack.pop()) {
      if (!(await dispose(next))) failed.push(next.name)
    }
    return failed
  }

  return {
    add(name, fn) {
      if (running) void dispose({ name, fn })
      else stack.push({ name, fn })
    },
    run() {
      running ??= drain()
      return running
    },
  }
}

/** The part of `process` that signals need. */
export interface SignalSource {
  on(signal: 'SIGINT' | 'SIGTERM', listener: (signal: NodeJS.Signals) => void): unknown
  off(signal: 'SIGINT' | 'SIGTERM', listener: (signal: NodeJS.Signals) => void): unknown
}

/**
 * Calls `fn` on every SIGINT and SIGTERM with how often one has come (1 first), so that a caller may end politely at
 * first and at once when the person insists. Answers a function that stops listening.
 */
export function onSignals(
  source: SignalSource,
  fn: (signal: NodeJS.Signals, times: number) => void,
): () => void {
  let times = 0
  const listener = (signal: NodeJS.Signals) => fn(signal, ++times)
  source.on('SIGINT', listener)
  source.on('SIGTERM', listener)
  return () => {
    source.off('SIGINT', listener)
    source.off('SIGTERM', listener)
  }
}
