import { expect, test } from 'vitest'
import { planTiming } from './timing.js'

test('a day is replayed within four minutes by default', () => {
  const { speed } = planTiming({ windowMs: 24 * 3_600_000 })
  expect((24 * 3_600) / speed).toBeLessThan(180)
})

test('at real time the ages are those of a production network', () => {
  expect(planTiming({ windowMs: 3_600_000, speed: 1 })).toMatchObject({
    slotSeconds: 4,
    acceptAge: 30,
    useAge: 120,
  })
})

test.each([1, 60, 333, 3_600])(
  'at speed %d a report can land before it is too old, on a busy machine too',
  (speed) => {
    const timing = planTiming({ windowMs: 1, speed })
    // A busy machine takes 15 blocks and more where an idle one takes two.
    expect(timing.acceptAge).toBeGreaterThanOrEqual(timing.slotSeconds + 15 * timing.blockSeconds)
    expect(timing.acceptAge).toBeLessThan(2 ** 16)
    expect(timing.useAge).toBeGreaterThan(timing.acceptAge)
    expect(timing.regressionDelay).toBeGreaterThan(timing.skew)
  },
)

test.each([0, -1, Number.NaN, 5_000])('%d is no speed', (speed) => {
  expect(() => planTiming({ windowMs: 1, speed })).toThrow('--speed')
})
