import { type Clock, type Logger, type Random, UserError } from '@clearspan/shared'
import { createUpdateVerifier, type GuardianSet } from './accumulator.js'
import { binance } from './binance.js'
import { type BookEvent, type BookState, createQuoteBook, type SourceStatus } from './book.js'
import { bybit } from './bybit.js'
import { readChainlink } from './chainlink.js'
import { coinbase } from './coinbase.js'
import { type ConnectionParameters, type ConnectionTimings, defaultTimings } from './connection.js'
import { runHermes } from './hermes.js'
import { kraken } from './kraken.js'
import { okx } from './okx.js'
import { runOnChain } from './onchain.js'
import { runPriceService } from './price-service.js'
import { createHermesDecoder, createVaaDecoder } from './pyth.js'
import { replay } from './replay.js'
import { readTwap } from './twap.js'
import type { ChainSource, Market, Quote, QuoteKind } from './types.js'
import { runWebSocket, type Venue } from './websocket.js'

export type { GuardianSet } from './accumulator.js'
export type { SourceStatus } from './book.js'
export { defaultTimings } from './connection.js'
export { normalizePythId } from './pyth.js'

type Run = (
  parameters: ConnectionParameters & { guardianSets: readonly GuardianSet[] },
  signal: AbortSignal,
) => Promise<void>

const overWebSocket =
  (venue: Venue): Run =>
  (parameters, signal) =>
    runWebSocket(parameters, venue, signal)

const runners = {
  binance: overWebSocket(binance),
  bybit: overWebSocket(bybit),
  coinbase: overWebSocket(coinbase),
  kraken: overWebSocket(kraken),
  okx: overWebSocket(okx),
  replay: overWebSocket(replay),
  hermes: (parameters, signal) =>
    runHermes(parameters, createHermesDecoder(createUpdateVerifier(parameters.guardianSets)), signal),
  'price-service': (parameters, signal) =>
    runPriceService(parameters, createVaaDecoder(createUpdateVerifier(parameters.guardianSets)), signal),
  chainlink: (parameters, signal) => runOnChain(parameters, readChainlink, signal),
  'uniswap-v3': (parameters, signal) => runOnChain(parameters, readTwap, signal),
} satisfies Record<string, Run>

export type AdapterName = keyof typeof runners
export const adapterNames = Object.keys(runners) as [AdapterName, ...AdapterName[]]

/** Slow sources bound, and never vote. */
export function quoteKind(adapter: AdapterName): QuoteKind {
  return adapter === 'chainlink' || adapter === 'uniswap-v3' ? 'bound' : 'price'
}

export interface SourceParameters {
  id: string
  adapter: AdapterName
  /** Base URL: `ws(s)://` for exchanges and replay, `http(s)://` for the two Pyth services and for a chain's RPC. */
  url: string
  /** A market's symbol is its price feed id without 0x for the Pyth adapters, and its contract's address for those that read contracts. */
  markets: readonly Market[]
  /** Whose signatures the Pyth adapters accept; without any they take no price. */
  guardianSets?: readonly GuardianSet[] | undefined
  /** Required by the adapters that read contracts. */
  chain?: ChainSource | undefined
  /** Sent as a bearer token when connecting, for services that ask for a key (not `price-service`). */
  accessToken?: string | undefined
  maxClockSkewMs: number
  networkClock: Clock
  realClock: Clock
  random: Random
  logger: Logger
  /** How the adapters that read contracts ask; the runtime's own without it. */
  fetch?: typeof globalThis.fetch | undefined
  timings?: ConnectionTimings
  /** Told, in order, of all that decides its quotes. */
  onEvent?: ((event: BookEvent) => void) | undefined
}

/** A running connection to one source. */
export interface Source {
  start(): void
  /** Ends the connection and every timer of it. */
  stop(): Promise<void>
  /** The newest quote of each market, whatever its age: the aggregation judges that. */
  quotes(): Quote[]
  /** What decides its quotes to come, beside what it will be told. */
  state(): BookState
  status(): SourceStatus
}

/** Throws UserError for an access token that the adapter's client can't send. */
export function createSource(parameters: SourceParameters): Source {
  const { id, adapter, markets, maxClockSkewMs, timings = defaultTimings, guardianSets = [] } = parameters
  const { onEvent, accessToken, fetch = globalThis.fetch } = parameters
  if (adapter === 'price-service' && accessToken !== undefined) {
    throw new UserError(`accessTokens.${id}`, "can't be sent by the adapter price-service: use hermes")
  }
  const book = createQuoteBook({ source: id, kind: quoteKind(adapter), markets, maxClockSkewMs, onEvent })
  const abort = new AbortController()
  let running: Promise<void> | undefined
  return {
    start() {
      const logger = parameters.logger.child({ source: id })
      running ??= runners[adapter](
        { ...parameters, guardianSets, book, fetch, timings, logger },
        abort.signal,
      )
    },
    async stop() {
      abort.abort()
      await running
    },
    quotes: book.quotes,
    state: book.state,
    status: book.status,
  }
}
