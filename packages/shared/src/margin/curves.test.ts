// What must hold of margin for books with options too, by both sets, on the twin: the contract equals it to the wei.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  createFuture,
  createOption,
  type Health,
  type MarginInstrument,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  perpetual,
} from './index.js'

const WAD = 10n ** 18n
const DAY = 86_400n
const NOW = 1_700_000_000n
const RUNS = { numRuns: 40 }
/** A claim's credit is rounded by a wei of its token, each position in each of its values: wei. */
const DUST = 1_000_000n
const OPTIONS = 4
/** Perpetual and future on feed 1, perpetual on feed 2, then the options. */
const INSTRUMENTS = 3 + OPTIONS

const bps = (least: number, most: number) => fc.integer({ min: least, max: most }).map(BigInt)
const signed = (most: bigint) => fc.bigInt({ min: -most * WAD, max: most * WAD })

const option = fc.record({
  isCall: fc.boolean(),
  /** Percent of spot, and of a year. */
  moneyness: bps(50, 180),
  days: bps(1, 700),
  volatility: bps(500, 25_000),
})

interface Drawn {
  market: (confidence: bigint) => MarginMarket
  /** By instrument. */
  marks: bigint[]
}

const drawn: fc.Arbitrary<Drawn> = fc
  .record({
    prices: fc.tuple(...[1, 2].map(() => fc.bigInt({ min: WAD, max: 100_000n * WAD }))),
    options: fc.array(option, { minLength: OPTIONS, maxLength: OPTIONS }),
    shocks: fc.tuple(bps(1, 2_500), bps(0, 2_500), bps(0, 9_000), bps(0, 3_000)),
    rho: fc.tuple(bps(0, 5_000), bps(0, 5_000)),
    grid: fc.tuple(bps(0, 8_000), bps(0, 8_000), bps(0, 500), bps(5_000, 10_000)),
  })
  .map(({ prices, options, shocks, rho, grid }) => {
    const mid = prices[0]!
    const listed = options.map(({ isCall, moneyness, days, volatility }) =>
      createOption(
        1,
        { isCall, strike: (mid * moneyness) / 100n, expiry: NOW + days * DAY },
        {
          now: NOW,
          mid,
          volatility: (volatility * WAD) / 10_000n,
          skew: { slope: 0n, curvature: 0n },
          fixing: 0n,
          fresh: true,
        },
      ),
    )
    const instruments: MarginInstrument[] = [perpetual(1), createFuture(1, 0n), perpetual(2), ...listed]
    const [shockMm, more, tailShock, tailDamping] = shocks
    const market = (confidence: bigint): MarginMarket => ({
      settlementFeed: 0,
      prices: new Map([
        [0, { price: WAD, confidence: 0n, parked: 0n, fresh: true }],
        ...prices.map((price, n) => [n + 1, { price, confidence, parked: 0n, fresh: true }] as const),
      ]),
      shocks: new Map(
        [1, 2].map((feed) => [feed, { shockMm, shockIm: shockMm + more, tailShock, tailDamping }]),
      ),
      assets: new Map([1, 2].map((id) => [id, { feed: id, creditIm: 8_000n, creditMm: 9_000n }])),
      instruments: new Map(instruments.map((instrument, n) => [n + 1, instrument])),
      grid: {
        volatilityUp: grid[0],
        volatilityDown: grid[1],
        nakedShort: grid[2],
        portfolioShock: grid[3],
        portfolioRhoIm: rho[0] + rho[1],
        portfolioRhoMm: rho[0],
      },
      rhoIm: rho[0] + rho[1],
      rhoMm: rho[0],
      // A cap counts once for a book, however it is put together.
      profitCapIm: 10n ** 12n * WAD,
    })
    const marks = instruments.map((instrument, n) => instrument.value(WAD, prices[n === 2 ? 1 : 0]!, WAD))
    return { market, marks }
  })

const sizes = fc.array(signed(100n), { minLength: INSTRUMENTS, maxLength: INSTRUMENTS })
const claims = fc.tuple(...[1, 2].map(() => fc.bigInt({ min: 0n, max: 100n * WAD })))

/** Traded at the mark, so that only what is held differs. */
function bookOf(
  { marks }: Drawn,
  held: { sizes: bigint[]; claims?: bigint[]; cash?: bigint; portfolioSet: boolean },
): MarginPortfolio {
  return {
    cash: held.cash ?? 0n,
    impairedCash: 0n,
    claims: (held.claims ?? []).map((amount, n) => ({ assetId: n + 1, amount, impaired: 0n })),
    positions: held.sizes.map((size, n) => ({
      instrumentId: n + 1,
      size,
      quote: -((size * marks[n]!) / WAD),
    })),
    portfolioSet: held.portfolioSet,
  }
}

const atMost = (a: bigint, b: bigint) => expect(a <= b, `${a} is above ${b}`).toBe(true)

function noBetter(worse: Health, better: Health, dust = DUST) {
  atMost(worse.im, better.im + dust)
  atMost(worse.mm, better.mm + dust)
}

const confidence = fc.bigInt({ min: 0n, max: WAD / 4n })

test('MM is never below IM', () => {
  fc.assert(
    fc.property(drawn, confidence, sizes, claims, fc.boolean(), (d, c, s, held, portfolioSet) => {
      const { im, mm } = marginHealth(bookOf(d, { sizes: s, claims: held, portfolioSet }), d.market(c))
      atMost(im, mm)
    }),
    RUNS,
  )
})

test('more loss never raises health', () => {
  fc.assert(
    fc.property(drawn, confidence, sizes, fc.boolean(), signed(10n ** 6n), (d, c, s, portfolioSet, x) => {
      const loss = x < 0n ? -x : x
      const book = bookOf(d, { sizes: s, portfolioSet })
      const positions = book.positions.map((p, n) => (n === 0 ? { ...p, quote: p.quote - loss } : p))
      const [before, after] = [book, { ...book, positions }].map((b) => marginHealth(b, d.market(c)))
      noBetter(after!, before!, 0n)
    }),
    RUNS,
  )
})

test('two books as one need no more than both apart, so that a hedge costs at most what it needs by itself', () => {
  fc.assert(
    fc.property(drawn, confidence, sizes, sizes, fc.boolean(), (d, c, one, other, portfolioSet) => {
      const both = one.map((size, n) => size + other[n]!)
      const [a, b, joined] = [one, other, both].map((s) => bookOf(d, { sizes: s, portfolioSet }))
      const im = (book: MarginPortfolio) => marginHealth(book, d.market(c)).im
      atMost(im(a!) + im(b!), im(joined!) + DUST)
      // MM takes the favourable end of each book: what both share at one price is less.
      const mm = (book: MarginPortfolio) => marginHealth(book, d.market(0n)).mm
      atMost(mm(a!) + mm(b!), mm(joined!) + DUST)
    }),
    RUNS,
  )
})

test('unwinding a share of all positions at the mark never worsens margin', () => {
  fc.assert(
    fc.property(drawn, sizes, bps(0, 10_000), fc.boolean(), (d, s, part, portfolioSet) => {
      const hedged = s.map((size) => size - (size * part) / 10_000n)
      const [bare, better] = [s, hedged].map((held) =>
        marginHealth(bookOf(d, { sizes: held, portfolioSet }), d.market(0n)),
      )
      noBetter(bare!, better!)
    }),
    RUNS,
  )
})

test('a future hedges a perpetual as a perpetual does, beside options too', () => {
  fc.assert(
    fc.property(drawn, confidence, sizes, fc.boolean(), (d, c, s, portfolioSet) => {
      const [perp, future, ...rest] = s
      const moved = [perp! + future!, 0n, ...rest]
      const [apart, together] = [s, moved].map((held) =>
        marginHealth(bookOf(d, { sizes: held, portfolioSet }), d.market(c)),
      )
      noBetter(apart!, together!)
      noBetter(together!, apart!)
    }),
    RUNS,
  )
})

test('more claims never lower health, and impairing them never raises it', () => {
  fc.assert(
    fc.property(
      drawn,
      confidence,
      sizes,
      claims,
      claims,
      fc.boolean(),
      (d, c, s, held, more, portfolioSet) => {
        const market = d.market(c)
        const less = bookOf(d, { sizes: s, claims: held, portfolioSet })
        const all = bookOf(d, { sizes: s, claims: held.map((x, n) => x + more[n]!), portfolioSet })
        noBetter(marginHealth(less, market), marginHealth(all, market))
        const impaired = { ...all, claims: all.claims.map((x, n) => ({ ...x, impaired: more[n]! })) }
        noBetter(marginHealth(impaired, market), marginHealth(all, market))
      },
    ),
    RUNS,
  )
})

test('a wider interval never raises IM nor lowers MM of straight lines', () => {
  fc.assert(
    fc.property(drawn, confidence, confidence, sizes, claims, (d, c, more, s, held) => {
      const book = bookOf(d, {
        sizes: s.map((size, n) => (n < 3 ? size : 0n)).slice(0, 3),
        claims: held,
        portfolioSet: false,
      })
      const [narrow, wide] = [marginHealth(book, d.market(c)), marginHealth(book, d.market(c + more))]
      atMost(wide.im, narrow.im + DUST)
      atMost(narrow.mm, wide.mm + DUST)
    }),
    RUNS,
  )
})

test('an interval of any width gives options no more IM than a sure price, and no less MM', () => {
  fc.assert(
    fc.property(drawn, confidence, sizes, claims, fc.boolean(), (d, c, s, held, portfolioSet) => {
      const book = bookOf(d, { sizes: s, claims: held, portfolioSet })
      // Whatever the width, the middle of the interval counts.
      const [sure, wide] = [0n, c].map((width) => marginHealth(book, d.market(width)))
      atMost(wide!.im, sure!.im + DUST)
      atMost(sure!.mm, wide!.mm + DUST)
    }),
    RUNS,
  )
})

test('the ends of an interval, which favour a straddle, raise no IM, and those that a short one suffers from lower no MM', () => {
  fc.assert(
    fc.property(drawn, confidence, bps(1, 100), fc.boolean(), ({ market }, c, size, portfolioSet) => {
      const atTheMoney = [true, false].map((isCall) => {
        const mid = market(0n).prices.get(1)!.price
        const terms = { isCall, strike: mid, expiry: NOW + 7n * DAY }
        const skew = { slope: 0n, curvature: 0n }
        return createOption(1, terms, { now: NOW, mid, volatility: WAD / 2n, skew, fixing: 0n, fresh: true })
      })
      const health = (width: bigint, held: bigint) => {
        const instruments = new Map(atTheMoney.map((option, n) => [n + 1, option]))
        const positions = [1, 2].map((instrumentId) => ({ instrumentId, size: held * WAD, quote: 0n }))
        const book = { cash: 0n, impairedCash: 0n, claims: [], positions, portfolioSet }
        return marginHealth(book, { ...market(width), instruments })
      }
      atMost(health(c, size).im, health(0n, size).im + DUST)
      atMost(health(0n, -size).mm, health(c, -size).mm + DUST)
    }),
    RUNS,
  )
})

test('a book k times as large needs k times as much', () => {
  fc.assert(
    fc.property(
      drawn,
      confidence,
      sizes,
      claims,
      bps(1, 50),
      fc.boolean(),
      (d, c, s, held, k, portfolioSet) => {
        const times = (x: bigint) => x * k
        const one = marginHealth(bookOf(d, { sizes: s, claims: held, portfolioSet }), d.market(c))
        const many = marginHealth(
          bookOf(d, { sizes: s.map(times), claims: held.map(times), portfolioSet }),
          d.market(c),
        )
        for (const key of ['equity', 'im', 'mm'] as const) {
          atMost(many[key], one[key] * k + k * DUST)
          atMost(one[key] * k, many[key] + k * DUST)
        }
      },
    ),
    RUNS,
  )
})
