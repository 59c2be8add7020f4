/**
 * Logarithm, exponential and normal distribution on integers. Nodes on different hardware must sign the same number to the bit, and the
 * last digit of a floating-point logarithm belongs to the machine's library.
 *
 * A number x is held as x · 10^50. Errors are below 10^-23 (the tests compare with known digits), far below a feed's unit: the sum for the
 * normal distribution is the largest, where a density of 10^-22 meets a series of 10^22.
 */
export const ONE = 10n ** 50n

/** ln 2, by the same series. */
const LN2 = atanhSeries(ONE / 3n) * 2n
/** 1 / √(2π). */
const INVERSE_SQRT_2PI = 39894228040143267793994605993438186847585863116494n
/** Beyond so many standard deviations the normal distribution is 0 or 1, to within 10^-23. */
const TAIL = 10n * ONE

export function multiply(a: bigint, b: bigint): bigint {
  return (a * b) / ONE
}

export function divide(a: bigint, b: bigint): bigint {
  return (a * ONE) / b
}

/** Square root, rounded down. Throws RangeError below 0. */
export function squareRoot(x: bigint): bigint {
  if (x < 0n) throw new RangeError('square root of a negative number')
  if (x === 0n) return 0n
  const value = x * ONE
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) return root
    root = next
  }
}

/** z + z³/3 + z⁵/5 + …, for |z| < 1. */
function atanhSeries(z: bigint): bigint {
  const square = multiply(z, z)
  let sum = 0n
  let power = z
  for (let k = 1n; power !== 0n; k += 2n) {
    sum += power / k
    power = multiply(power, square)
  }
  return sum
}

/** Natural logarithm: x = m · 2^k with m in [1, 2), ln m = 2 atanh((m − 1) / (m + 1)). Throws RangeError unless x > 0. */
export function naturalLogarithm(x: bigint): bigint {
  if (x <= 0n) throw new RangeError('logarithm of a number that is not positive')
  const shift = BigInt(x.toString(2).length - ONE.toString(2).length)
  const scaled = shift >= 0n ? x >> shift : x << -shift
  // The length only tells powers of two apart: m may lie a little outside [1, 2), where the series still converges.
  const m = scaled < ONE ? { value: scaled << 1n, k: shift - 1n } : { value: scaled, k: shift }
  // Shifting right drops bits; of a large x they are worth less than the error allowed.
  return 2n * atanhSeries(divide(m.value - ONE, m.value + ONE)) + m.k * LN2
}

/** e^x: x = k ln 2 + r with 0 ≤ r < ln 2, and the series of e^r. Throws RangeError above e^100, which nothing here means. */
export function exponential(x: bigint): bigint {
  if (x > 100n * ONE) throw new RangeError('exponential of a number beyond 100')
  let k = x / LN2
  if (x < 0n && k * LN2 !== x) k -= 1n
  const r = x - k * LN2
  let sum = 0n
  let term = ONE
  for (let n = 1n; term !== 0n; n++) {
    sum += term
    term = multiply(term, r) / n
  }
  return k >= 0n ? sum << k : sum >> -k
}

/** Density of the standard normal distribution. */
function normalDensity(x: bigint): bigint {
  if (x > TAIL || x < -TAIL) return 0n
  return multiply(INVERSE_SQRT_2PI, exponential(-multiply(x, x) / 2n))
}

/** Standard normal distribution: Φ(x) = ½ + φ(x) (x + x³/3 + x⁵/(3·5) + …), all terms of one sign (Marsaglia 2004). */
export function normalDistribution(x: bigint): bigint {
  if (x > TAIL) return ONE
  if (x < -TAIL) return 0n
  const square = multiply(x, x)
  let sum = 0n
  let term = x
  for (let k = 3n; term !== 0n; k += 2n) {
    sum += term
    term = multiply(term, square) / k
  }
  return ONE / 2n + multiply(normalDensity(x), sum)
}
