import { PermanentError } from '../errors.js'
import { abs, BPS, max, min, mulFloor, squareRoot, WAD } from './math.js'
import type { Interval, Scenario, Scenarios } from './scenarios.js'
import type { Shocks } from './types.js'

const VALUE_BITS = 150n
const LOSS_BITS = 112n

/** Of a sale as large as the market is deep, on average, bps; most that one costs, and most that selling one more costs. */
const IMPACT = 50n
const MAX_IMPACT = 1_000n
const MAX_MARGINAL_IMPACT = 2n * MAX_IMPACT + IMPACT
/** Thinness of a market one quote unit deep. */
const THIN = 1n << 37n

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

/** A claim would cost more at the high end, sold in a thin market, than it is worth at the low one. */
export function isUnsure({ imLow, imHigh }: Interval, shocks: Shocks): boolean {
  const marginal = (shocks.thinnessIm ?? 0n) === 0n ? 0n : MAX_MARGINAL_IMPACT * BPS
  return imLow * BPS * BPS < imHigh * (severity(true, shocks.shockIm, shocks) + marginal)
}

/** Cost of selling a size (WAD quote) in a market so thin, rounded down (`Losses.impact`). */
export function impact(size: bigint, thinness = 0n): bigint {
  return (size * impactShare(size, thinness)) / (BPS * WAD)
}

/** The same, rounded up. */
export function impactUp(size: bigint, thinness = 0n): bigint {
  return divideUp(size * impactShare(size, thinness), BPS * WAD)
}

/** Bps × WAD. */
function impactShare(size: bigint, thinness: bigint): bigint {
  const times = (size * thinness) / THIN
  return min((max(times, WAD) - WAD) * IMPACT, MAX_IMPACT * WAD)
}

export function gridShockOf({ shockIm, gridShock }: Shocks): bigint {
  return gridShock ?? shockIm
}

/** What a doubling of the spot would gain (WAD quote), as the grid's lowest to its highest spot does, volatility up. */
export function gridSlope(
  at: (scenario: Scenario) => bigint,
  { core, lastUp }: Scenarios,
  shocks: Shocks,
  thinness = 0n,
): bigint {
  const shock = gridShockOf(shocks)
  if (shock === 0n || thinness === 0n) return 0n
  const gain = at(core[lastUp]!) - at(core[0]!)
  bounded(gain)
  return (gain * BPS) / (2n * shock)
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

/** For IM over a grid: the core's loss in the proportion of the shocks. @param at Value in a scenario. @param factor Of it. @param naked WAD. */
export function adverseGrid(
  at: (scenario: Scenario) => bigint,
  s: Scenarios,
  i: Interval,
  factor: bigint,
  naked: bigint,
  shocks: Shocks,
): Valued {
  const { mid, core, tail } = worst(at, s)
  const grid = gridShockOf(shocks)
  const scaled = grid === 0n ? 0n : divideUp(core * factor * shocks.shockIm, grid)
  const loss = max(scaled, divideUp(tail * shocks.tailDamping, BPS))
  return { value: least(mid, s.imEnds.map(at)), loss: divideUp((loss + naked) * i.imHigh, WAD) }
}

/** For MM: the core's loss in the proportion of the shocks. */
export function favourableGrid(
  at: (scenario: Scenario) => bigint,
  s: Scenarios,
  i: Interval,
  naked: bigint,
  shocks: Shocks,
): Valued {
  const { mid, core, tail } = worst(at, s)
  const grid = gridShockOf(shocks)
  const part = (x: bigint) => (grid === 0n ? 0n : (x * shocks.shockMm) / grid)
  const loss = max(part(core), (tail * shocks.tailDamping) / BPS) + part(naked)
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
