import { WAD } from '../sources/decimal.js'

/** One side of an order book, as decimal prices and amounts of the base, WAD; the best first or in any order. */
export type Side = readonly (readonly [price: bigint, amount: bigint])[]

export interface OrderBook {
  bids: Side
  asks: Side
}

/**
 * What can be traded at once within `bandBps` of the middle of the book, in the quote currency, WAD: the smaller of the bids at
 * middle × (1 − band) or better and the asks at middle × (1 + band) or better. A book that ends inside the band counts as far as it goes.
 * Null for a book without both sides, or a crossed one.
 */
export function depth({ bids, asks }: OrderBook, bandBps: number): bigint | null {
  const bid = bids.reduce((best, [price]) => (price > best ? price : best), 0n)
  const ask = asks.reduce((best, [price]) => (best === 0n || price < best ? price : best), 0n)
  if (bid <= 0n || ask <= 0n || bid > ask) return null
  // Twice the middle times 10,000, so that nothing is rounded.
  const scaled = bid + ask
  const band = BigInt(bandBps)
  const value = (side: Side, inside: (price: bigint) => boolean) =>
    side.reduce((sum, [price, amount]) => (inside(price) ? sum + (price * amount) / WAD : sum), 0n)
  const bought = value(bids, (price) => price * 20_000n >= scaled * (10_000n - band))
  const sold = value(asks, (price) => price * 20_000n <= scaled * (10_000n + band))
  return bought < sold ? bought : sold
}
