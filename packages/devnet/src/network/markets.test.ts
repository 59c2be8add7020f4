import { expect, test } from 'vitest'
import { planMarkets } from './markets.js'

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
