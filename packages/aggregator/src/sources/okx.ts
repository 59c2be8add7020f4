import { asObject, asTextMilliseconds, middle, parseObject, rejected } from './decimal.js'
import type { Decoded, Market, Tick } from './types.js'
import type { Venue } from './websocket.js'

function subscribe(markets: readonly Market[]): string[] {
  const args = markets.map(({ symbol }) => ({ channel: 'tickers', instId: symbol }))
  return [JSON.stringify({ op: 'subscribe', args })]
}

/**
 * OKX v5 channel `tickers` of spot instruments: the middle of the ticker's book. Each push stands for itself and has no number, so there
 * is no gap to find; time alone orders them.
 */
export function decodeOkx(frame: string): Decoded {
  if (frame === 'pong') return { kind: 'control' }
  const message = parseObject(frame)
  if (!message) return rejected('malformed')
  if (message.event === 'error') return rejected('venue_error')
  if (typeof message.event === 'string') return { kind: 'control' }
  if (asObject(message.arg)?.channel !== 'tickers' || !Array.isArray(message.data)) {
    return rejected('unexpected_shape')
  }
  const ticks: Tick[] = []
  for (const item of message.data) {
    const data = asObject(item)
    if (!data || typeof data.instId !== 'string') return rejected('unexpected_shape')
    const book = middle(data.bidPx, data.askPx)
    if (typeof book === 'string') return rejected(book)
    const eventTime = asTextMilliseconds(data.ts)
    if (eventTime === null) return rejected('bad_time')
    ticks.push({ symbol: data.instId, ...book, eventTime, sequence: null })
  }
  return { kind: 'ticks', ticks }
}

/** The venue hangs up after 30 s without a word in either direction. */
export const okx: Venue = { subscribe, decode: decodeOkx, ping: { text: 'ping', everyMs: 20_000 } }
