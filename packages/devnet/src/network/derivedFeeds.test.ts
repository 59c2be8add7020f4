import { parseOracleNodeConfig } from '@clearspan/aggregator'
import { networkSchema } from '@clearspan/shared'
import { zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { fixingPeriods, planDerivedFeeds } from './derivedFeeds.js'
import { planMarkets, withDated } from './markets.js'

const MOST_MARKETS = Array.from({ length: 16 }, (_, n) => (n === 0 ? 'ETH' : `A${n}`))

test('volatility of what is collateral, the time of every chain and what settles, in feeds that a node and a chain take', () => {
  const prices = [...MOST_MARKETS, 'USDT', 'USDC'].map((base) => `${base}/USD`)
  const markets = withDated(planMarkets(MOST_MARKETS, prices))
  const chains = ['alpha', 'beta'].map((name) => ({ name, rpcUrl: 'http://127.0.0.1:1' }))
  const { feeds, config } = planDerivedFeeds(markets, chains, { slotSeconds: 4 })
  expect(feeds.map(({ name }) => name)).toEqual([
    'ETH.RV/VOL',
    'A1.RV/VOL',
    'ALPHA.TIME/S',
    'BETA.TIME/S',
    'ETH.IV/VOL',
    'ETH.DEPTH/USD',
    'ETH.FIX/USD',
    'USDC.RATE/Y',
    'USDC.MEAN/Y',
  ])
  const nodes = [1, 2, 3, 4].map((n) => ({
    url: 'http://127.0.0.1:1',
    signer: `0x${`${n}`.repeat(40)}` as const,
  }))
  const oracle = { epoch: 1, slotMs: 4_000, feeds: [...markets.feeds, ...feeds], nodes }
  expect(networkSchema.shape.oracle.safeParse(oracle).error).toBeUndefined()
  const node = parseOracleNodeConfig({
    networkId: zeroHash,
    clock: null,
    index: 0,
    oracle,
    sources: [
      {
        id: 'a',
        adapter: 'replay',
        url: 'ws://127.0.0.1:1',
        tags: ['a'],
        markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
      },
    ],
    ...config,
    listen: { host: '127.0.0.1', port: 0 },
    dataDir: '.',
  })
  expect(node.derived).toHaveLength(feeds.length)
})

test.each([1, 4, 480, 576, 3_600])(
  'expiries and coupons come every whole number of slots of %i s',
  (slotSeconds) => {
    const { price, rate } = fixingPeriods({ slotSeconds })
    expect([price % slotSeconds, rate % slotSeconds]).toEqual([0, 0])
    // A coupon's least time.
    expect(rate).toBeGreaterThanOrEqual(3_600)
  },
)
