// The twin of the margin engine on one core, beside a transcription of the contract that does what it does, word by word.
import {
  type Health,
  type MarginMarket,
  type MarginPortfolio,
  type Random,
  seededRandom,
  standardHealth,
} from '@clearspan/shared'

const WAD = 10n ** 18n
const BPS = 10_000n
const SEED = 1
const PORTFOLIOS = 400
const FEEDS = 4
/** Evaluations before the measured ones, and how long those go on. */
const WARM_UP_MS = 500
const MEASURED_MS = 2_000

export default async function measure(say: (line: string) => void) {
  const random = seededRandom(SEED)
  const market = marketOf(random)
  const portfolios = Array.from({ length: PORTFOLIOS }, () => portfolioOf(random))
  for (const portfolio of portfolios) {
    const [twin, plain] = [standardHealth(portfolio, market), transcribed(portfolio, market)]
    for (const key of ['equity', 'im', 'mm', 'pnl', 'notional', 'fresh'] as const)
      if (twin[key] !== plain[key])
        throw new Error(`${key} differs: ${twin[key]}, transcription ${plain[key]}`)
  }
  say(`${PORTFOLIOS} books of 3 claims and 3 perps: both agree; measuring ${MEASURED_MS} ms each`)
  const baseline = rate(transcribed, portfolios, market)
  const value = rate(standardHealth, portfolios, market)
  return [{ name: 'margin.twin_perp_books_per_s', value, unit: 'evaluations/s', baseline }]
}

function rate(
  evaluate: (portfolio: MarginPortfolio, market: MarginMarket) => Health,
  portfolios: readonly MarginPortfolio[],
  market: MarginMarket,
): number {
  const runFor = (ms: number) => {
    const started = performance.now()
    let count = 0
    while (performance.now() - started < ms) {
      for (const portfolio of portfolios) evaluate(portfolio, market)
      count += portfolios.length
    }
    return (count * 1_000) / (performance.now() - started)
  }
  runFor(WARM_UP_MS)
  return runFor(MEASURED_MS)
}

const drawn = (random: Random, most: number) =>
  BigInt(Math.floor(random.next() * most * 1e6)) * (WAD / 1_000_000n)

function marketOf(random: Random): MarginMarket {
  const feeds = Array.from({ length: FEEDS }, (_, feed) => feed)
  const price = (feed: number) => (feed === 0 ? WAD : drawn(random, 50_000) + WAD)
  return {
    settlementFeed: 0,
    prices: new Map(
      feeds.map((feed) => [
        feed,
        { price: price(feed), confidence: drawn(random, 0.002), parked: 0n, fresh: true },
      ]),
    ),
    shocks: new Map(
      feeds.map((feed) => [feed, { shockIm: 1_000n, shockMm: 600n, tailShock: 5_000n, tailDamping: 2_000n }]),
    ),
    assets: new Map([1, 2, 3].map((id) => [id, { feed: id, creditIm: 8_000n, creditMm: 9_000n }])),
    instruments: new Map([1, 2, 3].map((id) => [id, id])),
    rhoIm: 6_000n,
    rhoMm: 4_000n,
    profitCapIm: 100_000n * WAD,
  }
}

function portfolioOf(random: Random): MarginPortfolio {
  const side = () => (random.next() < 0.5 ? -1n : 1n)
  return {
    cash: drawn(random, 1e6),
    impairedCash: 0n,
    claims: [1, 2, 3].map((assetId) => ({ assetId, amount: drawn(random, 100), impaired: 0n })),
    positions: [1, 2, 3].map((instrumentId) => ({
      instrumentId,
      size: side() * drawn(random, 100),
      quote: side() * drawn(random, 1e6),
    })),
  }
}

/** MarginEngine.sol and Scenarios.sol as they stand: all 29 spots of every underlying, PnL of each position at each, four blocks of seven. */
function transcribed({ cash, claims, positions }: MarginPortfolio, market: MarginMarket): Health {
  const health: Health = { equity: cash, im: cash, mm: cash, pnl: 0n, notional: 0n, fresh: true }
  const low = (feed: number) =>
    (market.prices.get(feed)!.price * (WAD - market.prices.get(feed)!.confidence)) / WAD
  const high = (feed: number) =>
    (market.prices.get(feed)!.price * (WAD + market.prices.get(feed)!.confidence)) / WAD
  const par = low(market.settlementFeed)
  health.im = floor(cash * (par < WAD ? par : WAD))
  const sums = { im: 0n, mm: 0n, imSquares: 0n, mmSquares: 0n }
  const feeds = new Set([
    ...claims.map(({ assetId }) => market.assets.get(assetId)!.feed),
    ...positions.map(({ instrumentId }) => market.instruments.get(instrumentId)!),
  ])
  for (const feed of feeds) {
    const { shockIm, shockMm, tailShock, tailDamping } = market.shocks.get(feed)!
    const mid = market.prices.get(feed)!.price
    const spots = [
      mid,
      ...block(low(feed), shockIm, tailShock),
      ...block(high(feed), shockIm, tailShock),
      ...block(low(feed), shockMm, tailShock),
      ...block(high(feed), shockMm, tailShock),
    ]
    const held = positions.filter(({ instrumentId }) => market.instruments.get(instrumentId) === feed)
    const pnl = spots.map((spot) =>
      held.reduce((sum, { size, quote }) => sum + floor(size * spot) + quote, 0n),
    )
    const claimed = claims.filter(({ assetId }) => market.assets.get(assetId)!.feed === feed)
    const full = claimed.reduce((sum, { amount }) => sum + amount, 0n)
    const credited = (of: 'creditIm' | 'creditMm') =>
      claimed.reduce((sum, { assetId, amount }) => sum + (amount * market.assets.get(assetId)![of]) / BPS, 0n)
    const blocks = [1, 8, 15, 22].map((start, n) => {
      const counted = credited(n < 2 ? 'creditIm' : 'creditMm')
      const values = spots.slice(start, start + 7).map((spot, k) => pnl[start + k]! + (counted * spot) / WAD)
      const least = (list: readonly bigint[]) => list.reduce((a, b) => (b < a ? b : a))
      const tail = (values[0]! - least([values[0]!, ...values.slice(5)])) * tailDamping
      return {
        value: values[0]!,
        loss: most(values[0]! - least(values.slice(0, 5)), (tail + BPS - 1n) / BPS),
      }
    })
    const [a, b, c, d] = blocks as [Block, Block, Block, Block]
    const size = held.reduce((sum, position) => sum + position.size, 0n)
    health.pnl += pnl[0]!
    health.equity += pnl[0]! + (full * mid) / WAD
    health.notional += ((size < 0n ? -size : size) * mid) / WAD
    health.im += (a.value < b.value ? a.value : b.value) - 16n
    health.mm += most(c.value, d.value)
    const [lossIm, lossMm] = [most(a.loss, b.loss), c.loss < d.loss ? c.loss : d.loss]
    sums.im += lossIm
    sums.imSquares += lossIm * lossIm
    sums.mm += lossMm
    sums.mmSquares += lossMm * lossMm
  }
  const { rhoIm, rhoMm, profitCapIm } = market
  health.im -= root(((BPS - rhoIm) * sums.imSquares + rhoIm * sums.im * sums.im) / BPS) + 1n
  health.mm -= root(((BPS - rhoMm) * sums.mmSquares + rhoMm * sums.mm * sums.mm) / BPS)
  if (health.pnl > profitCapIm) health.im -= health.pnl - profitCapIm
  return health
}

interface Block {
  value: bigint
  loss: bigint
}

const most = (a: bigint, b: bigint) => (a > b ? a : b)
const floor = (x: bigint) => (x < 0n ? -((-x + WAD - 1n) / WAD) : x / WAD)

function block(base: bigint, shock: bigint, tail: bigint): bigint[] {
  const around = (by: bigint, unit: bigint) => [
    by < unit ? (base * (unit - by)) / unit : 0n,
    (base * (unit + by)) / unit,
  ]
  return [base, ...around(shock, 2n * BPS), ...around(shock, BPS), ...around(tail, BPS)]
}

/** ⌊√x⌋ by Newton from above. */
function root(x: bigint): bigint {
  if (x === 0n) return 0n
  let guess = 1n << BigInt(Math.ceil(x.toString(2).length / 2))
  for (;;) {
    const next = (guess + x / guess) / 2n
    if (next >= guess) return guess
    guess = next
  }
}
