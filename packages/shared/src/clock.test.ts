import { expect, test } from 'vitest'
import { acceleratedClock } from './clock.js'

test('an accelerated clock counts and sleeps by the real clock that it is given', async () => {
  let now = 5_000
  const slept: number[] = []
  const real = {
    now: () => now,
    sleep: async (ms: number) => {
      slept.push(ms)
      now += ms
    },
  }
  const clock = acceleratedClock({ startMs: 1_000_000, realStartMs: 4_000, speed: 60 }, real)
  expect(clock.now()).toBe(1_060_000)
  await clock.sleep(120_000)
  expect(slept).toEqual([2_000])
  expect(clock.now()).toBe(1_180_000)
})
