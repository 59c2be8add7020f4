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
import { createLogger, createShutdown, decodeReport, seededRandom, systemClock } from '@clearspan/shared'
import { type Address, keccak256, parseEther, stringToHex, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import { act, type Connection, connect, deployReader } from '../examples/price-reader.js'
import { openRunDirectory } from '../packages/devnet/src/processes/index.js'
import { temporaryDirectory } from './clearspan.js'

// Four oracle nodes in this process, one chain, and no relayer: the only reports that the chain ever sees are those that users bring.
const SLOT_SECONDS = 2
const PRICE = 200_500_000_000_000_000_000n
const CHAIN_ID = 31_950
const networkId = keccak256(toHex('price reader'))
const keys = [1, 2, 3, 4].map((n) => keccak256(toHex(`price reader ${n}`)))
const feeds = [
  { name: 'BTC/USD', exponent: -8 },
  { name: 'ETH/USD', exponent: -8 },
]
const logger = createLogger({ name: 'test', level: 'silent' })
const shutdown = createShutdown({ logger, clock: systemClock })

let network: OracleManifest
let oracle: Address
let reader: Address
let user: Connection

beforeAll(async () => {
  const dir = await temporaryDirectory()
  shutdown.add('directory', dir.remove)
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
  const oracle = {
    epoch: 1,
    slotMs: SLOT_SECONDS * 1000,
    feeds,
    nodes: keys.map((key, at) => ({
      url: `http://127.0.0.1:${ports[at]}`,
      signer: privateKeyToAddress(key),
    })),
  }
  await Promise.all(
    keys.map(async (key, index) => {
      const node = createOracleNode({
        config: {
          networkId,
          // Real time, on a local network.
          clock: { startMs: 0, realStartMs: 0, speed: 1 },
          index,
          oracle,
          sources: ['a', 'b', 'c'].map((id) => ({
            id,
            adapter: 'replay',
            url: `${venue}/${id}`,
            tags: [id],
            markets: ['ETH', 'BTC'].map((base) => ({ symbol: `${base}-USD`, base, quote: 'USD' })),
          })),
          listen: { ...listen, port: ports[index]! },
          dataDir: join(path, String(index)),
        },
        networkClock: systemClock,
        realClock: systemClock,
        random: seededRandom(index),
        logger,
        signer: createSigner(key),
      })
      shutdown.add(`node ${index}`, () => node.stop())
      await node.start()
    }),
  )
  return { networkId, oracle, clock: null }
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
