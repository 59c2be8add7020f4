import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import type { RelayerConfigInput } from '@clearspan/relayer'
import {
  acceleratedClock,
  type ClockOptions,
  createQueueBackend,
  type Logger,
  type Network,
  seededRandom,
} from '@clearspan/shared'
import { toHex } from 'viem'
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
import { deployClearspan } from './deploy.js'
import { type LocalMarkets, planMarkets } from './markets.js'
import { type Program, startOracleNodes, startRelayer } from './processes.js'
import { type LocalRoles, localRoles } from './roles.js'
import { planTiming, type Timing } from './timing.js'

const NAMES = ['alpha', 'beta', 'gamma'] as const
const FIRST_CHAIN_ID = 31_901
const FIRST_EID = 30_901
/** Blocks on top of and including a message's own. Local chains don't reorg unless told to. */
const CONFIRMATIONS = 1
const DVN_QUORUM = 2
/** Ticks of simulated venues, real ms: several in every oracle slot. */
const TICK_MS = 100
/** The network's time begins this long before the window, real ms; the crash begins when the traders are in place. */
const PREPARATION_MS = 30_000

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
  /** Seeds the noise of simulated venues. */
  seed?: number
  program: Program
  env: Readonly<Record<string, string | undefined>>
  logger: Logger
  /** Gives up the start; once the network runs it has no effect. */
  signal?: AbortSignal
  /** Told of every step that is done, for a person to read. */
  onProgress: (line: string) => void
}

/** A running network: three chains, four oracle nodes, a relayer with its keeper, and the venues that they listen to. */
export interface LocalNetwork {
  manifest: Network
  chains: readonly LocalChain[]
  clock: ReturnType<typeof acceleratedClock>
  timing: Timing
  roles: LocalRoles
  markets: LocalMarkets
  tape: PriceTape
  window: ReplayWindow
  plan: VenuePlan
  producer: BlockProducer
  sources: SourceSimulators
  relayerUrl: string
  /** Lets the prices walk through the window from now on. Before, they stand at its start; after, at its end. */
  startReplay(): { startMs: number; endMs: number }
  /** Tape time at a network time, unix ms. */
  tapeTime(networkMs: number): number
  /** First block after the deployment, on every chain. */
  firstBlock: bigint
  /** Resolves with the name of the first child that ends by itself. */
  failed: Promise<string>
  stop(): Promise<void>
}

/** Starts everything, or nothing: what fails on the way takes down what was started before. Throws UserError for bad input. */
export async function startLocalNetwork(options: LocalNetworkOptions): Promise<LocalNetwork> {
  const tape = options.prices === undefined ? builtInTape() : await loadPriceTape(options.prices)
  const window = selectWindow(tape, options.window)
  const timing = planTiming({ windowMs: window.endMs - window.startMs, speed: options.speed })
  await checkRedis(options)
  const run = await openRunDirectory({ path: options.dir, logger: options.logger })
  const disposals: (() => Promise<unknown>)[] = [() => run.close()]
  const stop = async () => {
    for (let next = disposals.pop(); next; next = disposals.pop()) await next()
  }
  // Closing the directory ends what has been started and refuses what would be.
  const giveUp = () => void run.close()
  options.signal?.addEventListener('abort', giveUp, { once: true })
  try {
    const network = await assemble({ ...options, tape, window, timing, run, disposals, stop })
    options.signal?.throwIfAborted()
    return network
  } catch (error) {
    await stop()
    throw error
  } finally {
    options.signal?.removeEventListener('abort', giveUp)
  }
}

/** The relayer will connect by itself; what it can't use is said before anything starts. */
async function checkRedis({ redisUrl, logger }: LocalNetworkOptions): Promise<void> {
  if (redisUrl === undefined) return
  const backend = await createQueueBackend({ redisUrl, logger })
  await backend.close()
}

interface Assembly extends Omit<LocalNetworkOptions, 'window'> {
  tape: PriceTape
  window: ReplayWindow
  timing: Timing
  run: RunDirectory
  disposals: (() => Promise<unknown>)[]
  stop: () => Promise<void>
}

async function assemble(options: Assembly): Promise<LocalNetwork> {
  const { tape, window, timing, run, disposals, logger, onProgress } = options
  const roles = localRoles()
  const random = seededRandom(options.seed ?? 1)
  const plan = planVenues(tape, window, random)
  const markets = planMarkets(plan.markets, plan.feeds)
  const startMs = Math.floor((window.startMs - timing.speed * PREPARATION_MS) / 1000) * 1000
  const ports = options.ports ?? DEFAULT_RPC_PORTS

  let began = Date.now()
  const chains = await startChains({
    run,
    chains: NAMES.map((name, index) => ({
      name,
      chainId: FIRST_CHAIN_ID + index,
      port: ports[index] ?? 0,
      portOption: '--ports',
    })),
    genesisTime: startMs / 1000,
    accounts: roles.count,
  })
  onProgress(`chains: ${chains.map(({ name, rpcUrl }) => `${name} ${rpcUrl}`).join(', ')} (${since(began)})`)

  began = Date.now()
  const { layerzero } = await deployLayerZero({
    chains: chains.map((chain, index) => ({ chain, eid: FIRST_EID + index, confirmations: CONFIRMATIONS })),
    deployer: roles.deployer.account,
    dvnSigners: roles.relayer.dvnSigners.map(({ account }) => account.address),
    quorum: DVN_QUORUM,
    workerAdmins: [roles.relayer.bulk.account.address],
  })
  onProgress(`LayerZero V2 on every chain, endpoint ${layerzero.endpoint} (${since(began)})`)

  began = Date.now()
  const networkId = toHex(randomBytes(32))
  const nodePorts = await freePorts(roles.observers.length)
  const oracle = {
    epoch: 1,
    slotMs: timing.slotSeconds * 1000,
    feeds: markets.feeds,
    nodes: roles.observers.map(({ account }, index) => ({
      url: `http://127.0.0.1:${nodePorts[index]}`,
      signer: account.address,
    })),
  }
  const deployed = await deployClearspan({
    chains: chains.map((chain, index) => ({ chain, eid: FIRST_EID + index, confirmations: CONFIRMATIONS })),
    layerzero,
    roles,
    markets,
    timing,
    networkId,
    oracle,
  })
  await Promise.all(chains.map((chain) => chain.setBlockGasLimit(OPERATION_GAS_LIMIT)))
  onProgress(
    `Clearspan on every chain, clearinghouse ${deployed.hub.contracts.clearinghouse} (${since(began)})`,
  )

  const heads = await Promise.all(chains.map(({ client }) => client.getBlockNumber()))
  const firstBlock = heads.reduce((a, b) => (a < b ? a : b)) + 1n
  const clockOptions: ClockOptions = {
    startMs: Math.max(...chains.map((chain) => chain.lastTimestamp())) * 1000,
    realStartMs: Date.now(),
    speed: timing.speed,
  }
  const clock = acceleratedClock(clockOptions)
  const manifest: Network = { networkId, clock: clockOptions, oracle, ...deployed }
  const producer = startBlockProducer({ chains, clock, intervalMs: timing.blockIntervalMs, logger })
  disposals.push(() => producer.stop())

  const replay = createReplay(window, clock)
  const sources = await startSourceSimulators({
    plan: { ...plan, sources: plan.sources.map((source) => replay.onTape(source)) },
    clock,
    realTickMs: TICK_MS,
    random,
    logger,
  })
  disposals.push(() => sources.stop())

  began = Date.now()
  const child = { run, program: options.program, network: manifest, roles, timing, env: options.env }
  const nodes = await startOracleNodes({
    ...child,
    sources: plan.sourceConfigs.map((source) => ({
      ...source,
      url: sources.urls[source.id]!,
      ...(source.adapter === 'hermes' || source.adapter === 'price-service'
        ? { guardianSets: [localGuardianSet] }
        : {}),
    })),
    ports: nodePorts,
  })
  onProgress(`oracle: ${nodes.length} nodes over ${plan.sources.length} sources (${since(began)})`)

  began = Date.now()
  const relayer = await startRelayer({ ...child, redisUrl: options.redisUrl, config: relayerConfig(timing) })
  const relayerUrl = (JSON.parse(relayer.readyLine) as { urls: string[] }).urls[0]!
  onProgress(
    `relayer and keeper on ${options.redisUrl === undefined ? 'the embedded queue' : 'Redis'}, status ${relayerUrl}/status (${since(began)})`,
  )

  const children = [...nodes, relayer, ...chains.map(({ process }) => process)]
  return {
    manifest,
    chains,
    clock,
    timing,
    roles,
    markets,
    tape,
    window,
    plan,
    producer,
    sources,
    relayerUrl,
    startReplay: replay.start,
    tapeTime: replay.tapeTime,
    firstBlock,
    failed: Promise.race(children.map(({ name, exited }) => exited.then(() => name))),
    stop: options.stop,
  }
}

/** The relayer of a local network looks often: its chains are on this machine. */
function relayerConfig(timing: Timing): RelayerConfigInput {
  return {
    blockMs: timing.blockIntervalMs,
    sweepMs: 5_000,
    resendMs: 15_000,
    stuckAfterMs: 10_000,
    heartbeatSeconds: Math.max(3_600, 30 * timing.blockSeconds),
    http: { host: '127.0.0.1', port: 0 },
  }
}

function since(began: number): string {
  return `${((Date.now() - began) / 1000).toFixed(1)} s`
}

/** Maps the network's time to the tape's: the window's start until `start` is called, then it runs. */
function createReplay(window: ReplayWindow, clock: { now(): number }) {
  let startedAt: number | undefined
  const tapeTime = (networkMs: number) =>
    startedAt === undefined
      ? window.startMs
      : Math.min(window.endMs, window.startMs + Math.max(0, networkMs - startedAt))
  return {
    tapeTime,
    start() {
      startedAt ??= clock.now()
      return { startMs: startedAt, endMs: startedAt + (window.endMs - window.startMs) }
    },
    onTape: (source: VenuePlan['sources'][number]): VenuePlan['sources'][number] => ({
      ...source,
      markets: source.markets.map((market) => ({
        ...market,
        price: (networkMs: number) => market.price(tapeTime(networkMs)),
      })),
    }),
  }
}

/** Ports that were free a moment ago: peers must know each other's before any of them listens. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
          const server = createServer()
          server.once('error', reject)
          server.listen(0, '127.0.0.1', () => resolve(server))
        }),
    ),
  )
  const ports = servers.map((server) => (server.address() as { port: number }).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
