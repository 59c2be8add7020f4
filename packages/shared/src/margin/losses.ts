import { PermanentError } from '../errors.js'
import { abs, BPS, max, min, mulFloor, squareRoot, WAD } from './math.js'
import type { Interval, Scenario, Scenarios } from './scenarios.js'
import type { Shocks } from './types.js'

const VALUE_BITS = 150n
const LOSS_BITS = 112n

/** Running Σ L and Σ L². */
export interface Sums {
  sum: bigint
  squares: bigint
}

export interface Valued {
  value: bigint
  loss: bigint
}

export function add(sums: Sums, loss: bigint): void {
  if (loss >> LOSS_BITS !== 0n) refuse('a loss is out of range')
  sums.sum += loss
  sums.squares += loss * loss
}

/** √((1−ρ)ΣL² + ρ(ΣL)²), rounded down. */
export function joint({ sum, squares }: Sums, rho: bigint): bigint {
  return squareRoot(((BPS - rho) * squares + rho * sum * sum) / BPS)
}

/** Part of the price that a fall or a rise takes, in BPS². */
function severity(falls: boolean, shock: bigint, { tailShock, tailDamping }: Shocks): bigint {
  const most = (by: bigint) => (falls ? min(by, BPS) : by)
  return max(most(shock) * BPS, most(tailShock) * tailDamping)
}

/** A claim would cost more at the high end than it is worth at the low one. */
export function isUnsure({ imLow, imHigh }: Interval, shocks: Shocks): boolean {
  return imLow * BPS * BPS < imHigh * severity(true, shocks.shockIm, shocks)
}

/** For IM of what is a straight line in the spot. @param slope Loss if the price fell to nothing, WAD; negative for a short. */
export function adverseLine(slope: bigint, i: Interval, shock: bigint, shocks: Shocks): Valued {
  const size = bounded(slope)
  const long = slope >= 0n
  return {
    value: mulFloor(slope, long ? i.imLow : i.imHigh),
    loss: divideUp(size * severity(long, shock, shocks) * i.imHigh, BPS * BPS * WAD),
  }
}

/** For MM. */
export function favourableLine(slope: bigint, i: Interval, shocks: Shocks): Valued {
  const size = bounded(slope)
  const long = slope >= 0n
  return {
    value: mulFloor(slope, long ? i.high : i.low),
    loss: (size * severity(long, shocks.shockMm, shocks) * i.low) / (BPS * BPS * WAD),
  }
}

/** |x|. */
export function bounded(x: bigint): bigint {
  const size = abs(x)
  return size >> VALUE_BITS === 0n ? size : refuse('a value is out of range')
}

/** For IM over a grid. @param at Value in a scenario. @param factor Of the core's loss. @param naked WAD. */
export function adverseGrid(
  at: (scenario: Scenario) => bigint,
  s: Scenarios,
  i: Interval,
  factor: bigint,
  naked: bigint,
  { tailDamping }: Shocks,
): Valued {
  const { mid, core, tail } = worst(at, s)
  const loss = max(core * factor, divideUp(tail * tailDamping, BPS))
  return { value: least(mid, s.imEnds.map(at)), loss: divideUp((loss + naked) * i.imHigh, WAD) }
}

/** For MM: the core's loss in the proportion of the shocks. */
export function favourableGrid(
  at: (scenario: Scenario) => bigint,
  s: Scenarios,
  i: Interval,
  naked: bigint,
  { shockIm, shockMm, tailDamping }: Shocks,
): Valued {
  const { mid, core, tail } = worst(at, s)
  const part = (x: bigint) => (shockIm === 0n ? 0n : (x * shockMm) / shockIm)
  const loss = max(part(core), (tail * tailDamping) / BPS) + part(naked)
  return { value: s.mmEnds.map(at).reduce(max, mid), loss: (loss * i.low) / WAD }
}

function worst(at: (scenario: Scenario) => bigint, s: Scenarios) {
  const mid = at(s.mid)
  return {
    mid,
    core: bounded(mid - least(mid, s.core.map(at))),
    tail: bounded(mid - least(mid, s.tails.map(at))),
  }
}

function least(first: bigint, others: readonly bigint[]): bigint {
  return others.reduce(min, first)
}

export function divideUp(x: bigint, by: bigint): bigint {
  return (x + by - 1n) / by
}

export function refuse(reason: string): never {
  throw new PermanentError(`margin: ${reason}`)
}
