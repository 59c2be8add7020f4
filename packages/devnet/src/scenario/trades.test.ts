import { PermanentError, RetryableError } from '@clearspan/shared'
import { expect, test } from 'vitest'
import { shareAfter } from './trades.js'
import { refusalOf } from './wallet.js'

test.each([
  ['PriceNotFresh', [1, 1, 1]],
  ['PriceOutsideBand', [1, 1, 1]],
  [undefined, [1, 1, 1]],
  ['InsufficientMargin', [0.95, 0.9025, 0.857375]],
  ['ExcessiveDebt', [0.95, 0.9025, 0.857375]],
])('a trade refused with %s is tried again with its size or less', (refusal, expected) => {
  let share = 1
  for (const next of expected) {
    share = shareAfter(share, refusal)
    expect(share).toBeCloseTo(next, 10)
  }
})

test('a trade is never made smaller than half of what was planned', () => {
  let share = 1
  for (let n = 0; n < 100; n++) share = shareAfter(share, 'InsufficientMargin')
  expect(share).toBe(0.5)
})

test("a refusal is known by the contract's error, beneath whatever it was wrapped in", () => {
  const revert = { name: 'PriceNotFresh', args: [], data: '0x' }
  const sent = new RetryableError('reverted', { cause: revert })
  expect(refusalOf(new PermanentError('matchOrders', { cause: sent }))).toBe('PriceNotFresh')
  expect(refusalOf(new PermanentError('matchOrders', { cause: new Error('no node') }))).toBeUndefined()
  expect(refusalOf('nothing')).toBeUndefined()
})
