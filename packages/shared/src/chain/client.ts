import {
  type BaseError,
  type Chain,
  createPublicClient,
  defineChain,
  fallback,
  http,
  type PublicClient,
  RpcRequestError,
  type Transport,
} from 'viem'

/** A node that has not answered by then is as good as down, in real milliseconds. */
const RPC_TIMEOUT_MS = 5_000
const MIN_POLL_MS = 20
const MAX_POLL_MS = 1_000

export type ChainClient = PublicClient<Transport, Chain>

export interface ChainClientOptions {
  chainId: number
  name?: string
  /**
   * Tried in order when one fails. That serves reading and sending; evidence must not fail over, so whoever attests makes one client per
   * URL and compares their answers.
   */
  rpcUrls: readonly string[]
  /** Time between blocks in real milliseconds; polling follows it. */
  blockMs: number
}

/** A viem client for one chain, which never answers from a cache. */
export function createChainClient({ chainId, name, rpcUrls, blockMs }: ChainClientOptions): ChainClient {
  const [first, ...others] = rpcUrls.map((url) => http(url, { timeout: RPC_TIMEOUT_MS, retryCount: 1 }))
  if (first === undefined) throw new RangeError(`chain ${chainId} has no RPC URL`)
  return createPublicClient({
    chain: defineChain({
      id: chainId,
      name: name ?? `chain ${chainId}`,
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: rpcUrls } },
    }),
    transport: others.length === 0 ? first : fallback([first, ...others], { retryCount: 0 }),
    cacheTime: 0,
    pollingInterval: Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, Math.floor(blockMs / 4))),
  })
}

/** Whether the node answered, with a JSON-RPC error; if not, a request may or may not have had its effect. */
export function isAnswered(error: BaseError): boolean {
  return error.walk((inner) => inner instanceof RpcRequestError) !== null
}
