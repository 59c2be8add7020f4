import type { OracleNodeConfigInput } from '@clearspan/aggregator'
import type { Feed } from '@clearspan/shared'
import { EXPONENT, LENDING, type LocalMarkets } from './markets.js'
import type { Timing } from './timing.js'

/** Returns of one slot each in a realised volatility: a third of a minute of real time in a short run. */
const SAMPLES = 20
/** Real ms between two looks at a chain. */
const LIVENESS_POLL_MS = 1_000
/** Real ms between two looks at the marks of options, which are costly to invert, at what lending costs and at books. Within the age of a source. */
const DERIVATIVES_POLL_MS = 4_000
/** A fixing is signed four slots after its expiry, and stands until the next: time for a chain to hear of it. */
const FIXING_SLOTS = 8
/** Mean of the price that options and futures settle at. */
const FIXING_WINDOW_SLOTS = 4
/** Least time between coupons of a swap, seconds: the contract's. */
const COUPON_SECONDS = 3_600

export interface DerivedFeeds {
  /** Follow the feeds of prices, in this order. */
  feeds: Feed[]
  config: Required<Pick<OracleNodeConfigInput, 'derived' | 'capped'>>
}

/** Name of the feed of a chain's newest block time. */
export const livenessFeed = (chain: string) => `${chain.toUpperCase()}.TIME/S`

/** Seconds of network time between the expiries of options and futures, and between coupons of the swap; whole slots. */
export function fixingPeriods({ slotSeconds }: Pick<Timing, 'slotSeconds'>): { price: number; rate: number } {
  const price = FIXING_SLOTS * slotSeconds
  return { price, rate: Math.max(price, Math.ceil(COUPON_SECONDS / slotSeconds) * slotSeconds) }
}

/** Of order books, USD. */
const DEPTH_EXPONENT = -2

/** Feeds that instruments which expire, and their margin, need beside the price of their underlying. */
export function datedFeeds(base: string) {
  return {
    volatility: `${base}.IV/VOL`,
    depth: `${base}.DEPTH/USD`,
    fixing: `${base}.FIX/USD`,
    rate: `${LENDING}/Y`,
    meanRate: 'USDC.MEAN/Y',
  }
}

/**
 * Feeds that aren't the price of a market: realised volatility of what is collateral, the time of each chain's newest
 * block, and what instruments that expire are valued and settled by.
 * @param derivativesUrl Where the simulators of option and lending markets, and of order books, listen.
 */
export function planDerivedFeeds(
  markets: LocalMarkets,
  chains: readonly { name: string; rpcUrl: string }[],
  timing: Pick<Timing, 'slotSeconds'>,
  derivativesUrl = 'http://127.0.0.1',
): DerivedFeeds {
  const { tokens, dated } = markets
  const volatilities = tokens
    .filter(({ settlement }) => !settlement)
    .map(({ base }) => ({
      kind: 'realisedVolatility' as const,
      feed: `${base}.RV/VOL`,
      of: `${base}/USD`,
      sampleSlots: 1,
      samples: SAMPLES,
    }))
  const times = chains.map(({ name, rpcUrl }) => ({
    kind: 'liveness' as const,
    feed: livenessFeed(name),
    pollMs: LIVENESS_POLL_MS,
    sources: [{ id: `${name}-rpc`, url: rpcUrl, tags: [`rpc:${name}`] }],
  }))
  const expiring = dated === undefined ? [] : planDated(dated, timing, derivativesUrl)
  return {
    feeds: [
      ...volatilities.map(({ feed }) => ({ name: feed, exponent: -8 })),
      ...times.map(({ feed }) => ({ name: feed, exponent: 0 })),
      // A fixing has the exponent of what it fixes.
      ...expiring.map(({ feed, kind }) => ({
        name: feed,
        exponent: kind === 'impliedVolatility' ? -8 : kind === 'depth' ? DEPTH_EXPONENT : EXPONENT,
      })),
    ],
    // A local chain has one RPC, which nothing outvotes.
    config: { derived: [...volatilities, ...times, ...expiring], capped: times.map(({ feed }) => feed) },
  }
}

function planDated(
  base: string,
  timing: Pick<Timing, 'slotSeconds'>,
  url: string,
): NonNullable<OracleNodeConfigInput['derived']> {
  const feeds = datedFeeds(base)
  const periods = fixingPeriods(timing)
  const source = (venue: string, what: string) => ({
    id: `${venue}-${what}`,
    url: `${url}/${venue}`,
    tags: [`venue:${venue}`],
  })
  return [
    {
      kind: 'impliedVolatility',
      feed: feeds.volatility,
      pollMs: DERIVATIVES_POLL_MS,
      sources: (['deribit', 'bybit', 'plain'] as const).map((venue) => ({
        ...source(venue, 'options'),
        venue,
        currency: base,
      })),
    },
    {
      kind: 'depth',
      feed: feeds.depth,
      pollMs: DERIVATIVES_POLL_MS,
      sources: (['binance', 'kraken', 'okx'] as const).map((venue) => ({
        ...source(venue, 'book'),
        venue,
        symbol: `${base}USD`,
        quote: 'USD',
      })),
    },
    {
      kind: 'fixing',
      feed: feeds.fixing,
      of: `${base}/USD`,
      periodMs: periods.price * 1_000,
      windowMs: FIXING_WINDOW_SLOTS * timing.slotSeconds * 1_000,
    },
    {
      kind: 'lendingRate',
      feed: feeds.rate,
      pollMs: DERIVATIVES_POLL_MS,
      sources: (['okx', 'bybit', 'plain'] as const).map((venue) => ({
        ...source(venue, 'lending'),
        venue,
        currency: 'USDC',
      })),
    },
    {
      kind: 'fixing',
      feed: feeds.meanRate,
      of: feeds.rate,
      periodMs: periods.rate * 1_000,
      windowMs: periods.rate * 1_000,
    },
  ]
}
