// The load of the oracle's measurements: feeds, sources, and what they send.
export const FEEDS = 20
export const SOURCES = 9
export const TICKS_PER_S = 10
/** Room for seven nodes on two cores: what is measured is when the report is there, not how often one comes. */
export const SLOT_MS = 2_000

export const feeds = Array.from({ length: FEEDS }, (_, feed) => ({ name: `A${feed}/USD`, exponent: -8 }))
export const markets = feeds.map(({ name }) => ({ symbol: name, base: name.slice(0, -4), quote: 'USD' }))
export const sourceIds = Array.from({ length: SOURCES }, (_, source) => `venue-${source}`)

/** Half of the sources speak OKX's format, the others the plain one. */
export function frameOf(source: number, symbol: string, price: number, ts: number, seq: number): string {
  if (source % 2 === 1) return JSON.stringify({ type: 'tick', symbol, price: `${price}`, ts, seq })
  const data = [
    { instId: symbol, last: `${price}`, bidPx: `${price - 0.01}`, askPx: `${price + 0.01}`, ts: `${ts}` },
  ]
  return JSON.stringify({ arg: { channel: 'tickers', instId: symbol }, data })
}

export const priceAt = (tick: number, feed: number, source: number) =>
  Number((100 + feed + Math.sin(tick / 7 + feed) + source / 100).toFixed(2))
