import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  acceleratedClock,
  type Clock,
  createLogger,
  encodeReport,
  reportDigest,
  seededRandom,
  systemClock,
} from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { expect } from 'vitest'
import { WebSocketServer } from 'ws'
import type { OracleNodeConfigInput } from './config.js'
import { createOracleNode, type OracleNode, type OracleNodeParameters } from './node.js'
import { createPeerAuth, SESSION_PATH } from './observation/auth.js'
import { recoverNode } from './observation/message.js'
import { createSigner } from './observation/signer.js'
import type { FinishedReport } from './report/board.js'
import { feedUpdate, signedUpdate, testGuardians } from './sources/pythUpdate.test-util.js'

const ETH_ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const USDT_ID = '2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b'
export const networkId = keccak256(toHex('aggregator test'))
export const keys = [1, 2, 3, 4, 5, 6, 7].map((n) => keccak256(toHex(`observer ${n}`)))
const logger = createLogger({ name: 'test', level: 'silent' })
/** Slots of two real seconds for four nodes in one process, of three for seven: what they need on a busy machine. */
const speedOf = (nodes: number) => (nodes > 4 ? 2 : 3)
export const SLOT_MS = 6_000

const cleanups: (() => unknown)[] = []
/** Ends what a test started, newest first. */
export async function cleanUp(): Promise<void> {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
}
/** Registers what must be ended with the test. */
export function later(end: () => unknown): void {
  cleanups.push(end)
}

export async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Below the ephemeral range, so that no outgoing connection takes one between this check and its use. */
let nextPort = 12_000 + ((process.pid * 16) % 16_000)

/** Ports that are free, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const server = createServer()
    const free = await listen(server, nextPort).catch(() => null)
    await new Promise((done) => server.close(done))
    if (free !== null) ports.push(free)
    nextPort += 1
  }
  return ports
}

/** All venues on one port by path, quoting ETH at 200.5 USD, times `factor` for a lie, every 100 ms. */
export async function startVenues(clock: Clock, factor = 1): Promise<string> {
  const at = (price: number) => (price * factor).toFixed(2)
  const http = createServer((request, response) => {
    expect(request.url).toContain('/v2/updates/price/stream')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = () =>
      response.write(
        `data: ${JSON.stringify({ binary: { encoding: 'hex', data: [pyth().toString('hex')] } })}\n\n`,
      )
    send()
    const timer = setInterval(send, PYTH_MS)
    response.on('close', () => clearInterval(timer))
  })
  let signed = { at: Number.NEGATIVE_INFINITY, update: Buffer.from([]) as Buffer }
  /** One update for all connections: signing is dear, and this test's nodes share a thread with it. */
  const pyth = () => {
    if (clock.now() - signed.at < 2 * PYTH_MS) return signed.update
    const publishTime = Math.floor(clock.now() / 1000)
    const prices = [
      { id: ETH_ID, price: BigInt(Math.round(20_050_000_000 * factor)), conf: 2_000_000n, publishTime },
      { id: USDT_ID, price: 100_000_000n, conf: 2_000_000n, publishTime },
    ]
    signed = { at: clock.now(), update: signedUpdate(prices, { guardians: [0] }) }
    return signed.update
  }
  const iso = () => new Date(clock.now()).toISOString()
  const frames: Record<string, (sequence: number) => unknown[]> = {
    '/binance': (sequence) => [
      { u: sequence, s: 'ETHUSDT', b: at(200.4), B: '1', a: at(200.5), A: '1' },
      { e: 'aggTrade', E: clock.now(), s: 'ETHUSDT', a: sequence, p: at(200.45), T: clock.now() },
      'not an object',
    ],
    '/coinbase': (sequence) => [
      ...['ETH-USD', 'USDT-USD'].map((product_id, index) => {
        const [best_bid, best_ask] = index === 0 ? [at(200.5), at(200.6)] : ['0.9999', '1.0001']
        return {
          type: 'ticker',
          trade_id: sequence,
          product_id,
          price: best_bid,
          best_bid,
          best_ask,
          time: iso(),
        }
      }),
      { type: 'heartbeat', last_trade_id: sequence, product_id: 'ETH-USD', time: iso() },
    ],
    '/kraken': () => [
      {
        channel: 'ticker',
        type: 'update',
        data: [
          {
            symbol: 'ETH/USD',
            bid: Number(at(200.45)),
            ask: Number(at(200.55)),
            last: Number(at(200.5)),
            timestamp: iso(),
          },
          { symbol: 'USDT/USD', bid: 0.9998, ask: 1.0002, last: 1, timestamp: iso() },
        ],
      },
      { channel: 'heartbeat' },
    ],
    '/gemini': (sequence) => [
      { type: 'tick', symbol: 'ETH-USD', price: at(200.51), ts: clock.now(), seq: sequence },
    ],
    '/ws': () => [feedUpdate(ETH_ID, pyth())],
  }
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket, request) => {
    const make = frames[request.url ?? ''] ?? (() => [])
    socket.on('error', () => {})
    socket.once('message', () => {
      let sequence = 0
      const send = () => {
        sequence += 1
        for (const frame of make(sequence))
          socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
      }
      send()
      const timer = setInterval(send, request.url === '/ws' ? PYTH_MS : 100)
      socket.on('close', () => clearInterval(timer))
    })
  })
  const port = await listen(http)
  cleanups.push(() => {
    for (const client of sockets.clients) client.terminate()
    http.closeAllConnections()
    return new Promise((done) => http.close(done))
  })
  return `127.0.0.1:${port}`
}

/** One guardian is a set whose quorum is one: what many check is accumulator.test.ts's business, and costs each node milliseconds. */
const guardianSet = { index: testGuardians.index, addresses: testGuardians.addresses.slice(0, 1) as Hex[] }
/** As often as Pyth itself. */
const PYTH_MS = 400

const market = (symbol: string, base: string, quote: string) => ({ symbol, base, quote })
const pythMarkets = [
  { ...market('Crypto.ETH/USD', 'ETH', 'USD'), pythId: ETH_ID },
  { ...market('Crypto.USDT/USD', 'USDT', 'USD'), pythId: `0x${USDT_ID}` },
]

async function makeConfigs(
  venues: string,
  clock: { startMs: number; realStartMs: number; speed: number },
  count: number,
) {
  const ports = await freePorts(count)
  const directory = await mkdtemp(join(tmpdir(), 'clearspan-oracle-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const nodes = keys.slice(0, count).map((key, at) => ({
    url: `http://127.0.0.1:${ports[at]}`,
    signer: privateKeyToAddress(key),
  }))
  return nodes.map(
    (_, index): OracleNodeConfigInput => ({
      networkId,
      clock,
      index,
      oracle: {
        epoch: 1,
        slotMs: SLOT_MS,
        feeds: [
          { name: 'ETH/USD', exponent: -8 },
          { name: 'USDT/USD', exponent: -8 },
        ],
        nodes,
      },
      sources: [
        {
          id: 'binance',
          adapter: 'binance',
          url: `ws://${venues}/binance`,
          tags: ['binance'],
          markets: [market('ETHUSDT', 'ETH', 'USDT')],
        },
        {
          id: 'coinbase',
          adapter: 'coinbase',
          url: `ws://${venues}/coinbase`,
          tags: ['coinbase'],
          markets: [market('ETH-USD', 'ETH', 'USD'), market('USDT-USD', 'USDT', 'USD')],
        },
        {
          id: 'kraken',
          adapter: 'kraken',
          url: `ws://${venues}/kraken`,
          tags: ['kraken'],
          markets: [market('ETH/USD', 'ETH', 'USD'), market('USDT/USD', 'USDT', 'USD')],
        },
        {
          id: 'gemini',
          adapter: 'replay',
          url: `ws://${venues}/gemini`,
          tags: ['gemini'],
          markets: [market('ETH-USD', 'ETH', 'USD')],
        },
        {
          id: 'hermes',
          adapter: 'hermes',
          url: `http://${venues}`,
          tags: ['pyth'],
          markets: pythMarkets,
          guardianSets: [guardianSet],
        },
        {
          id: 'price-service',
          adapter: 'price-service',
          url: `http://${venues}`,
          tags: ['pyth'],
          markets: pythMarkets,
          guardianSets: [guardianSet],
        },
      ],
      listen: { host: '127.0.0.1', port: ports[index] ?? 0 },
      dataDir: join(directory, String(index)),
    }),
  )
}

/** Finished reports from a node's stream, until the caller has enough. */
async function* reportsOf(url: string): AsyncGenerator<FinishedReport> {
  const abort = new AbortController()
  try {
    const response = await fetch(`${url}/reports/stream`, { signal: abort.signal })
    let buffer = ''
    for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
      buffer += chunk
      const events = buffer.split('\n\n')
      buffer = events.pop() ?? ''
      for (const event of events) {
        const data = event.indexOf('data: ')
        if (data >= 0) yield JSON.parse(event.slice(data + 6)) as FinishedReport
      }
    }
  } finally {
    abort.abort()
  }
}

export async function collect(
  url: string,
  done: (reports: FinishedReport[]) => boolean,
): Promise<FinishedReport[]> {
  const reports: FinishedReport[] = []
  for await (const report of reportsOf(url)) {
    reports.push(report)
    if (done(reports)) break
  }
  return reports
}

export const isPriced = ({ reasons }: FinishedReport) => Object.keys(reasons).length === 0
export const consecutive = (reports: FinishedReport[]) =>
  reports.length >= 3 && Number(reports.at(-1)?.seq) - Number(reports.at(-3)?.seq) === 2

/** Reads calldata back and recovers who signed it, from the layout alone. */
export async function verify(report: FinishedReport, config: OracleNodeConfigInput): Promise<number[]> {
  const decoded = {
    epoch: report.report.epoch,
    seq: BigInt(report.report.seq),
    prices: report.report.prices.map(({ price, confidence }) => ({ price: BigInt(price), confidence })),
  }
  const digest = reportDigest(decoded, config.oracle.feeds, config.networkId)
  const head = 2 + (4 + 8 + 1 + 32) * 2
  const bitmap = Number.parseInt(report.encoded.slice(head, head + 8), 16)
  const signers = config.oracle.nodes.map((_, bit) => bit).filter((bit) => bitmap & (1 << bit))
  const signatures = signers.map((signer, at) => {
    const from = head + 8 + at * 128
    return { signer, signature: `0x${report.encoded.slice(from, from + 128)}` as Hex }
  })
  expect(encodeReport(decoded, signatures)).toBe(report.encoded)
  for (const { signer, signature } of signatures) {
    expect(await recoverNode(digest, signature, config.oracle)).toBe(signer)
  }
  return signers
}

export function makeNode(
  config: OracleNodeConfigInput,
  networkClock: Clock,
  change: Partial<OracleNodeParameters> = {},
): OracleNode {
  const node = createOracleNode({
    config,
    networkClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger,
    signer: createSigner(keys[config.index] ?? networkId),
    ...change,
  })
  cleanups.push(() => node.stop())
  return node
}

/** Posts a body to a node with another node's authentication. */
export async function postAs(from: number, config: OracleNodeConfigInput, path: string, value: unknown) {
  const { networkId: id, oracle, index } = config
  const signer = createSigner(keys[from] ?? '0x')
  const protocol = { networkId: id, oracle }
  const auth = createPeerAuth({ protocol, index: from, signer, realClock: systemClock })
  const body = typeof value === 'string' ? value : JSON.stringify(value)
  const post = (at: string, text: string, headers: Record<string, string> = {}) =>
    fetch(`${oracle.nodes[index]?.url}${at}`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: text,
    })
  const offer = await auth.offer(index)
  const session = offer.accept(await (await post(SESSION_PATH, offer.body)).text())
  if (!session) throw new Error('the node opened no session')
  return post(path, body, session.sign('POST', path, body).headers)
}

export async function setUp(nodes = 4) {
  const startMs = Date.parse('2020-03-12T00:00:00Z')
  const options = { startMs, realStartMs: Date.now(), speed: speedOf(nodes) }
  const clock = acceleratedClock(options)
  const configs = await makeConfigs(await startVenues(clock), options, nodes)
  return { clock, configs }
}
