import {
  type Clock,
  type Logger,
  RetryableError,
  type SignedHandover,
  signedHandoverSchema,
} from '@clearspan/shared'
import type { OpenedEpoch, OracleEpochs } from './epochs.js'

const TIMEOUT_MS = 5_000
/** 48 feeds, 31 nodes and their signatures are some 20 kB. */
const MAX_BYTES = 256 * 1024

export interface HandoverWatchOptions {
  epochs: OracleEpochs
  fetch: typeof globalThis.fetch
  clock: Clock
  /** Real ms between questions. */
  pollMs: number
  logger: Logger
  /** The newest epoch on the hub: governance may have opened it, or more than one may have followed the manifest's. */
  opened(): Promise<OpenedEpoch>
  /** Called for every new handover. */
  onHandover(handover: SignedHandover): void
}

/**
 * Asks the newest epoch's nodes for the next one, until the signal aborts: any one of them suffices, for either a quorum's signatures are checked,
 * or what the hub has opened.
 */
export async function watchHandovers(options: HandoverWatchOptions, signal: AbortSignal): Promise<void> {
  const { epochs, clock, pollMs, logger, onHandover } = options

  /** Whether this node has shown an epoch that was not known. */
  async function ask(base: string, epoch: number, opened?: OpenedEpoch): Promise<boolean> {
    try {
      const handover = await fetchHandover(`${base.replace(/\/$/, '')}/handover/${epoch}`, options, signal)
      if (handover === undefined) return false
      if (!(opened ? epochs.adopt(handover, opened) : await epochs.add(handover))) return false
      logger.info({ epoch, firstSeq: handover.firstSeq }, 'the oracle network has a next epoch')
      onHandover(handover)
      return true
    } catch (err) {
      if (!signal.aborted) logger.debug({ err, url: base, epoch }, 'no handover')
      return false
    }
  }

  async function askAll(epoch: number, opened?: OpenedEpoch): Promise<boolean> {
    const urls = new Set(epochs.newest().oracle.nodes.map(({ url }) => url))
    const found = await Promise.all([...urls].map((url) => ask(url, epoch, opened)))
    return found.includes(true)
  }

  while (!signal.aborted) {
    const { epoch } = epochs.newest().oracle
    let isNew = await askAll(epoch + 1)
    if (!isNew) {
      const opened = await options.opened().catch(() => undefined)
      if (opened && opened.epoch > epoch) isNew = await askAll(opened.epoch, opened)
    }
    // A relayer that was away may have several to catch up with.
    if (!isNew) await clock.sleep(pollMs, signal).catch(() => {})
  }
}

/** Undefined when the node has none. @throws RetryableError, or what parsing throws. */
async function fetchHandover(
  url: string,
  { fetch, clock }: Pick<HandoverWatchOptions, 'fetch' | 'clock'>,
  signal: AbortSignal,
): Promise<SignedHandover | undefined> {
  const over = new AbortController()
  const end = () => over.abort()
  signal.addEventListener('abort', end, { once: true })
  const timer = new AbortController()
  void clock.sleep(TIMEOUT_MS, timer.signal).then(end, () => {})
  try {
    const response = await fetch(url, { signal: over.signal, redirect: 'error' })
    if (response.status === 404) return undefined
    if (!response.ok || response.body === null) throw new RetryableError(`${url} answered ${response.status}`)
    const chunks: Uint8Array[] = []
    let bytes = 0
    for await (const chunk of response.body) {
      bytes += chunk.length
      if (bytes > MAX_BYTES) throw new RetryableError(`${url} answered too much`)
      chunks.push(chunk)
    }
    return signedHandoverSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')))
  } finally {
    timer.abort()
    signal.removeEventListener('abort', end)
    // A body that is left unread would keep its connection.
    end()
  }
}
