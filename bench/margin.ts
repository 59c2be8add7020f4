// The twin of the margin engine on one core, beside a transcription of the contract that does what it does, word by word.
import {
  type Health,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  perpetual,
  type Random,
  seededRandom,
} from '@clearspan/shared'

const NO_GRID = {
  volatilityUp: 0n,
  volatilityDown: 0n,
  nakedShort: 0n,
  portfolioShock: 0n,
  portfolioRhoIm: 0n,
  portfolioRhoMm: 0n,
}
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
    const [twin, plain] = [marginHealth(portfolio, market), transcribed(portfolio, market)]
    for (const key of ['equity', 'im', 'mm', 'pnl', 'notional', 'fresh'] as const)
      if (twin[key] !== plain[key])
        throw new Error(`${key} differs: ${twin[key]}, transcription ${plain[key]}`)
  }
  say(`${PORTFOLIOS} books of 3 claims and 3 perps: both agree; measuring ${MEASURED_MS} ms each`)
  const baseline = rate(transcribed, portfolios, market)
  const value = rate(marginHealth, portfolios, market)
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
    instruments: new Map([1, 2, 3].map((id) => [id, perpetual(id)])),
    grid: NO_GRID,
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

/** MarginEngine.sol and Losses.sol as they stand, for books of fresh prices without parked values. */
function transcribed({ cash, claims, positions }: MarginPortfolio, market: MarginMarket): Health {
  const health: Health = { equity: cash, im: cash, mm: cash, pnl: 0n, notional: 0n, fresh: true }
  const settlement = market.prices.get(market.settlementFeed)!
  const par = (settlement.price * (WAD - settlement.confidence)) / WAD
  health.im = floor(cash * (par < WAD ? par : WAD))
  const sums = { im: 0n, mm: 0n, imSquares: 0n, mmSquares: 0n }
  const feeds = new Set([
    ...claims.map(({ assetId }) => market.assets.get(assetId)!.feed),
    ...positions.map(({ instrumentId }) => market.instruments.get(instrumentId)!.feed),
  ])
  for (const feed of feeds) {
    const { shockIm, shockMm, tailShock, tailDamping } = market.shocks.get(feed)!
    const { price: mid, confidence } = market.prices.get(feed)!
    const held = positions.filter(({ instrumentId }) => market.instruments.get(instrumentId)!.feed === feed)
    const [atMid, atZero] = [mid, 0n].map((spot) =>
      held.reduce((sum, { size, quote }) => sum + floor(size * spot) + quote, 0n),
    ) as [bigint, bigint]
    const claimed = claims.filter(({ assetId }) => market.assets.get(assetId)!.feed === feed)
    const full = claimed.reduce((sum, { amount }) => sum + amount, 0n)
    const credited = (of: 'creditIm' | 'creditMm') =>
      claimed.reduce((sum, { assetId, amount }) => sum + (amount * market.assets.get(assetId)![of]) / BPS, 0n)
    const slope = (of: 'creditIm' | 'creditMm') => atMid - atZero + (credited(of) * mid) / WAD
    const severity = (long: boolean, shock: bigint) => {
      const bound = (by: bigint) => (long && by > BPS ? BPS : by)
      const [core, tail] = [bound(shock) * BPS, bound(tailShock) * tailDamping]
      return core > tail ? core : tail
    }
    const [low, high] = [WAD - confidence, WAD + confidence]
    const [im, mm] = [slope('creditIm'), slope('creditMm')]
    const lossIm = roundedUp(size(im) * severity(im >= 0n, shockIm) * high, BPS * BPS * WAD)
    const lossMm = (size(mm) * severity(mm >= 0n, shockMm) * low) / (BPS * BPS * WAD)
    health.pnl += atMid
    health.equity += atMid + (full * mid) / WAD
    health.notional += (size(held.reduce((sum, position) => sum + position.size, 0n)) * mid) / WAD
    health.im += atZero + floor(im * (im >= 0n ? low : high)) - 16n
    health.mm += atZero + floor(mm * (mm >= 0n ? high : low))
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

const size = (x: bigint) => (x < 0n ? -x : x)
const roundedUp = (x: bigint, by: bigint) => (x + by - 1n) / by
const floor = (x: bigint) => (x < 0n ? -((-x + WAD - 1n) / WAD) : x / WAD)

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
