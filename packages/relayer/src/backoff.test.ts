import { expect, it } from 'vitest'
import { createBackoff } from './backoff.js'

it('lets a key pass at once, then after doubling waits up to the longest', () => {
  const backoff = createBackoff({ firstMs: 10, maxMs: 40, keys: 10 })
  const passed = Array.from({ length: 200 }, (_, now) => now).filter((now) => backoff.ready('a', now))
  expect(passed).toEqual([0, 10, 30, 70, 110, 150, 190])
  expect(backoff.ready('b', 191)).toBe(true)
})

it('remembers no more keys than told', () => {
  const backoff = createBackoff({ firstMs: 10, maxMs: 40, keys: 2 })
  expect(['a', 'b', 'c', 'b', 'a'].map((key) => backoff.ready(key, 0))).toEqual([
    true,
    true,
    true,
    false,
    true,
  ])
})
