import {
  type Clock,
  createMetrics,
  createShutdown,
  faultyNodes,
  type Logger,
  type Metrics,
  quorumOf,
  type Random,
  type Report,
  type ReportSignature,
  UserError,
} from '@clearspan/shared'
import { type Hex, isAddressEqual } from 'viem'
import type { FeedListing } from './aggregation/plan.js'
import { createClockWatch } from './clocks.js'
import { type OracleNodeConfigInput, parseOracleNodeConfig } from './config.js'
import { createHttp } from './http.js'
import { createNodeMetrics } from './metrics.js'
import { createPeerAuth } from './observation/auth.js'
import { type EvidenceStore, openEvidence } from './observation/evidence.js'
import { type Journal, openJournal } from './observation/journal.js'
import type { Signer } from './observation/signer.js'
import { createObserver } from './observer.js'
import { createPeers } from './peers.js'
import { createReportBoard } from './report/board.js'
import { createSlotMachine } from './report/machine.js'
import { openRecording, type Recording } from './report/recording.js'
import { toReportPrice } from './rules.js'
import { createRunner } from './runner.js'

export interface OracleNodeParameters {
  config: OracleNodeConfigInput
  /** Keys for sources that ask for one, by source id; sent as bearer tokens and never logged. */
  accessTokens?: Readonly<Record<string, string>> | undefined
  /** The network's clock: slots and event times. */
  networkClock: Clock
  /** Wall clock: reconnects, deliveries. */
  realClock: Clock
  /** Jitter of reconnects. */
  random: Random
  logger: Logger
  /** The node's key for observing, of this network alone. */
  signer: Signer
  /** The key that speaks to peers; `signer` without it. */
  peerSigner?: Signer
  metrics?: Metrics
  /** How peers are spoken to; the runtime's own without it. */
  fetch?: typeof globalThis.fetch
}

export interface OracleNode {
  /** Address that the key signs as. */
  address: Hex
  /** What start-up proved for each feed. */
  listings: FeedListing[]
  /** Resolves when it listens and takes part; throws UserError for an occupied port or a foreign data directory. */
  start(): Promise<{ url: string }>
  /** Ends every connection, timer and file. */
  stop(): Promise<void>
}

/** One node of the oracle network. Throws UserError when configuration, key or sources don't fit. */
export function createOracleNode(parameters: OracleNodeParameters): OracleNode {
  const config = parseOracleNodeConfig(parameters.config)
  const { signer, peerSigner = signer } = parameters
  const { oracle, index, networkId } = config
  const protocol = { networkId, oracle }
  const own = oracle.nodes[index]?.signer
  if (!own || !isAddressEqual(own, signer.address)) {
    throw new UserError('key', `signs as ${signer.address}, but oracle.nodes[${index}] is ${own}`)
  }
  const ownPeer = oracle.nodes[index]?.peer ?? own
  if (!isAddressEqual(ownPeer, peerSigner.address)) {
    throw new UserError(
      'peerKey',
      `signs as ${peerSigner.address}, but oracle.nodes[${index}] has ${ownPeer}`,
    )
  }
  const logger = parameters.logger.child({ node: index })
  const observer = createObserver({
    ...parameters,
    config,
    logger,
    onQuote: (quote) => recording?.quote(quote),
  })
  let recording: Recording | undefined
  const metrics = parameters.metrics ?? createMetrics()
  const counters = createNodeMetrics(metrics)
  const board = createReportBoard(config, parameters.networkClock)
  const speed = config.clock?.speed ?? 1
  const clocks = createClockWatch({
    nodes: oracle.nodes.length,
    quorum: quorumOf(oracle.nodes.length),
    boundMs: config.maxClockSkewMs / speed,
    logger,
    metrics: counters,
  })
  const abort = new AbortController()
  const shutdown = createShutdown({ logger })

  function observe(seq: bigint) {
    const at = Number(seq) * oracle.slotMs
    const { quotes, observed } = observer.observe(at)
    recording?.observation(seq, at, quotes, observed)
    board.setOwnReasons(
      seq,
      observed.map((value) => ('hold' in value ? value.hold : null)),
    )
    for (const [index, value] of observed.entries()) {
      const feed = oracle.feeds[index]?.name ?? ''
      if ('hold' in value) counters.held.inc({ feed, reason: value.hold })
      else for (const source of value.outliers) counters.outliers.inc({ feed, source })
    }
    return observed.map(toReportPrice)
  }

  function onFinish(report: Report, signatures: ReportSignature[]) {
    const late = parameters.networkClock.now() - Number(report.seq) * oracle.slotMs
    counters.reports.inc()
    counters.lastSeq.set(Number(report.seq))
    counters.latency.observe(late / 1000)
    board.add(report, signatures)
    recording?.finished(report, signatures)
    observer.onReport(report)
    logger.debug({ seq: `${report.seq}`, lateMs: late }, 'report finished')
  }

  function createParts(journal: Journal, evidence: EvidenceStore) {
    const auth = createPeerAuth({ protocol, index, signer: peerSigner, realClock: parameters.realClock })
    const peers = createPeers({
      auth,
      onTime: clocks.record,
      urls: oracle.nodes.map(({ url }) => url),
      index,
      timeoutMs: Math.ceil(oracle.slotMs / speed),
      realClock: parameters.realClock,
      fetch: parameters.fetch ?? fetch,
      onFailure: (peer) => counters.peerFailures.inc({ peer }),
    })
    const machine = createSlotMachine({
      index,
      nodes: oracle.nodes.length,
      quorum: quorumOf(oracle.nodes.length),
      feeds: oracle.feeds.length,
      epoch: oracle.epoch,
      slotMs: oracle.slotMs,
      proposeFraction: config.proposeFraction,
      deadlineFraction: config.deadlineFraction,
      maxClockSkewMs: config.maxClockSkewMs,
    })
    const runner = createRunner({
      index,
      protocol,
      machine,
      signer,
      journal,
      peers,
      networkClock: parameters.networkClock,
      logger,
      metrics: counters,
      observe,
      onProposal: (seq, observations) => recording?.proposal(seq, observations),
      onFinish,
      onEvidence: evidence.save,
    })
    const server = createHttp({
      realClock: parameters.realClock,
      evidence,
      feeds: oracle.feeds.length,
      nodes: oracle.nodes.length,
      auth,
      receive: runner.receive,
      onUnauthenticated: (reason) => counters.unauthenticated.inc({ reason }),
      onRefused: (code) => counters.refused.inc({ code }),
      onInvalid: (kind) => counters.messages.inc({ kind, outcome: 'invalid_body' }),
      latest: board.latestJson,
      subscribe: board.subscribe,
      health,
      metrics() {
        for (const status of observer.statuses()) counters.setSource(status)
        return metrics.text()
      },
    })
    return { peers, runner, server }
  }

  function health() {
    const age = board.age()
    // f faulty leaders in a row cost f slots; one more may be under way and one lost to chance.
    const fresh = age !== null && age <= (faultyNodes(oracle.nodes.length) + 3) * oracle.slotMs
    const healthy = fresh && !clocks.drifting()
    const now = parameters.networkClock.now()
    const sources = observer.statuses().map((status) => ({
      ...status,
      stale: status.lastEventTime === null || now - status.lastEventTime > config.maxEventAgeMs,
    }))
    const body = {
      status: healthy ? 'ok' : fresh ? 'clock differs from the network' : 'no recent report',
      node: index,
      address: signer.address,
      lastReportAgeMs: age,
      clock: { offsetMs: clocks.offsetMs(), peersMs: clocks.peers() },
      reasons: board.latest()?.reasons ?? {},
      sources,
      listings: observer.listings,
    }
    return { healthy, body }
  }

  async function start() {
    const journal = await openJournal({ dataDir: config.dataDir, networkId, signer: signer.address })
    shutdown.add('journal', journal.close)
    const evidence = await openEvidence(config.dataDir, protocol)
    recording = await openRecording({
      dataDir: config.dataDir,
      rules: observer.rules,
      history: observer.history,
      ...config.recording,
      logger,
      onFailure: () => counters.recordingFailures.inc(),
    })
    shutdown.add('recording', recording.close)
    const { peers, runner, server } = createParts(journal, evidence)
    let running: Promise<void> | undefined
    // Ended from the last to the first: nothing comes in or goes out, then the steps under way end, then their file closes.
    shutdown.add('sources', observer.stop)
    shutdown.add('protocol', () => {
      abort.abort()
      return running
    })
    shutdown.add('server', () => server.close())
    shutdown.add('peers', peers.stop)
    const { host, port, fd } = config.listen
    // Fastify hands its options on to Node, which takes a descriptor before host and port.
    const socket = { host, port, ...(fd === undefined ? {} : { fd }) }
    const url = await server.listen(socket).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
        throw new UserError('listen.port', `${port} on ${host} is in use; free it or choose another`)
      }
      throw error
    })
    // Stopped while it started: the sources stay unopened.
    abort.signal.throwIfAborted()
    observer.start()
    running = runner.run(abort.signal)
    for (const { feed, groups, bounds, toleratedFaults, capped } of observer.listings) {
      const facts = { feed, groups: groups.length, bounds: bounds.length, toleratedFaults, capped }
      if (capped) logger.warn(facts, 'feed listed, but one lying tag can move it: cap it hard')
      else logger.info(facts, 'feed listed')
    }
    logger.info({ url, address: signer.address }, 'oracle node started')
    return { url }
  }

  async function stop() {
    abort.abort()
    await shutdown.run()
  }

  return {
    address: signer.address,
    listings: observer.listings,
    async start() {
      try {
        return await start()
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
  }
}
