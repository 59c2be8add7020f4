import type { PlanSource } from '../aggregation/plan.js'
import { asObject, WAD } from '../sources/decimal.js'
import type { Source } from '../sources/index.js'
import type { Market, RejectReason } from '../sources/types.js'
import type { PolledFeedConfig } from './config.js'
import { depth } from './depth.js'
import { impliedVolatility } from './impliedVolatility.js'
import { lendingVenues } from './lendingRates.js'
import { optionVenues } from './optionMarks.js'
import { bookVenues } from './orderBooks.js'
import { createPolledSource, type PolledParameters, type Told } from './poll.js'

interface Request {
  path: string
  body?: object
  decode(body: Record<string, unknown>): Told | RejectReason
}

/**
 * The sources of a polled feed, as they are listed. Each is a market of its own, named after the feed, so that listing, groups, freshness,
 * conversion and votes are those of any price.
 */
export function polledSpecs(config: PolledFeedConfig): PlanSource[] {
  return requestsOf(config).map((request) => ({
    id: request.id,
    tags: request.tags,
    markets: [marketOf(config, request)],
  }))
}

/** The same sources, to be started. */
export function createPolledSources(config: PolledFeedConfig, parameters: PolledParameters): Source[] {
  return requestsOf(config).map(({ request, ...source }) =>
    createPolledSource({
      ...parameters,
      id: source.id,
      url: `${source.url.replace(/\/$/, '')}/${request.path}`,
      ...(request.body && { body: request.body }),
      market: marketOf(config, source),
      pollMs: config.pollMs,
      decode: request.decode,
    }),
  )
}

function marketOf({ feed }: PolledFeedConfig, source: { id: string; in: string | null }): Market {
  const [base = '', quote = ''] = feed.split('/')
  return { symbol: source.id, base, quote: source.in ?? quote }
}

function requestsOf(config: PolledFeedConfig) {
  switch (config.kind) {
    case 'depth':
      return config.sources.map(({ venue, symbol, quote, ...source }) => ({
        ...source,
        in: quote,
        request: depthRequest(bookVenues[venue], symbol, config.bandBps),
      }))
    case 'impliedVolatility':
      return config.sources.map(({ venue, currency, ...source }) => ({
        ...source,
        in: null,
        request: volatilityRequest(optionVenues[venue], currency, config.horizonMs),
      }))
    case 'lendingRate':
      return config.sources.map(({ venue, currency, ...source }) => ({
        ...source,
        in: null,
        request: lendingRequest(lendingVenues[venue], currency),
      }))
    case 'liveness':
      return config.sources.map((source) => ({ ...source, in: null, request: blockRequest }))
  }
}

function depthRequest(
  venue: (typeof bookVenues)[keyof typeof bookVenues],
  symbol: string,
  band: number,
): Request {
  return {
    path: venue.path(symbol),
    decode(body) {
      const book = venue.decode(body)
      if (typeof book === 'string') return book
      const value = depth(book, band)
      if (value === null) return 'crossed_book'
      // Nothing inside the band is an answer too, and a quote is positive.
      const { eventTime, sequence, bids, asks } = book
      return { value: value || 1n, eventTime, sequence, content: { bids, asks } }
    },
  }
}

function volatilityRequest(
  venue: (typeof optionVenues)[keyof typeof optionVenues],
  currency: string,
  horizonMs: number,
): Request {
  return {
    path: venue.path(currency),
    decode(body) {
      const decoded = venue.decode(body)
      if (typeof decoded === 'string') return decoded
      const value = impliedVolatility(decoded.marks, decoded.eventTime, horizonMs)
      if (value === null) return 'bad_price'
      return { value, eventTime: decoded.eventTime, sequence: null, content: decoded.marks }
    },
  }
}

/** What is lent costs the same for hours: each answer is news. */
function lendingRequest(
  venue: (typeof lendingVenues)[keyof typeof lendingVenues],
  currency: string,
): Request {
  return {
    path: venue.path(currency),
    decode(body) {
      const decoded = venue.decode(body, currency)
      if (typeof decoded === 'string') return decoded
      return { value: decoded.rate, eventTime: decoded.eventTime, sequence: null, content: null }
    },
  }
}

/** The newest block's time in seconds. Its event is the answer, not the block: the age of the block is what is told. */
const blockRequest: Request = {
  path: '',
  body: { jsonrpc: '2.0', id: 1, method: 'eth_getBlockByNumber', params: ['latest', false] },
  decode({ error, result }) {
    if (error !== undefined) return 'venue_error'
    const timestamp = asObject(result)?.timestamp
    if (typeof timestamp !== 'string' || !/^0x[0-9a-f]{1,10}$/.test(timestamp)) return 'unexpected_shape'
    return { value: BigInt(timestamp) * WAD, eventTime: null, sequence: null, content: null }
  },
}
