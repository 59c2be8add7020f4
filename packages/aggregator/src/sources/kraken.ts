import { asObject, isoToMilliseconds, middle, parseObject, rejected } from './decimal.js'
import type { Decoded, Market, Tick } from './types.js'
import type { Venue } from './websocket.js'

/** `event_trigger: bbo`: by default Kraken sends a ticker on trades only. */
function subscribe(markets: readonly Market[]): string[] {
  const symbol = markets.map((market) => market.symbol)
  const params = { channel: 'ticker', symbol, event_trigger: 'bbo' }
  return [JSON.stringify({ method: 'subscribe', params })]
}

/** Kraken WebSocket v2: the middle of the ticker's book. One bad entry rejects the frame, for its neighbours came from the same hand. */
export function decodeKraken(frame: string): Decoded {
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if (message.channel === 'heartbeat' || message.channel === 'status') return { kind: 'control' }
  if ('method' in message) return message.success === false ? rejected('venue_error') : { kind: 'control' }
  if (message.channel !== 'ticker' || !Array.isArray(message.data)) return rejected('unexpected_shape')
  const ticks: Tick[] = []
  for (const item of message.data) {
    const data = asObject(item)
    if (!data || typeof data.symbol !== 'string') return rejected('unexpected_shape')
    const book = middle(data.bid, data.ask)
    if (typeof book === 'string') return rejected(book)
    const eventTime = isoToMilliseconds(data.timestamp)
    if (eventTime === null) return rejected('bad_time')
    ticks.push({ symbol: data.symbol, ...book, eventTime, sequence: null })
  }
  return { kind: 'ticks', ticks }
}

export const kraken: Venue = {
  subscribe,
  decode: decodeKraken,
  ping: { text: '{"method":"ping"}', everyMs: 20_000 },
}
