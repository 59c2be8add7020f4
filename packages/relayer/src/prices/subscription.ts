import {
  type Clock,
  type Logger,
  type Metrics,
  type Network,
  PermanentError,
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
/** A node that serves what no quorum signed is left alone for so long, twice as long each time until it serves something true. */
const FIRST_PENALTY_MS = 10_000
const MAX_PENALTY_MS = 300_000

export interface PriceSubscriptionOptions {
  network: Pick<Network, 'oracle' | 'networkId'>
  /** The network's time: judges whether a slot can have begun. */
  networkClock: Clock
  /** Real time: waits between reconnections, bounds connecting and silence. */
  clock: Clock
  /** A stream without a byte for so long, real ms, is opened anew: the other end may be gone without a word. */
  idleMs: number
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
  const { network, networkClock, clock, idleMs, random, logger, metrics, onReport } = options
  const events = metrics.counter('report_events_total', 'Reports received by node and outcome', [
    'node',
    'outcome',
  ])
  const penalised = metrics.counter('report_node_penalties_total', 'Times a node was left alone for a lie', [
    'node',
  ])
  let newest: { report: SignedReport; arrivedAt: number } | undefined

  async function receive(node: number, data: string): Promise<'new' | 'known' | 'invalid'> {
    const arrivedAt = clock.now()
    const count = <O extends string>(outcome: O): O => {
      events.inc({ node, outcome })
      return outcome
    }
    try {
      const served = servedReportSchema.parse(JSON.parse(data))
      // Every node serves every report: all but the first are no news, and not worth checking.
      if (newest !== undefined && BigInt(served.seq) <= newest.report.seq) return count('known')
      const report = await verifyReport(served, network, networkClock.now())
      if (newest !== undefined && report.seq <= newest.report.seq) return count('known')
      newest = { report, arrivedAt }
      onReport(report, arrivedAt)
      return count('new')
    } catch (err) {
      logger.warn({ err, node }, 'oracle node served an invalid report')
      return count('invalid')
    }
  }

  /** Follows one node's stream once, to its end. Answers what became of its reports. */
  async function followOnce(node: number, url: string, signal: AbortSignal) {
    const heard = { anything: false, truth: false, lie: false }
    try {
      await readStream(
        `${url.replace(/\/$/, '')}/reports/stream`,
        { clock, idleMs, signal },
        async (data) => {
          const outcome = await receive(node, data)
          heard.anything = true
          if (outcome === 'new') heard.truth = true
          heard.lie = outcome === 'invalid'
          if (heard.lie) throw new PermanentError(`${url} serves invalid reports`)
        },
      )
    } catch (err) {
      if (!signal.aborted) logger.debug({ err, node }, 'report stream ended')
    }
    return heard
  }

  async function follow(node: number, url: string, signal: AbortSignal): Promise<void> {
    let [failures, lies] = [0, 0]
    while (!signal.aborted) {
      const { anything, truth, lie } = await followOnce(node, url, signal)
      if (truth) lies = 0
      failures = anything ? 0 : failures + 1
      let wait = doubled(FIRST_RETRY_MS, failures, MAX_RETRY_MS) * (0.5 + random.next() / 2)
      if (lie) {
        wait = doubled(FIRST_PENALTY_MS, lies++, MAX_PENALTY_MS)
        penalised.inc({ node })
        logger.warn({ node, waitMs: wait }, 'oracle node left alone for a while')
      }
      await clock.sleep(wait, signal).catch(() => {})
    }
  }

  return {
    newest: () => newest,
    async run(signal) {
      await Promise.all(network.oracle.nodes.map(({ url }, node) => follow(node, url, signal)))
    },
  }
}

function doubled(first: number, times: number, most: number): number {
  return Math.min(most, first * 2 ** Math.min(times, 10))
}

/** Reads one server-sent event stream to its end, or until it falls silent. @throws RetryableError when it can't be opened or an event is too long; what `onData` throws. */
async function readStream(
  url: string,
  { clock, idleMs, signal }: { clock: Clock; idleMs: number; signal: AbortSignal },
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
      deadline = clock.now() + idleMs
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
