import type { Server } from 'node:net'
import type { RelayerConfigInput } from '@clearspan/relayer'
import {
  acceleratedClock,
  type Clock,
  type ClockOptions,
  createQueueBackend,
  createShutdown,
  forgetQueues,
  type Logger,
  type Network,
  type PermanentError,
  queueNamespace,
  type Random,
  type Shutdown,
  seededRandom,
  UserError,
} from '@clearspan/shared'
import { type Hex, toHex } from 'viem'
import { unlessAborted } from '../abort.js'
import {
  type BlockProducer,
  DEFAULT_RPC_PORTS,
  type LocalChain,
  OPERATION_GAS_LIMIT,
  startBlockProducer,
  startChains,
} from '../chains/index.js'
import { deployLayerZero } from '../layerzero/index.js'
import {
  builtInTape,
  loadPriceTape,
  type PriceTape,
  planVenues,
  type ReplayWindow,
  selectWindow,
  type VenuePlan,
} from '../prices/index.js'
import { openRunDirectory, type RunDirectory } from '../processes/index.js'
import { localGuardianSet, type SourceSimulators, startSourceSimulators } from '../sources/index.js'
import { stopwatch } from '../stopwatch.js'
import { deployClearspan } from './deploy.js'
import { startDerivativesOf } from './derivatives.js'
import { type DerivedFeeds, planDerivedFeeds } from './derivedFeeds.js'
import { type LocalMarkets, planMarkets, withDated } from './markets.js'
import {
  localRulesHash,
  type Program,
  type RelayerUrls,
  startOracleNodes,
  startRelayers,
} from './processes.js'
import { createReplay } from './replay.js'
import { type LocalRoles, localRoles } from './roles.js'
import { openSockets, portOf } from './sockets.js'
import { planTiming, type Timing } from './timing.js'

const NAMES = ['alpha', 'beta', 'gamma'] as const
const FIRST_CHAIN_ID = 31_901
const FIRST_EID = 30_901
/** Blocks on top of and including a message's own. Local chains don't reorg unless told to. */
const CONFIRMATIONS = 1
const DVN_QUORUM = 2
const ATTESTOR_THRESHOLD = 2
/** Blocks for which an attestation holds, at the least. */
const ATTESTED_BLOCKS = 30
/** Ticks of simulated venues, real ms: several in every oracle slot. */
const TICK_MS = 100
/** The network's time begins this long before the window, real ms; the crash begins when the traders are in place. */
const PREPARATION_MS = 30_000
/** Longest that one part is waited for at the end, real ms; children are killed after three seconds. */
const STOP_TIMEOUT_MS = 8_000
/** A connection to a child breaks a moment before its end is noticed, real ms. */
const NOTICE_MS = 500

/** Who they are, for a person to read. */
const VERIFIERS = { stock: 'its own DVN', attestor: 'our Attestor', both: 'its own DVN and our Attestor' }

/** Ways to verify and deliver messages. */
export const deliveries = ['stock', 'attestor', 'both'] as const
export type Delivery = (typeof deliveries)[number]

export interface LocalNetworkOptions {
  /** Run directory: logs, configuration and data of this network. */
  dir: string
  /** RPC ports of the three chains; 0 for any free one. */
  ports?: readonly number[]
  /** CSV of recorded prices; the built-in crash without it. */
  prices?: string | undefined
  /** See selectWindow. */
  window?: string | undefined
  /** Network seconds a real second; chosen by the window's length without it. */
  speed?: number | undefined
  redisUrl?: string | undefined
  /** Who verifies messages: LayerZero's stock DVN, our Attestor, or both, each required. */
  delivery?: Delivery
  /** Seeds the noise of simulated venues. */
  seed?: number
  program: Program
  env: Readonly<Record<string, string | undefined>>
  logger: Logger
  /** Real time. */
  realClock: Clock
  /** Makes the network's id, so no two runs may have the same. */
  random: Random
  /** Gives up the start; once the network runs it has no effect. */
  signal: AbortSignal
  /** Told of every step that is done, for a person to read. */
  onProgress: (line: string) => void
}

/** A running network: three chains, four oracle nodes, a relayer with its keeper, and the venues that they listen to. */
export interface LocalNetwork extends RelayerUrls {
  manifest: Network
  chains: readonly LocalChain[]
  /** The network's time. */
  clock: Clock
  realClock: Clock
  timing: Timing
  roles: LocalRoles
  markets: LocalMarkets
  tape: PriceTape
  window: ReplayWindow
  plan: VenuePlan
  producer: BlockProducer
  sources: SourceSimulators
  /** Lets the prices walk through the window from now on. Before, they stand at its start; after, at its end. */
  startReplay(): { startMs: number; endMs: number }
  /** Tape time at a network time, unix ms. */
  tapeTime(networkMs: number): number
  /** First block after the deployment, on every chain. */
  firstBlock: bigint
  /** What `work` answers; throws PermanentError as soon as a child ends by itself, which explains whatever fails because of it. */
  whileAlive<T>(work: Promise<T>): Promise<T>
  /** Ends everything, at most seconds later. Never throws: what could not be ended is in the log. Harmless when repeated. */
  stop(): Promise<void>
}

/** Starts everything, or nothing: what fails on the way takes down what was started before. Throws UserError for bad input. */
export async function startLocalNetwork(options: LocalNetworkOptions): Promise<LocalNetwork> {
  const { logger, realClock, signal, onProgress } = options
  const tape = options.prices === undefined ? builtInTape() : await loadPriceTape(options.prices)
  const window = selectWindow(tape, options.window)
  const timing = planTiming({ windowMs: window.endMs - window.startMs, speed: options.speed })
  onProgress(`prices: ${tape.name}, ${iso(window.startMs)} to ${iso(window.endMs)} at ${timing.speed}×`)
  await unlessAborted(checkRedis(options), signal)
  signal.throwIfAborted()
  const networkId = toHex(Uint8Array.from({ length: 32 }, () => Math.floor(options.random.next() * 256)))
  const run = await openRunDirectory({ path: options.dir, logger, clock: realClock })
  const shutdown = createShutdown({ logger, clock: realClock, timeoutMs: STOP_TIMEOUT_MS })
  const { redisUrl } = options
  // Last of all, when nothing writes there any more: nobody else would ever delete it.
  if (redisUrl !== undefined)
    shutdown.add('queues on Redis', () =>
      forgetQueues(redisUrl, { namespace: queueNamespace(networkId), clock: realClock, logger }),
    )
  // Closing the directory ends what has been started and refuses what would be.
  shutdown.add('processes', () => run.close())
  const stop = async () => {
    await shutdown.run()
  }
  const whileAlive = <T>(work: Promise<T>) => unlessEnded(work, run.failed, realClock)
  try {
    const assembly = { ...options, networkId, tape, window, timing, run, shutdown }
    return { ...(await unlessAborted(whileAlive(assemble(assembly)), signal)), whileAlive, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

async function unlessEnded<T>(work: Promise<T>, failed: Promise<PermanentError>, clock: Clock): Promise<T> {
  try {
    return await Promise.race([
      work,
      failed.then((error) => {
        throw error
      }),
    ])
  } catch (error) {
    if (error instanceof UserError) throw error
    throw (await Promise.race([failed, clock.sleep(NOTICE_MS)])) ?? error
  }
}

/** The relayer will connect by itself; what it can't use is said before anything starts. */
async function checkRedis({ redisUrl, realClock: clock, logger }: LocalNetworkOptions): Promise<void> {
  if (redisUrl === undefined) return
  const backend = await createQueueBackend({ redisUrl, clock, logger })
  await backend.close()
}

interface Assembly extends Omit<LocalNetworkOptions, 'window'> {
  networkId: Hex
  tape: PriceTape
  window: ReplayWindow
  timing: Timing
  run: RunDirectory
  shutdown: Shutdown
}

async function assemble(options: Assembly): Promise<Omit<LocalNetwork, 'whileAlive' | 'stop'>> {
  const { tape, window, timing, shutdown, logger, realClock } = options
  const roles = localRoles()
  const random = seededRandom(options.seed ?? 1)
  const plan = planVenues(tape, window, random)
  const prices = withDated(planMarkets(plan.markets, plan.feeds))
  const chains = await bootChains(options, roles)
  const derived = planDerivedFeeds(prices, chains, timing)
  const markets = { ...prices, feeds: [...prices.feeds, ...derived.feeds] }
  const sockets = await openSockets(roles.observers.length)
  shutdown.add('sockets', () => {
    for (const socket of sockets) socket.close()
  })
  const { deployed, firstBlock } = await deployAll(options, {
    chains,
    roles,
    markets,
    plan,
    derived,
    sockets,
  })
  const clockOptions: ClockOptions = {
    startMs: Math.max(...chains.map((chain) => chain.lastTimestamp())) * 1000,
    realStartMs: realClock.now(),
    speed: timing.speed,
  }
  const clock = acceleratedClock(clockOptions, realClock)
  const manifest: Network = { clock: clockOptions, ...deployed }
  const producer = startBlockProducer({
    chains,
    clock,
    realClock,
    intervalMs: timing.blockIntervalMs,
    logger,
  })
  shutdown.add('blocks', () => producer.stop())
  const replay = createReplay(window, clock)
  const sources = await startSourceSimulators({
    plan: { ...plan, sources: plan.sources.map((source) => replay.onTape(source)) },
    clock,
    realClock,
    realTickMs: TICK_MS,
    random,
    logger,
  })
  shutdown.add('sources', () => sources.stop())
  const derivativesUrl = await startDerivativesOf(markets, { plan, window, replay, clock, shutdown })
  const urls = await startRoles(options, {
    manifest,
    roles,
    plan,
    derived: planDerivedFeeds(prices, chains, timing, derivativesUrl),
    sources,
    sockets,
  })
  return {
    manifest,
    chains,
    clock,
    realClock,
    timing,
    roles,
    markets,
    tape,
    window,
    plan,
    producer,
    sources,
    ...urls,
    startReplay: replay.start,
    tapeTime: replay.tapeTime,
    firstBlock,
  }
}

async function bootChains(
  { run, window, timing, ports = DEFAULT_RPC_PORTS, realClock, onProgress }: Assembly,
  roles: LocalRoles,
): Promise<LocalChain[]> {
  onProgress('starting the chains')
  const took = stopwatch(realClock)
  const chains = await startChains({
    run,
    chains: NAMES.map((name, index) => ({
      name,
      chainId: FIRST_CHAIN_ID + index,
      port: ports[index] ?? 0,
      portOption: '--ports',
    })),
    genesisTime: Math.floor((window.startMs - timing.speed * PREPARATION_MS) / 1000),
    accounts: roles.count,
  })
  onProgress(`chains: ${chains.map(({ name, rpcUrl }) => `${name} ${rpcUrl}`).join(', ')} (${took()})`)
  return chains
}

/** LayerZero, then Clearspan, on every chain; answers the manifest without its clock, which starts afterwards. */
async function deployAll(
  { networkId, timing, realClock, delivery = 'both', onProgress }: Assembly,
  {
    chains,
    roles,
    markets,
    plan,
    derived,
    sockets,
  }: {
    chains: readonly LocalChain[]
    roles: LocalRoles
    markets: LocalMarkets
    plan: VenuePlan
    derived: DerivedFeeds
    sockets: readonly Server[]
  },
) {
  let took = stopwatch(realClock)
  const placed = chains.map((chain, index) => ({
    chain,
    eid: FIRST_EID + index,
    confirmations: CONFIRMATIONS,
  }))
  const operators = roles.attestors.map(({ account }) => account.address)
  const { layerzero } = await deployLayerZero({
    attestor:
      delivery === 'stock'
        ? undefined
        : { networkId, operators, threshold: ATTESTOR_THRESHOLD, alone: delivery === 'attestor' },
    chains: placed,
    deployer: roles.deployer.account,
    dvnSigners: roles.relayer.dvnSigners.map(({ account }) => account.address),
    quorum: DVN_QUORUM,
    workerAdmins: [roles.relayer.bulk.account.address],
  })
  onProgress(
    `LayerZero V2 on every chain, endpoint ${layerzero.endpoint}, verified by ${VERIFIERS[delivery]} (${took()})`,
  )

  took = stopwatch(realClock)
  const description = {
    epoch: 1,
    slotMs: timing.slotSeconds * 1000,
    feeds: markets.feeds,
    nodes: roles.observers.map(({ account }, index) => ({
      url: `http://127.0.0.1:${portOf(sockets[index]!)}`,
      signer: account.address,
    })),
  }
  const rulesHash = localRulesHash({
    networkId,
    oracle: description,
    timing,
    sources: nodeSources(plan),
    derived: derived.config,
  })
  const oracle = { ...description, rulesHash }
  const deployed = await deployClearspan({
    chains: placed,
    layerzero,
    roles,
    markets,
    timing,
    networkId,
    oracle,
  })
  await Promise.all(chains.map((chain) => chain.setBlockGasLimit(OPERATION_GAS_LIMIT)))
  onProgress(`Clearspan on every chain, clearinghouse ${deployed.hub.contracts.clearinghouse} (${took()})`)
  const heads = await Promise.all(chains.map(({ client }) => client.getBlockNumber()))
  return {
    deployed: { networkId, oracle, ...deployed },
    firstBlock: heads.reduce((a, b) => (a < b ? a : b)) + 1n,
  }
}

/** Sources as nodes are told of them; what they go by holds no URL, so it is known before the simulators run. */
function nodeSources({ sourceConfigs }: VenuePlan, urls?: Readonly<Record<string, string>>) {
  return sourceConfigs.map((source) => {
    const isPyth = source.adapter === 'hermes' || source.adapter === 'price-service'
    const url = urls?.[source.id] ?? `${isPyth ? 'http' : 'ws'}://127.0.0.1`
    return { ...source, url, ...(isPyth ? { guardianSets: [localGuardianSet] } : {}) }
  })
}

/** Oracle nodes, then the relayer with its keeper. */
async function startRoles(
  options: Assembly,
  parts: {
    manifest: Network
    roles: LocalRoles
    plan: VenuePlan
    derived: DerivedFeeds
    sources: SourceSimulators
    sockets: readonly Server[]
  },
): Promise<RelayerUrls> {
  const { run, program, env, timing, realClock, redisUrl, onProgress } = options
  const { manifest, roles, plan, derived, sources, sockets } = parts
  const child = { run, program, network: manifest, roles, timing, env }
  onProgress('starting the oracle nodes')
  let took = stopwatch(realClock)
  const { nodes, operators } = await startOracleNodes({
    ...child,
    sources: nodeSources(plan, sources.urls),
    derived: derived.config,
    sockets,
  })
  onProgress(`oracle: ${nodes.length} nodes over ${plan.sources.length} sources (${took()})`)

  onProgress('starting the relayer')
  took = stopwatch(realClock)
  const urls = await startRelayers({ ...child, redisUrl, config: { ...relayerConfig(timing), operators } })
  const queue = redisUrl === undefined ? 'the embedded queue' : 'Redis'
  const statuses = [...new Set([urls.relayerUrl, urls.keeperUrl])].map((url) => `${url}/status`)
  onProgress(`relayer and keeper on ${queue}, status ${statuses.join(' and ')} (${took()})`)
  return urls
}

/** The relayer of a local network looks often: its chains are on this machine. */
function relayerConfig(timing: Timing): RelayerConfigInput {
  return {
    blockMs: timing.blockIntervalMs,
    sweepMs: 5_000,
    resendMs: 15_000,
    stuckAfterMs: 10_000,
    heartbeatSeconds: timing.heartbeat,
    attestationSeconds: Math.min(86_400, Math.max(3_600, ATTESTED_BLOCKS * timing.blockSeconds)),
    http: { host: '127.0.0.1', port: 0 },
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
