// The oracle network, measured from outside: frames decoded and aggregated on one core, slot start to published report, a node's CPU.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import {
  aggregate,
  createQuoteBook,
  decodeOkx,
  decodeReplay,
  defaultAggregation,
  type FinishedReport,
  type OracleNodeConfigInput,
  planFeeds,
} from '@clearspan/aggregator'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { WebSocketServer } from 'ws'

const FEEDS = 20
const SOURCES = 9
const TICKS_PER_S = 10
/** Room for seven nodes on two cores: what is measured is when the report is there, not how often one comes. */
const SLOT_MS = 2_000
/** Slots per network: reports × nodes are the samples of a percentile. */
const MEASURED_SLOTS = 30
/** Slots before: connections, caches, compilation. */
const WARM_UP_SLOTS = 5
/** Ticks a source and market while latencies are measured: the node's work, not its feeds. */
const LIGHT_TICKS_PER_S = 1
const CPU_SECONDS = 20
/** Clock ticks of /proc/PID/stat. */
const HERTZ = 100

const feeds = Array.from({ length: FEEDS }, (_, feed) => ({ name: `A${feed}/USD`, exponent: -8 }))
const markets = feeds.map(({ name }) => ({ symbol: name, base: name.slice(0, -4), quote: 'USD' }))
const sourceIds = Array.from({ length: SOURCES }, (_, source) => `venue-${source}`)

interface Measurement {
  name: string
  value: number
  unit: string
  baseline: number | null
}

const cleanups: (() => unknown)[] = []

export default async function measure(say: (line: string) => void) {
  try {
    say('decoding and aggregating on one core')
    const ticks = measureTicks()
    const results: Measurement[] = [
      { name: 'oracle.ticks_per_s', value: ticks.value, unit: 'ticks/s', baseline: ticks.naive },
    ]
    for (const nodes of [4, 7]) {
      say(`${nodes} nodes, ${MEASURED_SLOTS} slots of ${SLOT_MS} ms`)
      const samples = await measureLatency(nodes)
      for (const share of [0.5, 0.99]) {
        const name = `oracle.slot_to_report_ms_p${share * 100}_n${nodes}`
        results.push({ name, value: percentile(samples, share), unit: 'ms', baseline: null })
      }
    }
    say(`one node on ${FEEDS} feeds × ${SOURCES} sources × ${TICKS_PER_S} ticks/s`)
    const cpu = await measureCpu()
    return [...results, { name: 'oracle.node_cpu_pct', value: cpu, unit: '%', baseline: null }]
  } finally {
    await cleanUp()
  }
}

async function cleanUp() {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
}

/** Half of the sources speak OKX's format, the others the plain one. */
function frameOf(source: number, symbol: string, price: number, ts: number, seq: number): string {
  if (source % 2 === 1) return JSON.stringify({ type: 'tick', symbol, price: `${price}`, ts, seq })
  const data = [
    { instId: symbol, last: `${price}`, bidPx: `${price - 0.01}`, askPx: `${price + 0.01}`, ts: `${ts}` },
  ]
  return JSON.stringify({ arg: { channel: 'tickers', instId: symbol }, data })
}

const priceAt = (tick: number, feed: number, source: number) =>
  Number((100 + feed + Math.sin(tick / 7 + feed) + source / 100).toFixed(2))

/** Ours aggregates once a slot what every tick only replaced; the naive way sorts a feed's prices anew at each tick. */
function measureTicks() {
  const slots = 15
  const ticksPerSlot = (TICKS_PER_S * SLOT_MS) / 1_000
  const start = 1_700_000_000_000
  const frames = Array.from({ length: slots * ticksPerSlot }, (_, tick) =>
    sourceIds.flatMap((_id, source) =>
      markets.map(({ symbol }, feed) => ({
        source,
        feed,
        at: start + tick * (1_000 / TICKS_PER_S),
        text: frameOf(
          source,
          symbol,
          priceAt(tick, feed, source),
          start + tick * (1_000 / TICKS_PER_S),
          tick,
        ),
      })),
    ),
  )
  const { plan } = planFeeds({
    feeds,
    sources: sourceIds.map((id) => ({ id, tags: [id], markets })),
    faultyTags: 1,
    capped: [],
  })
  const run = (naive: boolean): number => {
    const books = sourceIds.map((source) =>
      createQuoteBook({ kind: 'price', source, markets, maxClockSkewMs: defaultAggregation.maxClockSkewMs }),
    )
    const began = performance.now()
    let count = 0
    let priced = 0
    for (const [tick, batch] of frames.entries()) {
      for (const { source, feed, at, text } of batch) {
        books[source]!.take(source % 2 === 1 ? decodeReplay(text) : decodeOkx(text), at)
        count += 1
        if (!naive) continue
        const symbol = markets[feed]!.symbol
        const quotes = books.flatMap((book) => book.quotes().filter(({ market }) => market.symbol === symbol))
        const prices = quotes.map(({ price }) => price).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
        if (prices[prices.length >> 1] !== undefined) priced += 1
      }
      if (naive || tick % ticksPerSlot !== ticksPerSlot - 1) continue
      const quotes = books.flatMap((book) => book.quotes())
      const results = aggregate(plan, quotes, batch[0]!.at, defaultAggregation)
      priced += results.filter((result) => 'price' in result).length
    }
    const expected = naive ? count : slots * FEEDS
    if (priced !== expected) throw new Error(`${priced} prices instead of ${expected}`)
    return (count * 1000) / (performance.now() - began)
  }
  const best = (naive: boolean) => Math.max(...[0, 1, 2].map(() => run(naive)))
  return { value: best(false), naive: best(true) }
}

/** Venues that tick every market so often; answers their base URL. */
async function startVenues(ticksPerSecond: number): Promise<string> {
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  let tick = 0
  const timer = setInterval(() => {
    tick += 1
    for (const socket of server.clients) {
      const source = sources.get(socket)
      if (source === undefined) continue
      for (const [feed, { symbol }] of markets.entries()) {
        socket.send(frameOf(source, symbol, priceAt(tick, feed, source), Date.now(), tick))
      }
    }
  }, 1_000 / ticksPerSecond)
  const sources = new Map<unknown, number>()
  server.on('connection', (socket, request) => {
    socket.on('error', () => {})
    const source = Number(/\d+$/.exec(request.url ?? '')?.[0])
    // Whoever has subscribed is served.
    socket.once('message', () => sources.set(socket, source))
  })
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
  cleanups.push(() => {
    clearInterval(timer)
    for (const socket of server.clients) socket.terminate()
    return new Promise((done) => http.close(done))
  })
  return `ws://127.0.0.1:${(http.address() as AddressInfo).port}`
}

/** A network of nodes, each a process of its own; `venues` by node. Answers their URLs and processes. */
async function startNetwork(venues: readonly string[]) {
  const dir = await mkdtemp(join(tmpdir(), 'clearspan-bench-'))
  cleanups.push(() => rm(dir, { recursive: true, force: true }))
  const ports = await freePorts(venues.length)
  const keys = venues.map((_, index) => keccak256(toHex(`bench oracle ${index}`)))
  const oracle = {
    epoch: 1,
    slotMs: SLOT_MS,
    feeds,
    nodes: keys.map((key, index) => ({
      url: `http://127.0.0.1:${ports[index]}`,
      signer: privateKeyToAddress(key),
    })),
  }
  const started = await Promise.all(
    venues.map(async (url, index) => {
      const node: OracleNodeConfigInput = {
        networkId: keccak256(toHex('bench')),
        clock: { startMs: 0, realStartMs: 0, speed: 1 },
        index,
        oracle,
        sources: sourceIds.map((id, source) => ({
          id,
          adapter: source % 2 === 1 ? 'replay' : 'okx',
          url: `${url}/${source}`,
          tags: [id],
          markets,
        })),
        listen: { host: '127.0.0.1', port: ports[index]! },
        dataDir: join(dir, `${index}`),
      }
      const file = join(dir, `${index}.json`)
      const config = { name: `oracle-${index}`, logLevel: 'error', oracle: { node, key: { env: 'KEY' } } }
      await writeFile(file, JSON.stringify(config))
      return startNode(file, keys[index]!)
    }),
  )
  return { urls: oracle.nodes.map(({ url }) => url), pids: started.map(({ pid }) => pid!) }
}

async function startNode(file: string, key: string): Promise<ChildProcess> {
  const program = fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))
  const child = spawn(process.execPath, [program, 'run', '--supervised', file], {
    env: { PATH: process.env.PATH, KEY: key },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const ended = new Promise<never>((_, reject) =>
    child.once('exit', (code) => reject(new Error(`a node ended with ${code}`))),
  )
  ended.catch(() => {})
  cleanups.push(() => {
    if (child.exitCode !== null) return
    const gone = new Promise((done) => child.once('exit', done))
    child.stdin?.end()
    return gone
  })
  const ready = new Promise<void>((done) =>
    createInterface({ input: child.stdout! }).once('line', () => done()),
  )
  await Promise.race([ready, ended])
  return child
}

/** ms from the start of a slot to the report's arrival from a node's stream, over all nodes and slots. */
async function measureLatency(nodes: number): Promise<number[]> {
  const venue = await startVenues(LIGHT_TICKS_PER_S)
  const { urls } = await startNetwork(Array.from({ length: nodes }, () => venue))
  const from = Math.floor(Date.now() / SLOT_MS) + WARM_UP_SLOTS
  const samples = await Promise.all(urls.map((url) => follow(url, from, from + MEASURED_SLOTS)))
  await cleanUp()
  return samples.flat()
}

async function follow(url: string, from: number, until: number): Promise<number[]> {
  const samples: number[] = []
  const abort = new AbortController()
  try {
    const response = await fetch(`${url}/reports/stream`, { signal: abort.signal })
    let buffer = ''
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const arrivedAt = Date.now()
      buffer += chunk
      const events = buffer.split('\n\n')
      buffer = events.pop()!
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '))
        if (data === undefined) continue
        const { observedAt, reasons } = JSON.parse(data.slice(6)) as FinishedReport
        if (observedAt < from * SLOT_MS) continue
        if (Object.keys(reasons).length > 0) throw new Error('a measured report holds feeds')
        samples.push(arrivedAt - observedAt)
      }
      if (Date.now() >= until * SLOT_MS) break
    }
  } finally {
    abort.abort()
  }
  return samples
}

/** One of four nodes has the full load, and is measured; the others see the same prices seldom. */
async function measureCpu(): Promise<number> {
  const light = await startVenues(LIGHT_TICKS_PER_S)
  const full = await startVenues(TICKS_PER_S)
  const { pids } = await startNetwork([full, light, light, light])
  await seconds((WARM_UP_SLOTS * SLOT_MS) / 1_000)
  const before = await cpuSeconds(pids[0]!)
  const began = performance.now()
  await seconds(CPU_SECONDS)
  const used = (await cpuSeconds(pids[0]!)) - before
  const elapsed = (performance.now() - began) / 1000
  await cleanUp()
  return (100 * used) / elapsed
}

async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  // After the name, which may hold anything: state is field 3, user and system time are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / HERTZ
}

function seconds(count: number): Promise<void> {
  return new Promise((done) => setTimeout(done, count * 1_000))
}

async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createTcpServer()
      await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))))
  return ports
}

function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) throw new Error('no report was published')
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}
