import { parseConfig, UserError } from '@clearspan/shared'
import { describe, expect, it } from 'vitest'
import { sourceSchema } from './config.js'

const ADDRESS = '0x00000000000000000000000000000000000000fe'
const market = { symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }
const exchange = { id: 'a', adapter: 'coinbase', url: 'wss://venue', tags: ['a'], markets: [market] }
const guardianSet = { index: 4, addresses: [ADDRESS] }
const hermes = {
  ...exchange,
  adapter: 'hermes',
  url: 'https://pyth',
  markets: [{ ...market, pythId: 'f'.repeat(64) }],
  guardianSets: [guardianSet],
}
const chainlink = {
  ...exchange,
  adapter: 'chainlink',
  url: 'https://rpc',
  chain: { chainId: 1 },
  markets: [{ ...market, symbol: ADDRESS, chainlink: { heartbeatSeconds: 3_600, deviationBps: 50 } }],
}
const twap = {
  ...{ baseToken: ADDRESS, windowSeconds: 600, minCardinality: 50, minLiquidity: '1000', bandBps: 100 },
}
const uniswap = {
  ...chainlink,
  adapter: 'uniswap-v3',
  markets: [{ ...market, symbol: ADDRESS, twap }],
}

describe('the configuration of a source', () => {
  it('is what a second reading gives again', () => {
    for (const source of [exchange, hermes, chainlink, uniswap]) {
      const once = parseConfig(sourceSchema, source, 'source')
      expect(parseConfig(sourceSchema, once, 'source')).toEqual(once)
    }
    expect(parseConfig(sourceSchema, chainlink, 'source').chain?.pollMs).toBe(15_000)
  })

  it.each([
    ['adapter', { ...exchange, adapter: 'ftx' }],
    ['url', { ...exchange, url: 'https://venue' }],
    ['url', { ...hermes, url: 'wss://pyth' }],
    ['url', { ...chainlink, url: 'ws://rpc' }],
    ['tags', { ...exchange, tags: [] }],
    ['markets[1].symbol', { ...exchange, markets: [market, market] }],
    ['guardianSets', { ...hermes, guardianSets: undefined }],
    ['guardianSets', { ...hermes, guardianSets: [guardianSet, guardianSet] }],
    ['guardianSets', { ...exchange, guardianSets: [guardianSet] }],
    ['guardianSets[0].addresses', { ...hermes, guardianSets: [{ index: 4, addresses: [ADDRESS, ADDRESS] }] }],
    ['guardianSets[0].addresses[0]', { ...hermes, guardianSets: [{ index: 4, addresses: ['0x12'] }] }],
    ['guardianSets[0].quorum', { ...hermes, guardianSets: [{ ...guardianSet, quorum: 2 }] }],
    ['guardianSets[0].index', { ...hermes, guardianSets: [{ ...guardianSet, index: -1 }] }],
    ['markets[0].pythId', { ...hermes, markets: [market] }],
    ['chain', { ...chainlink, chain: undefined }],
    ['chain', { ...exchange, chain: { chainId: 1 } }],
    ['chain.pollMs', { ...chainlink, chain: { chainId: 1, pollMs: 0 } }],
    ['chain.sequencer.feed', { ...chainlink, chain: { chainId: 1, sequencer: { feed: 'x' } } }],
    ['markets[0].symbol', { ...chainlink, markets: [{ ...chainlink.markets[0], symbol: 'ETH' }] }],
    ['markets[0].chainlink', { ...chainlink, markets: [{ ...market, symbol: ADDRESS }] }],
    ['markets[0].twap', { ...chainlink, markets: [{ ...chainlink.markets[0], twap }] }],
    [
      'markets[0].twap.windowSeconds',
      { ...uniswap, markets: [{ ...uniswap.markets[0], twap: { ...twap, windowSeconds: 0 } }] },
    ],
    [
      'markets[0].twap.minLiquidity',
      { ...uniswap, markets: [{ ...uniswap.markets[0], twap: { ...twap, minLiquidity: '1e9' } }] },
    ],
    ['whatever', { ...exchange, whatever: 1 }],
  ])('names %s when it is wrong', (field, source) => {
    expect(() => parseConfig(sourceSchema, source, 'source')).toThrow(UserError)
    expect(() => parseConfig(sourceSchema, source, 'source')).toThrow(`source ${field}`)
  })
})
