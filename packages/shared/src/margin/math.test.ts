import fc from 'fast-check'
import { expect, test } from 'vitest'
import { min, mulFloor, squareRoot, WAD } from './math.js'

/** Of any size up to `bits`. */
const sized = (bits: number) =>
  fc
    .tuple(fc.integer({ min: 0, max: bits }), fc.bigInt({ min: 0n, max: 1n << BigInt(bits) }))
    .map(([by, x]) => x >> BigInt(by))

test('a square root is rounded down, of words and of their products', () => {
  fc.assert(
    fc.property(sized(256), sized(8), (x, off) => {
      for (const square of [x, x * x - min(off, x * x), x * x + off]) {
        const root = squareRoot(square)
        expect(root * root <= square && square < (root + 1n) * (root + 1n), `of ${square}`).toBe(true)
      }
    }),
  )
})

test('a product of either sign is rounded down', () => {
  fc.assert(
    fc.property(fc.bigInt(), fc.bigInt(), (a, b) => {
      const rounded = mulFloor(a, b)
      expect(rounded * WAD <= a * b && a * b < (rounded + 1n) * WAD).toBe(true)
    }),
  )
})
