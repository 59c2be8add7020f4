import { expect, test } from 'vitest'
import { planMarkets, withDated } from './markets.js'

test('ETH and BTC are collateral wherever there is a market for them', () => {
  const { tokens, instruments } = planMarkets(
    ['ADA', 'BTC', 'DOGE', 'ETH'],
    ['ADA/USD', 'BTC/USD', 'DOGE/USD', 'ETH/USD', 'USDT/USD', 'USDC/USD'],
  )
  expect(tokens.map(({ symbol }) => symbol)).toEqual(['USDC', 'WETH', 'WBTC'])
  expect(instruments.map(({ id, symbol }) => `${id} ${symbol}`)).toEqual([
    '1 ADA-PERP',
    '2 BTC-PERP',
    '3 DOGE-PERP',
    '4 ETH-PERP',
  ])
})

test('a market without a known wrapper is its own token', () => {
  const { tokens } = planMarkets(['USDE'], ['USDE/USD', 'USDT/USD', 'USDC/USD'])
  expect(tokens.map(({ symbol, decimals }) => `${symbol} ${decimals}`)).toEqual(['USDC 6', 'USDE 18'])
})

test('initial shocks are never smaller than maintenance shocks, tails included', () => {
  const { shocks } = planMarkets(['BTC', 'LUNA'], ['BTC/USD', 'LUNA/USD', 'USDC/USD'])
  for (const { shockIm, shockMm, tailShock, tailDamping } of Object.values(shocks)) {
    expect(shockIm).toBeGreaterThanOrEqual(shockMm)
    expect((tailShock * tailDamping) / 10_000).toBeLessThanOrEqual(shockMm)
  }
})

test('what expires stands behind the perpetuals, on ETH where it is traded', () => {
  const feeds = ['BTC/USD', 'ETH/USD', 'USDC/USD']
  const { instruments, shocks, dated } = withDated(planMarkets(['BTC', 'ETH'], feeds))
  expect(dated).toBe('ETH')
  expect(instruments.map(({ id, symbol, kind }) => `${id} ${symbol} ${kind}`)).toEqual([
    '1 BTC-PERP perpetual',
    '2 ETH-PERP perpetual',
    '3 ETH-FUTURE future',
    '4 ETH-CALL call',
    '5 ETH-PUT put',
    '6 USDC-SWAP swap',
  ])
  expect(instruments.every(({ base }) => shocks[base] !== undefined)).toBe(true)
})

test('nothing expires where there is no collateral but the settlement token', () => {
  const markets = planMarkets(['USDC'], ['USDC/USD', 'USDT/USD'])
  expect(withDated(markets)).toBe(markets)
})
