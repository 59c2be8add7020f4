import { setMaxListeners } from 'node:events'
import {
  type Clock,
  createShutdown,
  type Logger,
  type Metrics,
  type Network,
  parseConfig,
  type QueueBackend,
  type Random,
  UserError,
} from '@clearspan/shared'
import type { Hex } from 'viem'
import { checkBackends } from './chains/backends.js'
import { checkChainIds } from './chains/chain-id.js'
import { type ChainContext, createChainContexts, type RelayerKeys } from './chains/context.js'
import { type RelayerConfig, type RelayerConfigInput, relayerConfigSchema, rolesOf } from './config.js'
import { type Health, judgeHealth } from './health.js'
import { createHttp, listen } from './http.js'
import { createAuctionLane } from './lanes/auction.js'
import { createBackstopLane } from './lanes/backstop.js'
import { createCollateralLane } from './lanes/collateral.js'
import type { LaneContext, LanePart } from './lanes/context.js'
import { createDeliverLane, type DeliverLane } from './lanes/deliver.js'
import type { DeliveryView } from './lanes/deliver-view.js'
import { createExpiryLane } from './lanes/expiry.js'
import { createKeeperBook } from './lanes/keeper-book.js'
import { createLiquidateLane } from './lanes/liquidate.js'
import { createLotsLane } from './lanes/lots.js'
import { createMatureLane } from './lanes/mature.js'
import { createOffersLane } from './lanes/offers.js'
import { createPriceLane } from './lanes/price.js'
import { createReleaseLane } from './lanes/release.js'
import { createRevocationLane } from './lanes/revocation.js'
import { createRiskLane } from './lanes/risk.js'
import { openedEpoch } from './prices/opened.js'
import { createPriceSubscription } from './prices/subscription.js'
import { createReportTurn } from './prices/turn.js'
import {
  createStages,
  type MessageStages,
  type Percentiles,
  stageLatencies,
  type TransactionSample,
} from './stages.js'

export interface RelayerOptions {
  network: Network
  config: RelayerConfigInput
  keys: RelayerKeys
  /** Real time. */
  clock: Clock
  /** The network's time, by which its blocks are stamped: `network.clock`, or real time when that is null. */
  networkClock: Clock
  logger: Logger
  metrics: Metrics
  /** Where lanes keep their jobs; closed by whoever opened it, after `stop`. */
  backend: QueueBackend
  /** Names jobs, so it must not repeat itself after a restart on the same queue. */
  random: Random
  fetch: typeof globalThis.fetch
  /** Directory of the nonce ledgers; absent: in memory, which only a local network bears. */
  ledgerDir?: string | undefined
}

export interface RelayerStatus {
  roles: string[]
  /** As /health has them. */
  problems: string[]
  /** Newest report received: its slot, or null. */
  reportSeq: string | null
  chains: { name: string; head: string | null; pendingPackets: number }[]
  lanes: Record<string, { waiting: number; active: number; delayed: number; dead: number }>
  /** Real ms between stages of messages; `blockToBlock` in seconds of the chains' time. */
  latencies: Record<string, Percentiles>
  messages: MessageStages[]
  samples: TransactionSample[]
}

export interface Relayer {
  /** Opens the lanes and begins to watch. Answers the HTTP interface's URL, if one is configured. */
  start(): Promise<{ url: string | undefined }>
  /** Ends every connection, timer, lane and watcher. What is in flight may still be mined. Idempotent. */
  stop(): Promise<void>
  status(): Promise<RelayerStatus>
  /** Packets that are not delivered yet, by the name of their destination. */
  packets(): Record<string, DeliveryView[]>
  /** Tries a packet again at once, a dead letter too. False when none of this guid waits here. */
  replay(guid: Hex): boolean
}

/** One relayer process. @throws UserError when configuration or keys don't fit the network. */
export function createRelayer(options: RelayerOptions): Relayer {
  const { network, clock, networkClock, logger, metrics, backend, random, fetch } = options
  const config = parseConfig(relayerConfigSchema, options.config, 'relayer')
  const roles = rolesOf(config)
  const followsPrices = roles.has('prices') || roles.has('keeper')
  if (roles.has('messages')) checkSigners(config, options)
  checkTriggers(config, network)
  // Everybody's network is a local one while its clock is simulated.
  if (network.clock === null) {
    if (roles.has('messages'))
      for (const { chainId, rpcUrls } of network.chains)
        checkBackends(`relayer.rpcUrls.${chainId}`, config.rpcUrls[String(chainId)] ?? rpcUrls)
    if (options.ledgerDir === undefined)
      throw new UserError(
        'relayer.ledgerDir',
        'is needed outside a local network: nonces must survive a crash',
      )
  }
  const chains = createChainContexts({ ...options, config })
  const hub = chains.find(({ chain }) => chain.chainId === network.hub.chainId)
  if (hub === undefined) throw new UserError('network hub.chainId', `no chain has id ${network.hub.chainId}`)
  const stages = createStages()
  const shutdown = createShutdown({ logger, clock })
  const abort = new AbortController()
  // Every lane and watcher sleeps on it.
  setMaxListeners(0, abort.signal)
  const parts: LanePart[] = []
  const delivering = new Map<string, DeliverLane>()
  const onReport: (() => void)[] = []
  const onHandover: (() => void)[] = []
  const prices = createPriceSubscription({
    network,
    networkClock,
    clock,
    idleMs: config.streamIdleMs,
    handoverMs: config.sweepMs,
    opened: () => openedEpoch(hub),
    random,
    fetch,
    logger,
    metrics,
    onReport: () => {
      for (const ring of onReport) ring()
    },
    onHandover: () => {
      for (const ring of onHandover) ring()
    },
  })
  const context: LaneContext = {
    network,
    config,
    keys: options.keys,
    chains,
    hub,
    backend,
    prices,
    stages,
    networkClock,
    clock,
    random,
    fetch,
    logger,
    metrics,
  }

  const turn = createReportTurn(clock, config.keeperPatienceMs)
  // A keeper without the role `prices` has no price lane beside it.
  let ringHubPrice = () => {}

  /** Adds a lane, to be closed on stop even when a later one can't be opened. */
  async function open<P extends LanePart>(opening: Promise<P>): Promise<P> {
    const part = await opening
    parts.push(part)
    shutdown.add(part.lane.name, () => part.lane.close())
    return part
  }

  async function openPrices(): Promise<void> {
    for (const on of chains) {
      const price = await open(
        createPriceLane(context, on, on === hub && roles.has('keeper') ? turn : undefined),
      )
      onReport.push(price.ring)
      onHandover.push(price.sweep)
      if (on === hub) ringHubPrice = price.ring
    }
  }

  async function openMessages(): Promise<void> {
    for (const on of chains) {
      const deliver = await open(createDeliverLane(context, on))
      delivering.set(on.chain.name, deliver)
      for (const lane of deliver.others) await open(Promise.resolve({ lane, sweep() {} }))
      await open(createCollateralLane(context, on))
      await open(createReleaseLane(context, on))
      await open(createOffersLane(context, on))
    }
    await open(createMatureLane(context))
    await open(createRevocationLane(context))
  }

  async function openKeeper(): Promise<void> {
    const book = createKeeperBook(context)
    // Before every other lane: a report that frees a liquidation rings it first.
    onReport.unshift(
      (await open(createLiquidateLane(context, book, { turn, ring: () => ringHubPrice() }))).ring,
    )
    await open(createAuctionLane(context, book))
    await open(createBackstopLane(context))
    await open(createExpiryLane(context, book))
    await open(createRiskLane(context))
    for (const on of chains) await open(createLotsLane(context, on))
  }

  /** Each lane by itself: one whose chain doesn't answer holds no other up. */
  async function sweep({ lane, sweep: derive }: LanePart): Promise<void> {
    while (await sweepIsDue())
      await Promise.resolve()
        .then(derive)
        .catch((err: unknown) => logger.warn({ err, lane: lane.name }, 'sweep failed'))
  }

  async function sweepFeed({ feed }: ChainContext): Promise<void> {
    while (await sweepIsDue()) feed.sweep()
  }

  /** Waits for it. False when the relayer stops. */
  async function sweepIsDue(): Promise<boolean> {
    await clock.sleep(config.sweepMs, abort.signal).catch(() => {})
    return !abort.signal.aborted
  }

  /** Takes up what the process before left in flight, before any lane sends. */
  async function startSenders(): Promise<void> {
    const senders = chains.flatMap((on) => Object.values(on.senders))
    shutdown.add('nonce ledgers', () => Promise.all(senders.map((sender) => sender.close())))
    await Promise.all(senders.map((sender) => sender.start()))
  }

  async function start(): Promise<{ url: string | undefined }> {
    await Promise.all([checkChainIds(chains, logger), startSenders()])
    if (roles.has('prices')) await openPrices()
    if (roles.has('messages')) await openMessages()
    if (roles.has('keeper')) await openKeeper()
    let url: string | undefined
    if (config.http !== undefined) {
      const server = createHttp({ metrics, status, health, packets, replay, logger })
      shutdown.add('http', () => server.close())
      url = await listen(server, config.http)
    }
    const running = Promise.all([
      ...chains.map(({ feed }) => feed.run(abort.signal)),
      ...(followsPrices ? [prices.run(abort.signal)] : []),
      ...parts.map(sweep),
      ...chains.map(sweepFeed),
    ])
    shutdown.add('watchers', () => running)
    // Rejects what waits for a block, so that running jobs can end.
    for (const { senders, chain } of chains)
      for (const [purpose, sender] of Object.entries(senders))
        shutdown.add(`${purpose} sender on ${chain.name}`, () => sender.close())
    logger.info({ roles: config.roles, lanes: parts.map(({ lane }) => lane.name), url }, 'relayer started')
    return { url }
  }

  function health(): Health {
    const view = {
      chains: chains.map(({ chain, feed }) => ({ name: chain.name, readAt: feed.readAt() })),
      problems: parts.flatMap((part) => part.problem?.() ?? []),
      newest: followsPrices ? prices.newest()?.report : null,
      now: clock.now(),
      networkNow: networkClock.now(),
      slotMs: network.oracle.slotMs,
    }
    return judgeHealth(view, config.health)
  }

  function packets(): Record<string, DeliveryView[]> {
    return Object.fromEntries([...delivering].map(([name, lane]) => [name, lane.packets()]))
  }

  const replay = (guid: Hex) => [...delivering.values()].some((lane) => lane.replay(guid))

  async function status(): Promise<RelayerStatus> {
    const messages = stages.messages()
    return {
      roles: [...config.roles],
      problems: health().body.problems,
      reportSeq: prices.newest()?.report.seq.toString() ?? null,
      chains: chains.map(({ chain, feed }) => ({
        name: chain.name,
        head: feed.head()?.number.toString() ?? null,
        pendingPackets: delivering.get(chain.name)?.pending() ?? 0,
      })),
      lanes: Object.fromEntries(
        await Promise.all(parts.map(async ({ lane }) => [lane.name, await lane.counts()] as const)),
      ),
      latencies: stageLatencies(messages),
      messages,
      samples: stages.samples(),
    }
  }

  async function stop(): Promise<void> {
    abort.abort()
    await shutdown.run()
  }

  return {
    async start() {
      try {
        return await start()
      } catch (error) {
        await stop()
        throw error
      }
    },
    stop,
    status,
    packets,
    replay,
  }
}

/** @throws UserError naming a chain or feed that the network doesn't have: its trigger would never be looked at. */
function checkTriggers({ priceTriggers }: RelayerConfig, { chains, oracle }: Network): void {
  for (const [chainId, { feeds }] of Object.entries(priceTriggers)) {
    if (!chains.some((chain) => String(chain.chainId) === chainId))
      throw new UserError(`relayer.priceTriggers.${chainId}`, 'no chain of the network has this id')
    for (const name of Object.keys(feeds))
      if (!oracle.feeds.some((feed) => feed.name === name))
        throw new UserError(
          `relayer.priceTriggers.${chainId}.feeds.${name}`,
          'no feed of the network has this name',
        )
  }
}

/** @throws UserError when nobody is named who could sign packets for a verifier that the network has. */
function checkSigners(
  { operators, dvnOperators }: RelayerConfig,
  { network, keys }: Pick<RelayerOptions, 'network' | 'keys'>,
): void {
  const hasAttestor = network.chains.some(({ layerzero }) => layerzero.attestor !== undefined)
  if (hasAttestor && operators.length === 0)
    throw new UserError(
      'relayer.operators',
      'the network has an Attestor: name the operators that sign for it',
    )
  if (!hasAttestor && keys.dvnSigners.length + dvnOperators.length === 0)
    throw new UserError(
      'keys.dvnSigners',
      'the role `messages` attests packets and needs at least one signer',
    )
  if (operators.length + dvnOperators.length > 0 && keys.peer === undefined)
    throw new UserError('keys.peer', 'operators answer only who signs its requests: give a key for it')
}
