import { min, mulFloor, WAD } from './math.js'
import type { MarginInstrument } from './types.js'

const YEAR = 31_536_000n
const BASIS_POINT = WAD / 10_000n

/** As `RateSwap.sol` keeps it: seconds, and coupons paid so far to a unit (WAD). */
export interface Swap {
  expiry: bigint
  paidUntil: bigint
  period: bigint
  paid: bigint
}

/** Years for which no coupon has been paid yet, WAD. */
function swapYears({ expiry, paidUntil }: Swap): bigint {
  return ((expiry - paidUntil) * WAD) / YEAR
}

/** Value of a size (WAD) at a rate (WAD a year), rounded down; coupons and price paid aside. */
export function swapValue(swap: Swap, size: bigint, rate: bigint): bigint {
  return mulFloor(mulFloor(size, swapYears(swap)), rate)
}

/** What a size gains when the rate rises by a basis point, WAD. */
export function swapDv01(swap: Swap, size: bigint): bigint {
  return mulFloor(mulFloor(size, swapYears(swap)), BASIS_POINT)
}

/**
 * The swap once it has been brought to a signed mean of its rate (`RateSwap.accrue`): a mean stands for its own period and for those before
 * it that have not been paid. Unchanged while no period has ended by its time.
 */
export function paidCoupons(swap: Swap, fixing: { rate: bigint; observedAt: bigint }): Swap {
  const end = min(fixing.observedAt, swap.expiry)
  const periods = (end - swap.paidUntil) / swap.period
  if (end < swap.paidUntil || periods === 0n) return swap
  const time = periods * swap.period
  return { ...swap, paidUntil: swap.paidUntil + time, paid: swap.paid + (fixing.rate * time) / YEAR }
}

/** The swap on a rate's feed, for the margin twin. */
export function createRateSwap(feed: number, swap: Swap): MarginInstrument {
  return { feed, curved: false, fresh: true, value: (size, rate) => swapValue(swap, size, rate) }
}
