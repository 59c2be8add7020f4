import { parseOracleNodeConfig } from '@clearspan/aggregator'
import { networkSchema } from '@clearspan/shared'
import { zeroHash } from 'viem'
import { expect, test } from 'vitest'
import { planDerivedFeeds } from './derivedFeeds.js'
import { planMarkets } from './markets.js'

const MOST_MARKETS = Array.from({ length: 16 }, (_, n) => (n === 0 ? 'ETH' : `A${n}`))

test('volatility of what is collateral and the time of every chain, in feeds that a node and a chain take', () => {
  const prices = [...MOST_MARKETS, 'USDT', 'USDC'].map((base) => `${base}/USD`)
  const markets = planMarkets(MOST_MARKETS, prices)
  const chains = ['alpha', 'beta'].map((name) => ({ name, rpcUrl: 'http://127.0.0.1:1' }))
  const { feeds, config } = planDerivedFeeds(markets, chains)
  expect(feeds.map(({ name }) => name)).toEqual(['ETH.RV/VOL', 'A1.RV/VOL', 'ALPHA.TIME/S', 'BETA.TIME/S'])
  const nodes = [1, 2, 3, 4].map((n) => ({
    url: 'http://127.0.0.1:1',
    signer: `0x${`${n}`.repeat(40)}` as const,
  }))
  const oracle = { epoch: 1, slotMs: 1_000, feeds: [...markets.feeds, ...feeds], nodes }
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
