import { BPS, max, min, WAD } from './math.js'
import type { MarginPrice, Shocks } from './types.js'

/** A parked value further off than this times the price counts as so far (`Scenarios.MAX_RATIO`). */
const MAX_RATIO = 1_000n * WAD

/** Ends of a price's interval as WAD fractions of the price; IM's reach to a parked value. */
export interface Interval {
  imLow: bigint
  imHigh: bigint
  low: bigint
  high: bigint
}

/** A point of the grid: spot (WAD) and factor on implied volatility (WAD). */
export interface Scenario {
  spot: bigint
  volatility: bigint
}

/** What curved values are asked for: around mid, and at the ends of the interval. */
export interface Scenarios {
  mid: Scenario
  imEnds: Scenario[]
  mmEnds: Scenario[]
  core: Scenario[]
  /** Place in `core` of the highest spot with volatility up; the lowest is its first. */
  lastUp: number
  tails: Scenario[]
}

/** `Scenarios.intervalOf`. */
export function intervalOf({ price, confidence, parked }: MarginPrice): Interval {
  const low = max(WAD - confidence, 0n)
  const high = WAD + confidence
  if (parked === 0n || price === 0n) return { imLow: low, imHigh: high, low, high }
  const ratio = parked * WAD
  return {
    imLow: min(low, ratio / price),
    imHigh: max(high, min((ratio + price - 1n) / price, MAX_RATIO)),
    low,
    high,
  }
}

/** `Scenarios.fill` and `volatilities`. @param volatility Shifts, bps. */
export function scenariosOf(
  mid: bigint,
  interval: Interval,
  shocks: Shocks,
  volatility: { up: bigint; down: bigint },
  portfolioSet: boolean,
): Scenarios {
  const { shockIm, gridShock = shockIm, tailShock } = shocks
  const up = (BPS + volatility.up) * (WAD / BPS)
  const down = (BPS - volatility.down) * (WAD / BPS)
  const end = (fraction: bigint): Scenario => ({ spot: (mid * fraction) / WAD, volatility: WAD })
  const steps = portfolioSet ? 3n : 2n
  const moves = Array.from({ length: Number(2n * steps + 1n) }, (_, k) => BigInt(k) - steps)
  const row = (factor: bigint, at: readonly bigint[]): Scenario[] =>
    at.map((k) => ({ spot: moved(mid, gridShock * k, steps), volatility: factor }))
  return {
    mid: { spot: mid, volatility: WAD },
    imEnds: [end(interval.imLow), end(interval.imHigh)],
    mmEnds: [end(interval.low), end(interval.high)],
    core: [
      ...row(up, moves),
      ...row(down, moves),
      ...(portfolioSet
        ? row(
            WAD,
            moves.filter((k) => k !== 0n),
          )
        : []),
    ],
    lastUp: moves.length - 1,
    tails: [-tailShock, tailShock].map((shift) => ({ spot: moved(mid, shift, 1n), volatility: up })),
  }
}

/** mid × (1 + shift ÷ steps), not below 0; the shift in bps. */
function moved(mid: bigint, shift: bigint, steps: bigint): bigint {
  const unit = BPS * steps
  return (mid * max(unit + shift, 0n)) / unit
}
