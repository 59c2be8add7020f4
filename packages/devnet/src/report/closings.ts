import type { Hex } from 'viem'

const ONE = 10n ** 36n
/** A side whose scale is less goes on in another generation, as PositionBook has it. */
const LEAST_SCALE = 10n ** 30n

/** What is left of a unit stored of one side in its present generation, 10^36 = 1. */
export interface SideState {
  scale: bigint
  generation: bigint
}

/** A position of an insolvent account that was closed against the other side, as it was announced. */
export interface ClosingRecord extends SideState {
  instrumentId: number
  account: Hex
  /** WAD, of the account: signed. */
  size: bigint
}

/** A side by what was announced alone, in order: that of the last closing against it. */
export function sideByClosings(
  closings: readonly ClosingRecord[],
  instrumentId: number,
  long: boolean,
): SideState {
  const last = closings.findLast(
    (closing) => closing.instrumentId === instrumentId && closing.size < 0n === long,
  )
  if (!last) return { scale: ONE, generation: 0n }
  if (last.scale < LEAST_SCALE) return { scale: ONE, generation: last.generation + 1n }
  return { scale: last.scale, generation: last.generation }
}

/** Something of the side was closed: its positions are rounded down to whole units since. */
export function wasClosed({ scale, generation }: SideState): boolean {
  return scale !== ONE || generation !== 0n
}
