import {
  type Clock,
  createOracleEpochs,
  type Logger,
  type Metrics,
  type Network,
  type OpenedEpoch,
  type OracleEpochs,
  PermanentError,
  type Random,
  readEventStream,
  reportEpoch,
  type SignedReport,
  servedReportSchema,
  verifyReport,
} from '@clearspan/shared'
import { watchHandovers } from './handovers.js'

const FIRST_RETRY_MS = 250
const MAX_RETRY_MS = 5_000
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
  /** Nodes are asked so often whether they have handed over to a next epoch, real ms. */
  handoverMs: number
  /** The newest epoch on the hub. */
  opened: () => Promise<OpenedEpoch>
  random: Random
  fetch: typeof globalThis.fetch
  logger: Logger
  metrics: Metrics
  /** Called for every report newer than all before, with the real ms at which it had arrived. */
  onReport: (report: SignedReport, arrivedAt: number) => void
  /** Called when the network hands over to a next epoch: chains must learn of it. */
  onHandover: () => void
}

/** Newest report of the network, from the streams of all its nodes. */
export interface PriceSubscription {
  newest(): { report: SignedReport; arrivedAt: number } | undefined
  epochs: OracleEpochs
  /** Keeps a connection to every node of every epoch that has reports to serve, until the signal aborts. */
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
  const epochs = createOracleEpochs(network)
  /** Numbers of the nodes in logs and metrics, the manifest's first; one that stays keeps its own. */
  const numbers = new Map<string, number>()
  let newest: { report: SignedReport; arrivedAt: number } | undefined

  async function receive(node: number, data: string): Promise<'new' | 'known' | 'unknown-epoch' | 'invalid'> {
    const arrivedAt = clock.now()
    const count = <O extends string>(outcome: O): O => {
      events.inc({ node, outcome })
      return outcome
    }
    try {
      const served = servedReportSchema.parse(JSON.parse(data))
      // Every node serves every report: all but the first are no news, and not worth checking.
      if (newest !== undefined && BigInt(served.seq) <= newest.report.seq) return count('known')
      const epoch = epochs.get(reportEpoch(served))
      // Whoever has not heard of a handover yet can't tell a lie from the truth.
      if (epoch === undefined) return count('unknown-epoch')
      const { networkId } = network
      const report = await verifyReport(served, { oracle: epoch.oracle, networkId }, networkClock.now())
      if (report.seq < epoch.firstSeq || report.seq > epoch.lastSeq)
        throw new PermanentError(`report ${report.seq} is outside epoch ${report.epoch}`)
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
      await readEventStream(
        `${url.replace(/\/$/, '')}/reports/stream`,
        { fetch: options.fetch, clock, idleMs, signal },
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
    while (!signal.aborted && epochs.urls(currentSeq()).includes(url)) {
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

  const currentSeq = () => BigInt(Math.floor(networkClock.now() / network.oracle.slotMs))

  return {
    newest: () => newest,
    epochs,
    async run(signal) {
      const following = new Map<string, Promise<void>>()
      function followAll(): void {
        for (const url of epochs.urls(currentSeq())) {
          const node = numbers.get(url) ?? numbers.size
          numbers.set(url, node)
          if (!following.has(url)) following.set(url, follow(node, url, signal))
        }
      }
      followAll()
      const onHandover = () => {
        // What an old quorum signed of slots that it has given away is no report.
        if (newest && newest.report.seq > (epochs.get(newest.report.epoch)?.lastSeq ?? 0n)) newest = undefined
        followAll()
        options.onHandover()
      }
      const { handoverMs: pollMs, opened, fetch } = options
      await watchHandovers({ epochs, fetch, clock, pollMs, logger, opened, onHandover }, signal)
      await Promise.all(following.values())
    },
  }
}

function doubled(first: number, times: number, most: number): number {
  return Math.min(most, first * 2 ** Math.min(times, 10))
}
