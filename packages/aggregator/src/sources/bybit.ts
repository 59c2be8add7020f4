import {
  asMilliseconds,
  asObject,
  asSequence,
  decimalToWad,
  middle,
  parseObject,
  rejected,
} from './decimal.js'
import type { Decoded, Market } from './types.js'
import type { Venue } from './websocket.js'

/** Topics in one request: the venue refuses more on spot. */
const TOPICS_PER_REQUEST = 10

/** The spot ticker has the last trade only, so the best bid and ask come from the book's first level. */
function subscribe(markets: readonly Market[]): string[] {
  const topics = markets.flatMap(({ symbol }) => [`tickers.${symbol}`, `orderbook.1.${symbol}`])
  return Array.from({ length: Math.ceil(topics.length / TOPICS_PER_REQUEST) }, (_, i) => {
    const args = topics.slice(i * TOPICS_PER_REQUEST, (i + 1) * TOPICS_PER_REQUEST)
    return JSON.stringify({ op: 'subscribe', args })
  })
}

/**
 * Bybit v5 spot: price and time from `tickers`, half spread from `orderbook.1`. On spot both are pushed as snapshots that stand for
 * themselves, so a missing one leaves no gap; the cross sequence `cs` orders tickers of one millisecond.
 */
export function decodeBybit(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if ('op' in message) return message.success === false ? rejected('venue_error') : { kind: 'control' }
  const { topic } = message
  const data = asObject(message.data)
  if (typeof topic !== 'string' || !data || message.type !== 'snapshot') return rejected('unexpected_shape')
  if (topic.startsWith('orderbook.1.')) return decodeBook(data)
  if (topic !== `tickers.${data.symbol}` || typeof data.symbol !== 'string') {
    return rejected('unexpected_shape')
  }
  const price = decimalToWad(data.lastPrice)
  if (price === null || price <= 0n) return rejected('bad_price')
  const eventTime = asMilliseconds(message.ts)
  if (eventTime === null) return rejected('bad_time')
  const sequence = asSequence(message.cs)
  return { kind: 'ticks', ticks: [{ symbol: data.symbol, price, confidence: null, eventTime, sequence }] }
}

function decodeBook(data: Record<string, unknown>): Decoded {
  if (typeof data.s !== 'string') return rejected('unexpected_shape')
  const book = middle(bestPrice(data.b), bestPrice(data.a))
  return typeof book === 'string'
    ? rejected(book)
    : { kind: 'spread', symbol: data.s, halfSpread: book.confidence }
}

/** Levels are `[price, size]`, the best first. */
function bestPrice(levels: unknown): unknown {
  return Array.isArray(levels) && Array.isArray(levels[0]) ? levels[0][0] : undefined
}

/** The venue recommends a ping each 20 s, and hangs up on who doesn't. */
export const bybit: Venue = {
  subscribe,
  decode: decodeBybit,
  ping: { text: '{"op":"ping"}', everyMs: 20_000 },
}
