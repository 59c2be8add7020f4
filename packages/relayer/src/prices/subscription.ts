import {
  type Clock,
  type Logger,
  type Metrics,
  type Network,
  PermanentError,
  type Random,
  readEventStream,
  type SignedReport,
  servedReportSchema,
  verifyReport,
} from '@clearspan/shared'

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
      await readEventStream(
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
