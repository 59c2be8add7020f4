import {
  type Clock,
  createShutdown,
  type Logger,
  type OracleNetwork,
  quorumOf,
  type Random,
  type Report,
  type ReportSignature,
} from '@clearspan/shared'
import type { FeedListing } from './aggregation/plan.js'
import { type ClockWatch, createClockWatch } from './clocks.js'
import type { OracleNodeConfig } from './config.js'
import type { Receipt } from './http.js'
import type { NodeMetrics } from './metrics.js'
import { createPeerAuth, type PeerAuth } from './observation/auth.js'
import type { EvidenceStore } from './observation/evidence.js'
import type { Journal } from './observation/journal.js'
import type { Protocol } from './observation/message.js'
import type { Signer } from './observation/signer.js'
import type { Unverified } from './observation/verify.js'
import { createObserver, type Observer } from './observer.js'
import { createPeers, type Peers } from './peers.js'
import type { createReportBoard } from './report/board.js'
import { createSlotMachine, type MachineParameters } from './report/machine.js'
import { recall } from './report/recall.js'
import { openRecording, type Recording } from './report/recording.js'
import { toReportPrice } from './rules.js'
import { createRunner, type Runner } from './runner.js'

export interface TermParameters {
  /** Of this epoch: its network, this node's place in it, its sources. */
  config: OracleNodeConfig
  accessTokens: Readonly<Record<string, string>>
  networkClock: Clock
  realClock: Clock
  random: Random
  logger: Logger
  signer: Signer
  peerSigner: Signer
  metrics: NodeMetrics
  fetch?: typeof globalThis.fetch
  board: ReturnType<typeof createReportBoard>
  onFinish(report: Report, signatures: ReportSignature[]): void
}

/** One node's part in one epoch. Around a change of epochs a node has two: the old one collects its last signatures while the new one begins. */
export interface Term {
  protocol: Protocol
  listings: FeedListing[]
  auth: PeerAuth
  clocks: ClockWatch
  statuses: Observer['statuses']
  /** Reads back from the disk the reports that this epoch's feeds rest on. `known`: epochs whose signers are known. */
  recall(known: readonly OracleNetwork[]): Promise<void>
  /** Opens what needs the disk. Nothing runs yet. */
  open(shelf: Shelf): Promise<void>
  /** Sources, then slots, as far as they are this epoch's. */
  start(): void
  /** Peers by this epoch's list; once opened. */
  tell: Peers['tell']
  receive(message: Unverified): Promise<Receipt>
  /** A finished report, of this epoch or of an older one: feeds are made of both. */
  onReport(report: Report, signatures: ReportSignature[]): void
  stop(): Promise<void>
}

/** What the terms of a node share on disk. */
export interface Shelf {
  journal: Journal
  evidence: EvidenceStore
  slots: MachineParameters['slots']
}

/** Throws UserError when the sources can't carry the feeds. */
export function createTerm(parameters: TermParameters): Term {
  const { config, networkClock, realClock, logger, metrics, board } = parameters
  const { oracle, index, networkId } = config
  const protocol = { networkId, oracle }
  const nodes = oracle.nodes.length
  const quorum = quorumOf(nodes)
  const speed = config.clock?.speed ?? 1
  let recording: Recording | undefined
  let parts: { peers: Peers; runner: Runner } | undefined
  const observer = createObserver({
    ...parameters,
    onEvent: (source, event) => recording?.event(source, event),
  })
  const boundMs = config.maxClockSkewMs / speed
  const clocks = createClockWatch({ nodes, quorum, boundMs, logger, metrics })
  const auth = createPeerAuth({ protocol, index, signer: parameters.peerSigner, realClock })
  const abort = new AbortController()
  const shutdown = createShutdown({ logger, clock: realClock })

  function observe(seq: bigint) {
    const at = Number(seq) * oracle.slotMs
    const observed = observer.observe(at)
    recording?.observation(seq, at, observed)
    board.setOwnReasons(
      seq,
      observed.map((value) => ('hold' in value ? value.hold : null)),
    )
    for (const [place, value] of observed.entries()) {
      const feed = oracle.feeds[place]?.name ?? ''
      if ('hold' in value) metrics.held.inc({ feed, reason: value.hold })
      else for (const source of value.outliers) metrics.outliers.inc({ feed, source })
    }
    return observed.map(toReportPrice)
  }

  function createParts({ journal, evidence, slots }: Shelf) {
    const peers = createPeers({
      auth,
      onTime: clocks.record,
      urls: oracle.nodes.map(({ url }) => url),
      index,
      timeoutMs: Math.ceil(oracle.slotMs / speed),
      realClock,
      fetch: parameters.fetch ?? fetch,
      onFailure: (peer) => metrics.peerFailures.inc({ peer }),
    })
    const machine = createSlotMachine({
      index,
      nodes,
      quorum,
      feeds: oracle.feeds.length,
      epoch: oracle.epoch,
      slots,
      slotMs: oracle.slotMs,
      proposeFraction: config.proposeFraction,
      deadlineFraction: config.deadlineFraction,
      maxClockSkewMs: config.maxClockSkewMs,
    })
    const runner = createRunner({
      index,
      protocol,
      machine,
      signer: parameters.signer,
      journal,
      peers,
      networkClock,
      logger,
      metrics,
      observe,
      onUnsigned: (seq) => recording?.unsigned(seq),
      onProposal: (seq, observations) => recording?.proposal(seq, observations),
      onFinish: parameters.onFinish,
      onEvidence: (proof) => evidence.save(proof, protocol),
    })
    return { peers, runner }
  }

  return {
    protocol,
    listings: observer.listings,
    auth,
    clocks,
    statuses: observer.statuses,
    recall: (known) =>
      recall({
        config,
        known,
        seq: Math.floor(networkClock.now() / oracle.slotMs),
        rules: observer.rules,
        past: observer.past,
        take: observer.onReport,
        logger,
      }),
    async open(shelf) {
      recording = await openRecording({
        dataDir: config.dataDir,
        rules: observer.rules,
        history: observer.history,
        books: observer.books,
        ...config.recording,
        logger,
        onFailure: () => metrics.recordingFailures.inc(),
      })
      shutdown.add('recording', recording.close)
      parts = createParts(shelf)
    },
    start() {
      if (!parts || abort.signal.aborted) return
      const { peers, runner } = parts
      observer.start()
      const running = runner.run(abort.signal)
      // Ended from the last to the first: nothing comes in or goes out, then the steps under way end, then their file closes.
      shutdown.add('sources', observer.stop)
      shutdown.add('protocol', () => {
        abort.abort()
        return running
      })
      shutdown.add('peers', peers.stop)
      for (const { feed, groups, bounds, toleratedFaults, capped } of observer.listings) {
        const facts = { feed, groups: groups.length, bounds: bounds.length, toleratedFaults, capped }
        if (capped) logger.warn(facts, 'feed listed, but one lying tag can move it: cap it hard')
        else logger.info(facts, 'feed listed')
      }
    },
    tell: async (path, value) => parts?.peers.tell(path, value),
    receive: async (message) => parts?.runner.receive(message) ?? { status: 'ignored', reason: 'too_early' },
    onReport(report, signatures) {
      if (report.epoch === oracle.epoch) recording?.finished(report, signatures)
      observer.onReport(report, { signatures })
      if (report.epoch !== oracle.epoch) recording?.foreign(report, signatures)
    },
    stop: async () => void (await shutdown.run()),
  }
}
