// What must hold of margin for any portfolio, on the twin: it is quick, and the contract equals it to the wei.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type Health,
  type MarginMarket,
  type MarginPortfolio,
  type MarginPrice,
  marginHealth,
  perpetual,
} from './index.js'
import { NO_GRID } from './margin.test-util.js'

const WAD = 10n ** 18n
const RUNS = { numRuns: 300 }
/** Each underlying's roundings, wei. */
const DUST = 64n
/** Depth counts a size in steps of a WAD part of it: what one of them costs of the largest one here, 2,000 tokens at 105,000. */
const DEPTH_STEP = 1_050_000n

const bps = (least: number, most: number) => fc.integer({ min: least, max: most }).map(BigInt)
const wads = (most: bigint) => fc.bigInt({ min: 0n, max: most * WAD })
const signed = (most: bigint) => fc.bigInt({ min: -most * WAD, max: most * WAD })

/** @param widest Confidence, WAD. */
const market = (widest: bigint): fc.Arbitrary<MarginMarket> =>
  fc
    .record({
      prices: fc.array(
        fc.record({
          price: fc.bigInt({ min: WAD / 1_000n, max: 100_000n * WAD }),
          confidence: fc.bigInt({ min: 0n, max: widest }),
          parked: fc.constant(0n),
          fresh: fc.constant(true),
          average: fc.oneof(fc.constant(0n), fc.bigInt({ min: 1n, max: 100_000n * WAD })),
        }),
        { minLength: 3, maxLength: 3 },
      ),
      shocks: fc.array(fc.tuple(bps(1, 2_500), bps(0, 2_500), bps(0, 9_000), bps(0, 3_000)), {
        minLength: 3,
        maxLength: 3,
      }),
      // Of depth, and of MM's way there.
      thin: fc.array(fc.tuple(bps(0, 10_000), bps(0, 10_000), fc.integer({ min: 0, max: 3 })), {
        minLength: 3,
        maxLength: 3,
      }),
      rho: fc.tuple(bps(0, 5_000), bps(0, 5_000)),
      profitCapIm: wads(10n ** 6n),
    })
    .map(({ prices, shocks, thin, rho, profitCapIm }) => ({
      settlementFeed: 0,
      prices: new Map<number, MarginPrice>([
        [0, { price: WAD, confidence: 0n, parked: 0n, fresh: true }],
        ...prices.map((price, n) => [n + 1, price] as const),
      ]),
      shocks: new Map(
        shocks.map(([shockMm, more, tailShock, tailDamping], n) => [
          n + 1,
          {
            shockMm,
            shockIm: shockMm + more,
            tailShock,
            tailDamping,
            riskClass: thin[n]![2],
            thinnessIm: thin[n]![0] ** 2n,
            thinnessMm: (thin[n]![0] ** 2n * thin[n]![1]) / 10_000n,
          },
        ]),
      ),
      assets: new Map([1, 2, 3].map((id) => [id, { feed: id, creditIm: 8_000n, creditMm: 9_000n }])),
      instruments: new Map([1, 2, 3].map((id) => [id, perpetual(id)])),
      grid: NO_GRID,
      rhoIm: rho[0] + rho[1],
      rhoMm: rho[0],
      classes: new Map([1, 2].map((riskClass) => [riskClass, { rhoIm: rho[0] + rho[1], rhoMm: rho[0] }])),
      profitCapIm,
    }))

const portfolio: fc.Arbitrary<MarginPortfolio> = fc
  .record({
    cash: signed(10n ** 7n),
    warming: wads(10n ** 6n),
    amounts: fc.tuple(wads(1_000n), wads(1_000n), wads(1_000n)),
    sizes: fc.tuple(signed(1_000n), signed(1_000n), signed(1_000n)),
    quotes: fc.tuple(signed(10n ** 7n), signed(10n ** 7n), signed(10n ** 7n)),
  })
  .map(({ cash, warming, amounts, sizes, quotes }) => ({
    cash,
    warming,
    impairedCash: 0n,
    claims: amounts.map((amount, n) => ({ assetId: n + 1, amount, impaired: 0n })),
    positions: sizes.map((size, n) => ({ instrumentId: n + 1, size, quote: quotes[n]! })),
  }))

const atMost = (a: bigint, b: bigint) => expect(a <= b, `${a} is above ${b}`).toBe(true)

function noBetter(worse: Health, better: Health, dust = 0n) {
  atMost(worse.im, better.im + dust)
  atMost(worse.mm, better.mm + dust)
}

test('MM is never below IM', () => {
  fc.assert(
    fc.property(market(WAD), portfolio, (m, p) => {
      const { im, mm } = marginHealth(p, m)
      atMost(im, mm)
    }),
    RUNS,
  )
})

test('more loss never raises health', () => {
  fc.assert(
    fc.property(market(WAD), portfolio, wads(10n ** 6n), (m, p, loss) => {
      const positions = p.positions.map((held, n) => (n === 0 ? { ...held, quote: held.quote - loss } : held))
      const [before, after] = [marginHealth(p, m), marginHealth({ ...p, positions }, m)]
      noBetter(after, before)
      expect(after.equity).toBe(before.equity - loss)
    }),
    RUNS,
  )
})

test('a larger claim never lowers margin, however thin its market', () => {
  fc.assert(
    fc.property(market(WAD / 20n), portfolio, wads(1_000n), (m, p, more) => {
      const bare = { ...p, positions: [] }
      const claims = p.claims.map((held, n) => (n === 0 ? { ...held, amount: held.amount + more } : held))
      noBetter(marginHealth(bare, m), marginHealth({ ...bare, claims }, m), DUST + DEPTH_STEP)
    }),
    RUNS,
  )
})

test('a thinner market never raises margin', () => {
  fc.assert(
    fc.property(market(WAD), portfolio, bps(0, 10_000), (m, p, part) => {
      const shocks = new Map(
        [...m.shocks].map(([feed, s]) => {
          const deeper = (thinness = 0n) => (thinness * part) / 10_000n
          return [feed, { ...s, thinnessIm: deeper(s.thinnessIm), thinnessMm: deeper(s.thinnessMm) }] as const
        }),
      )
      noBetter(marginHealth(p, m), marginHealth(p, { ...m, shocks }), DUST)
    }),
    RUNS,
  )
})

test('impairing a claim never raises IM, and moves nothing else', () => {
  fc.assert(
    fc.property(market(WAD), portfolio, bps(0, 10_000), (m, p, part) => {
      const claims = p.claims.map((claim) => ({ ...claim, impaired: (claim.amount * part) / 10_000n }))
      const [before, after] = [marginHealth(p, m), marginHealth({ ...p, claims }, m)]
      atMost(after.im, before.im + DUST)
      expect({ ...after, im: 0n }).toEqual({ ...before, im: 0n })
    }),
    RUNS,
  )
})

test('closing a part of a position at the oracle price never worsens margin', () => {
  fc.assert(
    fc.property(market(0n), portfolio, bps(0, 10_000), (m, p, part) => {
      const bare = { ...p, claims: [] }
      const positions = p.positions.map((held) => {
        const closed = (held.size * part) / 10_000n
        const mid = m.prices.get(held.instrumentId)!.price
        return { ...held, size: held.size - closed, quote: held.quote + (closed * mid) / WAD }
      })
      noBetter(marginHealth(bare, m), marginHealth({ ...bare, positions }, m), DUST)
    }),
    RUNS,
  )
})

test('no average ever gives IM more than the mark, and none moves anything else', () => {
  fc.assert(
    fc.property(market(WAD), portfolio, (m, p) => {
      const prices = new Map([...m.prices].map(([feed, price]) => [feed, { ...price, average: 0n }]))
      const [steady, atMark] = [marginHealth(p, m), marginHealth(p, { ...m, prices })]
      atMost(steady.im, atMark.im)
      expect({ ...steady, im: 0n }).toEqual({ ...atMark, im: 0n })
    }),
    RUNS,
  )
})

test('what is settled at the mark moves no margin, whatever the average', () => {
  fc.assert(
    fc.property(market(0n), portfolio, wads(10n ** 6n), (m, p, profit) => {
      const settled = { ...p, warming: p.warming! + profit }
      settled.positions = p.positions.map((held, n) =>
        n === 0 ? { ...held, quote: held.quote - profit } : held,
      )
      const pnlOf = (positions: typeof p.positions) =>
        marginHealth({ ...p, cash: 0n, warming: 0n, claims: [], positions: positions.slice(0, 1) }, m).pnl
      fc.pre(pnlOf(settled.positions) >= 0n)
      const [before, after] = [marginHealth(p, m), marginHealth(settled, m)]
      expect(after.mm).toBe(before.mm)
      // Settled profit is real: at the average it may have counted for less.
      atMost(before.im, after.im + DUST)
    }),
    RUNS,
  )
})
