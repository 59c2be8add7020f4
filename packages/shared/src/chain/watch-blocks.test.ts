import { createPublicClient, custom, http, numberToHex, pad } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { startAnvil, type TestAnvil } from './anvil.test-util.js'
import { type ChainClient, createChainClient } from './client.js'
import { type BlockUpdate, watchBlocks } from './watch-blocks.js'

let anvil: TestAnvil
let client: ChainClient
beforeAll(async () => {
  anvil = await startAnvil('--no-mining')
  client = createChainClient({ chainId: 31337, rpcUrls: [anvil.url], blockMs: 40 })
})
afterAll(() => anvil.stop())

/** Watches until `stop`; `seen` holds each update as [from, head, reorged]. */
function watch(through: ChainClient = client, onBlock: (update: BlockUpdate) => void = () => {}) {
  const seen: [number, number, boolean][] = []
  const errors: unknown[] = []
  const ending = new AbortController()
  const done = watchBlocks(through, {
    onBlock: (update) => {
      onBlock(update)
      seen.push([Number(update.from), Number(update.head.number), update.reorged])
    },
    onError: (error) => errors.push(error),
    pollMs: 5,
    clock: systemClock,
    signal: ending.signal,
  })
  const stop = async () => {
    ending.abort()
    await done
  }
  return { seen, errors, stop }
}
const mine = (blocks: number) => anvil.control.mine({ blocks })

test('reports each stretch of new blocks once', async () => {
  const start = Number(await client.getBlockNumber())
  const { seen, stop } = watch()
  await expect.poll(() => seen).toEqual([[start, start, false]])
  await mine(1)
  await expect.poll(() => seen.at(-1)).toEqual([start + 1, start + 1, false])
  await mine(30)
  await expect.poll(() => seen.at(-1)?.[1]).toBe(start + 31)
  await stop()
  // Whatever the polls hit, the stretches join without gap or overlap.
  for (const [i, [from]] of seen.entries()) expect(from).toBe(i === 0 ? start : seen[i - 1]![1] + 1)
  const before = seen.length
  await mine(1)
  expect(seen.length).toBe(before)
})

test('a reorg is reported from the first block that changed', async () => {
  await mine(1)
  const start = Number(await client.getBlockNumber())
  const { seen, stop } = watch()
  await expect.poll(() => seen.length).toBe(1)
  const fork = await anvil.control.snapshot()
  for (let n = 1; n <= 3; n++) {
    await mine(1)
    await expect.poll(() => seen.at(-1)?.[1]).toBe(start + n)
  }
  await anvil.control.revert({ id: fork })
  // Another timestamp, so another hash.
  await anvil.control.increaseTime({ seconds: 100 })
  await mine(2)
  await expect.poll(() => seen.at(-1)?.[1]).toBe(start + 2)
  await stop()
  const reorg = seen.find(([, , reorged]) => reorged)
  expect(reorg?.[0]).toBe(start + 1)
  expect(seen.filter(([, , reorged]) => reorged)).toHaveLength(1)
})

test('an unreadable chain and a failing handler lose no block', async () => {
  let down = false
  const { request } = http(anvil.url, { retryCount: 0 })({})
  const flaky = createPublicClient({
    cacheTime: 0,
    transport: custom(
      {
        request: (args: Parameters<typeof request>[0]) =>
          down ? Promise.reject(new Error('down')) : request(args),
      },
      { retryCount: 0 },
    ),
  }) as ChainClient
  let fail = false
  const { seen, errors, stop } = watch(flaky, () => {
    if (fail) throw new Error('handler')
  })
  await expect.poll(() => seen.length).toBe(1)
  const start = seen[0]![1]
  down = true
  await mine(2)
  await expect.poll(() => errors.length).toBeGreaterThan(1)
  down = false
  await expect.poll(() => seen.at(-1)).toEqual([start + 1, start + 2, false])
  fail = true
  const before = errors.length
  await mine(1)
  await expect.poll(() => errors.length).toBeGreaterThan(before)
  await mine(1)
  fail = false
  await expect.poll(() => seen.at(-1)).toEqual([start + 3, start + 4, false])
  await stop()
})

/** Watches a chain that has one block more at each look, until it changes from a block on; answers [from, head, reorged] of what follows. */
async function reorgOf(heads: number, fork: bigint): Promise<[bigint, bigint, boolean]> {
  let height = 1_000n
  let branch = 0n
  let reported = 0
  const hashOf = (block: bigint) => pad(numberToHex(block + (block >= fork ? branch : 0n)))
  const chain = {
    async getBlock({ blockNumber }: { blockNumber?: bigint }) {
      if (blockNumber === undefined) height++
      const number = blockNumber ?? height
      return { number, hash: hashOf(number), parentHash: hashOf(number - 1n) }
    },
  } as unknown as ChainClient
  const ending = new AbortController()
  let found: [bigint, bigint, boolean] | undefined
  await watchBlocks(chain, {
    onBlock({ head, from, reorged }) {
      if (++reported === heads) branch = 1_000_000n
      if (reported <= heads) return
      found = [from, head.number, reorged]
      ending.abort()
    },
    onError: (error) => expect.unreachable(String(error)),
    pollMs: 0,
    clock: systemClock,
    signal: ending.signal,
  })
  return found!
}

test('a reorg deeper than all that is remembered is one of everything', async () => {
  // 129 heads, 1,001 to 1,129, of which all but the first are remembered.
  expect(await reorgOf(129, 1_001n)).toEqual([0n, 1_130n, true])
  expect(await reorgOf(129, 1_003n)).toEqual([1_003n, 1_130n, true])
})

test('a reorg just after the first head says how deep it may be', async () => {
  expect(await reorgOf(1, 1_001n)).toEqual([1_001n, 1_002n, true])
  expect(await reorgOf(1, 1_000n)).toEqual([0n, 1_002n, true])
})
