import { type ChainClient, createLogger } from '@clearspan/shared'
import { getAddress, numberToHex, pad } from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { relayerConfigSchema } from '../config.js'
import { createDepositWatch } from './deposit-watch.js'

const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const tokens = [
  { symbol: 'USDC', address: address(1) },
  { symbol: 'ETH', address: address(2) },
]

/** A vault with these totals, and how often the chain was read again. */
function watch(totals: bigint[]) {
  let now = 0
  const rereads: bigint[] = []
  const on = {
    chain: { name: 'alpha', tokens, contracts: { vault: address(9) } },
    client: {
      multicall: async () => totals.map((total) => [total, 0n, 0n] as const),
    } as unknown as ChainClient,
    feed: { head: () => ({ number: 1n }), reread: (from: bigint) => void rereads.push(from) },
  } as unknown as ChainContext
  const config = relayerConfigSchema.parse({ sweepMs: 1_000 })
  const clock = { now: () => now, sleep: async () => {} }
  const deposits = createDepositWatch(
    { config, clock, logger: createLogger({ name: 't', level: 'silent' }) },
    on,
  )
  const sweep = async () => {
    now += 1_000
    await deposits.findMissed()
    return rereads.length
  }
  return { deposits, sweep, totals }
}

it('reads the chain again when a total has stayed larger than the known counters, with growing waits', async () => {
  const { deposits, sweep, totals } = watch([30n, 5n])
  deposits.note('a', address(1), 10n)
  deposits.note('b', address(1), 20n)
  deposits.note('c', address(2), 5n)
  expect([await sweep(), await sweep()]).toEqual([0, 0])
  totals[0] = 37n
  const counts: number[] = []
  for (let i = 0; i < 12; i++) counts.push(await sweep())
  expect(counts).toEqual([0, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4])
})

it('a deposit that is known a sweep later needs no reading, and another amount is no old acquaintance', async () => {
  const { deposits, sweep, totals } = watch([7n, 0n])
  await sweep()
  deposits.note('a', address(1), 7n)
  expect(await sweep()).toBe(0)
  totals[0] = 8n
  await sweep()
  totals[0] = 9n
  expect(await sweep()).toBe(0)
  expect(await sweep()).toBe(1)
})
