// The twin of the margin engine on one core, beside a transcription of the contracts that does what they do, word by word.
import {
  createOption,
  type Health,
  type MarginInstrument,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  perpetual,
  type Random,
  seededRandom,
} from '@clearspan/shared'
import { measureGas } from './margin/gas.js'
import { type PlainOption, transcribed } from './margin/transcription.js'

const TRANSCRIPTION = "the contracts' formulas transcribed word by word, same books, same run"
const WAD = 10n ** 18n
const SEED = 1
const PORTFOLIOS = 400
const FEEDS = 4
/** Listed behind three perpetuals, on the first of which they are. */
const OPTIONS = 8
const NOW = 1_700_000_000n
const DAY = 86_400n
/** Evaluations before the measured ones, and how long those go on. */
const WARM_UP_MS = 500
const MEASURED_MS = 2_000

interface Books {
  market: MarginMarket
  options: ReadonlyMap<number, PlainOption>
  portfolios: MarginPortfolio[]
}

export default async function measure(say: (line: string) => void) {
  const random = seededRandom(SEED)
  const perps = booksOf(random, 0, perpBook)
  const options = booksOf(random, OPTIONS, optionBook)
  const anew = (market: MarginMarket) => ({ ...market, instruments: listed(options.options, market) })
  return [
    measured('margin.twin_perp_books_per_s', 'books of 3 claims and 3 perps', perps, say),
    measured(
      'margin.twin_option_books_per_s',
      'books of 1 claim, 1 perp and 8 options over 23 points, all at one moment',
      options,
      say,
    ),
    measured(
      'margin.twin_option_books_anew_per_s',
      'of the same books, each in a market of its own, whose options are priced anew but for the logarithms of spots',
      options,
      say,
      anew,
    ),
    ...(await measureGas(say)),
  ]
}

function measured(
  name: string,
  what: string,
  { market, options, portfolios }: Books,
  say: (line: string) => void,
  marketOf: (market: MarginMarket) => MarginMarket = (same) => same,
) {
  const plain = (portfolio: MarginPortfolio) => transcribed(portfolio, market, options)
  const twin = (portfolio: MarginPortfolio) => marginHealth(portfolio, marketOf(market))
  for (const portfolio of portfolios) {
    const [ours, theirs] = [twin(portfolio), plain(portfolio)]
    for (const key of ['equity', 'im', 'mm', 'pnl', 'notional', 'fresh'] as const)
      if (ours[key] !== theirs[key])
        throw new Error(`${key} differs: ${ours[key]}, transcription ${theirs[key]}`)
  }
  say(`${portfolios.length} ${what}: both agree; measuring ${MEASURED_MS} ms each`)
  const baseline = rate(plain, portfolios)
  const value = rate(twin, portfolios)
  return { name, value, unit: 'evaluations/s', baseline, baselineIs: TRANSCRIPTION }
}

function rate(
  evaluate: (portfolio: MarginPortfolio) => Health,
  portfolios: readonly MarginPortfolio[],
): number {
  const runFor = (ms: number) => {
    const started = performance.now()
    let count = 0
    while (performance.now() - started < ms) {
      evaluate(portfolios[count % portfolios.length]!)
      count++
    }
    return (count * 1_000) / (performance.now() - started)
  }
  runFor(WARM_UP_MS)
  return runFor(MEASURED_MS)
}

const drawn = (random: Random, most: number) =>
  BigInt(Math.floor(random.next() * most * 1e6)) * (WAD / 1_000_000n)
const side = (random: Random) => (random.next() < 0.5 ? -1n : 1n)

function booksOf(random: Random, count: number, book: (random: Random) => MarginPortfolio): Books {
  const feeds = Array.from({ length: FEEDS }, (_, feed) => feed)
  const price = (feed: number) => (feed === 0 ? WAD : drawn(random, 50_000) + WAD)
  const prices = new Map(
    feeds.map((feed) => [
      feed,
      { price: price(feed), confidence: drawn(random, 0.002), parked: 0n, fresh: true },
    ]),
  )
  const mid = prices.get(1)!.price
  const options = new Map<number, PlainOption>()
  for (let n = 0; n < count; n++)
    options.set(4 + n, {
      isCall: n % 2 === 0,
      strike: (mid * BigInt(70 + n * 8)) / 100n,
      secondsLeft: BigInt(n + 1) * 15n * DAY,
      volatility: drawn(random, 1) + WAD / 5n,
    })
  const market: MarginMarket = {
    settlementFeed: 0,
    prices,
    shocks: new Map(
      feeds.map((feed) => [feed, { shockIm: 1_000n, shockMm: 600n, tailShock: 5_000n, tailDamping: 2_000n }]),
    ),
    assets: new Map([1, 2, 3].map((id) => [id, { feed: id, creditIm: 8_000n, creditMm: 9_000n }])),
    instruments: listed(options, { prices }),
    grid: {
      volatilityUp: 3_000n,
      volatilityDown: 2_500n,
      nakedShort: 100n,
      portfolioShock: 8_000n,
      portfolioRhoIm: 5_000n,
      portfolioRhoMm: 3_000n,
    },
    rhoIm: 6_000n,
    rhoMm: 4_000n,
    profitCapIm: 100_000n * WAD,
  }
  return { market, options, portfolios: Array.from({ length: PORTFOLIOS }, () => book(random)) }
}

function listed(
  options: ReadonlyMap<number, PlainOption>,
  { prices }: Pick<MarginMarket, 'prices'>,
): Map<number, MarginInstrument> {
  const instruments = new Map([1, 2, 3].map((id) => [id, perpetual(id)]))
  const mid = prices.get(1)!.price
  const skew = { slope: 0n, curvature: 0n }
  for (const [id, { isCall, strike, secondsLeft, volatility }] of options) {
    const terms = { isCall, strike, expiry: NOW + secondsLeft }
    instruments.set(id, createOption(1, terms, { now: NOW, mid, volatility, skew, fixing: 0n, fresh: true }))
  }
  return instruments
}

const position = (random: Random, instrumentId: number) => ({
  instrumentId,
  size: side(random) * drawn(random, 100),
  quote: side(random) * drawn(random, 1e6),
})

function perpBook(random: Random): MarginPortfolio {
  return {
    cash: drawn(random, 1e6),
    impairedCash: 0n,
    claims: [1, 2, 3].map((assetId) => ({ assetId, amount: drawn(random, 100), impaired: 0n })),
    positions: [1, 2, 3].map((id) => position(random, id)),
  }
}

function optionBook(random: Random): MarginPortfolio {
  return {
    cash: drawn(random, 1e6),
    impairedCash: 0n,
    claims: [{ assetId: 1, amount: drawn(random, 100), impaired: 0n }],
    positions: [1, ...Array.from({ length: OPTIONS }, (_, n) => 4 + n)].map((id) => position(random, id)),
    portfolioSet: true,
  }
}
