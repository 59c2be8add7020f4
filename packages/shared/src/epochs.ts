import type { Hex } from 'viem'
import type { Clock } from './clock.js'
import { PermanentError } from './errors.js'
import { fetchJson } from './fetch-json.js'
import {
  oracleConfigHash,
  type SignedHandover,
  type Succession,
  signedHandoverSchema,
  verifyHandover,
} from './handover.js'
import type { Network, OracleNetwork } from './network.js'

const HANDOVER_TIMEOUT_MS = 5_000
/** 48 feeds, 31 nodes and their signatures are some 20 kB. */
const MAX_HANDOVER_BYTES = 256 * 1024
/** Slots after an epoch's last in which its nodes are still listened to. */
const LATE_SLOTS = 16n

/** An epoch of the oracle network as a relayer knows it. */
export interface KnownEpoch {
  oracle: OracleNetwork
  /** First and last slot that its nodes sign. */
  firstSeq: bigint
  lastSeq: bigint
}

/** What a chain says of its newest epoch. */
export interface OpenedEpoch {
  epoch: number
  configHash: Hex
  firstSeq: bigint
  lastSeq: bigint
}

/** The manifest's epoch, and those that its quorum, and theirs in turn, have handed over to. */
export interface OracleEpochs {
  get(epoch: number): KnownEpoch | undefined
  newest(): KnownEpoch
  /** Whose slot it is; the newest one's after the last, the first one's before the first. */
  at(seq: bigint): KnownEpoch
  /** Every handover since the manifest's epoch, oldest first. */
  handovers(): readonly SignedHandover[]
  /** Takes a handover that the newest epoch's quorum has signed. False for one that is known. @throws PermanentError for any other. */
  add(handover: SignedHandover): Promise<boolean>
  /**
   * Takes the description of an epoch that the hub has opened, by whomever it was signed or by nobody: the hub's configuration hash covers it.
   * False for one that is known. @throws PermanentError for any other.
   */
  adopt(described: Succession, opened: OpenedEpoch): boolean
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
  function push(next: KnownEpoch): void {
    for (const known of epochs) if (known.lastSeq >= next.firstSeq) known.lastSeq = next.firstSeq - 1n
    epochs.push(next)
  }

  return {
    get: (epoch) => epochs.find((known) => known.oracle.epoch === epoch),
    newest,
    at: (seq) => epochs.findLast(({ firstSeq }) => firstSeq <= seq) ?? epochs[0],
    handovers: () => handovers,
    async add(handover) {
      const outgoing = newest()
      if (handover.oracle.epoch <= outgoing.oracle.epoch) return false
      await verifyHandover(handover, outgoing.oracle, networkId)
      // Another may have come while the signatures were checked.
      if (newest() !== outgoing) return false
      const { firstSeq, lastSeq } = handover
      push({ oracle: handover.oracle, firstSeq: BigInt(firstSeq), lastSeq: BigInt(lastSeq) })
      handovers.push(handover)
      return true
    },
    adopt({ oracle: described }, { epoch, configHash, firstSeq, lastSeq }) {
      if (epoch <= newest().oracle.epoch) return false
      if (described.epoch !== epoch || oracleConfigHash(described) !== configHash)
        throw new PermanentError(`not what the hub has opened as epoch ${epoch}`)
      push({ oracle: described, firstSeq, lastSeq })
      return true
    },
    urls(seq) {
      const heard = epochs.filter(({ lastSeq }) => seq <= lastSeq + LATE_SLOTS)
      const followed = heard.length === 0 ? [newest()] : heard
      return [...new Set(followed.flatMap((known) => known.oracle.nodes.map(({ url }) => url)))]
    },
  }
}

/**
 * What a node serves of the handover to an epoch; undefined when it has none. Nothing of it is checked but its shape. At most 5 s of the clock.
 * @throws what fetching and parsing throw.
 */
export async function fetchHandover(
  nodeUrl: string,
  epoch: number,
  { fetch, clock }: { fetch: typeof globalThis.fetch; clock: Clock },
  signal: AbortSignal,
): Promise<SignedHandover | undefined> {
  signal.throwIfAborted()
  const over = new AbortController()
  const timer = new AbortController()
  const end = () => over.abort()
  signal.addEventListener('abort', end, { once: true })
  void clock.sleep(HANDOVER_TIMEOUT_MS, timer.signal).then(end, () => {})
  try {
    const url = `${nodeUrl.replace(/\/$/, '')}/handover/${epoch}`
    const served = await fetchJson(url, { fetch, signal: over.signal, maxBytes: MAX_HANDOVER_BYTES })
    return served === undefined ? undefined : signedHandoverSchema.parse(served)
  } finally {
    timer.abort()
    signal.removeEventListener('abort', end)
  }
}
