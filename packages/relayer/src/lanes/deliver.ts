import type { Chain, Lane, Logger } from '@clearspan/shared'
import { type Address, type Hex, isAddressEqual, parseEventLogs, parseGwei } from 'viem'
import { createBackoff } from '../backoff.js'
import { checkChainId } from '../chains/chain-id.js'
import type { ChainContext } from '../chains/context.js'
import { endpointAbi, executorAbi, sendUlnAbi } from '../layerzero/abi.js'
import { admit, type Refusal } from '../layerzero/admission.js'
import { type DeliveryLimits, EMPTY_DELIVERY_GAS } from '../layerzero/batch.js'
import { type Composes, createComposes } from '../layerzero/composes.js'
import { createOutbox, type Outbox } from '../layerzero/outbox.js'
import { pathOf } from '../layerzero/packet.js'
import type { Pending } from '../layerzero/pending.js'
import { type SentPacket, sentPackets } from '../layerzero/sent.js'
import { packetStates } from '../layerzero/state.js'
import { pathBetween } from './carried.js'
import { type Doorbell, type LaneContext, type LanePart, type OpenedLane, openLane } from './context.js'
import { createCatchUp } from './deliver-catch-up.js'
import { createComposeRound } from './deliver-compose.js'
import { findGaps, findMissing, type MissingPackets } from './deliver-missing.js'
import { createRecheck } from './deliver-recheck.js'
import { createDeliveryRound } from './deliver-round.js'
import { checkVerifiers } from './deliver-verifiers.js'
import { type DeliveryView, viewOfCompose, viewOfPacket } from './deliver-view.js'
import { createStartCheck } from './start-check.js'

/** A source is read again for one missing packet after waits of up to so many sweeps. */
const LONGEST_WAIT_SWEEPS = 64
const WAITS_KEPT = 1_000
/** Refused packets remembered, so that one whose logs are read again is reported once. */
const REFUSED_KEPT = 2_000
/** Dead letters that one sweep asks the destination about. */
const DEAD_CHECKED = 300

export interface DeliverLane extends LanePart {
  /** Deliver beside `lane`, one for each further signer. */
  others: readonly Lane<Doorbell>[]
  pending(): number
  packets(): DeliveryView[]
  /** Tries a packet and its compose calls again at once, dead letters too. False when there is none of this guid here. */
  replay(guid: Hex): boolean
}

/**
 * Delivers packets to one chain: it watches every other chain's PacketSent, and each round takes what is deep enough, asks the destination
 * what is still missing, and sends that in one transaction. What a round did is read from the destination's logs, never from a status.
 */
export async function createDeliverLane(
  context: LaneContext,
  destination: ChainContext,
): Promise<DeliverLane> {
  const { chains, clock, config, logger } = context
  const { chain, feed } = destination
  const sources = new Map(
    chains.filter(({ chain: { eid } }) => eid !== chain.eid).map((source) => [source.chain.eid, source]),
  )
  const paths = [...sources.values()].flatMap((source) => gatewayPaths(context, source.chain, chain))
  const outbox = createOutbox({ ownPaths: new Set(paths), maxForeign: config.maxForeignPackets })
  const composes = createComposes({ maxFailures: config.maxExecutions })
  const limits = {
    gas: BigInt(config.maxDeliveryGas) - EMPTY_DELIVERY_GAS,
    value: parseGwei(String(config.maxDeliveryValueGwei)),
  }
  const log = logger.child({ lane: `deliver-${chain.chainId}` })
  const check = await createStartCheck(
    chain.name,
    async () => {
      await checkChainId(destination)
      await checkVerifiers(context.network, destination, paths)
    },
    log,
  )
  const undelivered = context.metrics.gauge('packets_undelivered', 'Packets that wait, and dead letters', [
    'chain',
    'state',
  ])
  const isDeep = ({ packet, blockNumber }: Pending) => {
    const source = sources.get(packet.srcEid)
    const head = source?.feed.head()
    return head !== undefined && head.number - blockNumber + 1n >= BigInt(source?.chain.confirmations ?? 0)
  }
  const waits = { firstMs: config.sweepMs, maxMs: LONGEST_WAIT_SWEEPS * config.sweepMs, keys: WAITS_KEPT }
  const missing: MissingPackets = { context, sources, outbox, backoff: createBackoff(waits), log }
  const busy = new Set<string>()
  const round = createDeliveryRound(context, {
    destination,
    sources,
    outbox,
    busy,
    limits,
    isDeep,
    onLacking: (steps) => findGaps(missing, steps),
    log,
  })
  const composing = createComposeRound(context, { destination, composes, limits, log })
  const caughtUp = createCatchUp(destination, outbox)
  const idle = new Set<number>()
  const rings: OpenedLane['ring'][] = []
  /** Wakes as many as have a transaction's worth to do. Whoever is at work looks again when it is done. */
  function ringDeliveries(): void {
    const batch = config.batch.packets
    const due = outbox.due(clock.now(), isDeep, busy, batch * rings.length)
    for (const at of [...idle].slice(0, Math.ceil(due / batch))) rings[at]?.('deliver')
  }
  const work = (at: number) => async (signal: AbortSignal) => {
    if (!(await check.holds())) return
    idle.delete(at)
    // Without progress the next block is soon enough.
    const progressed = await caughtUp()
      .then(() => round(signal))
      .finally(() => idle.add(at))
    if (progressed) ringDeliveries()
  }
  const name = `deliver-${chain.chainId}`
  const { lane, ring } = await openLane(context, name, {
    deliver: work(0),
    async compose() {
      if ((await check.holds()) && (await composing.round())) ring('compose')
    },
  })
  const further = await Promise.all(
    Array.from({ length: destination.senders.bulk.size - 1 }, (_, i) =>
      openLane(context, `${name}-${i + 2}`, { deliver: work(i + 1) }),
    ),
  )
  rings.push(ring, ...further.map((one) => one.ring))
  for (const at of rings.keys()) idle.add(at)
  const ringIfDue = () => {
    ringDeliveries()
    if (composes.take(clock.now(), 1).length > 0) ring('compose')
  }
  const take = createIntake(context, chain, { outbox, composes, ownPaths: new Set(paths), limits, log })
  for (const source of sources.values()) {
    listen(source, take, (from) => outbox.forget(source.chain.eid, from), log)
    source.feed.onHead(ringIfDue)
  }
  listenThere(destination, outbox, composes)
  feed.onHead(ringIfDue)
  /** Others' packets, and drops, that found no room are read again, when there is room for so many. */
  const readmit = (room: number) => {
    for (const [eid, source] of sources) {
      const head = source.feed.head()
      const from = head && outbox.readmit(eid, head.number, room)
      if (from !== undefined) source.feed.reread(from)
    }
    // Before its past is read once, nothing of it can be read again.
    const from = feed.head() && outbox.drops.readmit(Math.max(1, room))
    if (from !== undefined) feed.reread(from)
  }
  // Before half of it is free, what is read again would mostly be refused again; a sweep takes any room, since some may be stuck for ever.
  feed.onHead(() => readmit(Math.ceil(config.maxForeignPackets / 2)))
  const recheck = createRecheck(destination, { outbox, composes, log })

  /** Compose calls, and what pays for them, that found no room are read again; of a stranger's noise there may be any amount. */
  function rereadComposes(): void {
    const feedOf = (of: number | 'destination') => (of === 'destination' ? feed : sources.get(of)?.feed)
    // Before its past is read once, nothing of it can be read again.
    const isDue = (of: number | 'destination') =>
      feedOf(of)?.head() !== undefined && missing.backoff.ready(`composes:${of}`, clock.now())
    for (const [of, block] of composes.missed(isDue)) feedOf(of)?.reread(block)
  }

  let checked = 0
  /** Somebody else may have executed a dead letter, or its delegate cleared it, or a reorg of the destination undone its commit: others wait for that. */
  async function settleDead(): Promise<void> {
    const head = feed.head()?.number ?? 0n
    const all = outbox.dead()
    if (checked >= all.length) checked = 0
    const letters = all.slice(checked, checked + DEAD_CHECKED)
    checked += letters.length
    const states = await packetStates(destination, letters)
    for (const [i, { packet }] of letters.entries()) {
      const state = states[i]?.state
      if (state === 'delivered') outbox.settleSeen(packet.guid, head)
      if (state === 'open') outbox.replay(packet.guid)
    }
  }

  /** One of which only the name is left is read from its source again. */
  function recall(guid: Hex): boolean {
    const named = outbox.recall(guid)
    if (named !== undefined) sources.get(named.srcEid)?.feed.reread(named.block)
    return named !== undefined
  }

  return {
    lane,
    problem: check.problem,
    others: further.map((one) => one.lane),
    pending: outbox.size,
    packets: () => [
      ...outbox.pending().map((entry) => viewOfPacket(entry, 'waiting')),
      ...outbox.dead().map((entry) => viewOfPacket(entry, 'dead')),
      ...composes.pending().map((call) => viewOfCompose(call, 'waiting')),
      ...composes.dead().map((call) => viewOfCompose(call, 'dead')),
    ],
    replay(guid) {
      const found = [outbox.replay(guid), recall(guid), composes.replay(guid)].includes(true)
      if (found) ringIfDue()
      return found
    },
    /** A node may have kept logs back: the source's own count of a path's packets shows it. */
    async sweep() {
      ringIfDue()
      readmit(1)
      rereadComposes()
      for (const [state, count] of [
        ['waiting', outbox.size() + composes.pending().length],
        ['dead', outbox.dead().length + composes.dead().length],
      ] as const)
        undelivered.set({ chain: chain.name, state }, count)
      const found = await Promise.allSettled([
        settleDead(),
        composing.settleDead(),
        recheck(),
        ...paths.map((path) => findMissing(missing, path)),
      ])
      for (const result of found) if (result.status === 'rejected') throw result.reason
    },
  }
}

/** Reads packets for one destination out of a source's logs, in the order of the chain. */
function listen(
  { chain, feed }: ChainContext,
  take: (packets: readonly SentPacket[], source: Chain) => void,
  onReorg: (from: bigint) => void,
  log: Logger,
): void {
  const { endpoint, sendUln } = chain.layerzero
  const onInvalid = (err: unknown) => log.warn({ err, source: chain.name }, 'packet not readable')
  feed.listen({
    addresses: [endpoint, sendUln],
    abi: [...endpointAbi.filter((item) => item.name === 'PacketSent'), ...sendUlnAbi],
    onReorg,
    onLogs: (logs) => take(sentPackets(logs, chain.layerzero, onInvalid), chain),
  })
}

/** Learns from the destination's own logs what receivers have queued and what our executor has dropped: a restart must do neither twice. */
function listenThere({ chain, feed }: ChainContext, outbox: Outbox, composes: Composes): void {
  const { endpoint, executor } = chain.layerzero
  const abi = [...endpointAbi, ...executorAbi].filter(
    (item) => item.type === 'event' && (item.name === 'ComposeSent' || item.name === 'NativeDropApplied'),
  )
  feed.listen({
    addresses: [endpoint, executor],
    abi,
    onReorg(from) {
      outbox.restore(from)
      composes.forget(from)
    },
    onLogs(logs) {
      const events = parseEventLogs({ abi: [...endpointAbi, ...executorAbi], logs, strict: true })
      for (const { eventName, args, address, blockNumber } of events) {
        if (eventName === 'ComposeSent' && isAddressEqual(address, endpoint))
          composes.queue({ ...args, block: blockNumber })
        if (eventName === 'NativeDropApplied' && isAddressEqual(address, executor))
          outbox.markDropped(args.origin, args.oapp, blockNumber)
      }
    },
  })
}

/** Puts into the outbox what our workers are paid for and can bear; the rest is counted and, once, logged. */
function createIntake(
  { clock, stages, metrics, config }: LaneContext,
  destination: Chain,
  {
    outbox,
    composes,
    ownPaths,
    limits,
    log,
  }: {
    outbox: Outbox
    composes: Composes
    ownPaths: ReadonlySet<string>
    limits: DeliveryLimits
    log: Logger
  },
) {
  const count = metrics.counter('packets_refused_total', 'Packets left to others, whole or their execution', [
    'chain',
    'reason',
  ])
  const reported = new Set<Hex>()

  function report({ packet, options }: SentPacket, reason: Refusal, isOwn: boolean): void {
    if (reported.has(packet.guid)) return
    reported.add(packet.guid)
    for (const oldest of reported) if (reported.size > REFUSED_KEPT) reported.delete(oldest)
    count.inc({ chain: destination.name, reason })
    const told = { guid: packet.guid, path: pathOf(packet), nonce: String(packet.nonce), reason }
    const asked = { gas: String(options.gas), value: String(options.value) }
    log[isOwn ? 'error' : 'info']({ ...told, ...asked }, 'packet refused')
  }

  return (packets: readonly SentPacket[], source: Chain): void => {
    const now = clock.now()
    for (const sent of packets) {
      const { guid, srcEid, dstEid, nonce } = sent.packet
      if (dstEid !== destination.eid || srcEid !== source.eid) continue
      const isOwn = ownPaths.has(pathOf(sent.packet))
      outbox.note(sent)
      const carriesForeign = config.maxForeignPackets > 0
      const { refusal, ...work } = admit(sent, { isOwn, carriesForeign, limits })
      if (refusal !== undefined) report(sent, refusal, isOwn)
      if (work.execute) composes.expect(sent)
      if (!work.verify && !work.attest && !work.execute) continue
      if (!outbox.add({ ...sent, ...work }, now)) report(sent, 'too-many', isOwn)
      else stages.note(guid, {}, { srcEid, dstEid, nonce: String(nonce), observedAt: now })
    }
  }
}

/** The paths between two chains that this network itself uses: counters to the hub, releases and revocations from it. */
function gatewayPaths({ network, hub }: LaneContext, source: Chain, destination: Chain): string[] {
  const path = (sender: Address, receiver: Address) => pathBetween(source, sender, destination, receiver)
  const { hubGateway } = network.hub.contracts
  if (destination.eid === hub.chain.eid) return [path(source.contracts.spokeGateway, hubGateway)]
  if (source.eid !== hub.chain.eid) return []
  return [
    path(hubGateway, destination.contracts.spokeGateway),
    path(source.contracts.epochRevoker, destination.contracts.epochRevoker),
  ]
}
