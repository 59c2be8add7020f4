import {
  type BaseError,
  type Chain,
  createPublicClient,
  defineChain,
  type PublicClient,
  RpcRequestError,
  type Transport,
} from 'viem'
import { type Clock, systemClock } from '../clock.js'
import { type RoutingOptions, routedTransport } from './client-routing.js'

/** A node that has not answered by then is as good as down, in real milliseconds. */
const RPC_TIMEOUT_MS = 5_000
const MIN_POLL_MS = 20
const MAX_POLL_MS = 1_000

export type ChainClient = PublicClient<Transport, Chain>

export interface ChainClientOptions extends Pick<RoutingOptions, 'avoid' | 'onFailure'> {
  chainId: number
  name?: string
  /**
   * The fastest in good health is asked, the others when it fails. That serves reading and sending; evidence must not fail over, so whoever
   * attests makes one client per URL and compares their answers.
   */
  rpcUrls: readonly string[]
  /** Time between blocks in real milliseconds; polling follows it. */
  blockMs: number
  /** Real time, by which URLs are measured and left to rest. */
  clock?: Clock
  /** Longest that one URL is waited for, real milliseconds. */
  timeoutMs?: number
}

/** A viem client for one chain, which never answers from a cache. */
export function createChainClient(options: ChainClientOptions): ChainClient {
  const { chainId, name, rpcUrls, blockMs, clock = systemClock, timeoutMs = RPC_TIMEOUT_MS } = options
  if (rpcUrls.length === 0) throw new RangeError(`chain ${chainId} has no RPC URL`)
  return createPublicClient({
    chain: defineChain({
      id: chainId,
      name: name ?? `chain ${chainId}`,
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: rpcUrls } },
    }),
    transport: routedTransport(rpcUrls, { ...options, clock, timeoutMs }),
    cacheTime: 0,
    // A contract that reverts with OffchainLookup would have us fetch URLs of its choice.
    ccipRead: false,
    pollingInterval: Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, Math.floor(blockMs / 4))),
  })
}

/** Whether the node answered, with a JSON-RPC error; if not, a request may or may not have had its effect. */
export function isAnswered(error: BaseError): boolean {
  return error.walk((inner) => inner instanceof RpcRequestError) !== null
}
