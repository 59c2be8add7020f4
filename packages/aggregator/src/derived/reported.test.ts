import { type Report, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SETTLED_SLOTS } from './history.js'
import { createReportedFeeds } from './reported.js'

const FEEDS = [
  { name: 'ETH/USD', exponent: -8 },
  { name: 'ETH.RV/VOL', exponent: -6 },
  { name: 'ETH.FIX/USD', exponent: -8 },
]
const SLOT_MS = 10_000
const held = { price: 0n, confidence: UNUSABLE_CONFIDENCE }
const report = (seq: number, price: bigint | null, fix: bigint | null = null): Report => ({
  epoch: 1,
  seq: BigInt(seq),
  prices: [
    price === null ? held : { price, confidence: 7 },
    held,
    fix === null ? held : { price: fix, confidence: 9 },
  ],
})
/** Reports of slots `from`, `from + 1`, … */
const run = (from: number, prices: readonly (bigint | null)[]) =>
  prices.map((price, at) => report(from + at, price))

function feedOf(
  name: string,
  configs: Parameters<typeof createReportedFeeds>[0]['configs'],
  reports: readonly Report[],
) {
  const feeds = createReportedFeeds({ configs, feeds: FEEDS, slotMs: SLOT_MS })
  for (const one of reports) feeds.add(one)
  return (seq: number) => feeds.observe(seq).get(name)
}

const rv = (samples: number, sampleSlots = 1, minCoverageBps = 8_000) =>
  ({
    kind: 'realisedVolatility',
    feed: 'ETH.RV/VOL',
    of: 'ETH/USD',
    samples,
    sampleSlots,
    minCoverageBps,
  }) as const
const volatility = (reports: readonly Report[], config: ReturnType<typeof rv>) =>
  feedOf('ETH.RV/VOL', [config], reports)

/** The formula in floating point, which is good for five digits and a check on the integers. */
function plainVolatility(prices: readonly (readonly [slot: number, price: number])[]): number {
  let squares = 0
  for (let i = 1; i < prices.length; i++)
    squares += Math.log((prices[i]?.[1] ?? 0) / (prices[i - 1]?.[1] ?? 0)) ** 2
  const elapsed = ((prices.at(-1)?.[0] ?? 0) - (prices[0]?.[0] ?? 0)) * SLOT_MS
  return Math.sqrt((squares / elapsed) * 365 * 86_400_000)
}

describe('realised volatility', () => {
  it('of alternating moves of 0.1 % every 10 s is 0.1 % times the root of a year', () => {
    const prices = Array.from({ length: 12 }, (_, at) => (at % 2 ? 1_001_000n : 1_000_000n))
    const value = volatility(run(100, prices), rv(10))(111 + SETTLED_SLOTS + 1)
    // ln 1.001 × √(3,153,600) = 1.7749505…, in millionths; standard error 1/√20 = 22.4 %.
    expect(value).toEqual({ price: 1_774_951n, confidence: 2_237, outliers: [] })
  })

  it('looks only at settled reports: later ones change nothing', () => {
    const prices = Array.from({ length: 12 }, (_, at) => 1_000_000n + BigInt(at * at))
    const before = run(100, prices)
    const after = run(112, [5_000_000n, 1n, 2_000_000n])
    expect(volatility([...before, ...after], rv(10))(116)).toEqual(volatility(before, rv(10))(116))
    expect(volatility([...before, ...after], rv(10))(117)).not.toEqual(volatility(before, rv(10))(117))
  })

  it('counts a move over a gap once, over its own time', () => {
    const prices = [100n, 101n, null, null, 104n, 103n, 104n, 106n, 105n, 107n, 108n]
    const reports = run(
      100,
      prices.map((price) => price && price * 10_000n),
    )
    const expected = plainVolatility(
      prices.flatMap((price, at) => (price === null ? [] : [[at, Number(price)] as const])),
    )
    for (const present of [reports, reports.filter(({ prices: [eth] }) => eth?.price !== 0n)]) {
      const value = volatility(present, rv(10, 1, 8_000))(115)
      if (!value || 'hold' in value) throw new Error('held')
      expect(Number(value.price) / 1e6).toBeCloseTo(expected, 5)
    }
    expect(volatility(reports, rv(10, 1, 8_001))(115)).toEqual({ hold: 'too_few_reports' })
  })

  it('samples the last report of each stretch, and cuts stretches alike wherever it starts', () => {
    const prices = Array.from({ length: 60 }, (_, at) => BigInt(1_000_000 + ((at * 7919) % 4_000)))
    const at = (reports: readonly Report[], seq: number) => volatility(reports, rv(5, 10))(seq)
    // Stretches 10 to 15 end in slots 109, 119 … 159.
    const expected = plainVolatility(
      [109, 119, 129, 139, 149, 159].map((seq) => [seq, Number(prices[seq - 100])]),
    )
    const value = at(run(100, prices), 164)
    if (!value || 'hold' in value) throw new Error('held')
    expect(Number(value.price) / 1e6).toBeCloseTo(expected, 5)
    expect(at(run(100, prices), 164)).toEqual(at(run(105, prices.slice(5)), 164))
    expect(at(run(100, prices), 163)).not.toEqual(value)
  })

  it('of a price that does not move is the least there is', () => {
    expect(volatility(run(100, Array(12).fill(5n)), rv(10))(116)).toMatchObject({ price: 1n })
  })

  it('agrees with the formula in floating point, and between nodes whatever the order of reports', () => {
    const price = fc.option(fc.bigInt({ min: 100_000_000n, max: 130_000_000n }), { freq: 9 })
    let priced = 0
    fc.assert(
      fc.property(
        fc.array(price, { minLength: 21, maxLength: 21 }),
        fc.infiniteStream(fc.nat()),
        (prices, keys) => {
          const reports = run(100, prices)
          const value = volatility(reports, rv(20, 1, 5_000))(125)
          const shuffled = reports
            .map((one) => ({ one, key: keys.next().value }))
            .toSorted((a, b) => a.key - b.key)
            .map(({ one }) => one)
          expect(volatility([...shuffled, ...reports], rv(20, 1, 5_000))(125)).toEqual(value)
          if (!value || 'hold' in value) return
          priced += 1
          const expected = plainVolatility(
            prices.flatMap((one, at) => (one === null ? [] : [[at, Number(one)] as const])),
          )
          expect(Math.abs(Number(value.price) / 1e6 / expected - 1)).toBeLessThan(1e-5)
        },
      ),
      { numRuns: 50 },
    )
    expect(priced).toBeGreaterThan(20)
  })
})

/** An expiry every 100 slots, at 100, 200, …; mean of the 10 slots before. */
const fixingConfig = {
  kind: 'fixing',
  feed: 'ETH.FIX/USD',
  of: 'ETH/USD',
  periodMs: 100 * SLOT_MS,
  offsetMs: 0,
  windowMs: 10 * SLOT_MS,
  minCoverageBps: 5_000,
} as const
const fix = (reports: readonly Report[]) => feedOf('ETH.FIX/USD', [fixingConfig], reports)
const value = (price: bigint, confidence = 7) => ({ price, confidence, outliers: [] })

describe('fixing', () => {
  const prices = [10n, 20n, 30n, 40n, 50n, 60n, 70n, 80n, 90n, 100n]

  it('is the mean of the signed prices before the expiry, the same in every slot until the next', () => {
    const at = fix([
      ...run(185, Array(5).fill(1_000n)),
      ...run(190, prices),
      ...run(200, Array(100).fill(9n)),
    ])
    expect(at(200 + SETTLED_SLOTS - 1)).toEqual({ hold: 'no_fixing' })
    for (const seq of [204, 205, 250, 299]) expect(at(seq)).toEqual(value(55n))
    expect(at(300)).toEqual({ hold: 'no_fixing' })
    expect(at(304)).toEqual(value(9n))
  })

  it('weighs each price by the time that it stood', () => {
    const gaps = prices.map((price, at) => ([3, 4, 5].includes(at) ? null : price))
    // 30 stands for four slots: (10 + 20 + 4 × 30 + 70 + 80 + 90 + 100) / 10.
    expect(fix([...run(180, prices), ...run(190, gaps)])(204)).toEqual(value(49n))
  })

  it('is the first price at or after the expiry when the window has too few', () => {
    const sparse = prices.map((price, at) => (at < 4 ? price : null))
    const reports = [...run(180, prices), ...run(190, sparse), ...run(201, [null, 77n, 78n])]
    expect(fix(reports)(204)).toEqual({ hold: 'no_fixing' })
    expect(fix(reports)(205)).toEqual({ hold: 'no_fixing' })
    expect(fix(reports)(206)).toEqual(value(77n))
    expect(fix(reports)(290)).toEqual(value(77n))
  })

  it('repeats what was signed, also on a node that would have computed something else', () => {
    const missed = prices.map((price, at) => (at === 9 ? null : price))
    const signed = [report(205, 9n, 55n), report(206, 9n, 55n)]
    const at = fix([...run(180, prices), ...run(190, missed), ...signed])
    expect(at(205)).toEqual(value(54n))
    expect(at(205 + SETTLED_SLOTS)).toEqual(value(55n, 9))
  })

  it('is unknown to a node that did not see the whole window, until others have signed it', () => {
    const at = fix([...run(195, prices.slice(5)), report(205, 9n, 55n)])
    expect(at(205)).toEqual({ hold: 'no_fixing' })
    expect(at(209)).toEqual(value(55n, 9))
    expect(at(304)).toEqual({ hold: 'no_fixing' })
  })

  it('lies within the window’s prices and is the same in any order of reports', () => {
    const price = fc.option(fc.bigInt({ min: 1n, max: 2n ** 62n }), { freq: 6 })
    fc.assert(
      fc.property(
        fc.array(price, { minLength: 10, maxLength: 10 }),
        fc.infiniteStream(fc.nat()),
        (window, keys) => {
          const reports = [...run(189, [5n]), ...run(190, window)]
          const shuffled = reports
            .map((one) => ({ one, key: keys.next().value }))
            .toSorted((a, b) => a.key - b.key)
            .map(({ one }) => one)
          const result = fix(reports)(204)
          expect(fix(shuffled)(204)).toEqual(result)
          const known = window.filter((one) => one !== null)
          if (known.length < 5) expect(result).toEqual({ hold: 'no_fixing' })
          else {
            if (!result || 'hold' in result) throw new Error('held')
            expect(known.some((one) => one <= result.price) && known.some((one) => one >= result.price)).toBe(
              true,
            )
          }
        },
      ),
    )
  })
})

it('forgets what no feed needs', () => {
  const feeds = createReportedFeeds({ configs: [rv(2)], feeds: FEEDS, slotMs: SLOT_MS })
  for (const one of run(1, Array(1_000).fill(5n))) feeds.add(one)
  feeds.add(report(10, 7n))
  expect(feeds.observe(20).get('ETH.RV/VOL')).toEqual({ hold: 'too_few_reports' })
  expect(feeds.observe(1_004).get('ETH.RV/VOL')).toHaveProperty('price')
})
