import {
  type Clock,
  fetchHandover,
  type Logger,
  type OpenedEpoch,
  type OracleEpochs,
  type SignedHandover,
} from '@clearspan/shared'

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
      const handover = await fetchHandover(base, epoch, options, signal)
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
