import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
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
  UserError,
} from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WebSocketServer } from 'ws'
import type { OracleNodeConfigInput } from './config.js'
import { createOracleNode, type OracleNode } from './node.js'
import { verifyEvidence } from './observation/evidence.js'
import { createSigner, recoverNode } from './observation/message.js'
import { toWire } from './observation/wire.js'
import type { FinishedReport } from './report/board.js'

const ETH_ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const USDT_ID = '2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b'
const networkId = keccak256(toHex('aggregator test'))
const keys = [1, 2, 3, 4].map((n) => keccak256(toHex(`observer ${n}`)))
const logger = createLogger({ name: 'test', level: 'silent' })
const SPEED = 10
const SLOT_MS = 6_000

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
})

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Below the ephemeral range, so that no outgoing connection takes one between this check and its use. */
let nextPort = 12_000 + ((process.pid * 16) % 16_000)

/** Ports that are free, all different. */
async function freePorts(count: number): Promise<number[]> {
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

/** All venues on one port by path, quoting ETH at 200.5 USD (200 USDT for one thing) every 100 ms. */
async function startVenues(clock: Clock): Promise<string> {
  let sequence = 0
  const http = createServer((request, response) => {
    expect(request.url).toContain('/v2/updates/price/stream')
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    const send = () => response.write(`data: ${JSON.stringify({ binary: {}, parsed: pythPrices() })}\n\n`)
    send()
    const timer = setInterval(send, 100)
    response.on('close', () => clearInterval(timer))
  })
  const pythPrices = () => {
    const price = (id: string, value: string) => ({
      id,
      price: { price: value, conf: '2000000', expo: -8, publish_time: Math.floor(clock.now() / 1000) },
      ema_price: { price: value, conf: '2000000', expo: -8, publish_time: Math.floor(clock.now() / 1000) },
    })
    return [price(ETH_ID, '20050000000'), price(USDT_ID, '100000000')]
  }
  const iso = () => new Date(clock.now()).toISOString()
  const frames: Record<string, () => unknown[]> = {
    '/binance': () => [
      { u: sequence, s: 'ETHUSDT', b: '200.40', B: '1', a: '200.50', A: '1' },
      { e: 'aggTrade', E: clock.now(), s: 'ETHUSDT', a: sequence, p: '200.45', T: clock.now() },
      'not an object',
    ],
    '/coinbase': () => [
      ...['ETH-USD', 'USDT-USD'].map((product_id, at) => {
        const [best_bid, best_ask] = at === 0 ? ['200.50', '200.60'] : ['0.9999', '1.0001']
        return { type: 'ticker', sequence, product_id, price: best_bid, best_bid, best_ask, time: iso() }
      }),
      { type: 'heartbeat', sequence, time: iso() },
    ],
    '/kraken': () => [
      {
        channel: 'ticker',
        type: 'update',
        data: [
          { symbol: 'ETH/USD', bid: 200.45, ask: 200.55, last: 200.5, timestamp: iso() },
          { symbol: 'USDT/USD', bid: 0.9998, ask: 1.0002, last: 1, timestamp: iso() },
        ],
      },
      { channel: 'heartbeat' },
    ],
    '/gemini': () => [{ type: 'tick', symbol: 'ETH-USD', price: '200.51', ts: clock.now(), seq: sequence }],
    '/ws': () => pythPrices().map((price_feed) => ({ type: 'price_update', price_feed })),
  }
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket, request) => {
    const make = frames[request.url ?? ''] ?? (() => [])
    socket.on('error', () => {})
    socket.once('message', () => {
      const send = () => {
        sequence += 1
        for (const frame of make()) socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame))
      }
      send()
      const timer = setInterval(send, 100)
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

const market = (symbol: string, base: string, quote: string) => ({ symbol, base, quote })
const pythMarkets = [
  { ...market('Crypto.ETH/USD', 'ETH', 'USD'), pythId: ETH_ID },
  { ...market('Crypto.USDT/USD', 'USDT', 'USD'), pythId: `0x${USDT_ID}` },
]

async function makeConfigs(venues: string, clock: { startMs: number; realStartMs: number; speed: number }) {
  const ports = await freePorts(4)
  const directory = await mkdtemp(join(tmpdir(), 'clearspan-oracle-'))
  cleanups.push(() => rm(directory, { recursive: true, force: true }))
  const nodes = keys.map((key, at) => ({
    url: `http://127.0.0.1:${ports[at]}`,
    signer: privateKeyToAddress(key),
  }))
  return keys.map(
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
        { id: 'hermes', adapter: 'hermes', url: `http://${venues}`, tags: ['pyth'], markets: pythMarkets },
        {
          id: 'price-service',
          adapter: 'price-service',
          url: `http://${venues}`,
          tags: ['pyth'],
          markets: pythMarkets,
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
      for (const event of events) yield JSON.parse(event.slice(event.indexOf('data: ') + 6)) as FinishedReport
    }
  } finally {
    abort.abort()
  }
}

async function collect(url: string, done: (reports: FinishedReport[]) => boolean): Promise<FinishedReport[]> {
  const reports: FinishedReport[] = []
  for await (const report of reportsOf(url)) {
    reports.push(report)
    if (done(reports)) break
  }
  return reports
}

const isPriced = ({ reasons }: FinishedReport) => Object.keys(reasons).length === 0
const consecutive = (reports: FinishedReport[]) =>
  reports.length >= 3 && Number(reports.at(-1)?.seq) - Number(reports.at(-3)?.seq) === 2

/** Reads calldata back and recovers who signed it, from the layout alone. */
async function verify(report: FinishedReport, config: OracleNodeConfigInput): Promise<number[]> {
  const decoded = {
    epoch: report.report.epoch,
    seq: BigInt(report.report.seq),
    prices: report.report.prices.map(({ price, confidence }) => ({ price: BigInt(price), confidence })),
  }
  const digest = reportDigest(decoded, config.oracle.feeds, config.networkId)
  const head = 2 + (4 + 8 + 1 + 32) * 2
  const bitmap = Number.parseInt(report.encoded.slice(head, head + 8), 16)
  const signers = [0, 1, 2, 3].filter((bit) => bitmap & (1 << bit))
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

function makeNode(config: OracleNodeConfigInput, networkClock: Clock, key = keys[config.index]): OracleNode {
  const node = createOracleNode({
    config,
    networkClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger,
    key: key ?? '0x',
  })
  cleanups.push(() => node.stop())
  return node
}

async function setUp() {
  const options = { startMs: Date.parse('2020-03-12T00:00:00Z'), realStartMs: Date.now(), speed: SPEED }
  const clock = acceleratedClock(options)
  const configs = await makeConfigs(await startVenues(clock), options)
  return { clock, configs }
}

describe('a network of four oracle nodes over loopback', () => {
  it('finishes consecutive reports that verify, and goes on when a node dies', async () => {
    const { clock, configs } = await setUp()
    const nodes = configs.map((config) => makeNode(config, clock))
    const urls = (await Promise.all(nodes.map((node) => node.start()))).map(({ url }) => url)
    const [first = '', second = ''] = urls

    const reports = await collect(first, (all) => consecutive(all.filter(isPriced)))
    for (const report of reports.filter(isPriced)) {
      const [eth, usdt] = report.report.prices
      expect(Number(eth?.price)).toBeGreaterThanOrEqual(200.4e8)
      expect(Number(eth?.price)).toBeLessThanOrEqual(200.6e8)
      expect(usdt?.price).toBe('100000000')
      expect(report.observedAt).toBe(Number(report.seq) * SLOT_MS)
      const [config] = configs
      if (config) expect((await verify(report, config)).length).toBeGreaterThanOrEqual(3)
    }
    const health = await fetch(`${first}/health`)
    expect(health.status).toBe(200)
    const body = (await health.json()) as { sources: { id: string; connected: boolean; stale: boolean }[] }
    expect(body.sources.map(({ connected, stale }) => connected && !stale)).toEqual(Array(6).fill(true))
    const metrics = await (await fetch(`${first}/metrics`)).text()
    expect(metrics).toMatch(/oracle_source_rejected\{source="binance",reason="malformed"\} [1-9]/)

    await nodes[3]?.stop()
    const killedAt = Math.floor(clock.now() / SLOT_MS)
    // Three of every four slots have a live leader.
    const after = await collect(
      second,
      (all) => all.filter(({ seq }) => Number(seq) > killedAt + 1).length >= 3,
    )
    for (const report of after.filter(({ seq }) => Number(seq) > killedAt + 1)) {
      const [config] = configs
      if (config) expect(await verify(report, config)).toEqual([0, 1, 2])
      expect(Number(report.seq) % 4).not.toBe(3)
    }
    // Back from the dead it takes part again, and leads its slots.
    const [, , , last] = configs
    if (last) await makeNode(last, clock).start()
    const back = await collect(second, (all) => all.some(({ seq }) => Number(seq) % 4 === 3))
    expect(back.length).toBeGreaterThan(0)

    const journal = await readFile(join(configs[0]?.dataDir ?? '', 'signed.jsonl'), 'utf8')
    const entries = journal
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as { kind: string; seq: string })
    const slots = entries.filter(({ kind }) => kind === 'report').map(({ seq }) => seq)
    expect(new Set(slots).size).toBe(slots.length)
    expect(slots).toEqual(expect.arrayContaining(reports.map(({ seq }) => seq)))
  })

  it('refuses strangers and malformed bodies, and says that it has no report', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const { url } = await makeNode(config, clock).start()
    const post = async (body: unknown) =>
      fetch(`${url}/signatures`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    const seq = String(Math.floor(clock.now() / SLOT_MS))
    const prices = [
      ['20050000000', 5],
      ['100000000', 5],
    ]
    const signature = `0x${'11'.repeat(64)}`
    expect((await post({ epoch: 1, seq, prices, signature })).status).toBe(403)
    expect((await post({ epoch: 1, seq, prices: prices.slice(1), signature })).status).toBe(400)
    expect((await post({ epoch: 1, seq, prices, signature, extra: 1 })).status).toBe(400)
    const late = await post({ epoch: 1, seq: '1', prices, signature })
    expect(await late.json()).toEqual({ status: 'ignored', reason: 'too_late' })
    expect((await fetch(`${url}/reports/latest`)).status).toBe(404)
    expect((await fetch(`${url}/health`)).status).toBe(503)
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toContain('oracle_messages_total{kind="signature",outcome="unknown_signer"} 1')
    expect(metrics).toContain('oracle_messages_total{kind="signature",outcome="invalid_body"} 2')
  })

  it('keeps the proof when a node signs two reports for a slot', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const { url } = await makeNode(config, clock).start()
    const seq = BigInt(Math.floor(clock.now() / SLOT_MS))
    const signer = createSigner(keys[1] ?? '0x')
    const send = async (price: bigint) => {
      const prices = [price, 100_000_000n].map((value) => ({ price: value, confidence: 5 }))
      const report = { epoch: 1, seq, prices }
      const digest = reportDigest(report, config.oracle.feeds, networkId)
      const response = await fetch(`${url}/signatures`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(toWire({ ...report, signature: await signer.sign(digest) })),
      })
      return response.json()
    }
    expect(await send(20_000_000_000n)).toEqual({ status: 'accepted' })
    expect(await send(20_000_000_000n)).toEqual({ status: 'ignored', reason: 'duplicate' })
    for (const price of [1n, 2n])
      expect(await send(price)).toEqual({ status: 'ignored', reason: 'equivocation' })
    const names = await vi.waitFor(async () => {
      const list = (await (await fetch(`${url}/evidence`)).json()) as string[]
      expect(list).toHaveLength(1)
      return list
    })
    const proof: unknown = await (await fetch(`${url}/evidence/${names[0]}`)).json()
    expect(await verifyEvidence(proof, 'proof')).toMatchObject({
      node: 1,
      signer: privateKeyToAddress(keys[1] ?? '0x'),
      kind: 'signature',
      seq: `${seq}`,
    })
    expect((await fetch(`${url}/evidence/..%2Fsigned.jsonl`)).status).toBe(404)
  })

  it('names the field of a bad configuration, a foreign key and an occupied port', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const make = (change: object, key?: Hex) => () => makeNode({ ...config, ...change }, clock, key)
    expect(make({ index: 4 })).toThrow(expect.objectContaining({ field: 'oracle index' }))
    expect(make({ surprise: 1 })).toThrow(expect.objectContaining({ field: 'oracle surprise' }))
    expect(make({ faultySources: 3 })).toThrow(expect.objectContaining({ field: 'sources (feed ETH/USD)' }))
    expect(make({}, keys[1])).toThrow(expect.objectContaining({ field: 'key' }))
    await makeNode(config, clock).start()
    const second = makeNode({ ...config, dataDir: join(config.dataDir, 'second') }, clock)
    await expect(second.start()).rejects.toThrow(UserError)
  })
})
