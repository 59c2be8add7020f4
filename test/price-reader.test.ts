import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createOracleNode, createSigner } from '@clearspan/aggregator'
import {
  aggregatorAdapterAbi,
  priceOracleAbi,
  priceOracleBytecode,
  priceReaderAbi,
} from '@clearspan/contracts'
import { createBatch, localAccounts, startBlockProducer, startChains } from '@clearspan/devnet'
import { followReports, latestReport, type OracleManifest, updateCall } from '@clearspan/sdk'
import {
  createLogger,
  createShutdown,
  decodeReport,
  fetchHandover,
  handoverArgument,
  handoverOf,
  seededRandom,
  systemClock,
} from '@clearspan/shared'
import { type Address, keccak256, parseEther, stringToHex, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { WebSocketServer } from 'ws'
import { act, type Connection, connect, deployReader } from '../examples/price-reader.js'
import { openRunDirectory } from '../packages/devnet/src/processes/index.js'
import { temporaryDirectory } from './clearspan.js'

// Five oracle nodes in this process, one chain, and no relayer: the only reports that the chain ever sees are those that users bring. Meanwhile the
// first four hand over to the last four, and the readers have the manifest of before.
const SLOT_SECONDS = 2
const PRICE = 200_500_000_000_000_000_000n
const CHAIN_ID = 31_950
/** From the nodes' start to the next epoch: time to sign the handover, and to see that the chain has it. */
const SLOTS_BEFORE_HANDOVER = 10n
const networkId = keccak256(toHex('price reader'))
const keys = [1, 2, 3, 4, 5].map((n) => keccak256(toHex(`price reader ${n}`)))
const feeds = [
  { name: 'BTC/USD', exponent: -8 },
  { name: 'ETH/USD', exponent: -8 },
]
/** A local network in real time: its nodes ask no chain which rules they should have. */
const clock = { startMs: 0, realStartMs: 0, speed: 1 }
const logger = createLogger({ name: 'test', level: 'silent' })
const shutdown = createShutdown({ logger, clock: systemClock })

let network: OracleManifest
/** First slot of the next epoch. */
let handoverSeq: bigint
let oracle: Address
let reader: Address
let user: Connection

beforeAll(async () => {
  const dir = await temporaryDirectory()
  shutdown.add('directory', dir.remove)
  handoverSeq = BigInt(Math.floor(systemClock.now() / 1_000 / SLOT_SECONDS)) + SLOTS_BEFORE_HANDOVER
  network = await startNodes(dir.path, await startVenue())
  const run = await openRunDirectory({ path: join(dir.path, 'run'), logger, clock: systemClock })
  shutdown.add('processes', () => run.close())
  const [chain] = await startChains({
    run,
    chains: [{ name: 'alpha', chainId: CHAIN_ID, port: 0, portOption: '' }],
    genesisTime: Math.floor(systemClock.now() / 1000) - 60,
    accounts: 2,
  })
  const [deployer, account] = localAccounts(2)
  const batch = await createBatch(chain!, deployer!)
  const limits = { jumpBase: 1_000, jumpPerMinute: 100, jumpMax: 5_000, jumpSpan: 30, ageing: 100 }
  oracle = batch.create('PriceOracle', {
    abi: priceOracleAbi,
    bytecode: priceOracleBytecode,
    args: [networkId, deployer!.address, SLOT_SECONDS, { acceptAge: 60, ...limits }],
  })
  const signers = network.oracle.nodes.map(({ signer }) => signer)
  const listed = feeds.map(({ name, exponent }) => ({
    name: stringToHex(name, { size: 32 }),
    exponent,
    isSigned: false,
    useAge: 600,
  }))
  batch.call(oracle, {
    abi: priceOracleAbi,
    functionName: 'openEpoch',
    args: [{ epoch: 1, firstSeq: 1n, lastSeq: 2n ** 40n, configHash: networkId, signers, feeds: listed }],
  })
  await batch.send()
  const producer = startBlockProducer({
    chains: [chain!],
    clock: systemClock,
    realClock: systemClock,
    intervalMs: 500,
    logger,
  })
  shutdown.add('blocks', () => producer.stop())
  user = connect(CHAIN_ID, chain!.rpcUrl, account!)
  await deliverHandover()
  reader = await deployReader(user, { oracle, feed: 1n, maxAge: 60n })
}, 120_000)
afterAll(() => shutdown.run())

/** Three venues on one port, by path. */
async function startVenue(): Promise<string> {
  const server = createServer()
  const sockets = new WebSocketServer({ server })
  sockets.on('connection', (socket) => {
    let seq = 0
    const send = () => {
      seq += 1
      for (const [symbol, price] of [
        ['ETH-USD', '200.5'],
        ['BTC-USD', '5000'],
      ])
        socket.send(JSON.stringify({ type: 'tick', symbol, price, ts: Date.now(), seq }))
    }
    const timer = setInterval(send, 200)
    socket.on('close', () => clearInterval(timer))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  shutdown.add('venue', () => {
    for (const client of sockets.clients) client.terminate()
    return new Promise((done) => server.close(done))
  })
  return `ws://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function startNodes(path: string, venue: string): Promise<OracleManifest> {
  const listen = { host: '127.0.0.1' }
  const ports = await Promise.all(
    keys.map(async () => {
      const server = createServer().listen(0, listen.host)
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo
      await new Promise((done) => server.close(done))
      return port
    }),
  )
  const nodes = keys.map((key, at) => ({
    url: `http://127.0.0.1:${ports[at]}`,
    signer: privateKeyToAddress(key),
  }))
  const oracle = { epoch: 1, slotMs: SLOT_SECONDS * 1000, feeds, nodes: nodes.slice(0, 4) }
  const firstSeq = Number(handoverSeq)
  const next = {
    oracle: { ...oracle, epoch: 2, nodes: nodes.slice(1) },
    firstSeq,
    lastSeq: firstSeq + 1_000_000,
    useAges: [600, 600],
  }
  await Promise.all(
    keys.map(async (key, at) => {
      const joins = at === keys.length - 1
      const { firstSeq, lastSeq } = next
      const node = createOracleNode({
        config: {
          networkId,
          clock,
          ...(joins ? { index: 3, oracle: next.oracle, firstSeq, lastSeq } : { index: at, oracle, next }),
          sources: ['a', 'b', 'c'].map((id) => ({
            id,
            adapter: 'replay',
            url: `${venue}/${id}`,
            tags: [id],
            markets: ['ETH', 'BTC'].map((base) => ({ symbol: `${base}-USD`, base, quote: 'USD' })),
          })),
          listen: { ...listen, port: ports[at]! },
          dataDir: join(path, String(at)),
        },
        networkClock: systemClock,
        realClock: systemClock,
        random: seededRandom(at),
        logger,
        signer: createSigner(key),
      })
      shutdown.add(`node ${at}`, () => node.stop())
      await node.start()
    }),
  )
  return { networkId, oracle, clock }
}

/** What the nodes have signed of the next epoch, as anyone brings it to a chain, ahead of its first slot. */
async function deliverHandover(): Promise<void> {
  const { url } = network.oracle.nodes[1]!
  const reach = { fetch, clock: systemClock }
  const signed = await vi.waitFor(
    async () => {
      const found = await fetchHandover(url, 2, reach, AbortSignal.timeout(60_000))
      expect(found).toBeDefined()
      return found!
    },
    { timeout: 60_000, interval: 200 },
  )
  const hash = await user.wallet.writeContract({
    address: oracle,
    abi: priceOracleAbi,
    functionName: 'handOver',
    args: [handoverArgument(handoverOf(signed)), signed.signatures],
  })
  expect((await user.client.waitForTransactionReceipt({ hash })).status).toBe('success')
}

/** The first report with a price of every feed. */
async function firstPriced() {
  for await (const report of followReports(network))
    if (decodeReport(report.encoded, network.oracle).report.prices.every(({ price }) => price > 0n)) return
}

const stored = async () =>
  (await user.client.readContract({ address: oracle, abi: priceOracleAbi, functionName: 'latest' }))[1]

test('a chain without a price has one in the transaction that needs it', { timeout: 120_000 }, async () => {
  expect(await stored()).toBe(0n)
  await firstPriced()
  const report = await latestReport(network)
  const deal = await act(user, reader, report.encoded, parseEther('2'))
  expect(await stored()).toBe(report.seq)
  expect(deal.observedAt).toBe(BigInt(report.observedAt / 1000))
  expect(deal.low).toBeLessThan(2n * PRICE)
  expect(deal.high).toBeGreaterThan(2n * PRICE)
  expect(deal.high - deal.low).toBeLessThan(PRICE / 100n)
})

test('each new report of the stream is carried, through whichever interface', {
  timeout: 120_000,
}, async () => {
  const ways = ['act', 'actOnAggregator', 'actOnPyth'] as const
  const carried: bigint[] = []
  for await (const { seq, encoded } of followReports(network)) {
    const way = ways[carried.length]
    if (way === undefined) break
    const { low, high } = await act(user, reader, encoded, parseEther('1'), way)
    expect(await stored()).toBe(seq)
    expect(low <= PRICE && PRICE <= high).toBe(true)
    carried.push(seq)
  }
  expect(carried).toEqual([...carried].sort((a, b) => (a < b ? -1 : 1)))
  expect(new Set(carried).size).toBe(3)
})

test('a report that another has overtaken stops nobody, and changes nothing', {
  timeout: 120_000,
}, async () => {
  const overtaken = await latestReport(network)
  for await (const newer of followReports(network)) {
    if (newer.seq <= overtaken.seq) continue
    await act(user, reader, newer.encoded, parseEther('1'))
    const deal = await act(user, reader, overtaken.encoded, parseEther('1'))
    expect(await stored()).toBe(newer.seq)
    expect(deal.observedAt).toBe(BigInt(newer.observedAt / 1000))
    break
  }
})

test('an update of its own, before what reads it, needs nothing of the protocol', {
  timeout: 120_000,
}, async () => {
  const report = await latestReport(network)
  const { to, data } = updateCall(oracle, report)
  const hash = await user.wallet.sendTransaction({ to, data, gas: 500_000n })
  expect((await user.client.waitForTransactionReceipt({ hash })).status).toBe('success')
  const read = { abi: priceReaderAbi, address: reader, functionName: 'aggregator' } as const
  const address = await user.client.readContract(read)
  const [, answer, , updatedAt] = await user.client.readContract({
    address,
    abi: aggregatorAdapterAbi,
    functionName: 'latestRoundData',
  })
  expect([answer, updatedAt]).toEqual([PRICE, BigInt(report.observedAt / 1000)])
})

test('a manifest of before leads to the next signers, and their report to the chain', {
  timeout: 120_000,
}, async () => {
  for await (const { epoch, seq, encoded } of followReports(network)) {
    expect(epoch).toBe(seq < handoverSeq ? 1 : 2)
    if (epoch === 1) continue
    const { observedAt } = await act(user, reader, encoded, parseEther('1'))
    expect(observedAt).toBe(seq * BigInt(SLOT_SECONDS))
    expect(await stored()).toBe(seq)
    break
  }
  // By a reader that has followed nothing yet, too.
  expect((await latestReport({ ...network })).epoch).toBe(2)
})
