import { type ChainClient, createLogger, systemClock } from '@clearspan/shared'
import { encodeEventTopics, getAddress, type Hex, numberToHex, pad, parseAbi } from 'viem'
import { afterEach, expect, it } from 'vitest'
import { type ChainFeed, type ChainLog, createChainFeed } from './feed.js'

const address = getAddress(pad('0x1', { size: 20 }))
const abi = parseAbi(['event Noted()'])
/** A chain with one log in each block. */
function createChain() {
  let head = 0n
  let branch = 1_000n
  const hashAt = (block: bigint) => pad(numberToHex(block + branch))
  /** A node of it, which keeps back the logs of some blocks. */
  const node = (keepsBack: (block: bigint) => boolean = () => false, isDown = () => false) =>
    ({
      pollingInterval: 1,
      getBlock: async ({ blockNumber = head }: { blockNumber?: bigint }) => ({
        number: blockNumber,
        hash: hashAt(blockNumber),
        parentHash: hashAt(blockNumber - 1n),
      }),
      getLogs: async (asked: { fromBlock: bigint; toBlock: bigint } | { blockHash: Hex }) => {
        if (isDown()) throw new Error('down')
        const only = 'blockHash' in asked ? BigInt(asked.blockHash) - branch : undefined
        const { fromBlock, toBlock } = 'fromBlock' in asked ? asked : { fromBlock: only!, toBlock: only! }
        const logs: object[] = []
        for (let block = fromBlock; block <= toBlock; block++)
          if (!keepsBack(block))
            logs.push({
              address,
              blockNumber: block,
              blockHash: hashAt(block),
              topics: encodeEventTopics({ abi, eventName: 'Noted' }),
            })
        return logs
      },
    }) as unknown as ChainClient
  const grow = (blocks: bigint) => {
    head += blocks
  }
  /** From now on every block is another. */
  const fork = () => {
    branch += 1_000n
  }
  return { node, grow, fork }
}

const ends: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

function start(client: ChainClient, witnesses: readonly ChainClient[], startBlock = 1n) {
  const seen: { listener: string; block: bigint }[] = []
  const feed = createChainFeed({
    client,
    witnesses,
    startBlock,
    logRange: 10n,
    rereadBlocks: 5n,
    clock: systemClock,
    logger: createLogger({ name: 'test', level: 'silent' }),
  })
  const note = (listener: string) => (logs: ChainLog[]) =>
    void seen.push(...logs.map(({ blockNumber: block }) => ({ listener, block })))
  feed.listen({ addresses: [address], abi, onLogs: note('plain') })
  feed.listen({ addresses: [address], abi, scrubbed: true, onLogs: note('scrubbed') })
  const abort = new AbortController()
  const running = feed.run(abort.signal)
  ends.push(async () => {
    abort.abort()
    await running
  })
  const count = (listener: string, block: bigint) =>
    seen.filter((one) => one.listener === listener && one.block === block).length
  return { feed, count }
}

const reached = (feed: ChainFeed, block: bigint) => expect.poll(() => feed.head()?.number).toBe(block)

it('hands every log out once while nothing asks for more', async () => {
  const { node, grow } = createChain()
  grow(25n)
  const client = node()
  const { feed, count } = start(client, [client])
  await reached(feed, 25n)
  grow(3n)
  await reached(feed, 28n)
  for (let block = 1n; block <= 28n; block++) expect(count('plain', block)).toBe(1)
})

it('each sweep reads what lies just below the head again, from one node after another', async () => {
  const { node, grow } = createChain()
  grow(20n)
  const forgetful = node((block) => block === 18n)
  const { feed, count } = start(forgetful, [forgetful, node()])
  await reached(feed, 20n)
  expect(count('plain', 18n)).toBe(0)
  for (let sweep = 1n; sweep <= 2n; sweep++) {
    feed.sweep()
    grow(1n)
    await reached(feed, 20n + sweep)
  }
  await expect.poll(() => count('plain', 18n)).toBeGreaterThan(0)
})

it('asks another node at each sweep, however many heads come between two', async () => {
  const { node, grow } = createChain()
  grow(20n)
  const forgetful = node((block) => block === 20n)
  const { feed, count } = start(forgetful, [forgetful, node()])
  await reached(feed, 20n)
  for (let head = 21n; head <= 24n; head++) {
    // Every other head only: always the same node's turn, if each head were one.
    if (head % 2n === 0n) feed.sweep()
    grow(1n)
    await reached(feed, head)
  }
  await expect.poll(() => count('plain', 20n)).toBeGreaterThan(0)
})

it('sweeps read the whole past again, a stretch each, for those who can not know otherwise', async () => {
  const { node, grow } = createChain()
  grow(40n)
  let forgets = true
  const client = node((block) => forgets && block === 13n)
  const { feed, count } = start(client, [client])
  await reached(feed, 40n)
  forgets = false
  const scrubbed = () => {
    feed.sweep()
    grow(1n)
    return count('scrubbed', 13n)
  }
  expect(count('scrubbed', 13n)).toBe(0)
  // Every block in its turn, and again from the start.
  await expect.poll(scrubbed).toBe(1)
  await expect.poll(scrubbed).toBe(2)
  expect(count('plain', 13n)).toBe(0)
})

it('a node that is down when the past is asked keeps nothing new from being read', async () => {
  const { node, grow } = createChain()
  grow(10n)
  let forgets = true
  const client = node((block) => forgets && block === 4n)
  const down = node(undefined, () => true)
  const { feed, count } = start(client, [down, client])
  await reached(feed, 10n)
  forgets = false
  feed.reread(0n)
  for (let more = 1n; more <= 2n; more++) {
    grow(1n)
    await reached(feed, 10n + more)
  }
  await expect.poll(() => count('plain', 4n)).toBe(1)
  expect(count('plain', 12n)).toBe(1)
})

it('after a reorg deeper than anybody remembers, all is read again that is of interest, and nothing before', async () => {
  const { node, grow, fork } = createChain()
  grow(20n)
  const client = node()
  const { feed, count } = start(client, [client], 4n)
  await reached(feed, 20n)
  fork()
  grow(1n)
  await reached(feed, 21n)
  expect([3n, 4n, 20n, 21n].map((block) => count('plain', block))).toEqual([0, 2, 2, 1])
})
