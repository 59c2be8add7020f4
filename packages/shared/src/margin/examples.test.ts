// The worked examples of docs/margin.md: every number in their tables is computed here by the twin, and compared by the contracts' tests
// (WorkedExamples.t.sol) from the fixture that this keeps.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  createOption,
  type Health,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  perpetual,
} from './index.js'

const ROOT = new URL('../../../../', import.meta.url)
const DOCS = new URL('docs/margin.md', ROOT)
const FIXTURE = new URL('packages/contracts/test/fixtures/margin-examples.json', ROOT)

const WAD = 10n ** 18n
const NOW = 1_700_000_000n
const DAY = 86_400n
const wad = (units: number) => BigInt(Math.round(units * 1e6)) * (WAD / 1_000_000n)
const [ETH, BTC] = [2_000, 40_000]
const SHOCKS = { shockIm: 1_000n, shockMm: 600n, tailShock: 5_000n, tailDamping: 1_000n }
const PUT = { isCall: false, strike: wad(1_800), expiry: NOW + 30n * DAY }
const MARKET = {
  now: NOW,
  mid: wad(ETH),
  volatility: wad(0.6),
  skew: { slope: 0n, curvature: 0n },
  fixing: 0n,
  fresh: true,
}
const put = createOption(1, PUT, MARKET)

const price = (units: number) => ({ price: wad(units), confidence: 0n, parked: 0n, fresh: true })
const market: MarginMarket = {
  settlementFeed: 0,
  prices: new Map([
    [0, price(1)],
    [1, price(ETH)],
    [2, price(BTC)],
  ]),
  shocks: new Map([
    [1, SHOCKS],
    [2, SHOCKS],
  ]),
  assets: new Map([
    [1, { feed: 1, creditIm: 9_500n, creditMm: 9_700n }],
    [2, { feed: 2, creditIm: 9_500n, creditMm: 9_700n }],
  ]),
  instruments: new Map([
    [1, perpetual(1)],
    [2, put],
  ]),
  grid: {
    volatilityUp: 4_000n,
    volatilityDown: 3_000n,
    nakedShort: 100n,
    portfolioShock: 8_000n,
    portfolioRhoIm: 4_000n,
    portfolioRhoMm: 2_000n,
  },
  rhoIm: 6_000n,
  rhoMm: 4_000n,
  profitCapIm: wad(100_000),
}
const mark = put.value(WAD, wad(ETH), WAD)

function book(parts: Partial<MarginPortfolio>): MarginPortfolio {
  return { cash: 0n, impairedCash: 0n, claims: [], positions: [], ...parts }
}

/** Bought or sold at the mark. */
const perp = (size: number) => ({ instrumentId: 1, size: wad(size), quote: wad(-size * ETH) })
const puts = (size: number) => ({ instrumentId: 2, size: wad(size), quote: -(wad(size) * mark) / WAD })

const spoken = (x: bigint) =>
  (Math.round(Number(x) / 1e16) / 100 || 0)
    .toLocaleString('en-US', { maximumFractionDigits: 2 })
    .replace('-', '−')
const row = (...cells: (string | bigint)[]) =>
  `| ${cells.map((cell) => (typeof cell === 'string' ? cell : spoken(cell))).join(' | ')} |`
const root = (x: number) => wad(Math.sqrt(x))

interface Example {
  table: string[]
  /** What the contracts' tests compare, WAD. */
  numbers: Record<string, bigint>
}

const healthNumbers = (name: string, { equity, im, mm }: Health) => ({
  [`${name}_equity`]: equity,
  [`${name}_im`]: im,
  [`${name}_mm`]: mm,
})

function threeChains(): Example {
  const held = book({
    cash: wad(20_000),
    claims: [
      { assetId: 1, amount: wad(4), impaired: 0n },
      { assetId: 2, amount: wad(0.25), impaired: 0n },
    ],
    positions: [perp(-6), puts(5)],
  })
  const health = marginHealth(held, market)
  const scenarios = [
    ...[1.4, 0.7].flatMap((factor) => [-10, -5, 0, 5, 10].map((move) => ({ move, factor, share: 1 }))),
    { move: -50, factor: 1.4, share: 0.1 },
    { move: 50, factor: 1.4, share: 0.1 },
  ].map(({ move, factor, share }) => {
    const spot = wad(ETH * (1 + move / 100))
    const change = spot - wad(ETH)
    const worth = put.value(WAD, spot, wad(factor))
    const options = 5n * (worth - mark)
    const [perps, claimsIm, claimsMm] = [-6n * change, (change * 38n) / 10n, (change * 388n) / 100n]
    const [im, mm] = [perps + options + claimsIm, perps + options + claimsMm]
    return { move, factor, share, worth, perps, options, claimsIm, im, mm }
  })
  const least = (of: 'im' | 'mm') =>
    scenarios.reduce(
      (worst, s) => (Number(s[of]) * s.share < Number(worst) ? wad((Number(s[of]) / 1e18) * s.share) : worst),
      0n,
    )
  const [ethIm, ethMm] = [-least('im'), (-least('mm') * 6n) / 10n]
  const [btcIm, btcMm] = [wad(0.25 * 0.95 * BTC * 0.1), wad(0.25 * 0.97 * BTC * 0.06)]
  const joint = (a: bigint, b: bigint, rho: number) => {
    const [x, y] = [Number(a) / 1e18, Number(b) / 1e18]
    return root((1 - rho) * (x * x + y * y) + rho * (x + y) ** 2)
  }
  const [jointIm, jointMm] = [joint(ethIm, btcIm, 0.6), joint(ethMm, btcMm, 0.4)]
  const [ethValue, btcValue] = [
    [wad(3.8 * ETH), wad(3.88 * ETH)],
    [wad(0.2375 * BTC), wad(0.2425 * BTC)],
  ] as const
  const totals = [20_000, 20_000].map((cash, n) => wad(cash) + ethValue[n]! + btcValue[n]!)
  const sums = [totals[0]! - jointIm, totals[1]! - jointMm]
  // What follows by hand is what the twin computes, to the cent.
  expect([sums[0]!, sums[1]!].map(spoken)).toEqual([health.im, health.mm].map(spoken))
  const shown = (s: (typeof scenarios)[number]) =>
    row(
      `${s.move === 0 ? '0' : `${s.move > 0 ? '+' : '−'}${Math.abs(s.move)}`} %, ${s.factor === 1.4 ? '84' : '42'} %${s.share < 1 ? ' (at 10 %)' : ''}`,
      s.worth,
      s.perps,
      s.options,
      s.claimsIm,
      s.im,
    )
  return {
    table: [
      ...scenarios.map(shown),
      row('ETH: credited × 2,000', ethValue[0], ethValue[1]),
      row('loss of ETH, the worst of the grid', ethIm, ethMm),
      row('BTC: credited × 40,000', btcValue[0], btcValue[1]),
      row('loss of BTC, 10 % or 6 %', btcIm, btcMm),
      row('√((1 − ρ) Σ L² + ρ (Σ L)²)', jointIm, jointMm),
      row('**cash + values − joint loss**', `**${spoken(health.im)}**`, `**${spoken(health.mm)}**`),
    ],
    numbers: { put_mark: mark, ...healthNumbers('chains', health) },
  }
}

function hedge(): Example {
  const cash = wad(5_000)
  const books = [
    ['10 perpetuals', 'perps', [perp(10)]],
    ['10 perpetuals and 10 puts', 'hedged', [perp(10), puts(10)]],
  ] as const
  const lines = books.flatMap(([name, key, positions]) =>
    [false, true].map((portfolioSet) => {
      const health = marginHealth(book({ cash, positions, portfolioSet }), market)
      return {
        row: row(
          name,
          portfolioSet ? 'Portfolio' : 'Standard',
          cash - health.im,
          cash - health.mm,
          health.im,
          health.mm,
        ),
        numbers: healthNumbers(`${key}_${portfolioSet ? 'portfolio' : 'standard'}`, health),
      }
    }),
  )
  return {
    table: lines.map(({ row: line }) => line),
    numbers: Object.assign({}, ...lines.map(({ numbers }) => numbers)),
  }
}

function liquidation(): Example {
  const shocks = new Map([[1, { shockIm: 2_000n, shockMm: 1_200n, tailShock: 5_000n, tailDamping: 2_000n }]])
  const at = (spot: number) => ({ ...market, shocks, prices: new Map([...market.prices, [1, price(spot)]]) })
  const held = book({ cash: wad(500), positions: [perp(1)] })
  const [before, fallen] = [marginHealth(held, at(2_000)), marginHealth(held, at(1_700))]
  const buffer = ({ equity, mm }: Health) => mm - ((equity - mm) * 15n) / 100n
  const fullPrice = (fallen.equity * 98n) / 100n
  // A hundredth is the fund's.
  const kept = (fullPrice * 99n) / 100n
  const fraction = (-buffer(fallen) * WAD) / (-buffer(fallen) + kept)
  const payment = (fullPrice * fraction) / WAD
  const left = book({
    cash: wad(500) - (wad(500) * fraction) / WAD + (kept * fraction) / WAD,
    positions: [
      { instrumentId: 1, size: WAD - fraction, quote: wad(-2_000) + (wad(2_000) * fraction) / WAD },
    ],
  })
  const after = marginHealth(left, at(1_700))
  expect(spoken(buffer(after))).toBe('0')
  return {
    table: [
      row('equity', before.equity, fallen.equity, after.equity),
      row('MM', before.mm, fallen.mm, after.mm),
      row('buffer margin', buffer(before), buffer(fallen), buffer(after)),
      row('ETH held', WAD, WAD, `${(Number(WAD - fraction) / 1e18).toFixed(6)}`),
    ],
    numbers: {
      fraction,
      payment,
      ...healthNumbers('fallen', fallen),
      ...healthNumbers('after', after),
    },
  }
}

test.each([
  ['three assets on three chains', threeChains],
  ['a hedge by the Portfolio set', hedge],
  ['a liquidation', liquidation],
])('%s: docs/margin.md has every number', (_, example) => {
  const docs = readFileSync(DOCS, 'utf8').split('\n')
  for (const line of example().table) expect(docs).toContain(line)
})

test('docs/margin.md says what the liquidation costs', () => {
  const { numbers } = liquidation()
  const docs = readFileSync(DOCS, 'utf8')
  expect(docs).toContain(`f = 34.6 ÷ (34.6 + 194.04) = ${(Number(numbers.fraction) / 1e16).toFixed(3)} %`)
  expect(docs).toContain(`${spoken(numbers.payment!)} of cash`)
  expect(docs).toContain(`a put is worth ${spoken(mark)}`)
})

test('the fixture of the contracts has the same numbers', () => {
  const numbers = Object.assign({}, ...[threeChains, hedge, liquidation].map((example) => example().numbers))
  const text = `${JSON.stringify(numbers, (_, value) => (typeof value === 'bigint' ? String(value) : value), 2)}\n`
  if (!existsSync(FIXTURE)) writeFileSync(FIXTURE, text)
  expect(readFileSync(FIXTURE, 'utf8')).toBe(text)
})
