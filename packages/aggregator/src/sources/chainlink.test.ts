import { afterEach, describe, expect, it } from 'vitest'
import { WAD } from './decimal.js'
import {
  aggregatorAbi,
  FEED,
  feedOf,
  HEARTBEAT,
  readOnChain,
  rejects,
  round,
  START,
  says,
  soon,
  UPTIME,
} from './onchain.test-util.js'
import { CHAIN_ID, REVERTS, reply, startRpc, type TestContract } from './rpc.test-util.js'
import type { ChainSource } from './types.js'
import { createCleanups } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

describe('Chainlink', () => {
  /** A feed of these contracts, in a block at START, read with or without a sequencer's feed. */
  async function feed(contracts: Record<string, TestContract>, sequencer?: object) {
    const rpc = await startRpc(cleanups)
    let number = 0n
    const mine = (now: Record<string, TestContract>, at = 0) => {
      number += 1n
      rpc.mine({ number, timestamp: BigInt(START + at), contracts: now })
    }
    mine(contracts)
    const chain = { chainId: CHAIN_ID, pollMs: 5, ...(sequencer && { sequencer }) } as ChainSource
    return { ...readOnChain(cleanups, { adapter: 'chainlink', url: rpc.url, chain }), rpc, mine }
  }
  const good = round(7, 20_000_000_000n, START - 10)

  it.each([
    ['zero', round(7, 0n, START), 'bad_price'],
    ['less than zero', round(7, -1n, START), 'bad_price'],
    ['the least number', round(7, -(2n ** 255n), START), 'bad_price'],
    ['never updated', round(7, 20_000_000_000n, 0), 'bad_time'],
    ['updated after the block', round(7, 20_000_000_000n, START + 1), 'bad_time'],
    ['updated in the last of days', [7n, 1n, 1n, 2n ** 256n - 1n, 7n], 'bad_time'],
    ['as old as its heartbeat', round(7, 20_000_000_000n, START - HEARTBEAT), 'stale'],
  ])('an answer that is %s is none, and withdraws the one before', async (_, latest, reason) => {
    const { source, mine } = await feed(feedOf(good))
    await says(source, 200n * WAD)
    mine(feedOf(latest))
    await rejects(source, reason)
    expect(source.quotes()).toEqual([])
    expect(Object.keys(source.status().rejected)).toEqual([reason])
    mine(feedOf(round(8, 20_100_000_000n, START - HEARTBEAT + 1)))
    await says(source, 201n * WAD)
  })

  it('each feed has its own heartbeat', async () => {
    const other = '0x00000000000000000000000000000000000000fd'
    const rpc = await startRpc(cleanups)
    const contracts = feedOf(round(7, 20_000_000_000n, START - 100))
    const both = { ...contracts, [other]: contracts[FEED] as TestContract }
    rpc.mine({ number: 1n, timestamp: BigInt(START), contracts: both })
    const market = (symbol: string, heartbeatSeconds: number) => ({
      ...{ symbol, base: 'ETH', quote: 'USD', chainlink: { heartbeatSeconds, deviationBps: 50 } },
    })
    const { source } = readOnChain(cleanups, {
      adapter: 'chainlink',
      url: rpc.url,
      markets: [market(FEED, 100), market(other, 101)],
    })
    await rejects(source, 'stale')
    await soon(() =>
      expect(source.quotes()).toMatchObject([{ market: { symbol: other }, expiresAt: (START + 1) * 1_000 }]),
    )
  })

  it.each([
    ['at its floor', 1_000n],
    ['below its floor', 999n],
    ['at its ceiling', 30_000_000_000n],
    ['beyond its ceiling', 30_000_000_001n],
  ])('pinned %s the market may be anywhere', async (_, answer) => {
    const limits = { minAnswer: 1_000n, maxAnswer: 30_000_000_000n }
    const { source, mine } = await feed(feedOf(good, limits))
    await says(source, 200n * WAD)
    mine(feedOf(round(8, answer, START), limits))
    await rejects(source, 'pinned_answer')
    expect(source.quotes()).toEqual([])
  })

  it('an aggregator without limits pins nothing; one whose limits the RPC can’t tell is not believed', async () => {
    const { source, rpc, mine } = await feed(feedOf(good, { minAnswer: REVERTS }))
    await says(source, 200n * WAD)
    // The floor's own answer, while reading the floor fails.
    mine(feedOf(round(8, 1_000n, START), { minAnswer: 1_000n, maxAnswer: 10n ** 17n }))
    let calls = 0
    rpc.twist = (method, response, id) => {
      if (method !== 'eth_call' || calls++ < 4) return false
      reply(response, id, { error: { code: -32_603, message: 'internal error' } })
      return true
    }
    await rejects(source, 'venue_error')
    expect(source.quotes().filter(({ price }) => price < WAD)).toEqual([])
  })

  it.each([
    ['down', round(1, 1n, START - 86_400), 'sequencer_down'],
    ['neither up nor down', round(1, 2n, START - 86_400), 'sequencer_down'],
    ['of no round', round(0, 0n, 0), 'sequencer_down'],
    ['up too shortly', round(1, 0n, START - 599), 'sequencer_grace'],
    ['up from the future on', round(1, 0n, START + 1), 'sequencer_grace'],
  ])('on a rollup whose sequencer is %s no answer counts', async (_, latestRoundData, reason) => {
    const rollup = (uptime: unknown) => ({
      ...feedOf(good),
      [UPTIME]: { abi: aggregatorAbi, answers: { latestRoundData: uptime } },
    })
    const up = rollup(round(1, 0n, START - 600))
    const { source, mine } = await feed(up, { feed: UPTIME, graceSeconds: 600 })
    await says(source, 200n * WAD)
    mine(rollup(latestRoundData))
    await rejects(source, reason)
    expect(source.quotes()).toEqual([])
    mine(up)
    await says(source, 200n * WAD)
  })

  it('decimals that no contract has cost no more than a glance', async () => {
    const { source, mine } = await feed(feedOf(good, {}, 10n ** 9n))
    await rejects(source, 'bad_price')
    mine(feedOf(good))
    await says(source, 200n * WAD)
  })
})
