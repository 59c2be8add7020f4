// The twin of the margin engine against the engine itself: random markets and portfolios, and stored ones at the edges.
import {
  futureAbi,
  futureBytecode,
  marginEngineAbi,
  marginEngineBytecode,
  optionAbi,
  optionBytecode,
  perpAbi,
  perpBytecode,
  rateSwapAbi,
  rateSwapBytecode,
  riskConfigAbi,
  riskConfigBytecode,
  testOracleAbi,
  testOracleBytecode,
} from '@clearspan/contracts'
import {
  createFuture,
  createOption,
  createRateSwap,
  type Health,
  isAnswered,
  type MarginInstrument,
  type MarginMarket,
  type MarginPortfolio,
  type MarginPrice,
  marginHealth,
  type OptionTerms,
  PermanentError,
  perpetual,
  type Shocks,
  systemRandom,
} from '@clearspan/shared'
import fc from 'fast-check'
import { type Address, ContractFunctionExecutionError, zeroAddress } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestChains } from '../chains/chains.test-util.js'
import { type Batch, createBatch, type LocalChain, localAccounts } from '../chains/index.js'

const MARKETS = 6
const PORTFOLIOS_A_MARKET = 350
const CALLS_AT_ONCE = 50
const WAD = 10n ** 18n
/** Feed of each asset and instrument, by id − 1. The first asset is the settlement token. */
const ASSET_FEEDS = [0, 1, 2, 3, 1]
const INSTRUMENT_FEEDS = [1, 2, 3, 1]
const FEEDS = [0, 1, 2, 3]
/** At-the-money volatility of the options, and their fixing, which never comes. */
const [VOLATILITY, FIXING] = [4, 5]
const GENESIS = 1_700_000_000
const MAX_THINNESS = 2 ** 27 - 1
const DAY = 86_400
/** Listed behind the perpetuals. */
const OPTIONS: { feed: number; terms: OptionTerms }[] = [
  { feed: 1, terms: { isCall: true, strike: 2_000n * WAD, expiry: BigInt(GENESIS + 30 * DAY) } },
  { feed: 1, terms: { isCall: false, strike: 1_500n * WAD, expiry: BigInt(GENESIS + DAY) } },
  { feed: 2, terms: { isCall: true, strike: 40_000n * WAD, expiry: BigInt(GENESIS + 365 * DAY) } },
  { feed: 2, terms: { isCall: false, strike: WAD, expiry: BigInt(GENESIS + 90 * DAY) } },
]
/** Listed behind the options: of each of these feeds a future, then a swap. Before its first coupon, so that nothing has been paid. */
const STRAIGHT_FEEDS = [2, 3]
const SWAP = {
  paidUntil: BigInt(GENESIS + 30 * DAY),
  expiry: BigInt(GENESIS + 120 * DAY),
  period: BigInt(30 * DAY),
  paid: 0n,
}
const INSTRUMENTS = INSTRUMENT_FEEDS.length + OPTIONS.length + 2 * STRAIGHT_FEEDS.length

let chain: LocalChain
let close: (() => Promise<void>) | undefined
let batch: Batch
let owner: ReturnType<typeof localAccounts>[number]
let oracle: Address
/** Of the market that is entered. */
let engine: Address

beforeAll(async () => {
  const started = await startTestChains([{ name: 'hub', chainId: 31_951 }], { genesisTime: GENESIS })
  ;({ close } = started)
  chain = started.chains[0]!
  owner = localAccounts(1)[0]!
  batch = await createBatch(chain, owner)
  oracle = batch.create('TestOracle', { abi: testOracleAbi, bytecode: testOracleBytecode })
  await batch.send()
})

afterAll(async () => {
  await close?.()
})

/** An engine for the market alone: on its feeds nothing is listed yet, so that parameters are at once as they are set, but for what ramps. */
async function enter(drawn: DrawnMarket): Promise<MarginMarket> {
  const risk = { abi: riskConfigAbi }
  const config = batch.create('RiskConfig', {
    ...risk,
    bytecode: riskConfigBytecode,
    args: [owner.address, 0n],
  })
  await batch.send()
  const modules = [zeroAddress, oracle, config] as const
  engine = batch.create('MarginEngine', {
    abi: marginEngineAbi,
    bytecode: marginEngineBytecode,
    args: modules,
  })
  const perp = batch.create('Perp', { abi: perpAbi, bytecode: perpBytecode, args: modules })
  const option = batch.create('Option', {
    abi: optionAbi,
    bytecode: optionBytecode,
    args: [owner.address, oracle, config],
  })
  await batch.send()
  const set = (functionName: RiskSetter, ...args: readonly unknown[]) =>
    batch.call(config, { ...risk, functionName, args } as never)
  setPrices(() => ({ price: WAD, confidence: 0n, parked: 0n, fresh: true }))
  set('setDynamicRisk', owner.address)
  set('setGlobal', {
    ...numbers(drawn.classes[0]!),
    profitCapIm: drawn.profitCapIm,
    bufferBps: 0,
    maxRows: 16,
    regressionDelay: 3_600,
  })
  for (const [riskClass, { rhoIm, rhoMm }] of drawn.classes.entries())
    set('setClass', BigInt(riskClass), numbers({ rhoIm, rhoMm, stressedRhoIm: rhoIm, stressedRhoMm: rhoMm }))
  for (const [feed, { riskClass, shockIm, shockMm, tailShock, tailDamping }] of drawn.shocks.entries()) {
    set('setRiskClass', BigInt(feed), riskClass)
    set('setUnderlying', BigInt(feed), numbers({ shockIm, shockMm, tailShock, tailDamping }))
  }
  set('setGrid', numbers(drawn.grid))
  for (const [n, feed] of ASSET_FEEDS.entries()) {
    const { creditIm, creditMm } = drawn.credits[n]!
    set('setAsset', BigInt(n + 1), {
      eid: n + 1,
      epoch: 1,
      token: `0x${(n + 1).toString(16).padStart(40, '0')}`,
      decimals: 18,
      feed,
      settlement: n === 0,
      ...numbers({ creditIm, creditMm }),
      matureCap: WAD,
      matureRate: 1n,
    })
  }
  const listed = { maxOpenInterest: WAD, backstopCap: WAD, priceBand: 1 }
  for (const [n, feed] of INSTRUMENT_FEEDS.entries())
    set('setInstrument', BigInt(n + 1), { module: perp, feed, ...listed })
  for (const [n, { feed, terms }] of OPTIONS.entries()) {
    const id = BigInt(INSTRUMENT_FEEDS.length + n + 1)
    set('setInstrument', id, { module: option, feed, ...listed })
    const { isCall, strike, expiry } = terms
    batch.call(option, {
      abi: optionAbi,
      functionName: 'list',
      args: [id, isCall, strike, Number(expiry), feed, FIXING, VOLATILITY],
    })
  }
  listStraight(config)
  await batch.send()
  // Long enough for a step of every ramp.
  const { timestamp } = await chain.client.getBlock()
  await chain.mine(Number(timestamp) + 600)
  for (const [feed, target] of drawn.targets.entries())
    set('moveFeed', BigInt(feed), { ...target, thinnessUnit: MAX_THINNESS, held: false })
  // What the engine observes first is the average.
  setPrices((feed) => {
    const price = drawn.prices.get(feed)!
    return { ...price, price: price.average ?? price.price }
  })
  for (const feed of FEEDS)
    batch.call(engine, { abi: marginEngineAbi, functionName: 'observe', args: [BigInt(feed)] })
  setPrices((feed) => drawn.prices.get(feed)!)
  await batch.send()
  return { ...drawn.market, shocks: await currentShocks(config) }
}

function listStraight(config: Address) {
  const args = [owner.address, oracle, config] as const
  const future = batch.create('Future', { abi: futureAbi, bytecode: futureBytecode, args })
  const swap = batch.create('RateSwap', { abi: rateSwapAbi, bytecode: rateSwapBytecode, args })
  const [start, expiry, period] = [SWAP.paidUntil, SWAP.expiry, SWAP.period].map(Number) as [
    number,
    number,
    number,
  ]
  let id = BigInt(INSTRUMENT_FEEDS.length + OPTIONS.length)
  const open = (module: Address, feed: number) => {
    const instrument = { module, feed, maxOpenInterest: WAD, backstopCap: WAD, priceBand: 1 }
    batch.call(config, { abi: riskConfigAbi, functionName: 'setInstrument', args: [++id, instrument] })
    return id
  }
  for (const feed of STRAIGHT_FEEDS) {
    const terms = [open(future, feed), GENESIS + 60 * DAY, feed, FIXING] as const
    batch.call(future, { abi: futureAbi, functionName: 'list', args: terms })
    const swapped = [open(swap, feed), start, expiry, period, feed, FIXING] as const
    batch.call(swap, { abi: rateSwapAbi, functionName: 'list', args: swapped })
  }
}

type RiskSetter =
  | 'setDynamicRisk'
  | 'setGlobal'
  | 'setClass'
  | 'setRiskClass'
  | 'setUnderlying'
  | 'setGrid'
  | 'setAsset'
  | 'setInstrument'
  | 'moveFeed'

const numbers = (fields: Record<string, bigint>) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, Number(value)]))

/** What margin takes of each feed now. */
async function currentShocks(config: Address): Promise<Map<number, Shocks>> {
  const read = { address: config, abi: riskConfigAbi, functionName: 'currentUnderlying' } as const
  const current = await Promise.all(
    FEEDS.map((feed) => chain.client.readContract({ ...read, args: [BigInt(feed)] })),
  )
  return new Map(
    current.map(({ class: riskClass, ...shocks }, feed) => [
      feed,
      { ...shocks, riskClass: Number(riskClass) },
    ]),
  )
}

function setPrices(priceOf: (feed: number) => MarginPrice) {
  const prices = [...FEEDS, VOLATILITY, FIXING].map((feed) => ({ ...priceOf(feed), observedAt: 0n }))
  batch.call(oracle, { abi: testOracleAbi, functionName: 'set', args: [prices] })
}

/** The market with what expires as it is worth at a time: options made when first valued, as some market has no price for them. */
function withDated(market: MarginMarket, now: bigint): MarginMarket {
  const price = (feed: number) => market.prices.get(feed)!.price
  const instruments = new Map(market.instruments)
  for (const [n, { feed, terms }] of OPTIONS.entries()) {
    const skew = { slope: 0n, curvature: 0n }
    const fresh = [feed, VOLATILITY].every((needed) => market.prices.get(needed)!.fresh)
    const make = () =>
      createOption(feed, terms, {
        now,
        mid: price(feed),
        volatility: price(VOLATILITY),
        skew,
        fixing: 0n,
        fresh,
      })
    let option: MarginInstrument | undefined
    instruments.set(INSTRUMENT_FEEDS.length + n + 1, {
      feed,
      curved: true,
      fresh,
      value(size, spot, volatility) {
        if (size === 0n) return 0n
        option ??= make()
        return option.value(size, spot, volatility)
      },
    })
  }
  for (const feed of STRAIGHT_FEEDS) {
    instruments.set(instruments.size + 1, createFuture(feed, 0n))
    instruments.set(instruments.size + 1, createRateSwap(feed, SWAP))
  }
  return { ...market, instruments }
}

/** By the contract; null where it reverts. */
async function onChain({
  cash,
  impairedCash,
  claims,
  positions,
  portfolioSet = false,
  warming = 0n,
}: MarginPortfolio): Promise<Health | null> {
  const portfolio = {
    cash,
    assetIds: claims.map(({ assetId }) => BigInt(assetId)),
    claims: claims.map(({ amount }) => amount),
    impaired: [...claims.map(({ impaired }) => impaired), impairedCash],
    instrumentIds: positions.map(({ instrumentId }) => BigInt(instrumentId)),
    sizes: positions.map(({ size }) => size),
    quotes: positions.map(({ quote }) => quote),
    portfolioSet,
    warming,
  }
  try {
    return await chain.client.readContract({
      address: engine,
      abi: marginEngineAbi,
      functionName: 'health',
      args: [portfolio],
    })
  } catch (error) {
    // A node that is too busy to answer has refused nothing.
    if (error instanceof ContractFunctionExecutionError && isAnswered(error)) return null
    throw error
  }
}

/** By the twin; null where it refuses. */
function byTwin(portfolio: MarginPortfolio, market: MarginMarket): Health | null {
  try {
    return marginHealth(portfolio, market)
  } catch (error) {
    if (error instanceof PermanentError) return null
    throw error
  }
}

const bps = (most: number) => fc.integer({ min: 0, max: most }).map(BigInt)
/** Of any order of magnitude up to `most`. */
const amount = (most: bigint) =>
  fc
    .tuple(fc.integer({ min: 0, max: most.toString(2).length }), fc.bigInt({ min: 0n, max: most }))
    .map(([bits, x]) => x >> BigInt(bits))
const signed = (most: bigint) => fc.tuple(amount(most), fc.boolean()).map(([x, minus]) => (minus ? -x : x))

const priceArbitrary: fc.Arbitrary<MarginPrice> = fc
  .record({
    price: amount(200_000n * WAD),
    confidence: fc.oneof(
      fc.constant(0n),
      fc.bigInt({ min: 0n, max: WAD / 3n }),
      fc.bigInt({ min: 0n, max: WAD }),
    ),
    park: fc.option(bps(30_000), { nil: null }),
    fresh: fc.integer({ min: 0, max: 3 }).map((x) => x !== 0),
    drift: fc.oneof(fc.constant(0n), bps(10_000), bps(20_000), bps(100_000)),
  })
  .map(({ park, drift, ...price }) => ({
    ...price,
    parked: park === null ? 0n : (price.price * park) / 10_000n,
    average: (price.price * drift) / 10_000n,
  }))

const shocksArbitrary: fc.Arbitrary<Shocks> = fc
  .tuple(bps(9_996), bps(9_996), bps(65_535), bps(10_000))
  .map(([a, b, tailShock, tailDamping]) => ({
    shockIm: 4n + (a > b ? a : b),
    shockMm: 4n + (a > b ? b : a),
    tailShock,
    tailDamping,
  }))

const ordered = fc
  .tuple(bps(10_000), bps(10_000))
  .map(([a, b]) => (a > b ? [b, a] : [a, b]) as [bigint, bigint])

/** A market as it is set, with what is read of RiskConfig only once it is. */
interface DrawnMarket {
  prices: ReadonlyMap<number, MarginPrice>
  /** By feed. */
  shocks: readonly (Shocks & { riskClass: number })[]
  targets: readonly { factorIm: number; factorMm: number; thinness: number }[]
  /** By asset id − 1. */
  credits: readonly { creditIm: bigint; creditMm: bigint }[]
  classes: readonly { rhoIm: bigint; rhoMm: bigint }[]
  grid: Record<keyof MarginMarket['grid'], bigint>
  profitCapIm: bigint
  market: Omit<MarginMarket, 'shocks'>
}

const feedArbitrary = fc.record({
  shocks: shocksArbitrary,
  riskClass: fc.integer({ min: 0, max: 3 }),
  target: fc
    .record({
      factors: fc.tuple(fc.integer({ min: 10_000, max: 50_000 }), fc.integer({ min: 10_000, max: 50_000 })),
      thinness: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: MAX_THINNESS })),
      bits: fc.integer({ min: 0, max: 26 }),
    })
    .map(({ factors, thinness, bits }) => ({
      factorIm: Math.max(...factors),
      factorMm: Math.min(...factors),
      thinness: thinness >> bits,
    })),
})

const marketArbitrary: fc.Arbitrary<DrawnMarket> = fc
  .record({
    prices: fc.tuple(priceArbitrary, priceArbitrary, priceArbitrary, priceArbitrary),
    feeds: fc.tuple(feedArbitrary, feedArbitrary, feedArbitrary, feedArbitrary),
    credits: fc.array(ordered, { minLength: 5, maxLength: 5 }),
    rhos: fc.array(ordered, { minLength: 4, maxLength: 4 }),
    portfolioRho: ordered,
    profitCapIm: amount(10n ** 26n),
    volatility: fc.record({
      price: fc.bigInt({ min: WAD / 100n, max: 5n * WAD }),
      fresh: fc.boolean(),
    }),
    shifts: fc.tuple(bps(65_535), bps(9_999), bps(10_000)),
    // Half of the shock at least, so that it stays above the trade band.
    portfolioShock: fc.oneof(fc.constant(0n), fc.bigInt({ min: 5_001n, max: 10_000n })),
  })
  .map(({ feeds, rhos, profitCapIm, volatility, shifts, portfolioRho, portfolioShock, ...drawn }) => {
    const prices = new Map([
      ...drawn.prices.map((price, feed) => [feed, price] as const),
      ...[VOLATILITY, FIXING].map((feed) => [feed, { ...volatility, confidence: 0n, parked: 0n }] as const),
    ])
    const credits = drawn.credits.map(([creditIm, creditMm]) => ({ creditIm, creditMm }))
    const classes = rhos.map(([rhoMm, rhoIm]) => ({ rhoIm, rhoMm }))
    const grid = {
      volatilityUp: shifts[0],
      volatilityDown: shifts[1],
      nakedShort: shifts[2],
      portfolioShock,
      portfolioRhoIm: portfolioRho[1],
      portfolioRhoMm: portfolioRho[0],
    }
    return {
      prices,
      shocks: feeds.map(({ shocks, riskClass }) => ({ ...shocks, riskClass })),
      targets: feeds.map(({ target }) => target),
      credits,
      classes,
      grid,
      profitCapIm,
      market: {
        settlementFeed: 0,
        prices,
        assets: new Map(ASSET_FEEDS.map((feed, n) => [n + 1, { feed, ...credits[n]! }])),
        instruments: new Map(INSTRUMENT_FEEDS.map((feed, n) => [n + 1, perpetual(feed)])),
        grid,
        ...classes[0]!,
        classes: new Map(classes.entries()),
        profitCapIm,
      },
    }
  })

const portfolioArbitrary: fc.Arbitrary<MarginPortfolio> = fc
  .record({
    cash: signed(10n ** 27n),
    impairedCash: fc.oneof(fc.constant(0n), amount(10n ** 27n)),
    warming: fc.oneof(fc.constant(0n), amount(10n ** 27n)),
    portfolioSet: fc.boolean(),
    claims: fc.uniqueArray(
      fc.record({ assetId: fc.integer({ min: 1, max: 5 }), amount: amount(10n ** 27n), part: bps(10_000) }),
      { selector: ({ assetId }) => assetId, maxLength: 5 },
    ),
    positions: fc.uniqueArray(
      fc.record({
        instrumentId: fc.integer({ min: 1, max: INSTRUMENTS }),
        size: signed(10n ** 26n),
        quote: signed(10n ** 30n),
      }),
      { selector: ({ instrumentId }) => instrumentId, maxLength: 8 },
    ),
  })
  .map(({ claims, ...rest }) => ({
    ...rest,
    claims: claims.map(({ assetId, amount, part }) => ({
      assetId,
      amount,
      impaired: (amount * part) / 10_000n,
    })),
  }))

/** One portfolio for each way in which a number can be at its edge. */
function edges(): MarginPortfolio[] {
  const most = (1n << 127n) - 1n
  const sizes = [0n, 1n, -1n, WAD, -WAD, 10n ** 27n, -(10n ** 27n), most, -most, most + 1n, -most - 1n]
  const amounts = [0n, 1n, WAD, 10n ** 30n, (1n << 120n) - 1n, 1n << 120n]
  const none = { cash: 0n, impairedCash: 0n, claims: [], positions: [] }
  const claim = (assetId: number, amount: bigint, impaired = 0n) => ({ assetId, amount, impaired })
  const position = (instrumentId: number, size: bigint, quote = 0n) => ({ instrumentId, size, quote })
  return [
    none,
    { ...none, cash: 1n },
    { ...none, cash: -1n, impairedCash: 1n },
    ...[1n << 150n, -1n << 150n, (1n << 150n) - 1n].map((cash) => ({ ...none, cash })),
    { ...none, impairedCash: 1n << 150n },
    ...[1n, 10n ** 27n, (1n << 150n) - 1n, 1n << 150n].map((warming) => ({ ...none, warming })),
    { ...none, cash: -WAD, warming: WAD, positions: [position(1, WAD, -WAD)] },
    ...sizes.map((size) => ({ ...none, positions: [position(1, size, 5n)] })),
    ...sizes.map((quote) => ({ ...none, cash: WAD, positions: [position(2, 1n, quote)] })),
    ...sizes.map((size) => ({ ...none, positions: [position(1, size), position(4, -size)] })),
    ...sizes.map((size) => ({ ...none, claims: [claim(2, WAD)], positions: [position(1, size)] })),
    ...amounts.map((amount) => ({ ...none, claims: [claim(3, amount)] })),
    ...amounts.map((amount) => ({ ...none, claims: [claim(3, amount, amount)] })),
    ...amounts.map((amount) => ({ ...none, claims: [claim(2, amount), claim(5, amount, amount / 2n)] })),
    { ...none, claims: [claim(2, 1n, 2n)] },
    { ...none, claims: [claim(6, 1n)] },
    { ...none, positions: [position(INSTRUMENTS + 1, 1n)] },
    ...sizes.map((size) => ({
      ...none,
      cash: 10n ** 24n,
      positions: [position(5, size), position(6, -size)],
    })),
    ...sizes.map((size) => ({
      ...none,
      portfolioSet: true,
      claims: [claim(2, WAD, WAD / 3n)],
      positions: [position(5, size), position(1, -size, 7n), position(7, 1n)],
    })),
    { ...none, portfolioSet: true, positions: [position(2, WAD), position(8, -WAD, 10n ** 20n)] },
    { ...none, claims: Array.from({ length: 22 }, () => claim(2, 1n)) },
    { ...none, positions: Array.from({ length: 21 }, () => position(1, WAD)) },
    { ...none, positions: Array.from({ length: 22 }, () => position(1, WAD)) },
  ]
}

const written = (value: unknown) =>
  JSON.stringify(value, (_, x) => (typeof x === 'bigint' ? x.toString() : x instanceof Map ? [...x] : x))

async function compare(drawn: DrawnMarket, portfolios: readonly MarginPortfolio[], seed: number) {
  const market = await enter(drawn)
  const { timestamp } = await chain.client.getBlock()
  const twins = withDated(market, timestamp)
  const healths: (Health | null)[] = []
  for (let n = 0; n < portfolios.length; n += CALLS_AT_ONCE)
    healths.push(...(await Promise.all(portfolios.slice(n, n + CALLS_AT_ONCE).map(onChain))))
  for (const [n, health] of healths.entries()) {
    const twin = byTwin(portfolios[n]!, twins)
    expect(twin, `seed ${seed}: ${written({ portfolio: portfolios[n], market })}`).toEqual(health)
  }
  return healths
}

test('twin and engine agree to the wei on random portfolios in random markets', async () => {
  const seed = Math.trunc(systemRandom.next() * 2 ** 31)
  console.log(`margin: ${MARKETS * PORTFOLIOS_A_MARKET} portfolios, seed ${seed}`)
  const markets = fc.sample(marketArbitrary, { numRuns: MARKETS, seed })
  const portfolios = fc.sample(portfolioArbitrary, { numRuns: MARKETS * PORTFOLIOS_A_MARKET, seed })
  let valued = 0
  for (const [n, market] of markets.entries()) {
    const part = portfolios.slice(n * PORTFOLIOS_A_MARKET, (n + 1) * PORTFOLIOS_A_MARKET)
    valued += (await compare(market, part, seed)).filter((health) => health !== null).length
  }
  // Whatever few markets bring, much is valued and not only refused.
  expect(valued).toBeGreaterThan((MARKETS * PORTFOLIOS_A_MARKET) / 4)
})

test('twin and engine agree on stored portfolios at the edges, and on which they refuse', async () => {
  const seed = 1
  const lines: string[] = []
  for (const [n, market] of fc.sample(marketArbitrary, { numRuns: 3, seed }).entries()) {
    const healths = await compare(market, edges(), seed)
    expect(healths).toContain(null)
    for (const [k, health] of healths.entries()) lines.push(`${n} ${k} ${written(health)}`)
  }
  await expect(`${lines.join('\n')}\n`).toMatchFileSnapshot('__snapshots__/margin-edges.txt')
})
