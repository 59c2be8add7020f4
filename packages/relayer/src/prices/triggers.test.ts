import { UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type StoredValue, triggerOf, triggersSchema } from './triggers.js'

const WAD = 10n ** 18n
const feeds = [
  { name: 'ETH/USD', exponent: -8 },
  { name: 'RATE/USD', exponent: -6, signed: true },
]
const triggers = triggersSchema.parse({
  heartbeatMs: 60_000,
  deviationBps: 50,
  feeds: { 'RATE/USD': { deviationBps: 10 } },
})
const AT = 1_000_000

/** What the chain holds: ETH at 2,000 and the rate at −0.5%, both 10 s older than the report. */
function stored(eth: Partial<StoredValue> = {}, rate: Partial<StoredValue> = {}): StoredValue[] {
  const common = { observedAt: BigInt(AT / 1000 - 10), isParked: false }
  return [
    { value: 2_000n * WAD, ...common, ...eth },
    { value: (-5n * WAD) / 1000n, ...common, ...rate },
  ]
}

function triggered(eth: bigint, rate: bigint, chain: StoredValue[], confidence = 5, of = triggers) {
  const prices = [
    { price: eth, confidence },
    { price: rate, confidence: 5 },
  ]
  return triggerOf({ observedAt: AT, prices }, chain, feeds, of)
}

it('asks for nothing while all values are young and near', () => {
  expect(triggered(200_000_000_000n, -5_000n, stored())).toBeUndefined()
  expect(triggered(200_999_999_999n, -5_999n, stored())).toBeUndefined()
})

it('asks when a value moved far enough: by its own share, or by bps of one for a signed feed', () => {
  expect(triggered(201_000_000_000n, -5_000n, stored())).toBe('deviation')
  expect(triggered(199_000_000_000n, -5_000n, stored())).toBe('deviation')
  expect(triggered(200_000_000_000n, -6_000n, stored())).toBe('deviation')
})

it('asks when a value is old, absent or waits for confirmation', () => {
  const observedAt = BigInt(AT / 1000 - 60)
  expect(triggered(200_000_000_000n, -5_000n, stored({ observedAt }))).toBe('heartbeat')
  expect(triggered(200_000_000_000n, -5_000n, stored({}, { observedAt: 0n }))).toBe('first')
  expect(triggered(200_000_000_000n, -5_000n, stored({ isParked: true }))).toBe('parked')
})

it('asks for nothing on behalf of a feed that the report holds back', () => {
  expect(triggered(0n, -5_000n, stored({ observedAt: 0n }), UNUSABLE_CONFIDENCE)).toBeUndefined()
})

it('takes a feed’s own heartbeat before the chain’s', () => {
  const own = triggersSchema.parse({ ...triggers, feeds: { 'ETH/USD': { heartbeatMs: 5_000 } } })
  expect(triggered(200_000_000_000n, -5_000n, stored(), 5, own)).toBe('heartbeat')
})

it('leaves no stored value further off than the deviation, nor older than the heartbeat', () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 1n, max: 10n ** 13n }),
      fc.bigInt({ min: 1n, max: 10n ** 13n }),
      fc.integer({ min: 1, max: 200 }),
      (now, before, age) => {
        const value = before * 10n ** 10n
        const chain = stored({ value, observedAt: BigInt(AT / 1000 - age) })
        const apart = now > before ? now - before : before - now
        const isDue = apart * 10_000n >= 50n * before || age >= 60
        expect(triggered(now, -5_000n, chain) !== undefined).toBe(isDue)
      },
    ),
  )
})
