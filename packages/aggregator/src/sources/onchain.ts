import {
  BaseError,
  ContractFunctionRevertedError,
  ContractFunctionZeroDataError,
  createPublicClient,
  type HttpTransport,
  http,
  type PublicClient,
} from 'viem'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import type { ChainSource, Decoded, Market } from './types.js'

/** No answer of the calls made here comes near. */
const MAX_ANSWER_BYTES = 1 << 20
const REQUEST_MS = 10_000

export type ChainClient = PublicClient<HttpTransport>

/** The block that all calls of one reading are made at. */
export interface ReadAt {
  blockNumber: bigint
  /** Unix seconds. */
  timestamp: bigint
}

/** Reads one market at one block. Rejects when the RPC fails; what a contract says or reverts is a result. */
export type ChainReader = (
  client: ChainClient,
  market: Market,
  at: ReadAt,
  chain: ChainSource,
) => Promise<Decoded>

/** Reads contracts by an RPC, again and again until aborted. Symbols are addresses. */
export function runOnChain(
  parameters: ConnectionParameters,
  read: ChainReader,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(parameters, (attempt) => pollUntilFailure(parameters, read, attempt), signal)
}

async function pollUntilFailure(
  { url, accessToken, markets, chain, realClock }: ConnectionParameters,
  read: ChainReader,
  attempt: Attempt,
): Promise<void> {
  if (!chain) throw new TypeError('a source that is read on chain needs `chain`')
  const client = createClient(url, accessToken, attempt.signal)
  if ((await client.getChainId()) !== chain.chainId) {
    attempt.take(rejected('wrong_chain'))
    return
  }
  attempt.opened()
  while (!attempt.signal.aborted) {
    const { number: blockNumber, timestamp } = await client.getBlock()
    for (const market of markets) {
      const reading = await read(client, market, { blockNumber, timestamp }, chain).catch(
        (error: unknown) => {
          if (isRevert(error)) return rejected('reverted', market.symbol)
          throw error
        },
      )
      if (attempt.signal.aborted) return
      attempt.take(reading)
    }
    await realClock.sleep(chain.pollMs, attempt.signal).catch(() => {})
  }
}

/** Whether a call reached its contract, or a place without one, and failed there. */
export function isRevert(error: unknown): boolean {
  return (
    error instanceof BaseError &&
    error.walk(
      (cause) =>
        cause instanceof ContractFunctionRevertedError || cause instanceof ContractFunctionZeroDataError,
    ) !== null
  )
}

function createClient(url: string, accessToken: string | undefined, signal: AbortSignal): ChainClient {
  const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
  return createPublicClient({
    // A block is asked for at most once a reading: no cache may make it older.
    cacheTime: 0,
    transport: http(url, {
      retryCount: 0,
      timeout: REQUEST_MS,
      fetchOptions: { headers },
      fetchFn: async (input, init) => boundedFetch(input, init, signal),
    }),
  })
}

/** An RPC can't make a node buffer more than it may, nor send its access token elsewhere. */
async function boundedFetch(
  input: string | URL | Request,
  init: RequestInit | undefined,
  ended: AbortSignal,
): Promise<Response> {
  const signal = init?.signal ? AbortSignal.any([init.signal, ended]) : ended
  const { body, status, headers } = await fetch(input, { ...init, signal, redirect: 'error' })
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body ?? []) {
    size += chunk.length
    if (size > MAX_ANSWER_BYTES) throw new RangeError('the answer of the RPC is too large')
    chunks.push(chunk)
  }
  return new Response(Buffer.concat(chunks), {
    status,
    headers: { 'content-type': headers.get('content-type') ?? '' },
  })
}
