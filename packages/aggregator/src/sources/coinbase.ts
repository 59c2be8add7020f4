import { asSequence, isoToMilliseconds, middle, parseObject, rejected } from './decimal.js'
import type { Decoded, Market } from './types.js'
import type { Venue } from './websocket.js'

function subscribe(markets: readonly Market[]): string[] {
  const product_ids = markets.map(({ symbol }) => symbol)
  return [JSON.stringify({ type: 'subscribe', product_ids, channels: ['ticker', 'heartbeat'] })]
}

/**
 * Coinbase Exchange `ticker` and `heartbeat` channels. The price is the middle of the book at the tick; the last trade may be far from it in a thin market.
 * The sequence is that of trades: a ticker comes with each, and each heartbeat tells the newest, while `sequence` counts orders too.
 */
export function decodeCoinbase(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  switch (message.type) {
    case 'ticker': {
      if (typeof message.product_id !== 'string') return rejected('unexpected_shape')
      const book = middle(message.best_bid, message.best_ask)
      if (typeof book === 'string') return rejected(book)
      const eventTime = isoToMilliseconds(message.time)
      if (eventTime === null) return rejected('bad_time')
      const sequence = asSequence(message.trade_id)
      return { kind: 'ticks', ticks: [{ symbol: message.product_id, ...book, eventTime, sequence }] }
    }
    case 'heartbeat': {
      const sequence = asSequence(message.last_trade_id)
      return sequence === null || typeof message.product_id !== 'string'
        ? rejected('unexpected_shape')
        : { kind: 'heartbeat', symbol: message.product_id, sequence }
    }
    case 'subscriptions':
      return { kind: 'control' }
    case 'error':
      return rejected('venue_error')
    default:
      return rejected('unexpected_shape')
  }
}

export const coinbase: Venue = { subscribe, decode: decodeCoinbase }
