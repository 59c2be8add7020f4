import type { Random } from '@clearspan/shared'
import { keccak256, stringToHex } from 'viem'
import { independentGroups, type Vote } from './groups.js'
import { createMidPrice, type MidPrice, midPriceBasis } from './mid.js'
import { createNoise } from './noise.js'
import { LEGS, type PriceSeries, type PriceTape, seriesRange, type TimeRange } from './tape.js'

/** Three honest groups outvote one that lies; with a fourth they still do so while one is silent. */
const GROUPS_NEEDED = 4

/** A recorded series with fewer of its bars in the window is served but does not count for the quorum. */
const FULL_COVERAGE = 0.9

/** Which of a venue's several quotes for one base votes: a second would add no vote, and would tie it to every venue of that quote. */
const QUOTE_ORDER = ['USD', ...LEGS]

/** Half width of the noise of simulated prices, in bps. Legs are quieter everywhere. */
const LEG_NOISE_BPS = 2
const EXTRA_NOISE_BPS = 8

export type AdapterName =
  | 'binance'
  | 'bybit'
  | 'coinbase'
  | 'kraken'
  | 'okx'
  | 'hermes'
  | 'price-service'
  | 'replay'

/** Venues whose source is named like its adapter. */
const EXCHANGES = ['binance', 'bybit', 'coinbase', 'kraken', 'okx'] as const

/** Venues that exist in every plan because they have an adapter of their own. */
const CORE: readonly { venue: string; quote: string; noiseBps: number; legs: boolean }[] = [
  { venue: 'binance', quote: 'USDT', noiseBps: 4, legs: false },
  { venue: 'coinbase', quote: 'USD', noiseBps: 5, legs: true },
  { venue: 'kraken', quote: 'USD', noiseBps: 5, legs: true },
  { venue: 'pyth', quote: 'USD', noiseBps: 3, legs: true },
]

/** Lent their names, through the replay adapter where they have none, when a feed has too few independent groups. */
const EXTRA_VENUES = ['bitstamp', 'gemini', 'bitfinex', 'okx'] as const

/** Pyth's published price feed ids. */
const PYTH_IDS: Record<string, string> = {
  BTC: 'e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43',
  ETH: 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace',
  USDC: 'eaa020c61cc479712813461ce153894a96a6c00b21ed0cfc2798d1f9a9e9c94a',
  USDT: '2b89b9dc8fdf9f34709a5b106b472f0f39bb6ca9ce04b0fd7f2e971688e2e53b',
}

/** Price feed id, 64 hex digits without 0x: Pyth's own for BTC, ETH, USDC and USDT, else keccak256 of `clearspan pyth BASE/USD`. */
export function pythFeedId(base: string): string {
  return PYTH_IDS[base] ?? keccak256(stringToHex(`clearspan pyth ${base}/USD`)).slice(2)
}

/** A market as an oracle node configures it; for Pyth the symbol is the price feed id. */
export interface MarketConfig {
  symbol: string
  base: string
  quote: string
  pythId?: string
}

/** A source as an oracle node configures it, without the URL that its simulator gets when it starts. */
export interface SourceConfig {
  id: string
  adapter: AdapterName
  /** What it fails together with: venue or vendor. The oracle itself adds the legs of its conversions. */
  tags: string[]
  markets: MarketConfig[]
}

/** A market as a simulator serves it. */
export interface PlannedMarket extends MarketConfig {
  /** Whether the prices are the tape's own rows; otherwise its middle price with noise. */
  recorded: boolean
  /** Whether oracle nodes read it. A venue's further quotes of the same base are served, but add no vote. */
  voting: boolean
  /** Half width of the noise in bps; 0 when recorded. */
  noiseBps: number
  /** In the quote, at a network time in ms; before and after the window the price at its edge. Undefined when the venue is silent. */
  price(timeMs: number): number | undefined
}

export interface PlannedSource {
  id: string
  adapter: AdapterName
  tags: string[]
  markets: PlannedMarket[]
}

export interface PlanDescription {
  /** Served from the tape as recorded. */
  real: string[]
  /** Made up by the plan, with what they are made from and their noise. */
  simulated: string[]
  /** What else a reader of a result must know. */
  notes: string[]
}

export interface VenuePlan {
  window: TimeRange
  /** Bases of the markets, in feed order. */
  markets: readonly string[]
  /** `BTC/USD`, ..., legs last. */
  feeds: string[]
  sources: PlannedSource[]
  sourceConfigs: SourceConfig[]
  /** Independent groups of sources by feed; for a leg only those that quote it in USD, since a conversion takes nothing else. */
  groups: Record<string, string[][]>
  /** The tape's middle price in USD at a network time; see createMidPrice. Held at the window's edges. */
  trueMid: MidPrice
  describe(): PlanDescription
}

/** A (venue, base, quote) that will be served, before it gets its wire symbol. */
interface Listing {
  venue: string
  base: string
  quote: string
  series: PriceSeries | null
  noiseBps: number
  voting: boolean
  covered: boolean
}

/**
 * Decides which venues exist, what each serves and which prices are made up. Rows of a venue are served by that venue, outliers and
 * frozen prices as they are. Binance, Coinbase, Kraken and Pyth exist always; what they lack is simulated from the tape's middle price
 * with noise seeded per venue, and further venues are, until each feed has four independent groups.
 */
export function planVenues(tape: PriceTape, window: TimeRange, random: Random): VenuePlan {
  const bases = [...tape.markets.filter((base) => !LEGS.includes(base)), ...LEGS]
  const listings = [...recordedListings(tape, window)]
  addCore(listings, bases)
  for (const base of bases) addExtras(listings, base)

  const clamp = (timeMs: number) => Math.min(Math.max(timeMs, window.startMs), window.endMs)
  const tapeMid = createMidPrice(tape)
  const trueMid: MidPrice = (base, timeMs) => tapeMid(base, clamp(timeMs))
  const seeds = new Map<string, number>()
  const priced = listings.map((listing) => {
    const seed = seeds.get(listing.venue) ?? Math.floor(random.next() * 2 ** 32)
    seeds.set(listing.venue, seed)
    return { listing, price: pricer(tape, listing, trueMid, clamp, seed) }
  })
  const sources = planSources(priced)
  return {
    window: { startMs: window.startMs, endMs: window.endMs },
    markets: tape.markets,
    feeds: bases.map((base) => `${base}/USD`),
    sources,
    sourceConfigs: sources.map(({ id, adapter, tags, markets }) => ({
      id,
      adapter,
      tags,
      markets: markets
        .filter(({ voting }) => voting)
        .map(({ symbol, base, quote, pythId }) => ({ symbol, base, quote, ...(pythId ? { pythId } : {}) })),
    })),
    groups: Object.fromEntries(
      bases.map((base) => [`${base}/USD`, independentGroups(votes(listings, base))]),
    ),
    trueMid,
    describe: () => describe(tape, listings),
  }
}

/** Every series with data in the window; of each venue's quotes for one base the best one votes. */
function recordedListings(tape: PriceTape, window: TimeRange): Listing[] {
  const listings = tape.series.flatMap((series): (Listing & { coverage: number })[] => {
    const coverage = coverageOf(series, window)
    if (coverage === 0) return []
    const { source: venue, base, quote } = series
    const covered = coverage >= FULL_COVERAGE
    return [{ venue, base, quote, series, noiseBps: 0, voting: false, covered, coverage }]
  })
  const rank = ({ covered, quote }: Listing) => (covered ? 0 : 10) + QUOTE_ORDER.indexOf(quote)
  for (const listing of listings) {
    const rivals = listings.filter(({ venue, base }) => venue === listing.venue && base === listing.base)
    listing.voting = rivals.every((rival) => rank(listing) <= rank(rival))
  }
  return listings
}

/** Share of the window's bars that the series has. */
function coverageOf(series: PriceSeries, { startMs, endMs }: TimeRange): number {
  const own = seriesRange(series)
  if (own.endMs <= startMs || own.startMs >= endMs) return 0
  const bars = series.bars.filter(({ timeMs }) => timeMs + series.barMs > startMs && timeMs < endMs).length
  return Math.min(1, (bars * series.barMs) / (endMs - startMs))
}

function addCore(listings: Listing[], bases: readonly string[]): void {
  for (const { venue, quote, noiseBps, legs } of CORE) {
    for (const base of bases) {
      const isLeg = LEGS.includes(base)
      if (has(listings, venue, base) || (isLeg && !legs)) continue
      listings.push(simulated(venue, base, quote, isLeg ? LEG_NOISE_BPS : noiseBps))
    }
  }
}

function addExtras(listings: Listing[], base: string): void {
  for (const venue of EXTRA_VENUES) {
    if (independentGroups(votes(listings, base)).length >= GROUPS_NEEDED) return
    if (has(listings, venue, base)) continue
    listings.push(simulated(venue, base, 'USD', LEGS.includes(base) ? LEG_NOISE_BPS : EXTRA_NOISE_BPS))
  }
}

function has(listings: readonly Listing[], venue: string, base: string): boolean {
  return listings.some((listing) => listing.venue === venue && listing.base === base)
}

function simulated(venue: string, base: string, quote: string, noiseBps: number): Listing {
  return { venue, base, quote, series: null, noiseBps, voting: true, covered: true }
}

function votes(listings: readonly Listing[], base: string): Vote[] {
  return listings
    .filter((one) => one.base === base && one.voting && one.covered)
    .filter(({ quote }) => quote === 'USD' || !LEGS.includes(base))
    .map(({ venue, quote }) => ({
      source: venue,
      tags: quote === 'USD' ? [tagOf(venue)] : [tagOf(venue), `leg:${quote}`],
    }))
}

function tagOf(venue: string): string {
  return venue === 'pyth' ? 'vendor:pyth' : `venue:${venue}`
}

function pricer(
  tape: PriceTape,
  { venue, base, quote, series, noiseBps }: Listing,
  trueMid: MidPrice,
  clamp: (timeMs: number) => number,
  venueSeed: number,
): (timeMs: number) => number | undefined {
  if (series !== null) return (timeMs) => tape.price(venue, series.symbol, clamp(timeMs))
  const noise = createNoise(venueSeed ^ Number.parseInt(pythFeedId(base).slice(0, 8), 16), noiseBps)
  return (timeMs) => {
    const mid = trueMid(base, timeMs)
    const leg = quote === 'USD' ? 1 : trueMid(quote, timeMs)
    return mid === undefined || leg === undefined ? undefined : (mid / leg) * noise(clamp(timeMs))
  }
}

function planSources(
  priced: readonly { listing: Listing; price: PlannedMarket['price'] }[],
): PlannedSource[] {
  const venues = [
    ...new Set([...CORE.map(({ venue }) => venue), ...priced.map(({ listing }) => listing.venue)]),
  ]
  return venues.flatMap((venue): PlannedSource[] => {
    const own = priced.filter(({ listing }) => listing.venue === venue)
    return servicesOf(venue).map(({ id, adapter }) => ({
      id,
      adapter,
      tags: [tagOf(venue)],
      markets: own.map(({ listing: { base, quote, series, voting, noiseBps }, price }) => ({
        ...wireMarket(adapter, base, quote),
        recorded: series !== null,
        voting,
        noiseBps,
        price,
      })),
    }))
  })
}

function servicesOf(venue: string): { id: string; adapter: AdapterName }[] {
  if (venue === 'pyth')
    return [
      { id: 'pyth-hermes', adapter: 'hermes' },
      { id: 'pyth-price-service', adapter: 'price-service' },
    ]
  return [{ id: venue, adapter: EXCHANGES.find((one) => one === venue) ?? 'replay' }]
}

function wireMarket(adapter: AdapterName, base: string, quote: string): MarketConfig {
  if (adapter === 'hermes' || adapter === 'price-service') {
    const pythId = pythFeedId(base)
    return { symbol: pythId, base, quote, pythId }
  }
  const separator = adapter === 'binance' || adapter === 'bybit' ? '' : adapter === 'kraken' ? '/' : '-'
  return { symbol: `${base}${separator}${quote}`, base, quote }
}

function describe(tape: PriceTape, listings: readonly Listing[]): PlanDescription {
  const lines = (chosen: readonly Listing[], suffix: (listing: Listing) => string) => {
    const byVenue = new Map<string, string[]>()
    for (const one of chosen) {
      const key = `${one.venue}\n${suffix(one)}`
      byVenue.set(key, [...(byVenue.get(key) ?? []), `${one.base}-${one.quote}`])
    }
    return [...byVenue].map(([key, symbols]) => {
      const [venue, end] = key.split('\n')
      return `${venue}: ${symbols.join(', ')}${end}`
    })
  }
  const recorded = lines(
    listings.filter(({ series }) => series !== null),
    () => (tape.builtIn ? ` as ${tape.name} has them` : ''),
  )
  const made = lines(
    listings.filter(({ series }) => series === null),
    ({ base, noiseBps }) => `: ${midPriceBasis(tape, base)}, with noise of ±${noiseBps} bps`,
  )
  const notes = [
    ...lines(
      listings.filter(({ voting }) => !voting),
      () => ': served, but another market of the same venue votes',
    ),
    ...lines(
      listings.filter(({ covered }) => !covered),
      () => ': recorded for a part of the window only, so it does not count for the quorum',
    ),
  ]
  return tape.builtIn
    ? { real: [], simulated: [...recorded, ...made], notes }
    : { real: recorded, simulated: made, notes }
}
