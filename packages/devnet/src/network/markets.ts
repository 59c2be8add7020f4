import type { Feed } from '@clearspan/shared'
import { LEGS } from '../prices/index.js'

/** A token that every local chain has. */
export interface LocalToken {
  symbol: string
  decimals: number
  /** Base of the feed that values it. */
  base: string
  settlement: boolean
}

export interface LocalInstrument {
  id: number
  symbol: string
  /** Base of its underlying's feed. */
  base: string
  kind: InstrumentKind
}

export type InstrumentKind = 'perpetual' | 'future' | 'call' | 'put' | 'swap'

/** bps of price. */
export interface Shocks {
  shockIm: number
  shockMm: number
  tailShock: number
  tailDamping: number
}

export interface LocalMarkets {
  /** Prices first. */
  feeds: Feed[]
  tokens: LocalToken[]
  instruments: LocalInstrument[]
  /** By base of a price; legs included. */
  shocks: Record<string, Shocks>
  /** Base of the instruments that expire; absent where there are none. */
  dated?: string
}

/** With 10^-10 a price of 10^-5 still has 10^5 units, and one of 10^8 still fits 64 bits. */
export const EXPONENT = -10

const MAJORS = ['BTC', 'ETH']
const STABLE = ['USDC', 'USDT', 'USDE', 'DAI']
const WRAPPED: Record<string, { symbol: string; decimals: number }> = {
  BTC: { symbol: 'WBTC', decimals: 8 },
  ETH: { symbol: 'WETH', decimals: 18 },
}
const VOLATILE_TOKENS = 2

function shocksOf(base: string): Shocks {
  if (MAJORS.includes(base)) return { shockIm: 1_000, shockMm: 600, tailShock: 5_000, tailDamping: 1_000 }
  if (STABLE.includes(base)) return { shockIm: 500, shockMm: 300, tailShock: 3_000, tailDamping: 1_000 }
  return { shockIm: 2_000, shockMm: 1_200, tailShock: 7_500, tailDamping: 1_500 }
}

/**
 * What is traded and what is collateral on a local network: a perpetual for every market, USDC and up to two wrapped market assets on
 * every chain (ETH and BTC where there is a market for them).
 * @param bases Markets in feed order, without legs unless a leg is itself the market.
 * @param feedNames Every feed, `BASE/USD`, in order.
 */
export function planMarkets(bases: readonly string[], feedNames: readonly string[]): LocalMarkets {
  const collateral = [...bases]
    .filter((base) => !LEGS.includes(base))
    .sort((a, b) => MAJORS.indexOf(b) - MAJORS.indexOf(a))
    .slice(0, VOLATILE_TOKENS)
  return {
    feeds: feedNames.map((name) => ({ name, exponent: EXPONENT })),
    tokens: [
      { symbol: 'USDC', decimals: 6, base: 'USDC', settlement: true },
      ...collateral.map((base) => ({
        symbol: base,
        decimals: 18,
        ...WRAPPED[base],
        base,
        settlement: false,
      })),
    ],
    instruments: bases.map((base, index) => ({
      id: index + 1,
      symbol: `${base}-PERP`,
      base,
      kind: 'perpetual',
    })),
    shocks: Object.fromEntries(feedNames.map((name) => [baseOf(name), shocksOf(baseOf(name))])),
  }
}

/** Base of the feed of what borrowing the settlement token costs a year. */
export const LENDING = 'USDC.RATE'
/** A rate moves by parts of itself, not of a price. */
const RATE_SHOCKS: Shocks = { shockIm: 5_000, shockMm: 3_000, tailShock: 20_000, tailDamping: 1_000 }

/**
 * Adds what expires: a future, a call and a put on the first volatile collateral (ETH where it is traded), and a swap of a fixed rate against
 * the lending rate of USDC. Behind the perpetuals, so that those keep their ids. Their terms are listed when prices are known.
 */
export function withDated(markets: LocalMarkets): LocalMarkets {
  const base = markets.tokens.find(({ settlement }) => !settlement)?.base
  if (base === undefined) return markets
  const dated: Omit<LocalInstrument, 'id'>[] = [
    { symbol: `${base}-FUTURE`, base, kind: 'future' },
    { symbol: `${base}-CALL`, base, kind: 'call' },
    { symbol: `${base}-PUT`, base, kind: 'put' },
    { symbol: 'USDC-SWAP', base: LENDING, kind: 'swap' },
  ]
  const first = markets.instruments.length + 1
  return {
    ...markets,
    instruments: [...markets.instruments, ...dated.map((one, index) => ({ id: first + index, ...one }))],
    shocks: { ...markets.shocks, [LENDING]: RATE_SHOCKS },
    dated: base,
  }
}

/** `ETH` of `ETH/USD`. */
export function baseOf(feed: string): string {
  return feed.split('/')[0] ?? feed
}

/** Id of a token on a chain, both by index: assets are listed chain by chain, token by token. */
export function assetId(markets: LocalMarkets, chain: number, token: number): number {
  return chain * markets.tokens.length + token + 1
}

/** Index of the feed that prices a base. */
export function feedIndex(markets: LocalMarkets, base: string): number {
  return markets.feeds.findIndex(({ name }) => baseOf(name) === base)
}

/** Symbol of the settlement token. */
export function settlementOf(markets: LocalMarkets): string {
  return markets.tokens.find(({ settlement }) => settlement)!.symbol
}
