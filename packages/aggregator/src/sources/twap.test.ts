import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WAD } from './decimal.js'
import { harmonicLiquidity, meanTick, priceAtTick } from './twap.js'

describe('the arithmetic of a Uniswap v3 average', () => {
  it('rounds the mean tick toward minus infinity, across the wrap of the accumulator too', () => {
    expect(meanTick(0n, 7n, 2)).toBe(3n)
    expect(meanTick(0n, -7n, 2)).toBe(-4n)
    expect(meanTick(0n, -8n, 2)).toBe(-4n)
    expect(meanTick(2n ** 55n - 3n, -(2n ** 55n) + 4n, 2)).toBe(3n)
    expect(meanTick(-(2n ** 55n) + 3n, 2n ** 55n - 4n, 2)).toBe(-4n)
  })

  it('has the harmonic mean of liquidity: half the time at a tenth counts for almost all', () => {
    const inverse = (seconds: number, liquidity: bigint) => (BigInt(seconds) << 128n) / liquidity
    const close = (value: bigint, expected: number) => expect(Number(value) / expected).toBeCloseTo(1, 9)
    close(harmonicLiquidity(5n, 5n + inverse(600, 10n ** 18n), 600), 1e18)
    const mixed = inverse(300, 10n ** 18n) + inverse(300, 10n ** 17n)
    close(harmonicLiquidity(2n ** 160n - 9n, mixed - 9n, 600), 2 / (1 / 1e18 + 1 / 1e17))
    expect(harmonicLiquidity(1n, 1n, 600)).toBe(0n)
  })

  it('prices any tick to nine digits, both ways, and none that a pool cannot have', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -200_000, max: 200_000 }),
        fc.integer({ min: 0, max: 18 }),
        fc.integer({ min: 0, max: 18 }),
        fc.boolean(),
        (tick, decimals0, decimals1, baseIsFirst) => {
          const sign = baseIsFirst ? 1 : -1
          const expected = 1.0001 ** (sign * tick) * 10 ** (sign * (decimals0 - decimals1))
          const price = priceAtTick(BigInt(tick), { decimals0, decimals1 }, baseIsFirst)
          if (expected > 1e-8) expect(Number(price) / 1e18 / expected).toBeCloseTo(1, 8)
          else expect(price === null || price <= WAD / 10n ** 8n).toBe(true)
        },
      ),
    )
    const same = { decimals0: 18, decimals1: 18 }
    expect(priceAtTick(0n, same, true)).toBe(WAD)
    expect(priceAtTick(1n, same, true)).toBe((WAD * 10_001n) / 10_000n)
    expect(Number(priceAtTick(887_272n, same, true)) / 1e18).toBeCloseTo(1.0001 ** 887_272, -30)
    expect(priceAtTick(887_273n, same, true)).toBeNull()
    expect(priceAtTick(-887_273n, same, true)).toBeNull()
    expect(priceAtTick(-887_272n, same, true)).toBeNull()
  })
})
