import { type Network, type OracleNetwork, type SignedHandover, verifyHandover } from '@clearspan/shared'

/** Slots after an epoch's last in which its nodes are still listened to. */
const LATE_SLOTS = 16n

/** An epoch of the oracle network as a relayer knows it. */
export interface KnownEpoch {
  oracle: OracleNetwork
  /** First and last slot that its nodes sign. */
  firstSeq: bigint
  lastSeq: bigint
}

/** The manifest's epoch, and those that its quorum, and theirs in turn, have handed over to. */
export interface OracleEpochs {
  get(epoch: number): KnownEpoch | undefined
  newest(): KnownEpoch
  /** Every handover since the manifest's epoch, oldest first. */
  handovers(): readonly SignedHandover[]
  /** Takes a handover that the newest epoch's quorum has signed. False for one that is known. @throws PermanentError for any other. */
  add(handover: SignedHandover): Promise<boolean>
  /** URLs of all nodes that may still have, or will have, reports to serve. */
  urls(seq: bigint): string[]
}

export function createOracleEpochs({
  oracle,
  networkId,
}: Pick<Network, 'oracle' | 'networkId'>): OracleEpochs {
  const epochs: [KnownEpoch, ...KnownEpoch[]] = [{ oracle, firstSeq: 0n, lastSeq: 2n ** 64n - 1n }]
  const handovers: SignedHandover[] = []
  const newest = () => epochs.at(-1) ?? epochs[0]
  return {
    get: (epoch) => epochs.find((known) => known.oracle.epoch === epoch),
    newest,
    handovers: () => handovers,
    async add(handover) {
      const outgoing = newest()
      if (handover.oracle.epoch <= outgoing.oracle.epoch) return false
      await verifyHandover(handover, outgoing.oracle, networkId)
      // Another may have come while the signatures were checked.
      if (newest() !== outgoing) return false
      const firstSeq = BigInt(handover.firstSeq)
      for (const known of epochs) if (known.lastSeq >= firstSeq) known.lastSeq = firstSeq - 1n
      epochs.push({ oracle: handover.oracle, firstSeq, lastSeq: BigInt(handover.lastSeq) })
      handovers.push(handover)
      return true
    },
    urls(seq) {
      const heard = epochs.filter(({ lastSeq }) => seq <= lastSeq + LATE_SLOTS)
      const followed = heard.length === 0 ? [newest()] : heard
      return [...new Set(followed.flatMap((known) => known.oracle.nodes.map(({ url }) => url)))]
    },
  }
}
