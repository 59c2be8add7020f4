/** 1 in the fixed point of the contracts. */
export const WAD = 10n ** 18n
export const BPS = 10_000n

/** a × b ÷ 10^18 towards −∞ (`WadMath.mulFloor`). */
export function mulFloor(a: bigint, b: bigint): bigint {
  const product = a * b
  return product < 0n ? ~(~product / WAD) : product / WAD
}

/** ⌊√x⌋ of a number that isn't negative and has less than 1,000 bits. */
export function squareRoot(x: bigint): bigint {
  if (x < 2n) return x
  // A double's root is right to 53 bits; one step of Newton doubles that, and the next ones find the floor from above.
  let root = BigInt(Math.floor(Math.sqrt(Number(x))))
  root = (root + x / root) >> 1n
  for (;;) {
    const next = (root + x / root) >> 1n
    if (next >= root) break
    root = next
  }
  return root
}

export function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

export function min(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

export function abs(x: bigint): bigint {
  return x < 0n ? -x : x
}
