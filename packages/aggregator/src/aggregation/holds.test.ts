import { type Report, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { createReportedFeeds } from '../derived/reported.js'
import { createReportBoard } from '../report/board.js'
import { combine } from '../report/combine.js'
import type { Quote } from '../sources/types.js'
import { type ObservedHold, type ObservedPrice, toObserved } from './aggregate.js'
import { NOW, type Prices, parameters, priceOf, type SceneOptions, usd } from './scene.test-util.js'

const FEED = { name: 'ETH/USD', exponent: -8 }

function heldBy(value: ObservedPrice | undefined) {
  if (!value || !('hold' in value)) throw new Error('it has a price')
  // A hold carries no number.
  expect(Object.keys(value)).toEqual(['hold'])
  return value.hold
}

function scene(prices: Prices, options: SceneOptions = {}) {
  return heldBy(toObserved(priceOf(prices, options), FEED.exponent))
}

function derived(config: Parameters<typeof createReportedFeeds>[0]['configs'][number]) {
  const feeds = [FEED, { name: config.feed, exponent: -8 }]
  return heldBy(
    createReportedFeeds({ configs: [config], feeds, slotMs: 1_000 })
      .observe(100)
      .get(config.feed),
  )
}

/** What readers of a finished report are told when a node had a price of its own, and too few of the others had. */
function inReport() {
  const held = { price: 0n, confidence: UNUSABLE_CONFIDENCE }
  const observed = [{ price: 7n, confidence: 1 }, { price: 7n, confidence: 1 }, held]
  const observations = observed.map((price) => ({
    epoch: 1,
    seq: 8n,
    prices: [price],
    signature: '0x' as const,
  }))
  const report: Report = { epoch: 1, seq: 8n, prices: combine(observations, 1, 3) }
  const clock = { now: () => NOW, sleep: async () => {} }
  const oracle = { epoch: 1, slotMs: 1_000, feeds: [FEED], nodes: [] }
  const board = createReportBoard({ oracle } as unknown as Parameters<typeof createReportBoard>[0], clock)
  board.setOwnReasons(8n, [null])
  board.add(report, [])
  return board.latest()?.reasons[FEED.name]
}

const three = { a: usd('200'), b: usd('200'), c: usd('200') }
const stale = (names: string) => ({
  change: ({ source }: Quote) => (names.includes(source) ? { eventTime: 1 } : {}),
})

/** Every reason there is: one that is added doesn't compile here until it is reached. */
const reasons: Record<ObservedHold | 'too_few_nodes', () => string | undefined> = {
  no_quotes: () => scene(three, stale('abc')),
  no_honest_majority: () => scene(three, stale('a')),
  too_few_groups: () =>
    scene({ ...three, d: usd('200'), e: usd('200'), f: usd('200'), g: usd('200') }, stale('abcd')),
  leg_missing: () =>
    scene(
      { ...three, x: { 'BTC/USDT': '200' } },
      {
        ...{ feed: 'BTC/USD', capped: true },
        change: ({ market }) => (market.base === 'USDT' ? { eventTime: 1 } : {}),
      },
    ),
  dispersion: () => scene({ a: usd('200'), b: usd('150'), c: usd('250') }),
  // Each quote may be as wide as that; with what they differ they are too wide together.
  confidence: () =>
    scene(
      { a: usd('190'), b: usd('200'), c: usd('210') },
      {
        change: ({ price }) => ({ confidence: (price * BigInt(parameters.maxConfidenceBps - 10)) / 10_000n }),
      },
    ),
  out_of_slow_bounds: () => scene({ ...three, chainlink: { 'ETH/USD': '400' } }, { slow: ['chainlink'] }),
  out_of_range: () => scene({ a: usd('1e12'), b: usd('1e12'), c: usd('1e12') }),
  too_few_reports: () =>
    derived({
      ...{ kind: 'realisedVolatility', feed: 'ETH.RV/VOL', of: 'ETH/USD' },
      ...{ sampleSlots: 1, samples: 10, minCoverageBps: 8_000 },
    }),
  no_fixing: () =>
    derived({
      ...{ kind: 'fixing', feed: 'ETH.FIX/USD', of: 'ETH/USD' },
      ...{ periodMs: 60_000, offsetMs: 0, windowMs: 10_000, minCoverageBps: 5_000 },
    }),
  too_few_nodes: inReport,
}

it.each(Object.entries(reasons))('a feed is held for its own reason: %s', (reason, reach) => {
  expect(reach()).toBe(reason)
})
