import { mulFloor } from './math.js'
import type { MarginInstrument } from './types.js'

/** A dated future, for the margin twin: the spot of its feed, and once it is known its fixing (WAD, else 0), as `Future.sol`. */
export function createFuture(feed: number, fixing: bigint): MarginInstrument {
  return {
    feed,
    curved: false,
    fresh: true,
    value: (size, spot) => mulFloor(size, fixing === 0n ? spot : fixing),
  }
}
