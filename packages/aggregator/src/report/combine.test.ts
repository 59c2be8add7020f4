import { type ReportPrice, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Observation } from '../observation/message.js'
import { combine } from './combine.js'

const MAX_INT64 = 2n ** 63n - 1n
const HELD: ReportPrice = { price: 0n, confidence: UNUSABLE_CONFIDENCE }

const honest = fc.record({
  price: fc.bigInt({ min: 9_000n, max: 11_000n }),
  confidence: fc.integer({ min: 1, max: 50 }),
})
/** Whatever a peer may send. */
const lie = fc.oneof(
  fc.constant(HELD),
  fc.record({
    price: fc.bigInt({ min: 1n, max: MAX_INT64 }),
    confidence: fc.integer({ min: 0, max: UNUSABLE_CONFIDENCE - 1 }),
  }),
)
const round = fc.constantFrom(1, 2, 3).chain((f) =>
  fc.record({
    f: fc.constant(f),
    honest: fc.array(fc.oneof({ arbitrary: honest, weight: 9 }, fc.constant(HELD)), {
      minLength: f + 1,
      maxLength: 2 * f + 1,
    }),
    lies: fc.array(lie, { maxLength: f }),
    keys: fc.infiniteStream(fc.nat()),
  }),
)
const observe = (price: ReportPrice): Observation => ({ epoch: 1, seq: 0n, prices: [price], signature: '0x' })

it('with at most f lying nodes a feed lies in the honest range or is held, in any order of observations', () => {
  let priced = 0
  fc.assert(
    fc.property(round, ({ f, honest, lies, keys }) => {
      const observations = [...honest, ...lies].map(observe)
      const [result = HELD] = combine(observations, 1, 2 * f + 1)
      const shuffled = observations
        .map((observation) => ({ observation, key: keys.next().value }))
        .toSorted((a, b) => a.key - b.key)
        .map(({ observation }) => observation)
      expect(combine(shuffled, 1, 2 * f + 1)).toEqual([result])
      if (result.confidence === UNUSABLE_CONFIDENCE) {
        expect(result).toEqual(HELD)
        return
      }
      priced += 1
      const values = honest.filter((value) => value !== HELD).map(({ price }) => price)
      expect(values.some((value) => value <= result.price)).toBe(true)
      expect(values.some((value) => value >= result.price)).toBe(true)
      expect(result.confidence).toBeGreaterThan(0)
    }),
    { numRuns: 1_000 },
  )
  expect(priced).toBeGreaterThan(100)
})
