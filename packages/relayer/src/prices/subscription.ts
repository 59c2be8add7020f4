import {
  type Clock,
  type Logger,
  type Metrics,
  type Network,
  type Random,
  RetryableError,
} from '@clearspan/shared'
import { createParser } from 'eventsource-parser'
import { type SignedReport, servedReportSchema, verifyReport } from './report.js'

/** An event is some 5 kB; a stream without an end of event is cut off. */
const MAX_EVENT_CHARS = 64 * 1024
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 5_000
const CONNECT_TIMEOUT_MS = 5_000
/** A node's stream sends at least a comment line each 5 s; one that is silent for so long is dead, though no packet says so. */
const IDLE_TIMEOUT_MS = 15_000

export interface PriceSubscriptionOptions {
  network: Pick<Network, 'oracle' | 'networkId'>
  /** The network's time: judges whether a slot can have begun. */
  networkClock: Clock
  /** Real time: waits between reconnections. */
  clock: Clock
  random: Random
  logger: Logger
  metrics: Metrics
  /** Called for every report newer than all before, with the real ms at which it had arrived. */
  onReport: (report: SignedReport, arrivedAt: number) => void
}

/** Newest report of the network, from the streams of all its nodes. */
export interface PriceSubscription {
  newest(): { report: SignedReport; arrivedAt: number } | undefined
  /** Keeps a connection to every node until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

export function createPriceSubscription(options: PriceSubscriptionOptions): PriceSubscription {
  const { network, networkClock, clock, random, logger, metrics, onReport } = options
  const events = metrics.counter('report_events_total', 'Reports received by node and outcome', [
    'node',
    'outcome',
  ])
  let newest: { report: SignedReport; arrivedAt: number } | undefined

  async function receive(node: number, data: string): Promise<void> {
    const arrivedAt = clock.now()
    const count = (outcome: string) => events.inc({ node, outcome })
    try {
      const served = servedReportSchema.parse(JSON.parse(data))
      // Every node serves every report: all but the first are no news, and not worth checking.
      if (newest !== undefined && BigInt(served.seq) <= newest.report.seq) return count('known')
      const report = await verifyReport(served, network, networkClock.now())
      if (newest !== undefined && report.seq <= newest.report.seq) return count('known')
      newest = { report, arrivedAt }
      count('new')
      onReport(report, arrivedAt)
    } catch (err) {
      count('invalid')
      logger.warn({ err, node }, 'oracle node served an invalid report')
    }
  }

  async function follow(node: number, url: string, signal: AbortSignal): Promise<void> {
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        await readStream(`${url.replace(/\/$/, '')}/reports/stream`, clock, signal, async (data) => {
          failures = 0
          await receive(node, data)
        })
      } catch (err) {
        if (!signal.aborted) logger.debug({ err, node }, 'report stream ended')
      }
      const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))
      await clock.sleep(wait * (0.5 + random.next() / 2), signal).catch(() => {})
    }
  }

  return {
    newest: () => newest,
    async run(signal) {
      await Promise.all(network.oracle.nodes.map(({ url }, node) => follow(node, url, signal)))
    },
  }
}

/** Reads one server-sent event stream to its end, or until it falls silent. @throws RetryableError when it can't be opened or an event is too long. */
async function readStream(
  url: string,
  clock: Clock,
  signal: AbortSignal,
  onData: (data: string) => Promise<void>,
): Promise<void> {
  const opening = new AbortController()
  const over = new AbortController()
  let end = () => opening.abort()
  const abort = () => end()
  let deadline = clock.now() + CONNECT_TIMEOUT_MS
  const watch = async () => {
    while (!over.signal.aborted) {
      const left = deadline - clock.now()
      if (left <= 0) return end()
      await clock.sleep(left, over.signal).catch(() => {})
    }
  }
  signal.addEventListener('abort', abort, { once: true })
  void watch()
  try {
    const headers = { accept: 'text/event-stream' }
    const response = await fetch(url, { signal: opening.signal, headers, redirect: 'error' })
    if (!response.ok || response.body === null) throw new RetryableError(`${url} answered ${response.status}`)
    const reader = response.body.getReader()
    // Node 20 holds a fetch's abort by a weak reference, which a collection may take: an open stream is ended by its reader.
    end = () => void reader.cancel().catch(() => {})
    const alive = () => {
      deadline = clock.now() + IDLE_TIMEOUT_MS
    }
    alive()
    if (!signal.aborted) await readEvents(reader, url, onData, alive)
  } finally {
    over.abort()
    signal.removeEventListener('abort', abort)
    end()
  }
}

async function readEvents(
  reader: ReadableStreamDefaultReader<Uint8Array>,
  url: string,
  onData: (data: string) => Promise<void>,
  alive: () => void,
): Promise<void> {
  const waiting: string[] = []
  const parser = createParser({
    onEvent: ({ data }) => void waiting.push(data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') throw new RetryableError(`${url} sent too long an event`)
    },
    maxBufferSize: MAX_EVENT_CHARS,
  })
  const decoder = new TextDecoder()
  for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read()) {
    alive()
    parser.feed(decoder.decode(chunk.value, { stream: true }))
    // Only the newest of those that came together matters.
    const last = waiting.splice(0).at(-1)
    if (last !== undefined) await onData(last)
  }
}
