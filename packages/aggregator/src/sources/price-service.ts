import type { Decoder, Market } from './types.js'
import type { Venue } from './websocket.js'

function subscribe(markets: readonly Market[]): string[] {
  const ids = markets.map(({ symbol }) => symbol)
  return [JSON.stringify({ type: 'subscribe', ids, verbose: true, binary: true, allow_out_of_order: false })]
}

/**
 * Pyth Price Service v1 over its WebSocket. Market symbols are price feed ids. The vendor's client ends the process on an error, reconnects
 * without a bound and buffers frames up to 100 MB; this is the venue shell that all others run in. The service pings each 30 s.
 */
export function priceService(decode: Decoder): Venue {
  return { subscribe, decode }
}

/** The WebSocket of a service that is configured by its `http(s)` address. */
export function priceServiceUrl(url: string): string {
  const socket = new URL('ws', url.endsWith('/') ? url : `${url}/`)
  socket.protocol = socket.protocol === 'https:' ? 'wss:' : 'ws:'
  return socket.toString()
}
