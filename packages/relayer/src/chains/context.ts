import {
  type Chain,
  type ChainClient,
  type Clock,
  createChainClient,
  createSender,
  createSenderPool,
  type Logger,
  type Metrics,
  type Network,
  type SenderPool,
} from '@clearspan/shared'
import { type LocalAccount, parseGwei } from 'viem'
import { type RelayerConfig, rolesOf } from '../config.js'
import { type DepthPolicy, depthPolicies } from '../layerzero/depth.js'
import { type ChainFeed, createChainFeed } from './feed.js'
import { createQuarantine, type Quarantine } from './quarantine.js'
import {
  checkNeededKeys,
  checkSigningKeys,
  neededPurposes,
  type Purpose,
  type SigningKeys,
  signersOf,
} from './signers.js'

/**
 * Signers of one process. A key belongs to one process and one purpose: `price` sends price updates; `bulk` everything that may wait, and must
 * be an admin of the DVN, the executor and the worker multicall; `urgent` liquidations on the hub, never behind another lane.
 */
export interface RelayerKeys extends SigningKeys {
  /** Sign packets for the stock DVN; empty for a keeper, and where others sign. */
  dvnSigners: readonly LocalAccount[]
  /** Speaks to operators. */
  peer?: LocalAccount
}

/** One chain as the lanes see it. */
export interface ChainContext {
  chain: Chain
  client: ChainClient
  /** One client per RPC URL: whoever attests asks each. */
  witnesses: readonly ChainClient[]
  /** Of the witnesses. */
  quarantine: Quarantine
  /** How deep packets from there must lie by their value. */
  depth?: DepthPolicy | undefined
  feed: ChainFeed
  /** Those that lanes of this process's roles send by there; lanes of no other role are opened. */
  senders: Record<Purpose, SenderPool>
}

export interface ContextOptions {
  network: Network
  config: RelayerConfig
  keys: RelayerKeys
  clock: Clock
  logger: Logger
  metrics: Metrics
  /** Directory of the nonce ledgers, one file per chain and signer; absent: in memory. */
  ledgerDir?: string | undefined
}

/** Clients, senders and feeds of every chain. Nothing is asked of a chain yet. @throws UserError for keys that don't fit each other. */
export function createChainContexts(options: ContextOptions) {
  const { network, config, keys, clock, logger, metrics, ledgerDir } = options
  const chainIds = network.chains.map(({ chainId }) => chainId)
  const needed = neededPurposes(rolesOf(config))
  checkSigningKeys(keys, chainIds)
  checkNeededKeys(keys, { chainIds, hub: network.hub.chainId }, needed)
  const caps = {
    maxFeePerGas: parseGwei(String(config.maxFeeGwei)),
    maxPriorityFeePerGas: parseGwei(String(config.maxPriorityFeeGwei)),
  }
  const failures = metrics.counter(
    'rpc_failures_total',
    'Requests that an RPC did not answer: out of reach, slow, broken, or limited',
    ['chain', 'node', 'kind'],
  )
  const depths = depthPolicies('relayer.depths', network, config.depths)
  return network.chains.map((chain): ChainContext => {
    const { chainId, name } = chain
    const rpcUrls = config.rpcUrls[String(chainId)] ?? chain.rpcUrls
    const onFailure = (node: number, kind: string) => failures.inc({ chain: name, node: String(node), kind })
    const chainOptions = { chainId, name, blockMs: config.blockMs, clock }
    const log = logger.child({ chain: name })
    const witnesses = rpcUrls.map((url, index) =>
      createChainClient({ ...chainOptions, rpcUrls: [url], onFailure: (_, kind) => onFailure(index, kind) }),
    )
    const quarantine = createQuarantine({ chain: name, nodes: witnesses, clock, logger: log, metrics })
    const avoid = (node: number) => quarantine.holds(witnesses[node]!)
    const client = createChainClient({ ...chainOptions, rpcUrls, avoid, onFailure })
    const common = {
      client,
      chainId,
      clock,
      logger: log,
      metrics,
      stuckAfterMs: config.stuckAfterMs,
      caps,
      finalBlocks: chain.confirmations,
      ledger: ledgerDir === undefined ? undefined : { directory: ledgerDir, networkId: network.networkId },
    }
    const pool = (purpose: Purpose) => {
      const accounts = signersOf(keys, chainId, purpose)
      if (accounts.length === 0) return []
      const handsOver = accounts.length > 1
      const senders = accounts.map((account) => createSender({ ...common, account, handsOver }))
      return [[purpose, createSenderPool(senders, clock)] as const]
    }
    return {
      chain,
      client,
      witnesses,
      quarantine,
      depth: depths.get(chainId),
      feed: createChainFeed({
        client,
        witnesses,
        isHeld: quarantine.holds,
        rereadBlocks: BigInt(config.rereadBlocks),
        startBlock: BigInt(config.startBlocks[String(chainId)] ?? 0),
        logRange: BigInt(config.logRange),
        clock,
        logger: log,
      }),
      senders: Object.fromEntries(needed.flatMap(pool)) as Record<Purpose, SenderPool>,
    }
  })
}
