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

/**
 * Subscribes to trades and to the best bid and ask. On spot `bookTicker` carries no time, so a frozen book could not be told from a
 * calm one: prices come from `aggTrade` (whose trade time `T` is the event time), and the book only gives their half spread.
 */
function subscribe(markets: readonly Market[]): string[] {
  const params = markets.flatMap(({ symbol }) => [
    `${symbol.toLowerCase()}@aggTrade`,
    `${symbol.toLowerCase()}@bookTicker`,
  ])
  return [JSON.stringify({ method: 'SUBSCRIBE', params, id: 1 })]
}

/** Binance spot WebSocket streams, raw or combined (`{stream, data}`). Aggregate trades are numbered without gaps. */
export function decodeBinance(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  const data = 'stream' in message ? asObject(message.data) : message
  if (!data) return rejected('unexpected_shape')
  if ('result' in data && 'id' in data)
    return data.result === null ? { kind: 'control' } : rejected('venue_error')
  if ('error' in data) return rejected('venue_error')
  if (typeof data.s !== 'string') return rejected('unexpected_shape')
  if (data.e === 'aggTrade') {
    const price = decimalToWad(data.p)
    if (price === null || price <= 0n) return rejected('bad_price')
    const eventTime = asMilliseconds(data.T)
    if (eventTime === null) return rejected('bad_time')
    return {
      kind: 'ticks',
      ticks: [
        {
          symbol: data.s,
          price,
          confidence: null,
          eventTime,
          sequence: asSequence(data.a),
          contiguous: true,
        },
      ],
    }
  }
  if ('b' in data && 'a' in data && 'u' in data) {
    const book = middle(data.b, data.a)
    return typeof book === 'string'
      ? rejected(book)
      : { kind: 'spread', symbol: data.s, halfSpread: book.confidence }
  }
  return rejected('unexpected_shape')
}

/** The venue pings by WebSocket each 20 s, which the socket answers by itself. */
export const binance: Venue = { subscribe, decode: decodeBinance }
