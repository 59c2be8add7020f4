import { asMilliseconds, asSequence, decimalToWad, parseObject, rejected } from './decimal.js'
import type { Decoded, Market } from './types.js'
import type { Venue } from './websocket.js'

function subscribe(markets: readonly Market[]): string[] {
  return [JSON.stringify({ type: 'subscribe', symbols: markets.map(({ symbol }) => symbol) })]
}

/**
 * The plain format for venues without an adapter: `{type: 'tick', symbol, price, ts, seq}`; prices are decimal text, times unix ms, and
 * `seq` counts a symbol's ticks without gaps.
 */
export function decodeReplay(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if (message.type === 'heartbeat' || message.type === 'subscribed') return { kind: 'control' }
  if (message.type === 'error') return rejected('venue_error')
  if (message.type !== 'tick' || typeof message.symbol !== 'string') return rejected('unexpected_shape')
  const price = typeof message.price === 'string' ? decimalToWad(message.price) : null
  if (price === null || price <= 0n) return rejected('bad_price')
  const eventTime = asMilliseconds(message.ts)
  if (eventTime === null) return rejected('bad_time')
  const sequence = asSequence(message.seq)
  const { symbol } = message
  return {
    kind: 'ticks',
    ticks: [{ symbol, price, confidence: null, eventTime, sequence, contiguous: true }],
  }
}

export const replay: Venue = { subscribe, decode: decodeReplay }
