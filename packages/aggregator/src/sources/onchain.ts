import { readAnswer } from '@clearspan/shared'
import {
  BaseError,
  ContractFunctionRevertedError,
  ContractFunctionZeroDataError,
  createPublicClient,
  HttpRequestError,
  type HttpTransport,
  http,
  type PublicClient,
  RpcRequestError,
  TimeoutError,
} from 'viem'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { asObject, parseObject, rejected } from './decimal.js'
import type { ChainSource, Decoded, Market, RejectReason } from './types.js'

/** No answer of the calls made here comes near. */
const MAX_ANSWER_BYTES = 1 << 20
const REQUEST_MS = 10_000
/** JSON-RPC's internal error: of the RPC, never of a contract. */
const INTERNAL_ERROR = -32_603
/** In seconds, beyond any chain's life; larger ones aren't exact as milliseconds. */
const MAX_TIMESTAMP = 1n << 40n

/** Of a `uint8`, which a larger word isn't: a power of ten beyond that would take a node's time and memory. */
export const MAX_DECIMALS = 255

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

/** An answer that is none, and its name. */
export class BadAnswer extends Error {
  constructor(readonly reason: RejectReason) {
    super(reason)
  }
}

/** Reads contracts by an RPC, again and again until aborted. Symbols are addresses. */
export function runOnChain(
  parameters: ConnectionParameters,
  read: ChainReader,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(
    parameters,
    async (attempt) => {
      try {
        await pollUntilFailure(parameters, read, attempt)
      } catch (error) {
        const fault = faultOf(error)
        if (fault && !attempt.signal.aborted) attempt.take(rejected(fault))
        throw error
      }
    },
    signal,
  )
}

async function pollUntilFailure(
  parameters: ConnectionParameters,
  read: ChainReader,
  attempt: Attempt,
): Promise<void> {
  const { markets, chain, realClock } = parameters
  if (!chain) throw new TypeError('a source that is read on chain needs `chain`')
  const client = createClient(parameters, attempt.signal)
  if ((await client.getChainId()) !== chain.chainId) {
    attempt.take(rejected('wrong_chain'))
    return
  }
  attempt.opened()
  while (!attempt.signal.aborted) {
    const at = await readBlock(client)
    for (const market of markets) {
      const reading = await read(client, market, at, chain).catch((error: unknown) => {
        const fault = faultOf(error)
        // Of this one contract, where the others may be well.
        if (fault === 'reverted' || fault === 'unexpected_shape') return rejected(fault, market.symbol)
        throw error
      })
      if (attempt.signal.aborted) return
      attempt.take(reading)
    }
    await realClock.sleep(chain.pollMs, attempt.signal).catch(() => {})
  }
}

async function readBlock(client: ChainClient): Promise<ReadAt> {
  // What an RPC sends in their place has neither: types say what it should send.
  const { number, timestamp }: Partial<ReadAt & { number: bigint }> = await client.getBlock()
  if (typeof number !== 'bigint' || typeof timestamp !== 'bigint') throw new BadAnswer('unexpected_shape')
  if (timestamp <= 0n || timestamp > MAX_TIMESTAMP) throw new BadAnswer('bad_time')
  return { blockNumber: number, timestamp }
}

/** Why a reading came to nothing; null when the RPC wasn't reached. */
function faultOf(error: unknown): RejectReason | null {
  if (isRevert(error)) return 'reverted'
  const causes: unknown[] = []
  for (let cause = error; cause instanceof Error; cause = cause.cause) causes.push(cause)
  for (const cause of causes) {
    if (cause instanceof BadAnswer) return cause.reason
    if (cause instanceof RpcRequestError) return 'venue_error'
  }
  const unreached = causes.some((one) => one instanceof HttpRequestError || one instanceof TimeoutError)
  return unreached ? null : 'unexpected_shape'
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

function createClient({ url, accessToken, fetch }: ConnectionParameters, ended: AbortSignal): ChainClient {
  const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
  return createPublicClient({
    // A block is asked for at most once a reading: no cache may make it older.
    cacheTime: 0,
    // A contract, or an RPC in its place, that reverts with OffchainLookup would have us fetch URLs of its choice.
    ccipRead: false,
    transport: http(url, {
      retryCount: 0,
      timeout: REQUEST_MS,
      // An RPC can't send the token elsewhere.
      fetchOptions: { headers, redirect: 'error', signal: ended },
      fetchFn: async (input, init) => checked(await fetch(input, init), init?.signal ?? ended),
    }),
  })
}

/** An RPC can't make a node buffer more than it may, and says either a result or an error. */
async function checked(response: Response, signal: AbortSignal): Promise<Response> {
  const { status, ok } = response
  const text = await readAnswer(response, MAX_ANSWER_BYTES, signal)
  if (text === null) throw new BadAnswer('too_large')
  if (ok) {
    const answer = parseObject(text)
    if (!answer) throw new BadAnswer('malformed')
    const { error = null, result = null } = answer
    if (error === null && result === null) throw new BadAnswer('unexpected_shape')
    // viem would take it for a revert, and a revert for a contract without limits.
    if (asObject(error)?.code === INTERNAL_ERROR) throw new BadAnswer('venue_error')
  }
  return new Response(text, { status, headers: { 'content-type': 'application/json' } })
}
