import { defaultAggregation } from '../config.js'
import { decimalToWad } from '../sources/decimal.js'
import type { Quote } from '../sources/types.js'
import { type Aggregate, aggregate } from './aggregate.js'
import { type PlanSource, planFeeds } from './plan.js'

export const NOW = 1_583_971_200_000

export const parameters = defaultAggregation

export function wad(text: string): bigint {
  const value = decimalToWad(text)
  if (value === null) throw new RangeError(`${text} is no decimal`)
  return value
}

/** Decimal prices by venue and pair. */
export type Prices = Record<string, Record<string, string>>

export interface SceneOptions {
  feed?: string
  faultyTags?: number
  /** Lists the feed although it tolerates fewer. */
  capped?: boolean
  /** Venues with other tags than their own name. */
  tags?: Record<string, readonly string[]>
  /** Slow sources. */
  slow?: readonly string[]
  /** What differs from an exact quote of just now. */
  change?: (quote: Quote) => Partial<Quote>
}

/** Sources and fresh quotes of venues; each venue is its own tag unless told otherwise. */
export function makeScene(prices: Prices, { tags = {}, slow = [], change = () => ({}) }: SceneOptions = {}) {
  const sources: PlanSource[] = Object.entries(prices).map(([id, pairs]) => ({
    id,
    tags: tags[id] ?? [id],
    kind: slow.includes(id) ? 'bound' : 'price',
    markets: Object.keys(pairs).map((symbol) => {
      const [base = '', quote = ''] = symbol.split('/')
      return { symbol, base, quote }
    }),
  }))
  const quotes = sources.flatMap(({ id, markets, kind = 'price' }) =>
    markets.map((market): Quote => {
      const quote: Quote = {
        source: id,
        kind,
        market,
        price: wad(prices[id]?.[market.symbol] ?? ''),
        confidence: 0n,
        eventTime: NOW,
        receiveTime: NOW,
        expiresAt: kind === 'bound' ? NOW + 3_600_000 : null,
        sequence: null,
      }
      return { ...quote, ...change(quote) }
    }),
  )
  return { sources, quotes }
}

/** Lists one feed over the venues and prices it. Throws UserError where the listing is refused. */
export function priceOf(prices: Prices, options: SceneOptions = {}): Aggregate {
  const { feed = 'ETH/USD', faultyTags = 1, capped = false } = options
  const { sources, quotes } = makeScene(prices, options)
  const feeds = [{ name: feed, exponent: -8 }]
  const { plan } = planFeeds({ feeds, sources, faultyTags, capped: capped ? [feed] : [] })
  const [result] = aggregate(plan, quotes, NOW, parameters)
  if (!result) throw new Error('no result')
  return result
}

/** A venue that quotes the feed and the leg. */
export const usd = (price: string, usdt = '1') => ({ 'ETH/USD': price, 'USDT/USD': usdt })
