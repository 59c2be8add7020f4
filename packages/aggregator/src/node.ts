import {
  type Clock,
  createMetrics,
  createShutdown,
  faultyNodes,
  type Logger,
  type Metrics,
  type OracleNetwork,
  type Random,
  type Report,
  type ReportSignature,
  readAnswer,
  type SignedHandover,
  UserError,
} from '@clearspan/shared'
import { type Hex, isAddressEqual } from 'viem'
import type { FeedListing } from './aggregation/plan.js'
import { checkAnchor, createRevocationWatch, requireAgreement } from './anchor.js'
import {
  nextConfig,
  type OracleNodeConfig,
  type OracleNodeConfigInput,
  parseOracleNodeConfig,
} from './config.js'
import { withDeadline } from './deadline.js'
import { type HandoverArchive, openHandovers } from './handover/archive.js'
import { createHandoverCollector, type HandoverCollector } from './handover/collector.js'
import { HANDOVER_PATH } from './handover/message.js'
import { createHttp, type HttpParameters } from './http.js'
import { createNodeMetrics } from './metrics.js'
import { openEvidence } from './observation/evidence.js'
import { openJournal } from './observation/journal.js'
import type { Signer } from './observation/signer.js'
import { createReportBoard } from './report/board.js'
import { createSlots, rotate } from './rotation.js'
import { createTerm, type Shelf, type Term } from './term.js'

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

/** 48 feeds, 31 nodes and their signatures are some 20 kB. */
const MAX_HANDOVER_BYTES = 256 * 1024

/** One node of the oracle network. Throws UserError when configuration, key or sources don't fit. */
export function createOracleNode(parameters: OracleNodeParameters): OracleNode {
  const config = parseOracleNodeConfig(parameters.config)
  const { signer, peerSigner = signer, networkClock, realClock } = parameters
  const { oracle, index, networkId } = config
  requireAgreement(config)
  checkKeys(oracle, index, signer, peerSigner)
  const logger = parameters.logger.child({ node: index })
  const metrics = parameters.metrics ?? createMetrics()
  const counters = createNodeMetrics(metrics)
  const board = createReportBoard(config, networkClock)
  const abort = new AbortController()
  const shutdown = createShutdown({ logger, clock: realClock })
  const revocation = createRevocationWatch({
    anchor: config.anchor,
    epochs: [oracle.epoch, ...(config.next ? [config.next.oracle.epoch] : [])],
    realClock,
    logger,
    metrics: counters,
  })

  const present = makeTerm(config)
  const nextIndex = config.next?.oracle.nodes.findIndex((node) => isAddressEqual(node.signer, signer.address))
  const following = makeNext()
  /** Those that run: the newest last. */
  let terms: Term[] = [present]
  /** Whether the next epoch is sure to begin; known once the disk is read. */
  let isSure = () => false

  function makeTerm(own: OracleNodeConfig): Term {
    const { epoch } = own.oracle
    const ids = new Set(own.sources.map(({ id }) => id))
    return createTerm({
      ...parameters,
      config: own,
      accessTokens: Object.fromEntries(tokens().filter(([id]) => ids.has(id))),
      logger: epoch === oracle.epoch ? logger : logger.child({ epoch }),
      peerSigner,
      metrics: counters,
      board,
      onFinish: (report, signatures) => onFinish(own.oracle, report, signatures),
    })
  }

  /** Each token must be for a source of this epoch or the next. */
  function tokens(): [string, string][] {
    const all = Object.entries(parameters.accessTokens ?? {})
    const known = [...config.sources, ...(config.next?.sources ?? [])].map(({ id }) => id)
    for (const [id] of all) if (!known.includes(id)) throw new UserError(`accessTokens.${id}`, 'is no source')
    return all
  }

  /** Null without a next epoch, and when this node has no part in it. */
  function makeNext(): Term | null {
    if (!config.next || nextIndex === undefined || nextIndex < 0) return null
    checkKeys(config.next.oracle, nextIndex, signer, peerSigner)
    const own = nextConfig(config, nextIndex)
    return own && makeTerm(own)
  }

  function onFinish({ feeds, slotMs }: OracleNetwork, report: Report, signatures: ReportSignature[]) {
    const late = networkClock.now() - Number(report.seq) * slotMs
    counters.reports.inc()
    counters.lastSeq.set(Number(report.seq))
    counters.latency.observe(late / 1000)
    board.add(report, signatures, feeds)
    present.onReport(report, signatures)
    following?.onReport(report, signatures)
    logger.debug({ seq: `${report.seq}`, lateMs: late }, 'report finished')
  }

  /** The term whose slot it is, or was last. */
  function active(): Term {
    const begun = networkClock.now() >= (config.next?.firstSeq ?? Number.POSITIVE_INFINITY) * oracle.slotMs
    return (begun && isSure() && terms.find((term) => term === following)) || present
  }

  function createCollector(archive: HandoverArchive, { journal }: Shelf): HandoverCollector | undefined {
    if (config.next?.by !== 'handover') return undefined
    const { oracle: nextOracle, firstSeq, lastSeq, useAges } = config.next
    const { epoch } = nextOracle
    const speed = config.clock?.speed ?? 1
    const ms = Math.ceil(oracle.slotMs / speed)
    return createHandoverCollector({
      outgoing: present.protocol,
      index,
      succession: { oracle: nextOracle, firstSeq, lastSeq, useAges },
      signer,
      journal,
      archive,
      isRevoked: () => revocation.isRevoked(oracle.epoch),
      tell: (message) => present.tell(HANDOVER_PATH, message),
      async fetchFinished(peer) {
        const url = `${oracle.nodes[peer]?.url.replace(/\/$/, '')}/handover/${epoch}`
        return withDeadline({ clock: realClock, ms, parent: abort.signal }, async (signal) => {
          const response = await (parameters.fetch ?? fetch)(url, { signal, redirect: 'error' })
          const text = await readAnswer(response, MAX_HANDOVER_BYTES, signal)
          return response.ok && text !== null ? JSON.parse(text) : undefined
        })
      },
      logger,
    })
  }

  /** While its epoch is revoked no slot is a term's own: on a chain that hasn't heard of it what it signs would still count. */
  function openTerm(term: Term, shelf: Shelf): Promise<void> {
    const isRevoked = () => revocation.isRevoked(term.protocol.oracle.epoch)
    return term.open({ ...shelf, slots: () => (isRevoked() ? null : shelf.slots()) })
  }

  /** What governance opens nobody signs; whoever knows its hash from a chain can check the description. */
  function unsigned(number: number): SignedHandover | undefined {
    if (config.next?.by !== 'timelock' || config.next.oracle.epoch !== number) return undefined
    const { oracle: nextOracle, firstSeq, lastSeq, useAges } = config.next
    return { oracle: nextOracle, firstSeq, lastSeq, useAges, signatures: '0x' }
  }

  function createServer(shelf: Shelf, archive: HandoverArchive, collector: HandoverCollector | undefined) {
    return createHttp({
      realClock,
      maxConnections: config.listen.maxConnections,
      evidence: shelf.evidence,
      epochs: () => [active(), ...terms].map(({ protocol }) => sizesOf(protocol.oracle)),
      auth: authOf(() => terms),
      async receive(message) {
        const term = terms.find(({ protocol }) => protocol.oracle.epoch === message.message.epoch) ?? active()
        return term.receive(message)
      },
      async receiveHandover(from, value) {
        if (collector === undefined || from.epoch !== oracle.epoch)
          return { status: 'ignored', reason: 'not_configured' }
        return collector.receive(from.node, value)
      },
      handover(epoch) {
        const found = epoch === undefined ? archive.all().at(-1) : (archive.get(epoch) ?? unsigned(epoch))
        return found === undefined ? null : JSON.stringify(found)
      },
      onUnauthenticated: (reason) => counters.unauthenticated.inc({ reason }),
      onRefused: (code) => counters.refused.inc({ code }),
      onInvalid: (kind) => counters.messages.inc({ kind, outcome: 'invalid_body' }),
      latest: board.latestJson,
      subscribe: board.subscribe,
      health: () => health(shelf, collector),
      metrics() {
        const term = active()
        counters.epoch.set(term.protocol.oracle.epoch)
        for (const status of term.statuses()) counters.setSource(status)
        return metrics.text()
      },
    })
  }

  function health({ slots }: Shelf, collector: HandoverCollector | undefined) {
    const term = active()
    const { nodes, slotMs, epoch } = term.protocol.oracle
    const age = board.age()
    const now = networkClock.now()
    // f faulty leaders in a row cost f slots; one more may be under way and one lost to chance.
    const patience = (faultyNodes(nodes.length) + 3) * slotMs
    // Before the first slot, and after the last one of a node that has left, there is nothing to be late with.
    const range = slots()
    const waits = term === present && range !== null && now < Number(range.first) * slotMs + patience
    const leaves = config.next !== undefined && following === null
    const hasLeft = leaves && range !== null && now >= Number(range.last + 1n) * slotMs
    const fresh = waits || hasLeft || (age !== null && age <= patience)
    const drifts = term.clocks.drifting()
    const isRevoked = revocation.isRevoked(epoch) && !hasLeft
    const state = waits ? 'waiting for the first slot' : hasLeft ? 'has left the network' : 'ok'
    const behind = fresh ? null : 'no recent report'
    const trouble = isRevoked
      ? 'epoch revoked'
      : (behind ?? (drifts ? 'clock differs from the network' : null))
    const sources = term.statuses().map((status) => ({
      ...status,
      stale: status.lastEventTime === null || now - status.lastEventTime > config.maxEventAgeMs,
    }))
    const body = {
      status: trouble ?? state,
      node: index,
      address: signer.address,
      epoch,
      handover: collector?.status() ?? null,
      lastReportAgeMs: age,
      clock: { offsetMs: term.clocks.offsetMs(), peersMs: term.clocks.peers() },
      reasons: board.latest()?.reasons ?? {},
      sources,
      listings: term.listings,
    }
    return { healthy: trouble === null, body }
  }

  async function openNext(shelf: Shelf) {
    if (!following) return
    await openTerm(following, shelf)
    terms = [...terms, following]
    following.start()
  }

  async function start() {
    const { dataDir } = config
    await checkAnchor(config, logger)
    const journal = await openJournal({ dataDir, networkId, signer: signer.address })
    shutdown.add('journal', journal.close)
    const archive = await openHandovers(dataDir)
    const slots = createSlots({ config, journal, archive })
    isSure = () => slots.following() !== null
    const shelf: Shelf = { journal, evidence: await openEvidence(dataDir), slots: slots.present }
    shutdown.add('terms', () =>
      Promise.all([present, ...(following ? [following] : [])].map((one) => one.stop())),
    )
    const known = config.next ? [oracle, config.next.oracle] : [oracle]
    for (const term of following ? [present, following] : [present]) await term.recall(known)
    await openTerm(present, shelf)
    const collector = createCollector(archive, shelf)
    const server = createServer(shelf, archive, collector)
    let rotating: Promise<void> | undefined
    shutdown.add('rotation', () => {
      abort.abort()
      return rotating
    })
    shutdown.add('server', () => server.close())
    const url = await listenOn(server, config.listen)
    // Stopped while it started: the sources stay unopened.
    abort.signal.throwIfAborted()
    const watching = revocation.run(abort.signal)
    shutdown.add('revocation', () => watching)
    present.start()
    if (config.next) {
      const rotation = {
        oracle,
        next: config.next,
        slots,
        collector,
        networkClock,
        logger,
        openNext: following && (() => openNext({ ...shelf, slots: slots.following })),
        async retire() {
          terms = terms.filter((term) => term !== present)
          await present.stop()
          logger.info(
            { epoch: oracle.epoch },
            following ? 'epoch ended' : 'epoch ended, and this node has left',
          )
        },
      }
      rotating = rotate(rotation, abort.signal)
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
    listings: present.listings,
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

/** Throws UserError when the keys aren't those of the node's place. */
function checkKeys({ nodes }: OracleNetwork, index: number, signer: Signer, peerSigner: Signer): void {
  const own = nodes[index]?.signer
  if (!own || !isAddressEqual(own, signer.address)) {
    throw new UserError('key', `signs as ${signer.address}, but oracle.nodes[${index}] is ${own}`)
  }
  const ownPeer = nodes[index]?.peer ?? own
  if (!isAddressEqual(ownPeer, peerSigner.address)) {
    throw new UserError(
      'peerKey',
      `signs as ${peerSigner.address}, but oracle.nodes[${index}] has ${ownPeer}`,
    )
  }
}

function sizesOf({ epoch, feeds, nodes }: OracleNetwork) {
  return { epoch, feeds: feeds.length, nodes: nodes.length }
}

/** A session belongs to one of the epochs that run: around a change there are two. */
function authOf(terms: () => readonly Term[]): HttpParameters['auth'] {
  return {
    async answer(body) {
      for (const { auth } of terms()) {
        const answer = await auth.answer(body)
        if (!('failure' in answer) || answer.failure !== 'unknown_epoch') return answer
      }
      return { failure: 'unknown_epoch' }
    },
    checkRequest(...request) {
      for (const { auth } of terms()) {
        const caller = auth.checkRequest(...request)
        if (!('failure' in caller) || caller.failure !== 'unknown_session') return caller
      }
      return { failure: 'unknown_session' }
    },
  }
}

/** Throws UserError for an occupied port. */
async function listenOn(
  server: ReturnType<typeof createHttp>,
  { host, port, fd }: OracleNodeConfig['listen'],
): Promise<string> {
  // Fastify hands its options on to Node, which takes a descriptor before host and port.
  const socket = { host, port, ...(fd === undefined ? {} : { fd }) }
  return server.listen(socket).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE') {
      throw new UserError('listen.port', `${port} on ${host} is in use; free it or choose another`)
    }
    throw error
  })
}
