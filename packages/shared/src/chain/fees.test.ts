import fc from 'fast-check'
import { expect, test } from 'vitest'
import { bumpFees, quoteFees, REPLACEMENTS } from './fees.js'

const wei = fc.bigInt({ min: 0n, max: 10n ** 15n })
const caps = fc.record({ maxFeePerGas: wei, maxPriorityFeePerGas: wei })

test('quotes cover the base fee and stay within the caps', () => {
  fc.assert(
    fc.property(wei, wei, caps, (baseFee, tip, cap) => {
      const fees = quoteFees(baseFee, tip, cap)
      expect(fees === undefined).toBe(baseFee > cap.maxFeePerGas)
      if (fees === undefined) return
      expect(fees.maxFeePerGas >= baseFee && fees.maxFeePerGas <= cap.maxFeePerGas).toBe(true)
      expect(fees.maxPriorityFeePerGas <= cap.maxPriorityFeePerGas).toBe(true)
      expect(fees.maxPriorityFeePerGas <= fees.maxFeePerGas).toBe(true)
    }),
  )
})

test('a bump is what nodes accept as a replacement, within the caps', () => {
  fc.assert(
    fc.property(wei, wei, wei, caps, (baseFee, tip, later, cap) => {
      const old = quoteFees(baseFee, tip, cap)
      if (old === undefined) return
      const fees = bumpFees(old, quoteFees(later, tip, cap), cap)
      if (fees === undefined) return
      for (const field of ['maxFeePerGas', 'maxPriorityFeePerGas'] as const) {
        expect(fees[field] * 8n >= old[field] * 9n).toBe(true)
        expect(fees[field] > old[field]).toBe(true)
        expect(fees[field] <= cap[field]).toBe(true)
      }
      expect(fees.maxPriorityFeePerGas <= fees.maxFeePerGas).toBe(true)
    }),
  )
})

test('a first offer with every fee at its cap leaves room for each replacement', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 400n, max: 10n ** 15n }), wei, (cap, tip) => {
      const caps = { maxFeePerGas: cap, maxPriorityFeePerGas: cap / 4n }
      const current = quoteFees(cap / 4n, tip, caps)
      let fees = current
      for (let replacement = 1; replacement <= REPLACEMENTS; replacement++) {
        fees = fees && bumpFees(fees, current, caps)
        expect(fees).toBeDefined()
      }
    }),
  )
})

test('a base fee near its cap is met, with whatever room is left', () => {
  const cap = { maxFeePerGas: 1_000n, maxPriorityFeePerGas: 100n }
  expect(quoteFees(900n, 100n, cap)).toEqual({ maxFeePerGas: 961n, maxPriorityFeePerGas: 61n })
  expect(quoteFees(1_000n, 100n, cap)).toEqual({ maxFeePerGas: 1_000n, maxPriorityFeePerGas: 61n })
})

test('examples: follows a risen base fee, and stops at the cap', () => {
  const cap = { maxFeePerGas: 1_000n, maxPriorityFeePerGas: 100n }
  const old = { maxFeePerGas: 210n, maxPriorityFeePerGas: 10n }
  expect(bumpFees(old, quoteFees(300n, 10n, cap), cap)).toEqual({
    maxFeePerGas: 610n,
    maxPriorityFeePerGas: 12n,
  })
  expect(bumpFees({ maxFeePerGas: 950n, maxPriorityFeePerGas: 10n }, undefined, cap)).toBeUndefined()
  expect(quoteFees(1_001n, 0n, cap)).toBeUndefined()
})
