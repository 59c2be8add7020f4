// The twins of the pricing modules against the modules themselves, on random terms, in random markets, before and after expiry.
import {
  futureAbi,
  futureBytecode,
  optionAbi,
  optionBytecode,
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
  isAnswered,
  type MarginInstrument,
  type OptionMarket,
  type OptionTerms,
  optionDeviation,
  optionValue,
  PermanentError,
  paidCoupons,
  type Swap,
  seededRandom,
  skewAt,
  swapDv01,
  systemRandom,
} from '@clearspan/shared'
import { type Address, ContractFunctionExecutionError } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestChains } from '../chains/chains.test-util.js'
import { type Batch, createBatch, type LocalChain, localAccounts } from '../chains/index.js'

const WAD = 10n ** 18n
const GENESIS = 1_700_000_000
const DAY = 86_400
const OPTIONS = 40
const FUTURES = 6
const SWAPS = 10
const CALLS_A_MOMENT = 40
const SCENARIOS = 7
/** Feeds of the oracle. */
const [UNDERLYING, VOLATILITY, FIXING, RATE, MEAN] = [0, 1, 2, 3, 4] as const
/** Days after the start at which everything is compared: the last one is after every expiry. */
const MOMENTS = [0, 0.4, 9, 400]

interface Listed<T> {
  id: bigint
  terms: T
}
interface SwapTerms extends Swap {
  start: bigint
}

const seed = Math.trunc(systemRandom.next() * 2 ** 31)
const random = seededRandom(seed)
const options: Listed<OptionTerms>[] = []
const futures: Listed<bigint>[] = []
const swaps: Listed<SwapTerms>[] = []
const ramps = new Map<bigint, Parameters<typeof skewAt>[0]>()

let chain: LocalChain
let close: (() => Promise<void>) | undefined
let batch: Batch
let oracle: Address
let config: Address
let option: Address
let future: Address
let swap: Address
let prices: bigint[] = []
let volatilityFresh = true

const integer = (from: number, to: number) => from + Math.floor(random.next() * (to - from + 1))
const wad = (x: number) => BigInt(Math.round(x * 1e9)) * 10n ** 9n
/** Of any order of magnitude. */
const magnitude = (from: number, to: number) => wad(10 ** (from + random.next() * (to - from)))
const pick = <T>(list: readonly T[]): T => list[integer(0, list.length - 1)]!

beforeAll(async () => {
  const started = await startTestChains([{ name: 'hub', chainId: 31_952 }], { genesisTime: GENESIS })
  ;({ close } = started)
  chain = started.chains[0]!
  const owner = localAccounts(1)[0]!
  batch = await createBatch(chain, owner)
  oracle = batch.create('TestOracle', { abi: testOracleAbi, bytecode: testOracleBytecode })
  config = batch.create('RiskConfig', {
    abi: riskConfigAbi,
    bytecode: riskConfigBytecode,
    args: [owner.address, 0n],
  })
  const args = [owner.address, oracle, config] as const
  option = batch.create('Option', { abi: optionAbi, bytecode: optionBytecode, args })
  future = batch.create('Future', { abi: futureAbi, bytecode: futureBytecode, args })
  swap = batch.create('RateSwap', { abi: rateSwapAbi, bytecode: rateSwapBytecode, args })
  for (const feed of [UNDERLYING, RATE])
    batch.call(config, {
      abi: riskConfigAbi,
      functionName: 'setUnderlying',
      args: [BigInt(feed), { shockIm: 2, shockMm: 2, tailShock: 0, tailDamping: 0 }],
    })
  setPrices(0n)
  await batch.send()
  list()
  await batch.send()
})

afterAll(async () => {
  await close?.()
})

/** @param observedAt Of the fixings, seconds. */
function setPrices(observedAt: bigint) {
  volatilityFresh = random.next() < 0.5
  prices = [magnitude(-2, 6), magnitude(-3, 1), magnitude(-2, 6), magnitude(-4, 0), magnitude(-4, 0)]
  batch.call(oracle, {
    abi: testOracleAbi,
    functionName: 'set',
    args: [
      prices.map((price, feed) => ({
        price,
        confidence: 0n,
        observedAt,
        parked: 0n,
        fresh: feed !== VOLATILITY || volatilityFresh,
      })),
    ],
  })
}

function list() {
  let id = 0n
  const open = (module: Address, feed: number) => {
    const instrument = { module, feed, maxOpenInterest: WAD, backstopCap: WAD, priceBand: 1 }
    batch.call(config, { abi: riskConfigAbi, functionName: 'setInstrument', args: [++id, instrument] })
    return id
  }
  const strikes = [1n, (1n << 120n) - 1n]
  const expiries = Array.from({ length: 4 }, () => GENESIS + integer(60, 300 * DAY))
  for (let n = 0; n < OPTIONS; n++) {
    const expiry = pick(expiries)
    const terms = {
      isCall: random.next() < 0.5,
      strike: n < strikes.length ? strikes[n]! : magnitude(-2, 6),
      expiry: BigInt(expiry),
    }
    options.push({ id: open(option, UNDERLYING), terms })
    batch.call(option, {
      abi: optionAbi,
      functionName: 'list',
      args: [id, terms.isCall, terms.strike, expiry, UNDERLYING, FIXING, VOLATILITY],
    })
  }
  for (const expiry of expiries.slice(1)) {
    const [slope, curvature] = [integer(-10_000, 10_000), integer(0, 10_000)]
    const args = [UNDERLYING, expiry, slope, curvature] as const
    batch.call(option, { abi: optionAbi, functionName: 'setSkew', args })
    const ramp = { fromSlope: 0n, fromCurvature: 0n, slope: BigInt(slope), curvature: BigInt(curvature) }
    ramps.set(BigInt(expiry), { ...ramp, since: 0n })
  }
  for (let n = 0; n < FUTURES; n++) {
    const expiry = GENESIS + integer(60, 300 * DAY)
    futures.push({ id: open(future, UNDERLYING), terms: BigInt(expiry) })
    batch.call(future, { abi: futureAbi, functionName: 'list', args: [id, expiry, UNDERLYING, FIXING] })
  }
  for (let n = 0; n < SWAPS; n++) {
    const period = integer(3_600, 31 * DAY)
    const start = GENESIS + integer(60, 5 * DAY)
    const expiry = start + period * integer(1, Math.floor((300 * DAY) / period))
    const [paidUntil, paid] = [BigInt(start), 0n]
    const terms = { start: paidUntil, expiry: BigInt(expiry), period: BigInt(period), paidUntil, paid }
    swaps.push({ id: open(swap, RATE), terms })
    const args = [id, start, expiry, period, RATE, MEAN] as const
    batch.call(swap, { abi: rateSwapAbi, functionName: 'list', args })
  }
}

/** Sums of holdings of one module in each scenario, by the contract; null where it refuses. */
async function onChain(
  module: Address,
  holdings: readonly { id: bigint; size: bigint; quote: bigint }[],
  spots: readonly bigint[],
  volatilities: readonly bigint[],
) {
  const args = [
    holdings.map(({ id, size, quote }) => ({ instrumentId: id, size, quote, index: 0n, underlying: 0n })),
    BigInt(spots.length),
    spots,
    volatilities,
  ] as const
  try {
    return await chain.client.readContract({ address: module, abi: optionAbi, functionName: 'pnl', args })
  } catch (error) {
    // A node that is too busy to answer has refused nothing.
    if (error instanceof ContractFunctionExecutionError && isAnswered(error)) return null
    throw error
  }
}

/** Compares a module with its twin on random holdings and scenarios, among them the edges. */
async function compare(module: Address, twins: ReadonlyMap<bigint, MarginInstrument>) {
  const ids = [...twins.keys()]
  const cases = Array.from({ length: CALLS_A_MOMENT }, () => ({
    holdings: Array.from({ length: integer(1, 4) }, () => ({
      id: pick(ids),
      size: (random.next() < 0.5 ? 1n : -1n) * (random.next() < 0.1 ? 0n : magnitude(-6, 9)),
      quote: (random.next() < 0.5 ? 1n : -1n) * magnitude(-6, 9),
    })),
    spots: Array.from({ length: SCENARIOS }, () =>
      random.next() < 0.15 ? pick([0n, 1n, (1n << 120n) - 1n]) : magnitude(-3, 7),
    ),
    volatilities: Array.from({ length: SCENARIOS }, () => (random.next() < 0.1 ? 0n : magnitude(-1, 1))),
  }))
  const answers = await Promise.all(
    cases.map(({ holdings, spots, volatilities }) => onChain(module, holdings, spots, volatilities)),
  )
  for (const [n, { holdings, spots, volatilities }] of cases.entries())
    expect(
      [
        spots.map((spot, k) =>
          holdings.reduce(
            (sum, { id, size, quote }) => sum + twins.get(id)!.value(size, spot, volatilities[k]!) + quote,
            0n,
          ),
        ),
        holdings.every(({ id, size }) => size === 0n || twins.get(id)!.fresh),
      ],
      `seed ${seed}, ${JSON.stringify(cases[n], (_, x) => (typeof x === 'bigint' ? `${x}` : x))}`,
    ).toEqual(answers[n])
}

/** Goes to the next moment and fixes what has expired. @return Unix seconds of calls, and the fixing of each instrument. */
async function enter(days: number) {
  const time = GENESIS + 100 + Math.round(days * DAY)
  await chain.mine(time)
  setPrices(BigInt(time))
  for (const { id, terms } of options)
    if (terms.expiry <= time) batch.call(option, { abi: optionAbi, functionName: 'fix', args: [id] })
  for (const { id } of [...futures, ...swaps]) {
    const address = swaps.some((listed) => listed.id === id) ? swap : future
    batch.call(address, { abi: futureAbi, functionName: 'accrue', args: [id] })
  }
  await batch.send()
  const now = (await chain.client.getBlock()).timestamp
  return { now, observedAt: BigInt(time) }
}

test('modules and their twins agree to the wei on random terms, before and after expiry', async () => {
  console.log(`instruments: ${3 * MOMENTS.length * CALLS_A_MOMENT} calls, seed ${seed}`)
  const since = (await chain.client.getBlock()).timestamp
  const fixings = new Map<bigint, bigint>()
  for (const days of MOMENTS) {
    const { now, observedAt } = await enter(days)
    const [mid, volatility, fixing, , mean] = prices as [bigint, bigint, bigint, bigint, bigint]
    const fixed = (id: bigint, expiry: bigint) => {
      if (expiry <= observedAt && !fixings.has(id)) fixings.set(id, fixing)
      return fixings.get(id) ?? 0n
    }
    const marketOf = ({ id, terms }: Listed<OptionTerms>): OptionMarket => {
      const ramp = ramps.get(terms.expiry)
      const skew = ramp ? skewAt({ ...ramp, since }, now) : { slope: 0n, curvature: 0n }
      return {
        now,
        mid,
        volatility,
        skew,
        fixing: fixed(id, terms.expiry),
        fresh: volatilityFresh || now >= terms.expiry,
      }
    }
    const read = { address: option, abi: optionAbi, functionName: 'mark' } as const
    const marks = await Promise.all(
      options.map(({ id }) => chain.client.readContract({ ...read, args: [id] })),
    )
    for (const [n, listed] of options.entries())
      expect(
        [
          optionValue(listed.terms, marketOf(listed), mid),
          createOption(0, listed.terms, marketOf(listed)).fresh,
        ],
        `seed ${seed}`,
      ).toEqual(marks[n])
    await compare(
      option,
      new Map(options.map((listed) => [listed.id, createOption(0, listed.terms, marketOf(listed))])),
    )
    await compare(future, new Map(futures.map(({ id, terms }) => [id, createFuture(0, fixed(id, terms))])))

    for (const listed of swaps) {
      const { start, ...state } = listed.terms
      listed.terms = { start, ...paidCoupons(state, { rate: mean, observedAt }) }
      const read = { address: swap, abi: rateSwapAbi } as const
      const index = await chain.client.readContract({ ...read, functionName: 'costIndex', args: [listed.id] })
      expect(-index).toBe(listed.terms.paid)
      const size = -magnitude(0, 9)
      const args = [listed.id, size] as const
      const dv01 = await chain.client.readContract({ ...read, functionName: 'dv01', args })
      expect(dv01).toBe(swapDv01(listed.terms, size))
    }
    await compareSwaps()
  }
  expect(fixings.size).toBe(OPTIONS + FUTURES)
  expect(swaps.every(({ terms }) => terms.paidUntil === terms.expiry)).toBe(true)
})

/** Without coupons since their last touch: those are compared as the index. */
async function compareSwaps() {
  const rates = [0n, 1n, ...Array.from({ length: 5 }, () => magnitude(-4, 1))]
  for (const { id, terms } of swaps) {
    const [size, quote] = [-magnitude(-6, 9), magnitude(-6, 9)]
    const args = [
      [{ instrumentId: id, size, quote, index: -terms.paid, underlying: 0n }],
      BigInt(rates.length),
      rates,
      [],
    ] as const
    const [values] = await chain.client.readContract({
      address: swap,
      abi: rateSwapAbi,
      functionName: 'pnl',
      args,
    })
    const twin = createRateSwap(0, terms)
    expect(values).toEqual(rates.map((rate) => twin.value(size, rate, WAD) + quote))
  }
}

test('where a module refuses, so does its twin', () => {
  const terms = { isCall: true, strike: WAD, expiry: 2_000n }
  const market = {
    now: 1_000n,
    mid: WAD,
    volatility: WAD,
    skew: { slope: 1n, curvature: 0n },
    fixing: 0n,
    fresh: true,
  }
  expect(() => optionDeviation(terms, { ...market, volatility: 0n })).toThrow(PermanentError)
  expect(() => optionDeviation(terms, { ...market, mid: 0n })).toThrow(PermanentError)
  expect(() => optionDeviation(terms, { ...market, mid: 1n << 120n })).toThrow(PermanentError)
  expect(() => optionValue(terms, market, 1n << 120n)).toThrow(PermanentError)
  expect(() => optionValue(terms, market, WAD, 1n << 127n)).toThrow(PermanentError)
})
