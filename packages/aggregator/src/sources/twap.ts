import { type Address, isAddressEqual, parseAbi } from 'viem'
import { rejected } from './decimal.js'
import {
  BadAnswer,
  type ChainClient,
  type ChainReader,
  isRevert,
  MAX_DECIMALS,
  type ReadAt,
} from './onchain.js'

const poolAbi = parseAbi([
  'function token0() view returns (address)',
  'function token1() view returns (address)',
  'function slot0() view returns (uint160, int24, uint16, uint16 observationCardinality, uint16, uint8, bool)',
  'function observe(uint32[]) view returns (int56[], uint160[])',
])
const tokenAbi = parseAbi(['function decimals() view returns (uint8)'])

const Q128 = 1n << 128n
const MAX_UINT160 = (1n << 160n) - 1n
/** Beyond these ticks a pool has no price. */
const MAX_TICK = 887_272n

interface Pool {
  token0: Address
  token1: Address
  decimals0: number
  decimals1: number
}

/**
 * Reads the time-weighted average price of a Uniswap v3 pool over a window that ends at the block, by `observe`. A price moved within
 * one block hardly moves it. It counts only while the pool can keep enough observations, has the whole window, and had enough
 * liquidity throughout. It holds for one more window.
 */
export const readTwap: ChainReader = async (client, market, at) => {
  const { symbol, twap } = market
  if (!twap) throw new TypeError(`market ${symbol} needs \`twap\``)
  // Each time, though a pool never changes: what a faulty RPC says of it once must not outlast the fault.
  const pool = await readPool(client, symbol as Address, at)
  const baseIsFirst = isAddressEqual(twap.baseToken as Address, pool.token0)
  if (!baseIsFirst && !isAddressEqual(twap.baseToken as Address, pool.token1)) {
    return rejected('unexpected_shape', symbol)
  }
  const average = await consult(client, symbol as Address, twap.windowSeconds, at)
  if (!average || average.cardinality < twap.minCardinality) return rejected('thin_history', symbol)
  if (average.liquidity < BigInt(twap.minLiquidity)) return rejected('thin_liquidity', symbol)
  const known = pool.decimals0 <= MAX_DECIMALS && pool.decimals1 <= MAX_DECIMALS
  const price = known ? priceAtTick(average.tick, pool, baseIsFirst) : null
  if (price === null) return rejected('bad_price', symbol)
  const tick = {
    symbol,
    price,
    confidence: (price * BigInt(twap.bandBps)) / 10_000n,
    eventTime: Number(at.timestamp) * 1000,
    sequence: at.blockNumber,
    expiresAt: (Number(at.timestamp) + twap.windowSeconds) * 1000,
  }
  return { kind: 'ticks', ticks: [tick] }
}

async function readPool(client: ChainClient, address: Address, { blockNumber }: ReadAt): Promise<Pool> {
  const [token0, token1] = await Promise.all([
    client.readContract({ address, abi: poolAbi, functionName: 'token0', blockNumber }),
    client.readContract({ address, abi: poolAbi, functionName: 'token1', blockNumber }),
  ])
  const decimals = (token: Address) =>
    client.readContract({ address: token, abi: tokenAbi, functionName: 'decimals', blockNumber })
  const [decimals0, decimals1] = await Promise.all([decimals(token0), decimals(token1)])
  return { token0, token1, decimals0, decimals1 }
}

/** The mean tick and the harmonic mean liquidity of the window; null when the pool doesn't remember all of it. */
async function consult(
  client: ChainClient,
  address: Address,
  window: number,
  { blockNumber }: ReadAt,
): Promise<{ tick: bigint; liquidity: bigint; cardinality: number } | null> {
  const slot0 = client.readContract({ address, abi: poolAbi, functionName: 'slot0', blockNumber })
  const observed = client
    .readContract({ address, abi: poolAbi, functionName: 'observe', args: [[window, 0]], blockNumber })
    .catch((error: unknown) => {
      // A window from before the oldest observation reverts.
      if (isRevert(error)) return null
      throw error
    })
  const [[, , , cardinality], observation] = await Promise.all([slot0, observed])
  if (!observation) return null
  const [[tick0, tick1], [inverse0, inverse1]] = observation
  if (tick0 === undefined || tick1 === undefined || inverse0 === undefined || inverse1 === undefined) {
    throw new BadAnswer('unexpected_shape')
  }
  return {
    tick: meanTick(tick0, tick1, window),
    liquidity: harmonicLiquidity(inverse0, inverse1, window),
    cardinality,
  }
}

/** Mean tick between two cumulative ticks, rounded toward minus infinity; the accumulators wrap at 56 bits. */
export function meanTick(from: bigint, to: bigint, window: number): bigint {
  const delta = BigInt.asIntN(56, to - from)
  const seconds = BigInt(window)
  const quotient = delta / seconds
  return delta < 0n && delta % seconds !== 0n ? quotient - 1n : quotient
}

/** Harmonic mean of in-range liquidity between two accumulators of seconds per liquidity (Q128, wrapping at 160 bits). */
export function harmonicLiquidity(from: bigint, to: bigint, window: number): bigint {
  const delta = BigInt.asUintN(160, to - from)
  return delta === 0n ? 0n : (BigInt(window) * MAX_UINT160) / (delta << 32n)
}

/** 1.0001^tick, scaled by the tokens' decimals, as WAD quote units for one base unit, rounded to nearest; null outside of what a pool can hold. */
export function priceAtTick(
  tick: bigint,
  { decimals0, decimals1 }: Pick<Pool, 'decimals0' | 'decimals1'>,
  baseIsFirst: boolean,
): bigint | null {
  if (tick > MAX_TICK || tick < -MAX_TICK) return null
  const ratio = powerOfTick(baseIsFirst ? tick : -tick)
  const [base, quote] = baseIsFirst ? [decimals0, decimals1] : [decimals1, decimals0]
  const divisor = Q128 * 10n ** BigInt(quote)
  const price = (ratio * 10n ** BigInt(18 + base) + divisor / 2n) / divisor
  return price > 0n ? price : null
}

/** 1.0001^tick in Q128 by squaring; each of at most 40 products drops less than 2^-128 of one. */
function powerOfTick(tick: bigint): bigint {
  let power = (10_001n * Q128) / 10_000n
  let result = Q128
  for (let left = tick < 0n ? -tick : tick; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * power) / Q128
    power = (power * power) / Q128
  }
  return tick < 0n ? (Q128 * Q128) / result : result
}
