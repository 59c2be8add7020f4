import { seededRandom } from '@clearspan/shared'

/** Network ms between two independent values of the noise; in between it moves in a straight line. */
const STEP_MS = 60_000

/**
 * A venue's own deviation from the middle price, as a factor around 1 that wanders within ±`bps` and depends on nothing but the seed
 * and the time, so that a replay of the same stretch gives the same prices.
 */
export function createNoise(seed: number, bps: number): (timeMs: number) => number {
  const knot = (step: number) => seededRandom((seed ^ Math.imul(step, 0x9e3779b1)) >>> 0).next() * 2 - 1
  return (timeMs) => {
    const step = Math.floor(timeMs / STEP_MS)
    const share = timeMs / STEP_MS - step
    return 1 + ((knot(step) * (1 - share) + knot(step + 1) * share) * bps) / 10_000
  }
}
