import { setTimeout as delay } from 'node:timers/promises'

/** Time as every part of Clearspan sees it. All times are unix milliseconds; a test or a simulator supplies its own. */
export interface Clock {
  /** Now, in unix milliseconds of the network's time. */
  now(): number
  /** Resolves after `ms` milliseconds of the network's time; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** What a process needs to join an accelerated clock: at real time `realStartMs` it was `startMs`, and it runs `speed` times as fast. */
export interface ClockOptions {
  startMs: number
  realStartMs: number
  /** Network seconds per real second; 1 is real time. */
  speed: number
}

/** The wall clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    await delay(Math.max(0, ms), undefined, signal ? { signal } : {})
  },
}

/** A clock that runs `speed` times as fast as `real`; processes with equal options agree on the time. */
export function acceleratedClock(
  { startMs, realStartMs, speed }: ClockOptions,
  real: Clock = systemClock,
): Clock {
  return {
    now: () => Math.floor(startMs + (real.now() - realStartMs) * speed),
    sleep: (ms, signal) => real.sleep(ms / speed, signal),
  }
}

/** The clock of a network, by its manifest: real time, unless it is a local one that runs faster. */
export function networkClockOf(options: ClockOptions | null): Clock {
  return options === null ? systemClock : acceleratedClock(options)
}
