/** Middle value; of an even number the mean of the two middle ones, rounded down. Throws RangeError on none. */
export function median(values: readonly bigint[]): bigint {
  const sorted = values.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const upper = sorted[sorted.length >> 1]
  const lower = sorted[(sorted.length - 1) >> 1]
  if (upper === undefined || lower === undefined) throw new RangeError('median of nothing')
  return (lower + upper) >> 1n
}

/** Median absolute deviation from `centre`: a spread that fewer than half of the values can't move at will. */
export function medianDeviation(values: readonly bigint[], centre: bigint): bigint {
  return median(values.map((value) => (value > centre ? value - centre : centre - value)))
}

/** Square root rounded up, of a non-negative integer (Newton's method). */
export function sqrtUp(value: bigint): bigint {
  if (value < 2n) return value
  let root = 1n << BigInt((value.toString(2).length + 1) >> 1)
  for (;;) {
    const next = (root + value / root) >> 1n
    if (next >= root) break
    root = next
  }
  return root * root < value ? root + 1n : root
}

export function divideUp(numerator: bigint, denominator: bigint): bigint {
  return (numerator + denominator - 1n) / denominator
}
