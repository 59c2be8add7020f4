import { asMilliseconds, asObject, asSequence, middle, parseObject, rejected } from './decimal.js'
import type { Decoded, Market } from './types.js'
import type { Venue } from './websocket.js'

/** Topics in one request: the venue refuses more on spot. */
const TOPICS_PER_REQUEST = 10

function subscribe(markets: readonly Market[]): string[] {
  const topics = markets.map(({ symbol }) => `orderbook.1.${symbol}`)
  return Array.from({ length: Math.ceil(topics.length / TOPICS_PER_REQUEST) }, (_, i) => {
    const args = topics.slice(i * TOPICS_PER_REQUEST, (i + 1) * TOPICS_PER_REQUEST)
    return JSON.stringify({ op: 'subscribe', args })
  })
}

/**
 * Bybit v5 spot `orderbook.1`: the middle of the book's first level at the matching engine's time `cts`. Not `tickers`, whose last trade
 * bears the time of the push alone, so that a frozen one would stay fresh. Each push is a snapshot that stands for itself, so a missing
 * one leaves no gap; a book that hasn't changed is pushed again with the same update id `u`, by which the quote book knows it.
 */
export function decodeBybit(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if ('op' in message) return message.success === false ? rejected('venue_error') : { kind: 'control' }
  const data = asObject(message.data)
  if (
    typeof data?.s !== 'string' ||
    message.topic !== `orderbook.1.${data.s}` ||
    message.type !== 'snapshot'
  ) {
    return rejected('unexpected_shape')
  }
  const book = middle(bestPrice(data.b), bestPrice(data.a))
  if (typeof book === 'string') return rejected(book)
  const eventTime = asMilliseconds(message.cts)
  if (eventTime === null) return rejected('bad_time')
  return { kind: 'ticks', ticks: [{ symbol: data.s, ...book, eventTime, sequence: asSequence(data.u) }] }
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
