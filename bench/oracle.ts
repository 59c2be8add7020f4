// The oracle network, measured from outside: frames decoded and aggregated on one core, slot start to published report, a node's CPU.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { FinishedReport, OracleNodeConfigInput } from '@clearspan/aggregator'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { WebSocketServer } from 'ws'
import {
  FEEDS,
  feeds,
  frameOf,
  markets,
  priceAt,
  SLOT_MS,
  SOURCES,
  sourceIds,
  TICKS_PER_S,
} from './oracle/load.js'
import { measureTicks } from './oracle/ticks.js'

/** Slots per network: slots × nodes are the samples of a percentile, whether a report came or not. */
const MEASURED_SLOTS = 60
/** Slots before: connections, caches, compilation. */
const WARM_UP_SLOTS = 5
/** Ticks a source and market while latencies are measured: the node's work, not its feeds. */
const LIGHT_TICKS_PER_S = 1
const CPU_SECONDS = 20
/** A node that took less than this share of its load, or finished fewer reports, was not measured under it. */
const LEAST_LOAD = 0.95
/** Clock ticks of /proc/PID/stat. */
const HERTZ = 100

interface Measurement {
  name: string
  value: number
  unit: string
  baseline: number | null
  /** What the baseline is; null where there is none. */
  baselineIs: string | null
}

const NO_BASELINE = { baseline: null, baselineIs: null }
const NAIVE =
  'a plain median of the newest prices sorted anew at each tick, same frames, decoders and books, same run'

const cleanups: (() => unknown)[] = []

export default async function measure(say: (line: string) => void) {
  try {
    say('decoding and aggregating on one core')
    const ticks = measureTicks()
    const results: Measurement[] = [
      {
        name: 'oracle.ticks_per_s',
        value: ticks.value,
        unit: 'ticks/s',
        baseline: ticks.naive,
        baselineIs: NAIVE,
      },
    ]
    for (const nodes of [4, 7]) {
      say(`${nodes} nodes, ${MEASURED_SLOTS} slots of ${SLOT_MS} ms`)
      const { waits, reported } = await measureLatency(nodes)
      for (const share of [0.5, 0.99]) {
        const name = `oracle.slot_to_report_ms_p${share * 100}_n${nodes}`
        results.push({ name, value: percentile(waits, share), unit: 'ms', ...NO_BASELINE })
      }
      const name = `oracle.slots_reported_pct_n${nodes}`
      results.push({ name, value: reported, unit: '%', ...NO_BASELINE })
    }
    say(`one node on ${FEEDS} feeds × ${SOURCES} sources × ${TICKS_PER_S} ticks/s`)
    const cpu = await measureCpu()
    return [...results, { name: 'oracle.node_cpu_pct', value: cpu, unit: '%', ...NO_BASELINE }]
  } finally {
    await cleanUp()
  }
}

async function cleanUp() {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
}

/** Venues that tick every market so often; answers their base URL. */
async function startVenues(ticksPerSecond: number): Promise<string> {
  const http = createServer()
  const server = new WebSocketServer({ server: http })
  const began = performance.now()
  let tick = 0
  function send() {
    tick += 1
    for (const socket of server.clients) {
      const source = sources.get(socket)
      if (source === undefined) continue
      for (const [feed, { symbol }] of markets.entries()) {
        socket.send(frameOf(source, symbol, priceAt(tick, feed, source), Date.now(), tick))
      }
    }
  }
  // A timer that came late sends what is due, or the load would be less than it is called.
  const timer = setInterval(() => {
    while (tick < ((performance.now() - began) * ticksPerSecond) / 1_000) send()
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
  return oracle.nodes.map(({ url }, index) => ({ url, pid: started[index]!.pid! }))
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

interface Latencies {
  /**
   * ms from the start of each slot to a report of it, or of a later one, at each node. A slot without a report so counts as what its users waited,
   * more than a slot.
   */
  waits: number[]
  /** Percent of all slots at all nodes that had their own report. */
  reported: number
}

async function measureLatency(nodes: number): Promise<Latencies> {
  const venue = await startVenues(LIGHT_TICKS_PER_S)
  const network = await startNetwork(Array.from({ length: nodes }, () => venue))
  const from = Math.floor(Date.now() / SLOT_MS) + WARM_UP_SLOTS
  const heard = await Promise.all(network.map(({ url }) => follow(url, from, from + MEASURED_SLOTS)))
  await cleanUp()
  const slots = Array.from({ length: MEASURED_SLOTS }, (_, n) => from + n)
  const own = heard.flatMap((arrivals) => slots.filter((slot) => arrivals.has(slot)))
  return {
    waits: heard.flatMap((arrivals) => slots.map((slot) => waitFor(slot, arrivals))),
    reported: (100 * own.length) / (slots.length * nodes),
  }
}

function waitFor(slot: number, arrivals: ReadonlyMap<number, number>): number {
  const served = [...arrivals].flatMap(([of, at]) => (of >= slot ? at : []))
  const end = (slot + MEASURED_SLOTS) * SLOT_MS
  return Math.min(end, ...served) - slot * SLOT_MS
}

/** When a node's stream brought the report of each slot from `from` on, unix ms; ends a slot after `until`, which isn't measured. */
async function follow(url: string, from: number, until: number): Promise<Map<number, number>> {
  const arrivals = new Map<number, number>()
  const response = await fetch(`${url}/reports/stream`)
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  // By the clock and not by the stream, which may have nothing more to say.
  let isOver = false
  const timer = setTimeout(
    () => {
      isOver = true
      void reader.cancel()
    },
    (until + 1) * SLOT_MS - Date.now(),
  )
  try {
    let buffer = ''
    for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
      const arrivedAt = Date.now()
      buffer += chunk.value
      const events = buffer.split('\n\n')
      buffer = events.pop()!
      for (const event of events) {
        const data = event.split('\n').find((line) => line.startsWith('data: '))
        if (data === undefined) continue
        const { observedAt, reasons } = JSON.parse(data.slice(6)) as FinishedReport
        if (observedAt < from * SLOT_MS) continue
        if (Object.keys(reasons).length > 0) throw new Error('a measured report holds feeds')
        arrivals.set(observedAt / SLOT_MS, arrivedAt)
      }
    }
  } finally {
    clearTimeout(timer)
    await reader.cancel()
  }
  if (!isOver) throw new Error('a node ended its stream')
  return arrivals
}

/** One of four nodes has the full load, and is measured; the others see the same prices seldom. */
async function measureCpu(): Promise<number> {
  const light = await startVenues(LIGHT_TICKS_PER_S)
  const full = await startVenues(TICKS_PER_S)
  const [measured] = await startNetwork([full, light, light, light])
  const { url, pid } = measured!
  await seconds((WARM_UP_SLOTS * SLOT_MS) / 1_000)
  const before = { cpu: await cpuSeconds(pid), done: await workDone(url) }
  const began = performance.now()
  await seconds(CPU_SECONDS)
  const cpu = (await cpuSeconds(pid)) - before.cpu
  const elapsed = (performance.now() - began) / 1_000
  const done = await workDone(url)
  await cleanUp()
  const ticks = (done.quotes - before.done.quotes) / elapsed
  const expected = FEEDS * SOURCES * TICKS_PER_S
  if (ticks < LEAST_LOAD * expected)
    throw new Error(`the node took ${ticks.toFixed(0)} of ${expected} ticks/s`)
  const slots = (elapsed * 1_000) / SLOT_MS
  const reports = done.reports - before.done.reports
  if (reports < LEAST_LOAD * (slots - 1)) throw new Error(`the node had ${reports} reports in ${slots} slots`)
  return (100 * cpu) / elapsed
}

/** Ticks that a node has taken, and reports that it has finished, by its own count. */
async function workDone(url: string): Promise<{ quotes: number; reports: number }> {
  const text = await (await fetch(`${url}/metrics`)).text()
  const sum = (name: string) =>
    text.split('\n').reduce((total, line) => {
      const isIt = line.startsWith(`${name} `) || line.startsWith(`${name}{`)
      return isIt ? total + Number(line.slice(line.lastIndexOf(' '))) : total
    }, 0)
  return { quotes: sum('clearspan_oracle_source_quotes'), reports: sum('clearspan_oracle_reports_total') }
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
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
}
