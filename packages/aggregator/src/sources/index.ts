import type { Clock, Logger, Random } from '@clearspan/shared'
import { binanceSubscribe, decodeBinance } from './binance.js'
import { createQuoteBook, type SourceStatus } from './book.js'
import { coinbaseSubscribe, decodeCoinbase } from './coinbase.js'
import { type ConnectionParameters, type ConnectionTimings, defaultTimings } from './connection.js'
import { runHermes } from './hermes.js'
import { decodeKraken, krakenSubscribe } from './kraken.js'
import { runPriceService } from './price-service.js'
import { decodeReplay, replaySubscribe } from './replay.js'
import type { Market, Quote } from './types.js'
import { runWebSocket } from './websocket.js'

export type { SourceStatus } from './book.js'
export { defaultTimings } from './connection.js'
export { normalizePythId } from './pyth.js'

type Run = (parameters: ConnectionParameters, signal: AbortSignal) => Promise<void>

const runners = {
  binance: (parameters, signal) => runWebSocket(parameters, binanceSubscribe, decodeBinance, signal),
  coinbase: (parameters, signal) => runWebSocket(parameters, coinbaseSubscribe, decodeCoinbase, signal),
  kraken: (parameters, signal) => runWebSocket(parameters, krakenSubscribe, decodeKraken, signal),
  replay: (parameters, signal) => runWebSocket(parameters, replaySubscribe, decodeReplay, signal),
  hermes: runHermes,
  'price-service': runPriceService,
} satisfies Record<string, Run>

export type AdapterName = keyof typeof runners
export const adapterNames = Object.keys(runners) as [AdapterName, ...AdapterName[]]

export interface SourceParameters {
  id: string
  adapter: AdapterName
  /** Base URL: `ws(s)://` for exchanges and replay, `http(s)://` for the two Pyth services. */
  url: string
  /** For the Pyth adapters a market's symbol is its price feed id without 0x. */
  markets: readonly Market[]
  maxClockSkewMs: number
  networkClock: Clock
  realClock: Clock
  random: Random
  logger: Logger
  timings?: ConnectionTimings
}

/** A running connection to one source. */
export interface Source {
  start(): void
  /** Ends the connection and every timer of it. */
  stop(): Promise<void>
  /** The newest quote of each market, whatever its age: the aggregation judges that. */
  quotes(): Quote[]
  status(): SourceStatus
}

export function createSource(parameters: SourceParameters): Source {
  const { id, adapter, markets, maxClockSkewMs, timings = defaultTimings } = parameters
  const book = createQuoteBook({ source: id, markets, maxClockSkewMs })
  const abort = new AbortController()
  let running: Promise<void> | undefined
  return {
    start() {
      const logger = parameters.logger.child({ source: id })
      running ??= runners[adapter]({ ...parameters, book, timings, logger }, abort.signal)
    },
    async stop() {
      abort.abort()
      await running
    },
    quotes: book.quotes,
    status: book.status,
  }
}
