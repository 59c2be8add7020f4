import { join } from 'node:path'
import {
  type BlockProducer,
  type Delivery,
  deployLayerZero,
  type LocalChain,
  localAccounts,
  openRunDirectory,
  startBlockProducer,
  startChains,
} from '@clearspan/devnet'
import {
  acceleratedClock,
  type Clock,
  createLogger,
  createMetrics,
  createShutdown,
  type Network,
  type QueueBackend,
  systemClock,
  systemRandom,
} from '@clearspan/shared'
import {
  type Address,
  encodeFunctionData,
  type Hex,
  type PrivateKeyAccount,
  parseEther,
  toHex,
  zeroHash,
} from 'viem'
import { deployClearspan } from '../packages/devnet/src/network/deploy.js'
import { planDerivedFeeds } from '../packages/devnet/src/network/derivedFeeds.js'
import { type LocalMarkets, planMarkets, withDated } from '../packages/devnet/src/network/markets.js'
import { type LocalRoles, localRoles } from '../packages/devnet/src/network/roles.js'
import { planTiming, type Timing } from '../packages/devnet/src/network/timing.js'
import type { Call } from '../packages/devnet/src/scenario/wallet.js'
import {
  createRelayer,
  type Relayer,
  type RelayerConfigInput,
  type RelayerOptions,
  startAttestService,
} from '../packages/relayer/src/index.js'

const SPEED = 8
/** Twice as often, and a test that gets an eighth of a core has no time left to get anywhere. */
const BLOCK_MS = 500
const FEEDS = ['BTC/USD', 'ETH/USD', 'USDT/USD', 'USDC/USD']
const FIRST_CHAIN_ID = 31_901
const FIRST_EID = 30_901

const logger = createLogger({ name: 'test', level: 'silent' })

/** Real chains with all contracts on them, and nothing that runs beside: a test brings its own relayer, and what it needs of an oracle. */
export interface TestNetwork {
  network: Network
  networkClock: Clock
  chains: LocalChain[]
  producer: BlockProducer
  roles: LocalRoles
  markets: LocalMarkets
  timing: Timing
  /** Real ms between blocks. */
  blockMs: number
  stop(): Promise<void>
}

/** @param nodeUrls Where the oracle nodes of the network are reached, or all of them. The first chain is the hub. */
export async function startTestNetwork(options: {
  directory: string
  chains: readonly string[]
  /** Who verifies messages; LayerZero's stock DVN without it. */
  delivery?: Delivery
  nodeUrls?: string | readonly string[]
  /** Network seconds a real one. */
  speed?: number
  /** Accounts of the mnemonic, behind those of the roles, that may deliver; and funded ones behind these. */
  moreAdmins?: number
  moreAccounts?: number
  /** With instruments that expire, whose terms the test lists, and the feeds that they need. */
  dated?: boolean
}): Promise<TestNetwork> {
  const { nodeUrls = 'http://127.0.0.1:1', speed = SPEED, moreAdmins = 0, moreAccounts = 0 } = options
  const roles = localRoles()
  const run = await openRunDirectory({ path: join(options.directory, 'run'), logger, clock: systemClock })
  const shutdown = createShutdown({ logger, clock: systemClock })
  shutdown.add('chains', () => run.close())
  const stop = async () => {
    await shutdown.run()
  }
  try {
    const chains = await startChains({
      run,
      chains: options.chains.map((name, at) => ({
        name,
        chainId: FIRST_CHAIN_ID + at,
        port: 0,
        portOption: '',
      })),
      genesisTime: 1_584_000_000,
      accounts: roles.count + moreAdmins + moreAccounts,
    })
    const placed = chains.map((chain, index) => ({ chain, eid: FIRST_EID + index, confirmations: 1 }))
    const delivery = options.delivery ?? 'stock'
    const operators = roles.attestors.map(({ account }) => account.address)
    const attestor = { networkId: zeroHash, operators, threshold: 2, alone: delivery === 'attestor' }
    const { layerzero } = await deployLayerZero({
      attestor: delivery === 'stock' ? undefined : attestor,
      chains: placed,
      deployer: roles.deployer.account,
      dvnSigners: roles.relayer.dvnSigners.map((signer) => signer.account.address),
      quorum: 2,
      workerAdmins: [
        roles.relayer.bulk.account,
        ...localAccounts(roles.count + moreAdmins).slice(roles.count),
      ].map(({ address }) => address),
    })
    const timing = planTiming({ windowMs: 3_600_000, speed })
    const perpetuals = planMarkets(['BTC', 'ETH'], FEEDS)
    const markets = options.dated ? withFeeds(withDated(perpetuals), timing) : perpetuals
    const urlOf = (at: number) => (typeof nodeUrls === 'string' ? nodeUrls : (nodeUrls[at] ?? ''))
    const oracle = {
      epoch: 1,
      slotMs: timing.slotSeconds * 1000,
      feeds: markets.feeds,
      nodes: roles.observers.map(({ account }, at) => ({ url: urlOf(at), signer: account.address })),
    }
    const deployment = { layerzero, roles, markets, timing, networkId: zeroHash, oracle, chains: placed }
    const deployed = await deployClearspan(deployment)
    const clock = {
      startMs: Math.max(...chains.map((chain) => chain.lastTimestamp())) * 1000,
      realStartMs: systemClock.now(),
      speed,
    }
    const networkClock = acceleratedClock(clock)
    const network = { networkId: zeroHash, clock, oracle, ...deployed }
    const realClock = systemClock
    const producer = startBlockProducer({
      chains,
      clock: networkClock,
      intervalMs: BLOCK_MS,
      realClock,
      logger,
    })
    shutdown.add('blocks', () => producer.stop())
    return { network, networkClock, chains, producer, roles, markets, timing, blockMs: BLOCK_MS, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function withFeeds(markets: LocalMarkets, timing: Timing): LocalMarkets {
  return { ...markets, feeds: [...markets.feeds, ...planDerivedFeeds(markets, [], timing).feeds] }
}

/** From now on one chain mines only when told to, and while something is sent. Blocks that a reorg takes are replaced by empty ones. */
export async function haltChain({ chains, producer }: TestNetwork, index: number) {
  const chain = chains[index]!
  await producer.halt(chain.chainId)
  return {
    async mine(blocks: number): Promise<void> {
      for (let i = 0; i < blocks; i++) await chain.mine()
    },
    async whileMining(sending: Promise<unknown>): Promise<void> {
      let isDone = false
      const done = sending.finally(() => {
        isDone = true
      })
      while (!isDone) {
        const { pending } = await chain.client.getTxpoolStatus()
        if (pending > 0) await chain.mine()
        else await Promise.race([done, systemClock.sleep(20)])
      }
      await done
    },
    async reorg(depth: number): Promise<void> {
      await chain.client.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
      await chain.client.request({ method: 'anvil_dropAllTransactions' as never })
    },
    resume: async () => producer.resume(chain.chainId),
  }
}

/**
 * What the council would have scheduled a day before: calls by the governance of a chain itself, as which a local chain lets anybody send. Mined
 * together, in order; throws for the first that reverted.
 */
export async function govern(
  { chains, network }: Pick<TestNetwork, 'chains' | 'network'>,
  index: number,
  calls: readonly Call[],
): Promise<void> {
  const chain = chains[index]!
  const from = network.chains[index]!.contracts.governance
  const ask = (method: string, params: readonly unknown[]) =>
    chain.client.request({ method: method as never, params: params as never })
  await ask('anvil_impersonateAccount', [from])
  await ask('anvil_setBalance', [from, toHex(parseEther('1000'))])
  const hashes: Hex[] = []
  for (const { to, abi, functionName, args } of calls) {
    const data = encodeFunctionData({ abi, functionName, args })
    hashes.push((await ask('eth_sendTransaction', [{ from, to, data, gas: toHex(5_000_000) }])) as Hex)
  }
  await chain.mine()
  for (const [at, hash] of hashes.entries()) {
    const { status } = await chain.client.getTransactionReceipt({ hash })
    if (status !== 'success') throw new Error(`${calls[at]!.functionName} by governance reverted`)
  }
}

export interface Operators {
  /** As the relayer is told of them. */
  known: { url: string; address: Address }[]
  /** Signers of the stock DVN that run here too. */
  dvn: { url: string; address: Address }[]
  stop(): Promise<void>
}

/** Operators of the network's Attestor in this process: as many as must sign. The third one is known, and down. */
export async function startOperators({ network, roles }: TestNetwork): Promise<Operators> {
  const shutdown = createShutdown({ logger, clock: systemClock })
  const [first, second, third] = roles.attestors.map(({ account }) => account)
  const start = async (account: PrivateKeyAccount) => {
    const { url, stop } = await startAttestService({
      network,
      config: {
        askers: [roles.relayer.peer.account.address],
        http: { host: '127.0.0.1', port: 0 },
      },
      account,
      clock: systemClock,
      logger,
      metrics: createMetrics(),
    })
    shutdown.add(url, stop)
    return { url, address: account.address }
  }
  const known = await Promise.all([first!, second!].map(start))
  const dvn = await Promise.all(roles.relayer.dvnSigners.map(({ account }) => start(account)))
  return {
    known: [...known, { url: 'http://127.0.0.1:1', address: third!.address }],
    dvn,
    async stop() {
      await shutdown.run()
    },
  }
}

/**
 * A relayer in this process, on a queue that the caller opened and closes. It signs for the stock DVN unless others do, and sends by `moreSigners`
 * too.
 */
export function createTestRelayer(
  { network, networkClock, roles }: Pick<TestNetwork, 'network' | 'networkClock' | 'roles'>,
  backend: QueueBackend,
  config: Partial<RelayerConfigInput>,
  moreSigners: readonly PrivateKeyAccount[] = [],
  more: Partial<Pick<RelayerOptions, 'ledgerDir' | 'logger' | 'metrics' | 'keys'>> = {},
): Relayer {
  const { price, bulk, urgent, peer, dvnSigners, keeper } = roles.relayer
  // A signer belongs to one process: where messages are carried elsewhere, theirs does too.
  const isApart = config.roles?.every((role) => role === 'prices' || role === 'keeper')
  return createRelayer({
    network,
    config: {
      blockMs: BLOCK_MS,
      sweepMs: 2_000,
      resendMs: 5_000,
      stuckAfterMs: 5_000,
      heartbeatSeconds: 0,
      ...config,
    },
    keys: {
      price: price.account,
      bulk: [isApart ? keeper.account : bulk.account, ...moreSigners],
      urgent: urgent.account,
      peer: peer.account,
      dvnSigners: config.dvnOperators ? [] : dvnSigners.map((signer) => signer.account),
    },
    clock: systemClock,
    networkClock,
    logger,
    metrics: createMetrics(),
    backend,
    random: systemRandom,
    fetch,
    ...more,
  })
}
