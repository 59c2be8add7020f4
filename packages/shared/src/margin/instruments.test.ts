// The twins of the pricing modules by hand. What they are twins of is compared with them on a chain (instruments.test.ts of devnet).
import { expect, test } from 'vitest'
import { createFuture, createOption, createRateSwap, paidCoupons, skewAt, swapDv01 } from './index.js'

const WAD = 10n ** 18n
const DAY = 86_400n

test('a future is worth the spot, and once fixed its fixing', () => {
  expect(createFuture(1, 0n).value(2n * WAD, 2_000n * WAD, WAD)).toBe(4_000n * WAD)
  expect(createFuture(1, 2_100n * WAD).value(-2n * WAD, 2_000n * WAD, WAD)).toBe(-4_200n * WAD)
})

test('a skew comes in a straight line over a day', () => {
  const ramp = { fromSlope: 1_000n, fromCurvature: 0n, slope: -4_000n, curvature: 1_000n, since: 5n }
  const at = (seconds: bigint) => skewAt(ramp, ramp.since + seconds)
  expect(at(0n)).toEqual({ slope: WAD / 10n, curvature: 0n })
  expect(at(DAY / 2n)).toEqual({ slope: -(15n * WAD) / 100n, curvature: WAD / 20n })
  for (const later of [DAY, 30n * DAY])
    expect(at(later)).toEqual({ slope: -(2n * WAD) / 5n, curvature: WAD / 10n })
})

test('an option that is fixed needs nothing fresh, and a closed position no value', () => {
  const terms = { isCall: false, strike: 2_000n * WAD, expiry: 100n }
  const moment = {
    now: 50n,
    mid: WAD,
    volatility: WAD,
    skew: { slope: 0n, curvature: 0n },
    fixing: 0n,
    fresh: false,
  }
  expect(createOption(1, terms, moment).fresh).toBe(false)
  const fixed = createOption(1, terms, { ...moment, now: 100n, fixing: 1_500n * WAD })
  expect(fixed.fresh).toBe(true)
  expect(fixed.value(3n * WAD, 9_000n * WAD, WAD)).toBe(1_500n * WAD)
  expect(fixed.value(0n, 1n << 130n, WAD)).toBe(0n)
})

/** A year with five coupons. */
const SWAP = { paidUntil: 0n, expiry: 365n * DAY, period: 73n * DAY, paid: 0n }

test('a swap is worth the rate times the years without a coupon', () => {
  const value = (swap: typeof SWAP) => createRateSwap(1, swap).value(-1_000n * WAD, WAD / 20n, WAD)
  expect(value(SWAP)).toBe(-50n * WAD)
  expect(value({ ...SWAP, paidUntil: 73n * DAY })).toBe(-40n * WAD)
  expect(swapDv01(SWAP, 1_000n * WAD)).toBe(WAD / 10n)
})

test('a mean pays for its period and for those before it that nobody paid', () => {
  const paid = (observedAt: bigint, swap = SWAP) => paidCoupons(swap, { rate: WAD / 20n, observedAt })
  expect(paid(73n * DAY - 1n)).toEqual(SWAP)
  const first = paid(73n * DAY + 20n)
  expect(first).toEqual({ ...SWAP, paidUntil: 73n * DAY, paid: WAD / 100n })
  expect(paid(DAY, first), 'one from before').toEqual(first)
  expect(paid(219n * DAY, first)).toEqual({ ...SWAP, paidUntil: 219n * DAY, paid: (3n * WAD) / 100n })
  expect(paid(999n * DAY, first)).toEqual({ ...SWAP, paidUntil: 365n * DAY, paid: WAD / 20n })
})
