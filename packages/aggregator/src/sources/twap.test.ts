import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { WAD } from './decimal.js'
import {
  FEED,
  onChainMarkets,
  poolOf,
  readOnChain,
  rejects,
  START,
  says,
  tickOf,
  WINDOW,
} from './onchain.test-util.js'
import { REVERTS, startRpc, type TestContract } from './rpc.test-util.js'
import { harmonicLiquidity, meanTick, priceAtTick } from './twap.js'
import { createCleanups } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

describe('the arithmetic of a Uniswap v3 average', () => {
  it('rounds the mean tick toward minus infinity, across the wrap of the accumulator too', () => {
    expect(meanTick(0n, 7n, 2)).toBe(3n)
    expect(meanTick(0n, -7n, 2)).toBe(-4n)
    expect(meanTick(0n, -8n, 2)).toBe(-4n)
    expect(meanTick(2n ** 55n - 3n, -(2n ** 55n) + 4n, 2)).toBe(3n)
    expect(meanTick(-(2n ** 55n) + 3n, 2n ** 55n - 4n, 2)).toBe(-4n)
  })

  it('has the harmonic mean of liquidity: half the time at a tenth counts for almost all', () => {
    const inverse = (seconds: number, liquidity: bigint) => (BigInt(seconds) << 128n) / liquidity
    const close = (value: bigint, expected: number) => expect(Number(value) / expected).toBeCloseTo(1, 9)
    close(harmonicLiquidity(5n, 5n + inverse(600, 10n ** 18n), 600), 1e18)
    const mixed = inverse(300, 10n ** 18n) + inverse(300, 10n ** 17n)
    close(harmonicLiquidity(2n ** 160n - 9n, mixed - 9n, 600), 2 / (1 / 1e18 + 1 / 1e17))
    expect(harmonicLiquidity(1n, 1n, 600)).toBe(0n)
  })

  it('prices any tick to nine digits, both ways, and none that a pool cannot have', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -200_000, max: 200_000 }),
        fc.integer({ min: 0, max: 18 }),
        fc.integer({ min: 0, max: 18 }),
        fc.boolean(),
        (tick, decimals0, decimals1, baseIsFirst) => {
          const sign = baseIsFirst ? 1 : -1
          const expected = 1.0001 ** (sign * tick) * 10 ** (sign * (decimals0 - decimals1))
          const price = priceAtTick(BigInt(tick), { decimals0, decimals1 }, baseIsFirst)
          if (expected > 1e-8) expect(Number(price) / 1e18 / expected).toBeCloseTo(1, 8)
          else expect(price === null || price <= WAD / 10n ** 8n).toBe(true)
        },
      ),
    )
    const same = { decimals0: 18, decimals1: 18 }
    expect(priceAtTick(0n, same, true)).toBe(WAD)
    expect(priceAtTick(1n, same, true)).toBe((WAD * 10_001n) / 10_000n)
    expect(Number(priceAtTick(887_272n, same, true)) / 1e18).toBeCloseTo(1.0001 ** 887_272, -30)
    expect(priceAtTick(887_273n, same, true)).toBeNull()
    expect(priceAtTick(-887_273n, same, true)).toBeNull()
    expect(priceAtTick(-887_272n, same, true)).toBeNull()
  })
})

describe('a Uniswap v3 pool', () => {
  async function pool(contracts: Record<string, TestContract>, change: object = {}) {
    const rpc = await startRpc(cleanups)
    rpc.mine({ number: 1n, timestamp: BigInt(START), contracts })
    const market = onChainMarkets['uniswap-v3']
    const markets = [{ ...market, twap: { ...market.twap, ...change } }]
    return { ...readOnChain(cleanups, { adapter: 'uniswap-v3', url: rpc.url, markets }), rpc }
  }

  it('is asked for its window at one block, and floors a mean tick below zero', async () => {
    const total = -193_000n * BigInt(WINDOW) - 1n
    const observe = () => [
      [7n, 7n + total],
      [9n, 9n + (BigInt(WINDOW) << 128n) / 10n ** 18n],
    ]
    expect(meanTick(0n, total, WINDOW)).toBe(-193_001n)
    const { source } = await pool(poolOf(0n, { change: { observe } }))
    await says(source, priceAtTick(-193_001n, { decimals0: 6, decimals1: 18 }, false) ?? 0n)
  })

  it.each<[string, object, object, string]>([
    [
      'can keep too few observations',
      { change: { slot0: [1n, 0, 0, 49, 100, 0, true] } },
      {},
      'thin_history',
    ],
    ['doesn’t remember the window', { change: { observe: REVERTS } }, {}, 'thin_history'],
    ['was too thin', { liquidity: 10n ** 15n - 10n ** 9n }, {}, 'thin_liquidity'],
    [
      'had no liquidity',
      {
        change: {
          observe: () => [
            [0n, 0n],
            [0n, 2n ** 160n - 1n],
          ],
        },
      },
      {},
      'thin_liquidity',
    ],
    ['is of other tokens', {}, { baseToken: FEED }, 'unexpected_shape'],
    ['answers for one time', { change: { observe: () => [[5n], [9n]] } }, {}, 'unexpected_shape'],
    [
      'answers for no time',
      { change: { observe: () => [[], []] } },
      { minLiquidity: '0' },
      'unexpected_shape',
    ],
    [
      'is beyond all ticks',
      {
        change: {
          observe: () => [
            [0n, 2n ** 54n],
            [0n, 1n << 80n],
          ],
        },
      },
      {},
      'bad_price',
    ],
    ['has a token of more decimals than there are', { decimals: 10n ** 9n }, {}, 'bad_price'],
    ['has a token of other decimals than before', { decimals: 8n }, {}, 'decimal_slip'],
  ])('that %s bounds nothing', async (_, twist, change, reason) => {
    const { source, rpc } = await pool(poolOf(tickOf(200)), change)
    if (!('baseToken' in change))
      await says(source, priceAtTick(tickOf(200), { decimals0: 6, decimals1: 18 }, false) ?? 0n)
    rpc.mine({ number: 2n, timestamp: BigInt(START + 1), contracts: poolOf(tickOf(200), twist) })
    await rejects(source, reason)
    for (const quote of source.quotes()) expect(quote.eventTime).toBe(START * 1_000)
  })
})
