import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type ChainClient, createChainClient, createLogger, createMetrics } from '@clearspan/shared'
import { type Address, encodeAbiParameters, encodeEventTopics, type Hex, numberToHex, pad } from 'viem'
import { afterEach, expect, it } from 'vitest'
import { createQuarantine } from '../chains/quarantine.js'
import { endpointAbi } from './abi.js'
import { encodePacket, packetGuid } from './packet.js'
import { confirmedPackets } from './witness.js'

// Nodes that lie, lag, or limit, over real sockets: each in front of the same chain.
const [endpoint, sendUln]: Address[] = [pad('0x1', { size: 20 }), pad('0x2', { size: 20 })]
const HEIGHT = 10n
const BLOCK = pad('0xaa')
const key = { nonce: 1n, srcEid: 1, sender: pad('0x5'), dstEid: 2, receiver: pad('0x6') }
const packet = { ...key, guid: packetGuid(key), message: '0xc0ffee' as Hex }
const log = {
  address: endpoint,
  topics: encodeEventTopics({ abi: [endpointAbi[0]], eventName: 'PacketSent' }),
  data: encodeAbiParameters(
    [{ type: 'bytes' }, { type: 'bytes' }, { type: 'address' }],
    [encodePacket(packet), '0x', sendUln!],
  ),
  blockNumber: numberToHex(HEIGHT),
  blockHash: BLOCK,
  transactionHash: pad('0x7'),
  transactionIndex: '0x0',
  logIndex: '0x0',
  removed: false,
}
const block = { number: numberToHex(HEIGHT), hash: BLOCK, timestamp: '0x64', transactions: [] }
const truth: Record<string, unknown> = {
  eth_blockNumber: numberToHex(HEIGHT + 1n),
  eth_getBlockByNumber: block,
  eth_getLogs: [log],
}

const closes: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closes.splice(0)) await close()
})

/** A node that says the truth but for these answers; 429 to every request that it limits. */
async function node(
  answers: Record<string, unknown> = {},
  limits: (method: string) => boolean = () => false,
): Promise<ChainClient> {
  const server = createServer(async (request, response) => {
    const { id, method } = JSON.parse(Buffer.concat(await request.toArray()).toString())
    if (limits(method)) return void response.writeHead(429).end()
    const result = { ...truth, ...answers }[method]
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ jsonrpc: '2.0', id, result }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closes.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  const rpcUrls = [`http://127.0.0.1:${(server.address() as AddressInfo).port}`]
  return createChainClient({ chainId: 1, rpcUrls, blockMs: 1_000 })
}

const asked = [{ packet, blockNumber: HEIGHT, blockHash: BLOCK, confirmations: 2n }]
const lies = { eth_getBlockByNumber: { ...block, hash: pad('0xbb') } }
const lags = { eth_blockNumber: numberToHex(HEIGHT) }
const keepsBack = { eth_getLogs: [] }

function watched(nodes: readonly ChainClient[]) {
  let now = 0
  const lines: { node: number; what: string }[] = []
  const metrics = createMetrics()
  const quarantine = createQuarantine({
    chain: 'alpha',
    nodes,
    clock: { now: () => now, sleep: async () => {} },
    logger: createLogger({
      name: 'test',
      level: 'error',
      destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
    }),
    metrics,
  })
  const confirm = async () =>
    (await confirmedPackets(nodes, { endpoint: endpoint!, sendUln: sendUln! }, asked, quarantine)).size
  return { confirm, quarantine, lines, metrics, pass: (ms: number) => (now += ms) }
}

it('more than half agree: the liar and the one that keeps back are named, counted and left out', async () => {
  const nodes = [await node(), await node(lies), await node(), await node(keepsBack), await node()]
  const { confirm, quarantine, lines, metrics, pass } = watched(nodes)
  expect(await confirm()).toBe(1)
  // Nobody waits for those that disagree.
  await expect
    .poll(() => nodes.map((one) => quarantine.holds(one)))
    .toEqual([false, true, false, true, false])
  lines.sort((a, b) => a.node - b.node)
  expect(lines.map(({ node: index, what }) => [index, what])).toEqual([
    [1, 'another block 10'],
    [3, `keeps back ${packet.guid}`],
  ])
  expect(await metrics.text()).toMatch(/rpc_dissents_total\{chain="alpha",node="1"\} 1/)
  expect(await confirm()).toBe(1)
  expect(lines).toHaveLength(2)
  pass(10_000)
  expect(await confirm()).toBe(1)
  await expect.poll(() => lines.length).toBe(4)
  pass(10_000)
  // The second time for twice as long.
  expect(quarantine.holds(nodes[1]!)).toBe(true)
})

it('those that lag or limit abstain: they are no liars, and fewer do not suffice without them', async () => {
  let limits = true
  const nodes = [await node(), await node(lags), await node({}, () => limits)]
  const { confirm, lines } = watched(nodes)
  expect(await confirm()).toBe(0)
  limits = false
  expect(await confirm()).toBe(1)
  expect(lines).toEqual([])
})

it('a node is asked once what a block holds, unless it has kept that back, and each time which block there is', async () => {
  const asked: Record<string, string[]> = { honest: [], other: [] }
  const listens = (list: string[]) => (method: string) => {
    list.push(method)
    return false
  }
  const truthful = { ...truth }
  const nodes = [
    await node(truthful, listens(asked.honest!)),
    await node({}, listens(asked.other!)),
    await node(keepsBack),
  ]
  const { confirm, pass } = watched(nodes)
  expect([await confirm(), await confirm()]).toEqual([1, 1])
  const count = (list: string[] | undefined, wanted: string) => list?.filter((one) => one === wanted).length
  for (const list of Object.values(asked))
    expect([count(list, 'eth_getLogs'), count(list, 'eth_getBlockByNumber')]).toEqual([1, 2])
  // The chain has another block there now.
  pass(60_000)
  truthful.eth_getBlockByNumber = { ...block, hash: pad('0xdd') }
  expect(await confirm()).toBe(0)
})

it('a node in quarantine lowers no quorum, even when the others fall silent', async () => {
  let limits = false
  const nodes = [await node(), await node({}, () => limits), await node(lies)]
  const { confirm, quarantine } = watched(nodes)
  expect(await confirm()).toBe(1)
  await expect.poll(() => quarantine.holds(nodes[2]!)).toBe(true)
  limits = true
  expect(await confirm()).toBe(0)
})

it('a minority that makes a packet up is not believed, and named', async () => {
  const nodes = [await node(), await node(keepsBack), await node(keepsBack)]
  const { confirm, lines } = watched(nodes)
  expect(await confirm()).toBe(0)
  expect(lines.map(({ node: index, what }) => [index, what])).toEqual([[0, `makes up ${packet.guid}`]])
})

it('where no majority says the same, nobody is believed or accused', async () => {
  const lie = { eth_getBlockByNumber: { ...block, hash: pad('0xcc') } }
  const nodes = [await node(), await node(lies), await node(lie)]
  const { confirm, lines } = watched(nodes)
  expect(await confirm()).toBe(0)
  expect(lines).toEqual([])
})
