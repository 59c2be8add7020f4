import {
  type Clock,
  faultyNodes,
  type Network,
  networkClockOf,
  PermanentError,
  type Random,
  RetryableError,
  readEventStream,
  type SignedReport,
  servedReportSchema,
  systemClock,
  systemRandom,
  verifyReport,
} from '@clearspan/shared'

const TIMEOUT_MS = 2_000
/** A report is some 5 kB as JSON. */
const MAX_BODY_BYTES = 64 * 1024
/** Nodes give a sign of life each 5 s. */
const IDLE_MS = 15_000
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 10_000

/** What of a network's manifest says who signs its reports, and where they are served. */
export type OracleManifest = Pick<Network, 'networkId' | 'oracle' | 'clock'>

export interface ReportOptions {
  signal?: AbortSignal
  /** Real time. */
  realClock?: Clock
  random?: Random
  fetch?: typeof globalThis.fetch
}

/**
 * The newest report, asked of all nodes at once (`GET /reports/latest`) and checked as the chain will: whichever node it comes from, a quorum has
 * signed it. Waits for all but the f nodes that may be silent, so that one of those heard is honest; at most `timeoutMs` real ms, and then takes
 * what there is.
 * @throws RetryableError when no node has served one.
 */
export async function latestReport(
  network: OracleManifest,
  {
    signal,
    realClock = systemClock,
    fetch = globalThis.fetch,
    timeoutMs = TIMEOUT_MS,
  }: ReportOptions & { timeoutMs?: number } = {},
): Promise<SignedReport> {
  const { nodes } = network.oracle
  const networkClock = networkClockOf(network.clock)
  const found: SignedReport[] = []
  const failures: string[] = []
  const over = new AbortController()
  const end = () => over.abort()
  signal?.addEventListener('abort', end, { once: true })
  const asked = nodes.map(async ({ url }) => {
    try {
      const body = await getJson(`${url.replace(/\/$/, '')}/reports/latest`, fetch, over.signal)
      found.push(await verifyReport(servedReportSchema.parse(body), network, networkClock.now()))
    } catch (error) {
      failures.push(`${url}: ${error instanceof Error ? error.message : error}`)
    }
    if (found.length >= nodes.length - faultyNodes(nodes.length)) end()
  })
  try {
    signal?.throwIfAborted()
    await Promise.race([Promise.all(asked), realClock.sleep(timeoutMs, over.signal).catch(() => {})])
    signal?.throwIfAborted()
  } finally {
    end()
    signal?.removeEventListener('abort', end)
  }
  if (found.length === 0) throw new RetryableError(`no oracle node served a report: ${failures.join('; ')}`)
  return found.reduce((newest, one) => (one.seq > newest.seq ? one : newest))
}

async function getJson(url: string, fetch: typeof globalThis.fetch, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(url, { signal, redirect: 'error' })
  if (!response.ok || response.body === null) throw new RetryableError(`answered ${response.status}`)
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of response.body) {
    size += chunk.byteLength
    if (size > MAX_BODY_BYTES) throw new PermanentError(`answered more than ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  return JSON.parse(Buffer.concat(chunks).toString())
}

/**
 * Every report from now on, newest first known, from the streams of all nodes (`GET /reports/stream`) and checked as the chain will. A consumer that
 * is slower than the slots gets the newest only. Reconnects by itself; ends, without an error, when the signal aborts or the loop is left.
 */
export async function* followReports(
  network: OracleManifest,
  { signal, realClock = systemClock, random = systemRandom, fetch = globalThis.fetch }: ReportOptions = {},
): AsyncGenerator<SignedReport, void, void> {
  const networkClock = networkClockOf(network.clock)
  const over = new AbortController()
  let newest: SignedReport | undefined
  let wake = () => {}
  const end = () => {
    over.abort()
    wake()
  }

  async function receive(data: string): Promise<void> {
    const served = servedReportSchema.parse(JSON.parse(data))
    // Every node serves every report: all but the first are no news, and not worth checking.
    if (newest !== undefined && BigInt(served.seq) <= newest.seq) return
    const report = await verifyReport(served, network, networkClock.now())
    if (newest !== undefined && report.seq <= newest.seq) return
    newest = report
    wake()
  }

  async function follow(url: string): Promise<void> {
    for (let failures = 0; !over.signal.aborted; failures += 1) {
      const stream = { fetch, clock: realClock, idleMs: IDLE_MS, signal: over.signal }
      await readEventStream(`${url.replace(/\/$/, '')}/reports/stream`, stream, async (data) => {
        await receive(data)
        failures = 0
      }).catch(() => {}) // silent, gone or lying: the others go on, this one is tried again later
      const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))
      await realClock.sleep(wait * (0.5 + random.next() / 2), over.signal).catch(() => {})
    }
  }

  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted) end()
  const following = network.oracle.nodes.map(({ url }) => follow(url))
  try {
    let last: SignedReport | undefined
    while (!over.signal.aborted) {
      if (newest !== undefined && newest !== last) {
        last = newest
        yield last
      } else
        await new Promise<void>((resolve) => {
          wake = resolve
        })
    }
  } finally {
    signal?.removeEventListener('abort', end)
    end()
    await Promise.all(following)
  }
}
