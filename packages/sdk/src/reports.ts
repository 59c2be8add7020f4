import {
  type Clock,
  faultyNodes,
  fetchJson,
  type Random,
  RetryableError,
  readEventStream,
  type SignedReport,
  servedReportSchema,
  systemClock,
  systemRandom,
} from '@clearspan/shared'
import { type OracleManifest, signersOf, type UnknownEpochError } from './epochs.js'

const TIMEOUT_MS = 2_000
/** A report is some 5 kB as JSON. */
const MAX_BODY_BYTES = 64 * 1024
/** Nodes give a sign of life each 5 s. */
const IDLE_MS = 15_000
const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 10_000
/** Real ms between questions for a next epoch: it is announced before it begins. */
const HANDOVER_MS = 30_000

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
 * what there is. Follows the network's handovers of signers from the manifest's on, and remembers them by the manifest object.
 * @throws UnknownEpochError when the network has signers to whom the manifest's don't lead; RetryableError when no node has served a report.
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
  const signers = signersOf(network)
  const reach = { fetch, clock: realClock }
  const asked = new Set<string>()
  const found = new Map<string, SignedReport>()
  const failures: string[] = []
  const over = new AbortController()
  const end = () => over.abort()

  async function ask(url: string): Promise<void> {
    try {
      const latest = { fetch, signal: over.signal, maxBytes: MAX_BODY_BYTES }
      const served = await fetchJson(`${url.replace(/\/$/, '')}/reports/latest`, latest)
      const report = served === undefined ? served : await signers.verify(url, served, reach, over.signal)
      if (report) found.set(url, report)
      else failures.push(`${url}: has no report`)
      if (signers.isLate(report)) await signers.learn(url, reach, over.signal)
    } catch (error) {
      failures.push(`${url}: ${error instanceof Error ? error.message : error}`)
    }
    const present = signers.present()
    const heard = present.filter((one) => {
      const report = found.get(one)
      return report && signers.stands(report)
    }).length
    if (heard >= present.length - faultyNodes(present.length) || signers.lost()) end()
    // It may have told of nodes that were not known before.
    else await askAll()
  }

  async function askAll(): Promise<void> {
    const urls = signers.urls().filter((url) => !asked.has(url))
    for (const url of urls) asked.add(url)
    await Promise.all(urls.map(ask))
  }

  signal?.addEventListener('abort', end, { once: true })
  try {
    signal?.throwIfAborted()
    await Promise.race([askAll(), realClock.sleep(timeoutMs, over.signal).catch(() => {})])
    signal?.throwIfAborted()
  } finally {
    end()
    signal?.removeEventListener('abort', end)
  }
  const lost = signers.lost()
  if (lost) throw lost
  const standing = [...found.values()].filter(signers.stands)
  if (standing.length === 0)
    throw new RetryableError(
      `no oracle node served a report (if they have moved, the network's present manifest names them): ${failures.join('; ')}`,
    )
  return standing.reduce((newest, one) => (one.seq > newest.seq ? one : newest))
}

/**
 * Every report from now on, newest first known, from the streams of all nodes (`GET /reports/stream`) and checked as the chain will. A consumer that
 * is slower than the slots gets the newest only. Reconnects by itself, and follows the network's handovers of signers from the manifest's on. Ends,
 * without an error, when the signal aborts or the loop is left.
 * @throws UnknownEpochError when the network has signers to whom the manifest's don't lead.
 */
export async function* followReports(
  network: OracleManifest,
  { signal, realClock = systemClock, random = systemRandom, fetch = globalThis.fetch }: ReportOptions = {},
): AsyncGenerator<SignedReport, void, void> {
  const signers = signersOf(network)
  const reach = { fetch, clock: realClock }
  const following = new Map<string, Promise<void>>()
  const over = new AbortController()
  let newest: SignedReport | undefined
  let lost: UnknownEpochError | undefined
  let wake = () => {}
  const end = () => {
    over.abort()
    wake()
  }

  async function receive(url: string, data: string): Promise<void> {
    const served = servedReportSchema.parse(JSON.parse(data))
    // Every node serves every report: all but the first are no news, and not worth checking.
    if (newest !== undefined && BigInt(served.seq) <= newest.seq) return
    try {
      const report = await signers.verify(url, served, reach, over.signal)
      if (newest !== undefined && report.seq <= newest.seq) return
      newest = report
    } finally {
      lost = signers.lost()
      // What an old quorum signed of slots that it has given away is no report.
      if (newest && !signers.stands(newest)) newest = undefined
      followAll()
      wake()
    }
  }

  async function follow(url: string): Promise<void> {
    for (let failures = 0; !over.signal.aborted && signers.urls().includes(url); failures += 1) {
      const stream = { fetch, clock: realClock, idleMs: IDLE_MS, signal: over.signal }
      await readEventStream(`${url.replace(/\/$/, '')}/reports/stream`, stream, async (data) => {
        await receive(url, data)
        failures = 0
      }).catch(() => {}) // silent, gone or lying: the others go on, this one is tried again later
      const wait = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(failures, 10))
      await realClock.sleep(wait * (0.5 + random.next() / 2), over.signal).catch(() => {})
    }
    following.delete(url)
  }

  function followAll(): void {
    if (over.signal.aborted) return
    for (const url of signers.urls()) if (!following.has(url)) following.set(url, follow(url))
  }

  async function watchHandovers(): Promise<void> {
    for (;;) {
      await realClock.sleep(HANDOVER_MS, over.signal).catch(() => {})
      if (over.signal.aborted) return
      await Promise.all(
        signers.present().map((url) => signers.learn(url, reach, over.signal).catch(() => {})),
      )
      followAll()
    }
  }

  signal?.addEventListener('abort', end, { once: true })
  if (signal?.aborted) end()
  followAll()
  const watching = watchHandovers()
  try {
    let last: SignedReport | undefined
    while (!over.signal.aborted) {
      if (lost) throw lost
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
    await Promise.all([watching, ...following.values()])
  }
}
