import type { OracleNodeConfigInput } from '@clearspan/aggregator'
import type { Feed } from '@clearspan/shared'
import type { LocalMarkets } from './markets.js'

/** Returns of one slot each in a realised volatility: a third of a minute of real time in a short run. */
const SAMPLES = 20
/** Real ms between two looks at a chain. */
const LIVENESS_POLL_MS = 1_000

export interface DerivedFeeds {
  /** Follow the feeds of prices, in this order. */
  feeds: Feed[]
  config: Required<Pick<OracleNodeConfigInput, 'derived' | 'capped'>>
}

/** Feeds that aren't the price of a market: realised volatility of what is collateral, and the time of each chain's newest block. */
export function planDerivedFeeds(
  { tokens }: LocalMarkets,
  chains: readonly { name: string; rpcUrl: string }[],
): DerivedFeeds {
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
    feed: `${name.toUpperCase()}.TIME/S`,
    pollMs: LIVENESS_POLL_MS,
    sources: [{ id: `${name}-rpc`, url: rpcUrl, tags: [`rpc:${name}`] }],
  }))
  return {
    feeds: [
      ...volatilities.map(({ feed }) => ({ name: feed, exponent: -8 })),
      ...times.map(({ feed }) => ({ name: feed, exponent: 0 })),
    ],
    // A local chain has one RPC, which nothing outvotes.
    config: { derived: [...volatilities, ...times], capped: times.map(({ feed }) => feed) },
  }
}
