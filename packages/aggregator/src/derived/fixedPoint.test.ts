import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { black76, impliedDeviation } from './black76.js'
import {
  divide,
  exponential,
  multiply,
  naturalLogarithm,
  normalDistribution,
  ONE,
  squareRoot,
} from './fixedPoint.js'

/** Decimal text in fixed point. */
function fixed(text: string): bigint {
  const [whole = '', fraction = ''] = text.replace('-', '').split('.')
  const value = BigInt(whole) * ONE + BigInt(fraction.padEnd(50, '0'))
  return text.startsWith('-') ? -value : value
}
const near = (value: bigint, expected: string, error = ONE / 10n ** 28n) => {
  const difference = value - fixed(expected)
  expect(difference < error && difference > -error, `${value} is not ${expected}`).toBe(true)
}

/** Expected digits from 50-digit decimal arithmetic. */
describe('fixed point', () => {
  it.each([
    ['1', '0'],
    ['2', '0.693147180559945309417232121458176568'],
    ['10', '2.302585092994045684017991454684364208'],
    ['0.001', '-6.907755278982137052053974364053092623'],
    ['123456.789', '11.723646487185880981139958983910111587'],
  ])('ln %s', (x, expected) => near(naturalLogarithm(fixed(x)), expected))

  it.each([
    ['0', '1'],
    ['1', '2.718281828459045235360287471352662498'],
    ['-12.5', '0.000003726653172078670992924851475950'],
  ])('e^%s', (x, expected) => near(exponential(fixed(x)), expected))

  it.each([
    ['0', '0.5'],
    ['1', '0.841344746068542948585232545632037922'],
    ['-1', '0.158655253931457051414767454367962077'],
    ['1.96', '0.975002104851779565863415730959162810'],
    ['-5', '0.000000286651571879193911673752332875'],
    ['6.5', '0.999999999959839994161408821906538546'],
    ['9.9', '0.999999999999999999999979186248'],
    ['10.1', '1'],
    ['-10.1', '0'],
  ])('Φ(%s)', (x, expected) => near(normalDistribution(fixed(x)), expected))

  it('inverts itself', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: ONE / 10n ** 9n, max: ONE * 10n ** 12n }), (x) => {
        const back = exponential(naturalLogarithm(x))
        const error = back > x ? back - x : x - back
        expect(error * 10n ** 24n <= x).toBe(true)
        const root = squareRoot(x)
        expect(root * root <= x * ONE && (root + 1n) ** 2n > x * ONE).toBe(true)
      }),
    )
  })

  it('refuses what has no value', () => {
    expect(() => naturalLogarithm(0n)).toThrow(RangeError)
    expect(() => squareRoot(-1n)).toThrow(RangeError)
    expect(() => exponential(101n * ONE)).toThrow(RangeError)
    expect(squareRoot(0n)).toBe(0n)
  })
})

describe('Black-76', () => {
  it.each([
    ['100', '100', '0.2', '7.965567455405796293080923647836416603'],
    ['200', '250', '0.5', '23.657414494126431755690134503928221522'],
    ['100', '80', '0.3', '23.534390103173755818672318219714982944'],
  ])('a call on %s at %s with σ√T = %s', (forward, strike, deviation, expected) => {
    const call = { type: 'call', forward: fixed(forward), strike: fixed(strike) } as const
    near(black76(call, fixed(deviation)), expected)
    const put = black76({ ...call, type: 'put' }, fixed(deviation))
    expect(black76(call, fixed(deviation)) - put).toBe(call.forward - call.strike)
  })

  const option = fc.record({
    type: fc.constantFrom('call' as const, 'put' as const),
    forward: fc.bigInt({ min: ONE, max: 100_000n * ONE }),
    /** Strike as a share of the forward. */
    moneyness: fc.bigInt({ min: (ONE * 7n) / 10n, max: (ONE * 14n) / 10n }),
    deviation: fc.bigInt({ min: ONE / 10n, max: 3n * ONE }),
  })

  it('gives back the deviation that made the price', () => {
    fc.assert(
      fc.property(option, ({ type, forward, moneyness, deviation }) => {
        const quoted = { type, forward, strike: multiply(forward, moneyness) }
        const found = impliedDeviation(quoted, black76(quoted, deviation)) ?? 0n
        const error = found > deviation ? found - deviation : deviation - found
        expect(error < ONE / 10n ** 11n).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('has no volatility for a price below intrinsic value, or above what an option can be worth', () => {
    const call = { type: 'call', forward: 200n * ONE, strike: 150n * ONE } as const
    expect(impliedDeviation(call, 49n * ONE)).toBeNull()
    expect(impliedDeviation(call, 201n * ONE)).toBeNull()
    expect(impliedDeviation(call, 0n)).toBeNull()
    expect(impliedDeviation(call, divide(51n * ONE, ONE))).not.toBeNull()
  })
})
