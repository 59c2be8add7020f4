import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acceleratedClock, type Clock, type Report } from '@clearspan/shared'
import { toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, expect, it } from 'vitest'
import { WebSocketServer } from 'ws'
import type { OracleNodeConfigInput } from '../config.js'
import { cleanUp, collect, keys, later, makeNode, networkId } from '../network.test-util.js'
import type { FinishedReport } from '../report/board.js'
import { completeLines, createLineReader } from '../report/lines.js'
import { replayFiles } from '../report/replay.js'
import { segmentPaths, withSegment } from '../report/segments.js'
import { SETTLED_SLOTS } from './history.js'
import { createReportedFeeds } from './reported.js'

const SLOT_MS = 8_000
const SPEED = 4
const PERIOD_SLOTS = 8
const names = ['ETH/USD', 'ETH.RV/VOL', 'ETH.IV/VOL', 'ETH.DEPTH/USD', 'ALPHA.TIME/S', 'ETH.FIX/USD']
/** Long enough for a busy machine: a slot that it loses is a gap, which the feeds bear, but not many in a row. */
const reportedVolatility = {
  kind: 'realisedVolatility',
  feed: 'ETH.RV/VOL',
  of: 'ETH/USD',
  sampleSlots: 2,
  samples: 2,
  minCoverageBps: 5_000,
} as const
const feeds = names.map((name) => ({ name, exponent: name.endsWith('/S') ? 0 : -6 }))

afterEach(cleanUp)

/** A venue over WebSocket that quotes ETH between 3,000 and 3,030, another price every second of network time. */
async function startVenue(clock: Clock): Promise<string> {
  const sockets = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  sockets.on('connection', (socket) => {
    socket.once('message', () => {
      let seq = 0
      const timer = setInterval(() => {
        seq += 1
        const ts = clock.now()
        const price = String(3_000 + ((Math.floor(ts / 1_000) * 7) % 31))
        socket.send(JSON.stringify({ type: 'tick', symbol: 'ETH-USD', price, ts, seq }))
      }, 250)
      socket.on('close', () => clearInterval(timer))
    })
  })
  await once(sockets, 'listening')
  later(() => {
    for (const client of sockets.clients) client.terminate()
    return new Promise((done) => sockets.close(done))
  })
  return `ws://127.0.0.1:${(sockets.address() as AddressInfo).port}`
}

/** Answers of what is polled, by host: three venues of each kind, one of them a liar. Each answer differs from the last: what doesn't is frozen. */
function polled(clock: Clock): Record<string, (request: string) => unknown> {
  let nth = 0
  const book = (amount: string) => ({
    bids: [['2999', amount]],
    asks: [
      ['3001', amount],
      [`${9_000 + nth++}`, '1'],
    ],
  })
  // 60 % for 30 days at the money: 3,000 × (2 Φ(σ√T / 2) − 1), with both strikes at about the forward.
  const option = (letter: string, strike: number, mark: string) => ({
    name: `ETH-30JAN26-${strike}-${letter}`,
    forward: '3000',
    mark,
  })
  const options = (mark: string) => ({
    time: clock.now(),
    options: [option('P', 3000, mark), option('C', 3001, `${mark}${nth++}`)],
  })
  const block = (seconds: number) => ({ jsonrpc: '2.0', id: 1, result: { timestamp: toHex(seconds) } })
  return {
    binance: () => ({ lastUpdateId: nth, ...book('100') }),
    coinbase: () => ({ ...book('200'), time: new Date(clock.now()).toISOString() }),
    kraken: () => ({ error: [], result: { XETHZUSD: book('1000000') } }),
    'options-a': () => options('205.68'),
    'options-b': () => options('205.68'),
    'options-c': () => options('1000.0'),
    'rpc-a': () => block(Math.floor(clock.now() / 1_000)),
    'rpc-b': () => block(Math.floor(clock.now() / 1_000)),
    'rpc-c': () => block(1),
  }
}

const derivedConfig = (): OracleNodeConfigInput['derived'] => {
  const source = (id: string) => ({ id, url: `http://${id}.test`, tags: [id] })
  const pollMs = 2_000
  return [
    reportedVolatility,
    {
      kind: 'impliedVolatility',
      feed: 'ETH.IV/VOL',
      pollMs,
      sources: ['options-a', 'options-b', 'options-c'].map((id) => ({
        ...source(id),
        venue: 'plain',
        currency: 'ETH',
      })),
    },
    {
      kind: 'depth',
      feed: 'ETH.DEPTH/USD',
      pollMs,
      sources: (['binance', 'coinbase', 'kraken'] as const).map((venue) => ({
        ...source(venue),
        venue,
        symbol: 'ETH-USD',
        quote: 'USD',
      })),
    },
    { kind: 'liveness', feed: 'ALPHA.TIME/S', pollMs, sources: ['rpc-a', 'rpc-b', 'rpc-c'].map(source) },
    {
      kind: 'fixing',
      feed: 'ETH.FIX/USD',
      of: 'ETH/USD',
      periodMs: PERIOD_SLOTS * SLOT_MS,
      windowMs: 2 * SLOT_MS,
    },
  ]
}

/** Four nodes on free ports; peers and polled venues are reached by made-up names. */
async function startNodes(startMs: number) {
  const clock = acceleratedClock({ startMs, realStartMs: Date.now(), speed: SPEED })
  const venue = await startVenue(clock)
  const answers = polled(clock)
  const urls: string[] = []
  const route: typeof fetch = async (input, init) => {
    const { hostname, pathname, search } = new URL(String(input))
    const name = hostname.replace('.test', '')
    const peer = /^node-(\d)$/.exec(name)?.[1]
    if (peer !== undefined) return fetch(`${urls[Number(peer)]}${pathname}${search}`, init)
    const answer = answers[name]
    return answer ? Response.json(answer(search)) : new Response(null, { status: 404 })
  }
  const directory = await mkdtemp(join(tmpdir(), 'clearspan-derived-'))
  later(() => rm(directory, { recursive: true, force: true }))
  const make = (index: number) => {
    const config: OracleNodeConfigInput = {
      networkId,
      clock: { startMs, realStartMs: Date.now(), speed: SPEED },
      index,
      oracle: {
        epoch: 1,
        slotMs: SLOT_MS,
        feeds,
        nodes: keys.map((other, at) => ({
          url: `http://node-${at}.test`,
          signer: privateKeyToAddress(other),
        })),
      },
      sources: ['a', 'b', 'c'].map((id) => ({
        id,
        adapter: 'replay',
        url: venue,
        tags: [id],
        markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
      })),
      derived: derivedConfig(),
      recording: { maxSegmentBytes: 65_536, maxSegments: 1_000 },
      listen: { host: '127.0.0.1', port: 0 },
      dataDir: join(directory, String(index)),
    }
    return makeNode(config, clock, { fetch: route })
  }
  const nodes = keys.map((_, index) => make(index))
  for (const node of nodes) urls.push((await node.start()).url)
  return {
    url: urls[0] ?? '',
    node: nodes[0],
    segments: join(directory, '0', 'segments'),
    async restart() {
      const again = make(0)
      urls[0] = (await again.start()).url
      return { again, url: urls[0] }
    },
  }
}

const signedValue = ({ report }: FinishedReport, name: string) =>
  BigInt(report.prices[names.indexOf(name)]?.price ?? 0)

it('derived feeds of four nodes land in the signed report, and follow from the reports before it to the bit', async () => {
  const startMs = Date.UTC(2025, 11, 31, 8)
  const { url, node, segments, restart } = await startNodes(startMs)
  // A period and more, so that a window lies wholly within what the nodes saw.
  const priced = (name: string, all: FinishedReport[]) => all.filter((one) => signedValue(one, name) > 0n)
  const reports = await collect(url, (all) => names.every((name) => priced(name, all).length > 0))

  for (const one of priced('ETH.DEPTH/USD', reports)) {
    // Of the three books the largest is dropped: 2,999 × (100 + 200).
    expect(signedValue(one, 'ETH.DEPTH/USD')).toBe(899_700_000_000n)
  }
  for (const one of priced('ETH.IV/VOL', reports)) {
    expect(Number(signedValue(one, 'ETH.IV/VOL')) / 1e6).toBeCloseTo(0.6, 2)
  }
  for (const one of priced('ALPHA.TIME/S', reports)) {
    expect(Number(signedValue(one, 'ALPHA.TIME/S'))).toBeGreaterThanOrEqual(startMs / 1_000)
  }

  // Another node's history, made of what was published alone.
  const known = createReportedFeeds({
    configs: [reportedVolatility],
    feeds,
    slotMs: SLOT_MS,
  })
  let equal = 0
  for (const { seq, report } of reports) {
    const observed = known.observe(Number(seq)).get('ETH.RV/VOL')
    const signed = report.prices[names.indexOf('ETH.RV/VOL')]
    // On a busy machine this node may have missed a report that the others had.
    if (observed && 'price' in observed && `${observed.price}` === signed?.price) equal += 1
    const prices = report.prices.map(({ price, confidence }) => ({ price: BigInt(price), confidence }))
    known.add({ epoch: report.epoch, seq: BigInt(seq), prices } satisfies Report)
  }
  expect(equal).toBeGreaterThan(0)

  for (const one of priced('ETH.FIX/USD', reports)) {
    expect(Number(one.seq) % PERIOD_SLOTS).toBeGreaterThanOrEqual(SETTLED_SLOTS)
    expect(Number(signedValue(one, 'ETH.FIX/USD')) / 1e6).toBeGreaterThanOrEqual(3_000)
    expect(Number(signedValue(one, 'ETH.FIX/USD')) / 1e6).toBeLessThanOrEqual(3_030)
  }

  // Each segment of what the node recorded replays alone, the reports from before it included.
  await node?.stop()
  let replayed = 0
  const paths = (await readdir(segments)).sort().map((name) => join(segments, name))
  for await (const { observations, follows } of replayFiles(paths)) {
    expect(follows).toBe(replayed > 0)
    replayed += observations
  }
  expect(replayed).toBeGreaterThan(reports.length / 2)

  // Started again it goes on from what it had recorded: its first slot has a value already.
  const { again, url: restarted } = await restart()
  await collect(restarted, (all) => all.length > 0)
  await again.stop()
  const [since = ''] = (await segmentPaths(join(segments, '..')))
    .filter((path) => !paths.includes(path))
    .reverse()
  const observed = await withSegment(since, async (chunks) => {
    const read = createLineReader((json) => json.startsWith('{"type":"observation"'))
    for await (const text of completeLines(chunks, since, () => {})) {
      const line = read(text) as { observed: object[] } | undefined
      if (line) return line.observed
    }
  })
  expect(observed?.[names.indexOf('ETH.RV/VOL')]).toHaveProperty('price')
}, 180_000)
