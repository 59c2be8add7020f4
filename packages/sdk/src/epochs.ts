import {
  type Clock,
  createOracleEpochs,
  faultyNodes,
  fetchHandover,
  type Network,
  networkClockOf,
  type OracleEpochs,
  PermanentError,
  reportEpoch,
  type SignedReport,
  servedReportSchema,
  verifyReport,
} from '@clearspan/shared'

/** What of a network's manifest says who signs its reports, and where they are served. */
export type OracleManifest = Pick<Network, 'networkId' | 'oracle' | 'clock'>

/**
 * The oracle network is in an epoch that the manifest doesn't lead to: governance has replaced the signers, or no node that it names is left to
 * serve the handover. Nothing of that epoch can be checked. Take the network's present manifest (`network.json`) and begin anew with it.
 */
export class UnknownEpochError extends PermanentError {
  override name = 'UnknownEpochError'
  constructor(
    /** Epoch of the reports that are served. */
    readonly epoch: number,
    /** Newest epoch that follows from the manifest. */
    readonly known: number,
  ) {
    super(
      `the oracle network is in epoch ${epoch}, and the manifest leads only to epoch ${known}: ` +
        "get the network's present manifest (network.json) and use it instead",
    )
  }
}

interface Reach {
  fetch: typeof globalThis.fetch
  /** Real time. */
  clock: Clock
}

/** The network's signers as they follow, handover by handover, from those of the manifest. */
export interface Signers {
  /** URLs of all nodes that may have reports to serve. */
  urls(): string[]
  /** URLs of the nodes whose slot it is now. */
  present(): string[]
  /** A served report, checked as the chain will. @throws UnknownEpochError, or another PermanentError saying what is wrong with it. */
  verify(url: string, served: unknown, reach: Reach, signal: AbortSignal): Promise<SignedReport>
  /** Whether the report's slot is its signers', as far as is known now: a handover may have taken it from them. */
  stands(report: SignedReport): boolean
  /** Takes the handovers that this node serves, as far as quorums have signed them. */
  learn(url: string, reach: Reach, signal: AbortSignal): Promise<void>
  /** So many nodes say they are in an epoch that can't be followed that an honest one is among them. */
  lost(): UnknownEpochError | undefined
  /** Whether a report is so old that the network may have moved on without this node. */
  isLate(report: SignedReport | undefined): boolean
}

/** Older than this many slots, a report may be the last one of a node that has left the network. */
const LATE_SLOTS = 16n

const known = new WeakMap<OracleManifest, Signers>()

/** Handovers that were followed once are known to every later call with the same manifest object. */
export function signersOf(network: OracleManifest): Signers {
  const signers = known.get(network) ?? createSigners(network)
  known.set(network, signers)
  return signers
}

function createSigners(network: OracleManifest): Signers {
  const { networkId } = network
  const networkClock = networkClockOf(network.clock)
  const epochs: OracleEpochs = createOracleEpochs(network)
  /** What nodes are in that can't be followed. */
  const strange = new Map<string, UnknownEpochError>()
  const currentSeq = () => BigInt(Math.floor(networkClock.now() / network.oracle.slotMs))
  const present = () => epochs.at(currentSeq()).oracle.nodes

  async function learn(url: string, reach: Reach, signal: AbortSignal): Promise<void> {
    for (let isNew = true; isNew; ) {
      const before = epochs.newest()
      const handover = await fetchHandover(url, before.oracle.epoch + 1, reach, signal)
      if (handover !== undefined) await epochs.add(handover)
      // Whoever was told the same at once may have been first.
      isNew = epochs.newest() !== before
    }
  }

  function stands({ epoch, seq }: SignedReport): boolean {
    const own = epochs.get(epoch)
    return own !== undefined && seq >= own.firstSeq && seq <= own.lastSeq
  }

  return {
    learn,
    stands,
    urls: () => epochs.urls(currentSeq()),
    present: () => present().map(({ url }) => url),
    isLate: (report) => report === undefined || currentSeq() - report.seq > LATE_SLOTS,
    lost() {
      const said = present()
        .flatMap(({ url }) => strange.get(url) ?? [])
        .filter(({ epoch }) => !epochs.get(epoch))
      return said.length > faultyNodes(present().length) ? said[0] : undefined
    },
    async verify(url, answer, reach, signal) {
      const served = servedReportSchema.parse(answer)
      const number = reportEpoch(served)
      if (number < network.oracle.epoch) throw new PermanentError(`epoch ${number} is before the manifest's`)
      if (number > epochs.newest().oracle.epoch)
        await learn(url, reach, signal).catch((error: unknown) => {
          // A handover that nobody has signed is one that can't be followed; one that didn't arrive says nothing.
          if (!(error instanceof PermanentError)) throw error
        })
      const epoch = epochs.get(number)
      if (epoch === undefined) {
        const error = new UnknownEpochError(number, epochs.newest().oracle.epoch)
        strange.set(url, error)
        throw error
      }
      const report = await verifyReport(served, { oracle: epoch.oracle, networkId }, networkClock.now())
      if (!stands(report)) throw new PermanentError(`report ${report.seq} is outside epoch ${number}`)
      strange.delete(url)
      return report
    },
  }
}
