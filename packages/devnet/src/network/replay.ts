import type { Clock } from '@clearspan/shared'
import type { ReplayWindow, VenuePlan } from '../prices/index.js'

type Source = VenuePlan['sources'][number]

/** Maps the network's time to the tape's: the window's start until `start` is called, then it runs, and stands at its end. All unix ms. */
export interface Replay {
  tapeTime(networkMs: number): number
  /** Lets the prices walk from now on; answers the network's times of both ends. Harmless when repeated. */
  start(): { startMs: number; endMs: number }
  /** A source whose prices follow the replay. */
  onTape(source: Source): Source
}

export function createReplay(window: ReplayWindow, clock: Pick<Clock, 'now'>): Replay {
  let startedAt: number | undefined
  const tapeTime = (networkMs: number) =>
    startedAt === undefined
      ? window.startMs
      : Math.min(window.endMs, window.startMs + Math.max(0, networkMs - startedAt))
  return {
    tapeTime,
    start() {
      startedAt ??= clock.now()
      return { startMs: startedAt, endMs: startedAt + (window.endMs - window.startMs) }
    },
    onTape: (source) => ({
      ...source,
      markets: source.markets.map((market) => ({
        ...market,
        price: (networkMs: number) => market.price(tapeTime(networkMs)),
      })),
    }),
  }
}
