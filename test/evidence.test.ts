import type { Hex } from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Packet } from '../packages/relayer/src/layerzero/packet.js'
import {
  eventData,
  FINALIZED_BELOW,
  packetOf,
  type Source,
  startSource,
  watchSource,
} from './source.test-util.js'
import {
  babbles,
  cuts,
  type Fault,
  freezes,
  hangs,
  honest,
  lags,
  lies,
  limits,
  mixesUp,
  type RpcProxy,
  startProxy,
  truncates,
} from './testProxy.js'

// Evidence of a real chain by nodes that lie, lag, limit or break: what is read by a feed and confirmed by a quorum, as a relayer attests.
const CONFIRMATIONS = 3n
let source: Source
beforeAll(async () => {
  source = await startSource()
})
afterAll(() => source.stop())

const closes: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close()
})

async function watch(
  faults: readonly Fault[],
  { timeoutMs = 5_000, confirmations = CONFIRMATIONS, finalized = false } = {},
) {
  const nodes: RpcProxy[] = []
  for (const fault of faults) {
    const node = await startProxy(source.url, fault)
    nodes.push(node)
    closes.push(node.close)
  }
  const startBlock = (await source.client.getBlockNumber()) + 1n
  const urls = nodes.map(({ url }) => url)
  const relayer = watchSource(urls, { startBlock, confirmations, finalized, timeoutMs })
  closes.push(relayer.close)
  const held = () => relayer.witnesses.map((one) => relayer.quarantine.holds(one))
  return { ...relayer, nodes, held }
}

let nonce = 0n
const next = (): Packet => packetOf(++nonce)

interface Log {
  address: Hex
  data: Hex
  blockHash: Hex
  blockNumber: Hex
}
const lieOfLogs = (change: (logs: Log[]) => unknown): Fault =>
  lies(({ method }, result) => (method === 'eth_getLogs' ? change(result as Log[]) : result))
/** As if `0x...` had another first byte. */
const another = (hash: Hex) => `0x${hash.startsWith('0xff') ? '00' : 'ff'}${hash.slice(4)}` as Hex
/** Another chain from this block's hash to its children and its logs. */
const otherHashes: Fault = lies(({ method }, result) => {
  const change = (one: { hash?: Hex; parentHash?: Hex; blockHash?: Hex }) => ({
    ...one,
    ...(one.hash && { hash: another(one.hash) }),
    ...(one.parentHash && { parentHash: another(one.parentHash) }),
    ...(one.blockHash && { blockHash: another(one.blockHash) }),
  })
  if (method === 'eth_getLogs') return (result as Log[]).map(change)
  return method.startsWith('eth_getBlockBy') && result !== null ? change(result as Log) : result
})
/** Of packets that were never sent. */
const FALSE_NONCE = 1_000_000n
const makesUp = lieOfLogs((logs) =>
  logs.flatMap((log) => [log, { ...log, data: eventData(packetOf(FALSE_NONCE)) }]),
)
const onlyMadeUp = lieOfLogs((logs) =>
  logs.map((log) => ({ ...log, data: eventData(packetOf(FALSE_NONCE)) })),
)
const otherMessage = lieOfLogs((logs) =>
  logs.map((log) => ({ ...log, data: log.data.replace('c0ffee', 'badbad') })),
)

/** A packet that was sent and is deep, as the chain has it. */
async function sendDeep(): Promise<{ packet: Packet; block: bigint; hash: Hex }> {
  const packet = next()
  const block = await source.send(packet)
  await source.mine(Number(CONFIRMATIONS) - 1)
  const { hash } = await source.client.getBlock({ blockNumber: block })
  return { packet, block, hash }
}

describe('one faulty node of three: nothing false is attested, everything true still is', () => {
  const wrong: [string, Fault][] = [
    ['alters messages', otherMessage],
    ['makes packets up', makesUp],
    ['keeps logs back', lieOfLogs(() => [])],
    ['has other hashes', otherHashes],
    [
      'has logs of other contracts',
      lieOfLogs((logs) => logs.map((log) => ({ ...log, address: `0x${'77'.repeat(20)}` }))),
    ],
  ]
  const unable: [string, Fault][] = [
    [
      'lies of its height',
      lies(({ method }, result) => (method === 'eth_blockNumber' ? '0xffffffff' : result)),
    ],
    [
      'alters receipts',
      lies(({ method }, result) =>
        method === 'eth_getTransactionReceipt' ? { ...(result as object), status: '0x0' } : result,
      ),
    ],
    [
      'alters what contracts answer',
      lies(({ method }, result) => (method === 'eth_call' ? `0x${'00'.repeat(32)}` : result)),
    ],
    ['is blocks behind', lags((height) => height - 4n)],
    ['has stopped', freezes()],
    ['limits', limits()],
    ['limits for a day', limits({ retryAfter: '86400' })],
    ['limits by code', limits({ code: -32_005 })],
    ['hangs', hangs],
    ['cuts connections', cuts],
    ['answers half', truncates],
    ['answers no JSON', babbles],
    ['answers null', () => ({ result: null })],
    ['answers nothing', () => ({})],
    ['answers the request before', mixesUp()],
  ]

  test.each([
    ...wrong.map(([name, fault]) => [name, fault, true] as const),
    ...unable.map(([name, fault]) => [name, fault, false] as const),
  ])('%s', async (_, fault, isDissent) => {
    const { feed, attest, confirms, held, lines, dissents } = await watch([fault, honest, honest], {
      timeoutMs: fault === hangs ? 500 : 5_000,
    })
    const { packet, block, hash } = await sendDeep()
    await expect
      .poll(async () => {
        // As a relayer does each minute.
        feed.sweep()
        await source.mine()
        const attested = await attest()
        // Those of tests before are no lies.
        for (const one of attested) expect(one).toBeLessThanOrEqual(nonce)
        return attested
      })
      .toContain(packet.nonce)
    for (const false_ of [packetOf(FALSE_NONCE), { ...packet, message: '0xbadbad' as const }])
      expect(await confirms(false_, block, hash)).toBe(false)
    await expect.poll(held).toEqual([isDissent, false, false])
    expect(lines.map(({ node, msg }) => [node, msg])).toEqual(
      isDissent ? [[0, 'an RPC contradicts the quorum, left out']] : [],
    )
    expect(await dissents()).toBe(isDissent ? 'rpc_dissents_total{chain="source",node="0"} 1' : undefined)
  })
})

describe('two faulty nodes of three: nothing is attested, and all of it once they are well', () => {
  test.each<[string, Fault, Fault]>([
    ['one keeps logs back, one is behind', lieOfLogs(() => []), lags((height) => height - 4n)],
    ['one has other hashes, one alters messages', otherHashes, otherMessage],
    ['one limits, one cuts connections', limits(), cuts],
    ['one hangs, one makes packets up and keeps others back', hangs, onlyMadeUp],
    ['one has stopped, one answers no JSON', freezes(), babbles],
  ])('%s', async (_, first, second) => {
    const { confirms, nodes, held } = await watch([first, honest, second], { timeoutMs: 500 })
    // Both have looked at the chain as it was before.
    await confirms(packetOf(FALSE_NONCE), 1n, `0x${'00'.repeat(32)}`)
    const { packet, block, hash } = await sendDeep()
    expect(await confirms({ ...packet, message: '0xbadbad' }, block, hash)).toBe(false)
    expect(await confirms(packetOf(FALSE_NONCE), block, hash)).toBe(false)
    expect(await confirms(packet, block, hash)).toBe(false)
    expect(held()[1]).toBe(false)
    for (const node of nodes) node.set(honest)
    await expect.poll(() => confirms(packet, block, hash)).toBe(true)
  })
})

test.each<[string, Fault[], boolean]>([
  [
    'two of three are deep enough',
    [honest, lags((height) => height - 1n), lags((height) => height - 9n)],
    true,
  ],
  [
    'one of three is deep enough',
    [honest, lags((height) => height - 2n), lags((height) => height - 9n)],
    false,
  ],
  [
    'one of three says more than there is',
    [
      lies(({ method }, result) => (method === 'eth_blockNumber' ? '0xffffff' : result)),
      lags((height) => height - 2n),
      lags((height) => height - 2n),
    ],
    false,
  ],
  ['three of five', [honest, honest, lags((height) => height - 1n), hangs, cuts], true],
  ['two of five', [honest, honest, lags((height) => height - 2n), cuts, cuts], false],
])('depth counts from the height that more than half have: %s', async (_, faults, isConfirmed) => {
  const { confirms, held } = await watch(faults)
  const { packet, block, hash } = await sendDeep()
  await source.mine()
  expect(await confirms(packet, block, hash)).toBe(isConfirmed)
  expect(held()).not.toContain(true)
})

const saysFinalized: Fault = (request, ask) =>
  ask(request.params?.[0] === 'finalized' ? { ...request, params: ['latest', request.params[1]] } : request)

test.each<[string, Fault[], boolean]>([
  ['of all nodes', [honest, honest, honest], true],
  ['of two of three', [honest, honest, cuts], true],
  ['of two of three, one a block behind', [honest, honest, lags((height) => height - 1n)], true],
  [
    'of one that is a block behind and one that is down',
    [lags((height) => height - 1n), honest, cuts],
    false,
  ],
])('finalized is what the chain calls so, by the word %s', async (_, faults, isConfirmed) => {
  const { confirms, nodes } = await watch(faults, { confirmations: 1n, finalized: true })
  const packet = next()
  const block = await source.send(packet)
  const { hash } = await source.client.getBlock({ blockNumber: block })
  await source.mine(Number(FINALIZED_BELOW) - 1)
  expect((await source.client.getBlock({ blockTag: 'finalized' })).number).toBe(block - 1n)
  expect(await confirms(packet, block, hash)).toBe(false)
  // One of them alone makes nothing final.
  nodes[2]!.set(saysFinalized)
  expect(await confirms(packet, block, hash)).toBe(false)
  nodes[2]!.set(faults[2]!)
  await source.mine()
  expect(await confirms(packet, block, hash)).toBe(isConfirmed)
})

// anvil_reorg emits no removed logs: what has changed shows by hashes alone.
describe('reorgs of the source', () => {
  const depths = [1, 2, 3, 4]
  const enough = { confirmations: 5n }

  test.each(depths)('a packet gone at depth %i is never attested, and forgotten', async (depth) => {
    const { attest, outbox, feed, held } = await watch([honest, honest, honest], enough)
    const packet = next()
    const block = await source.send(packet)
    await source.mine(depth - 1)
    await expect.poll(() => outbox.size()).toBe(1)
    expect(await attest()).toEqual([])
    await source.reorg(depth)
    await source.mine(6)
    await expect.poll(() => feed.head()?.number).toBe(block + BigInt(depth) + 5n)
    expect(await attest()).toEqual([])
    expect(outbox.size()).toBe(0)
    expect(held()).not.toContain(true)
  })

  test.each(depths)(
    'a packet that a reorg of depth %i moves is attested once, where it is now',
    async (depth) => {
      const { attest, outbox } = await watch([honest, honest, honest], enough)
      const packet = next()
      const before = await source.send(packet)
      await source.mine(depth - 1)
      await expect.poll(() => outbox.size()).toBe(1)
      await source.reorg(depth)
      const after = await source.send(packet)
      expect(after).toBeGreaterThan(before)
      await source.mine(4)
      await expect.poll(attest).toEqual([packet.nonce])
      expect(outbox.pending().map(({ blockNumber }) => blockNumber)).toEqual([after])
      outbox.settle(packet.guid, 1n)
      expect(await attest()).toEqual([])
    },
  )

  test('a node that still has the old branch is outvoted, however deep the packet is there', async () => {
    const { confirms, nodes, held } = await watch([honest, honest, honest])
    const { packet, block, hash } = await sendDeep()
    expect(await confirms(packet, block, hash)).toBe(true)
    const old = await source.client.getBlock({ blockNumber: block })
    const logs = await source.client.getLogs({ blockHash: hash })
    await source.reorg(Number(CONFIRMATIONS))
    await source.mine(3)
    const rpc = (value: unknown) =>
      JSON.parse(JSON.stringify(value, (_, one) => (typeof one === 'bigint' ? `0x${one.toString(16)}` : one)))
    nodes[0]!.set((request, ask) => {
      const [what] = request.params ?? []
      if (request.method === 'eth_getLogs') return { result: rpc(logs) }
      if (request.method === 'eth_getBlockByNumber' && BigInt(String(what)) === block)
        return { result: { ...rpc(old), type: undefined } }
      return ask(request)
    })
    expect(await confirms(packet, block, hash)).toBe(false)
    await expect.poll(held).toEqual([true, false, false])
  })
})

test.each([1, 2, 3, 4])(
  'a reorg of the destination of depth %i brings back exactly what it may have undone',
  async (depth) => {
    const { outbox, feed } = await watch([honest])
    // The feed's chain as the one that packets are delivered to.
    feed.listen({ addresses: [], abi: [], onReorg: (from) => outbox.restore(from), onLogs: () => {} })
    const packets = [1, 2, 3, 4].map(() => next())
    const blocks: bigint[] = []
    for (const packet of packets) {
      const block = await source.send(packet)
      await expect.poll(() => outbox.pending().length).toBe(1)
      outbox.settle(packet.guid, block)
      blocks.push(block)
    }
    await source.reorg(depth)
    await source.mine()
    const undone = packets.slice(packets.length - depth).map(({ nonce: one }) => one)
    const waiting = () => outbox.pending().map(({ packet }) => packet.nonce)
    await expect.poll(() => feed.head()?.number).toBe(blocks.at(-1)! + 1n)
    expect(waiting()).toEqual(undone)
  },
)
