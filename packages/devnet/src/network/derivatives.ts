import type { Clock, Shutdown } from '@clearspan/shared'
import type { ReplayWindow, VenuePlan } from '../prices/index.js'
import { startDerivatives } from '../sources/index.js'
import type { LocalMarkets } from './markets.js'
import type { Replay } from './replay.js'

/** Option and lending markets over the replayed prices; answers their URL. Nothing runs where nothing expires. */
export async function startDerivativesOf(
  { dated }: LocalMarkets,
  parts: { plan: VenuePlan; window: ReplayWindow; replay: Replay; clock: Clock; shutdown: Shutdown },
): Promise<string | undefined> {
  if (dated === undefined) return undefined
  const { plan, window, replay, clock, shutdown } = parts
  const spot = () => plan.trueMid(dated, replay.tapeTime(clock.now()))
  const first = plan.trueMid(dated, window.startMs)
  const fall = () => (first === undefined ? 0 : Math.max(0, 1 - (spot() ?? first) / first))
  const simulator = await startDerivatives({ base: dated, spot, fall, now: clock.now })
  shutdown.add('derivatives', () => simulator.stop())
  return simulator.url
}
