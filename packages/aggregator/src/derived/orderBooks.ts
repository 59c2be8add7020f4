import { asMilliseconds, asObject, asSequence, decimalToWad, isoToMilliseconds } from '../sources/decimal.js'
import type { RejectReason } from '../sources/types.js'
import type { OrderBook, Side } from './depth.js'

/** A venue's book as it sent it; the time is null where the venue gives none. */
export interface DecodedBook extends OrderBook {
  eventTime: number | null
  sequence: bigint | null
}

interface BookVenue {
  /** Path and query of a book as deep as the venue gives. */
  path(symbol: string): string
  decode(body: Record<string, unknown>): DecodedBook | RejectReason
}

const query = (parameters: Record<string, string>) => new URLSearchParams(parameters).toString()

/** Public REST books; a path follows each venue's documentation. */
export const bookVenues = {
  /** Spot `GET /api/v3/depth`: no time, hence that of receipt of a new number counts. */
  binance: {
    path: (symbol) => `api/v3/depth?${query({ symbol, limit: '5000' })}`,
    decode: (body) => bookOf(body, null, asSequence(body.lastUpdateId)),
  },
  /** Exchange `GET /products/ID/book?level=2`. */
  coinbase: {
    path: (symbol) => `products/${encodeURIComponent(symbol)}/book?level=2`,
    decode: (body) => {
      const time = body.time === undefined ? null : isoToMilliseconds(body.time)
      if (body.time !== undefined && time === null) return 'bad_time'
      return bookOf(body, time, asSequence(body.sequence))
    },
  },
  /** `GET /0/public/Depth`: a result with one entry, whose name is Kraken's own for the pair. */
  kraken: {
    path: (pair) => `0/public/Depth?${query({ pair, count: '500' })}`,
    decode: ({ error, result }) => {
      if (Array.isArray(error) && error.length > 0) return 'venue_error'
      const [book] = Object.values(asObject(result) ?? {})
      return bookOf(asObject(book), null, null)
    },
  },
  /** v5 `GET /api/v5/market/books`. */
  okx: {
    path: (instId) => `api/v5/market/books?${query({ instId, sz: '400' })}`,
    decode: ({ code, data }) => {
      if (code !== '0') return 'venue_error'
      const book = Array.isArray(data) ? asObject(data[0]) : null
      const time = typeof book?.ts === 'string' ? asMilliseconds(Number(book.ts)) : null
      return time === null ? 'bad_time' : bookOf(book, time, null)
    },
  },
} satisfies Record<string, BookVenue>

export type BookVenueName = keyof typeof bookVenues
export const bookVenueNames = Object.keys(bookVenues) as [BookVenueName, ...BookVenueName[]]

function bookOf(
  body: Record<string, unknown> | null,
  eventTime: number | null,
  sequence: bigint | null,
): DecodedBook | RejectReason {
  if (!body || !Array.isArray(body.bids) || !Array.isArray(body.asks)) return 'unexpected_shape'
  const bids = sideOf(body.bids)
  const asks = sideOf(body.asks)
  return bids && asks ? { bids, asks, eventTime, sequence } : 'bad_price'
}

/** Levels `[price, amount, ...]`; null when one is none. */
function sideOf(levels: readonly unknown[]): Side | null {
  const side: [bigint, bigint][] = []
  for (const level of levels) {
    if (!Array.isArray(level)) return null
    const price = decimalToWad(level[0])
    const amount = decimalToWad(level[1])
    if (price === null || amount === null || price <= 0n || amount < 0n) return null
    side.push([price, amount])
  }
  return side
}
