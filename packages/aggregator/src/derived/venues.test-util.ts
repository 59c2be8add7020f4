const iso = (at: number) => new Date(at).toISOString()
const source = { id: 'venue', url: 'https://venue.test', tags: ['venue'] }
export const depthOf = (venue: string) => ({
  kind: 'depth',
  feed: 'ETH.DEPTH/USD',
  sources: [{ ...source, venue, symbol: 'ETH-USD', quote: 'USD' }],
})
const volatilityOf = (venue: string) => ({
  kind: 'impliedVolatility',
  feed: 'ETH.IV/VOL',
  sources: [{ ...source, venue, currency: 'ETH' }],
})
/** The nth state of a book and of two options at the money, which differ by little. */
export const levels = (nth: number) => ({ bids: [['99', String(2 + nth / 100)]], asks: [['101', '3']] })
const options = (nth: number) => [
  { name: 'ETH-15DEC23-3000-P', forward: 3_000, mark: 205 + nth / 100 },
  { name: 'ETH-15DEC23-3001-C', forward: 3_000, mark: 205 },
]

/** What a polled source answers at a time, unix ms, about its nth state; by name. */
export const polledVenues: Record<string, { feed: object; body(nth: number, at: number): object }> = {
  binance: { feed: depthOf('binance'), body: (nth) => ({ lastUpdateId: nth, ...levels(nth) }) },
  coinbase: {
    feed: depthOf('coinbase'),
    body: (nth, at) => ({ ...levels(nth), sequence: nth, time: iso(at) }),
  },
  'coinbase without a time': {
    feed: depthOf('coinbase'),
    body: (nth) => ({ ...levels(nth), sequence: nth }),
  },
  kraken: { feed: depthOf('kraken'), body: (nth) => ({ error: [], result: { XETHZUSD: levels(nth) } }) },
  okx: {
    feed: depthOf('okx'),
    body: (nth, at) => ({ code: '0', data: [{ ...levels(nth), ts: String(at) }] }),
  },
  deribit: {
    feed: volatilityOf('deribit'),
    body: (nth, at) => ({
      usOut: at * 1_000,
      result: options(nth).map(({ name, forward, mark }) => ({
        instrument_name: name,
        underlying_price: forward,
        mark_price: mark / forward,
        creation_timestamp: at,
      })),
    }),
  },
  bybit: {
    feed: volatilityOf('bybit'),
    body: (nth, at) => ({
      retCode: 0,
      time: at,
      result: {
        list: options(nth).map(({ name, forward, mark }) => ({
          symbol: name,
          underlyingPrice: `${forward}`,
          markPrice: `${mark}`,
        })),
      },
    }),
  },
  'plain options': { feed: volatilityOf('plain'), body: (nth, at) => ({ time: at, options: options(nth) }) },
}
