import type { ServerResponse } from 'node:http'
import { type Clock, systemClock } from '@clearspan/shared'
import { type Abi, parseAbi } from 'viem'
import { expect, vi } from 'vitest'
import type { Source, SourceParameters } from './index.js'
import { CHAIN_ID, type Twist } from './rpc.test-util.js'
import type { Market } from './types.js'
import { type Cleanups, connectSource } from './venue.test-util.js'

export const FEED = '0x00000000000000000000000000000000000000fe'
const AGGREGATOR = '0x00000000000000000000000000000000000000a6'
export const UPTIME = '0x000000000000000000000000000000000000005e'
const POOL = '0x0000000000000000000000000000000000000b00'
const USDC = '0x000000000000000000000000000000000000005d'
const WETH = '0x00000000000000000000000000000000000000e7'

/** Decimals are of a `uint8`, which a contract need not keep to. */
export const aggregatorAbi: Abi = parseAbi([
  'function decimals() view returns (uint256)',
  'function latestRoundData() view returns (uint80, int256, uint256, uint256, uint80)',
  'function aggregator() view returns (address)',
  'function minAnswer() view returns (int192)',
  'function maxAnswer() view returns (int192)',
])
const poolAbi: Abi = parseAbi([
  'function token0() view returns (address)',
  'function token1() view returns (address)',
  'function slot0() view returns (uint160, int24, uint16, uint16, uint16, uint8, bool)',
  'function observe(uint32[]) view returns (int56[], uint160[])',
])
const tokenAbi: Abi = parseAbi(['function decimals() view returns (uint256)'])

/** Unix seconds; the network's time is a minute later, unless a test moves it. */
export const START = 1_700_000_000
export const HEARTBEAT = 3_600
export const WINDOW = 600

export const round = (nth: number, answer: bigint, updatedAt: number, startedAt = updatedAt) =>
  [BigInt(nth), answer, BigInt(startedAt), BigInt(updatedAt), BigInt(nth)] as const
/** A proxy and the aggregator behind it. */
export const feedOf = (
  latestRoundData: unknown,
  limits: object = { minAnswer: 1n, maxAnswer: 10n ** 30n },
  decimals = 8n,
) => ({
  [FEED]: { abi: aggregatorAbi, answers: { latestRoundData, decimals, aggregator: AGGREGATOR } },
  [AGGREGATOR]: { abi: aggregatorAbi, answers: { ...limits } },
})

/** The tick of an ETH price in USDC, which has 6 decimals and is token0. */
export const tickOf = (price: number) => BigInt(Math.round(Math.log(1e12 / price) / Math.log(1.0001)))
/** A pool whose mean tick and harmonic liquidity over the window are these. */
export const poolOf = (tick: bigint, { change = {}, decimals = 18n, liquidity = 10n ** 18n } = {}) => {
  const observe = ([from, to]: number[]) => {
    expect([from, to]).toEqual([WINDOW, 0])
    return [
      [5n, 5n + tick * BigInt(WINDOW)],
      [9n, 9n + (BigInt(WINDOW) << 128n) / liquidity],
    ]
  }
  const answers = { token0: USDC, token1: WETH, slot0: [1n, 0, 0, 100, 100, 0, true], observe, ...change }
  return {
    [POOL]: { abi: poolAbi, answers },
    [USDC]: { abi: tokenAbi, answers: { decimals: 6n } },
    [WETH]: { abi: tokenAbi, answers: { decimals } },
  }
}

const chainlink: Market = {
  symbol: FEED,
  base: 'ETH',
  quote: 'USD',
  chainlink: { heartbeatSeconds: HEARTBEAT, deviationBps: 50 },
}
const twap = {
  ...{ baseToken: WETH, windowSeconds: WINDOW, minCardinality: 50 },
  ...{ minLiquidity: '1000000000000000', bandBps: 100 },
}
/** The markets of `feedOf` and `poolOf`. */
export const onChainMarkets = { chainlink, 'uniswap-v3': { symbol: POOL, base: 'ETH', quote: 'USDC', twap } }
export type OnChainName = keyof typeof onChainMarkets

export const timings = {
  minBackoffMs: 1,
  maxBackoffMs: 5,
  maxSilenceMs: 10_000,
  maxQuietMs: 1e6,
  maxLifetimeMs: 1e6,
}
export const soon = (check: () => unknown) => vi.waitFor(check, { timeout: 10_000, interval: 5 })

/** A source of the adapter's market, whose network's time stands still until it is moved. */
export function readOnChain(
  cleanups: Cleanups,
  { adapter, url, ...change }: { adapter: OnChainName; url: string } & Partial<SourceParameters>,
) {
  const time = { now: (START + 60) * 1_000 }
  const networkClock: Clock = { now: () => time.now, sleep: systemClock.sleep }
  const chain = { chainId: CHAIN_ID, pollMs: 5 }
  const markets = [onChainMarkets[adapter]]
  const source = connectSource(cleanups, { adapter, url, markets, chain, networkClock, timings, ...change })
  return { source, time }
}

export const says = (source: Source, price: bigint) =>
  soon(() => expect(source.quotes()[0]?.price).toBe(price))
export const rejects = (source: Source, reason: string) =>
  soon(() => expect(source.status().rejected).toHaveProperty([reason]))
/** Whole readings have been made of what there was when this was called. */
export async function readAgain(source: Source) {
  const readings = () => {
    const { quotes, rejected } = source.status()
    return Object.values(rejected).reduce((sum, count) => sum + count, quotes)
  }
  const before = readings()
  await soon(() => expect(readings()).toBeGreaterThanOrEqual(before + 2))
}

/** A result in place of the right one, of one method. */
export const instead =
  (of: string, misbehave: (response: ServerResponse, id: number) => unknown): Twist =>
  (method, response, id) => {
    if (method !== of) return false
    misbehave(response, id)
    return true
  }
