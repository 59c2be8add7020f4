import { futureAbi, governanceAbi, optionAbi, rateSwapAbi } from '@clearspan/contracts'
import { type Address, encodeFunctionData, parseUnits } from 'viem'
import { datedFeeds, fixingPeriods } from '../network/derivedFeeds.js'
import type { LocalNetwork } from '../network/localNetwork.js'
import type { LocalInstrument } from '../network/markets.js'
import type { Actor } from './cast.js'
import { feedAt, feedValue, oraclePrice } from './prices.js'
import type { Stage } from './stage.js'
import { usd } from './state.js'
import type { DatedTerms } from './terms.js'
import { until } from './until.js'
import type { Call } from './wallet.js'

/** Share of the replay after which what is held through it expires. */
const HELD = 0.85
/** Room for the listing's transaction, and for the trades after it, before anything begins or ends; on a busy machine, too. Real ms. */
const LISTING_MS = 10_000
const TRADING_MS = 20_000
/** Longest life beyond the replay, real ms: what ends later is not listed, since nobody would see it end. */
const LONGEST_MS = 45_000
const LIST_TIMEOUT_MS = 120_000
/** Strikes as shares of the spot, of so many significant digits. In the money: what hardly has a value moves by more than a trade's band a block. */
const STRIKES = { call: 0.97, put: 1.03 }
const STRIKE_DIGITS = 3

/**
 * Lists what expires, with strikes around the present price and expiries late in the replay that is about to begin, as soon as the hub has
 * a volatility and a rate. Without what would end long after the replay, and nothing where nothing expires.
 */
export async function listDated(
  { network, onProgress, signal }: Stage,
  lister: Actor,
): Promise<DatedTerms[]> {
  const { dated, instruments } = network.markets
  if (dated === undefined) return []
  let left = instruments.filter(({ kind }) => kind !== 'perpetual')
  const listed: DatedTerms[] = []
  let missing = ''
  await until({
    what: 'listing what expires',
    clock: network.realClock,
    timeoutMs: LIST_TIMEOUT_MS,
    signal,
    missing: () => missing,
    found: async () => {
      const { volatility, rate } = datedFeeds(dated)
      const known = await Promise.all([volatility, rate].map((feed) => feedValue(network, feed)))
      missing = 'the hub has no volatility or no lending rate yet'
      if (known.includes(0n)) return undefined
      const spot = await oraclePrice(network, dated)
      const planned = left.flatMap((instrument) => planTerms(network, instrument, spot))
      // A swap whose first coupon has begun by then is refused, and tried again with a later one.
      const results = await lister.hub.trySend(planned.map((terms) => listCall(network, dated, terms)))
      listed.push(...planned.filter((_, at) => results[at]!.status === 'fulfilled'))
      left = left.filter(({ id }) =>
        planned.some((terms, at) => terms.id === id && results[at]!.status === 'rejected'),
      )
      const refused = results.find((result) => result.status === 'rejected')
      if (refused) missing = refused.reason.message
      return left.length === 0 || undefined
    },
  })
  onProgress(`listed: ${listed.map(describeTerms).join('; ')}`)
  return listed
}

/** One instrument's terms, or none if it would end too late. */
function planTerms(
  { clock, timing, window }: LocalNetwork,
  { id, symbol, kind }: LocalInstrument,
  spot: bigint,
): DatedTerms[] {
  const now = clock.now() / 1000
  const span = (realMs: number) => (realMs / 1000) * timing.speed
  const replay = (window.endMs - window.startMs) / 1000
  const target = now + HELD * replay
  const periods = fixingPeriods(timing)
  const common = { id, symbol, kind }
  const terms = ((): DatedTerms => {
    if (kind === 'swap') {
      const period = periods.rate
      const start = Math.ceil((now + span(LISTING_MS)) / period) * period
      const coupons = Math.max(1, Math.floor((target - start) / period))
      return { ...common, start, period, expiry: start + coupons * period }
    }
    const last = Math.floor(target / periods.price)
    const expiry = Math.max(Math.ceil((now + span(TRADING_MS)) / periods.price), last) * periods.price
    if (kind !== 'call' && kind !== 'put') return { ...common, expiry }
    const strike = ((Number(spot) / 1e18) * STRIKES[kind]).toPrecision(STRIKE_DIGITS)
    return { ...common, expiry, strike: parseUnits(String(Number(strike)), 18) }
  })()
  return terms.expiry > now + Math.max(replay, span(TRADING_MS)) + span(LONGEST_MS) ? [] : [terms]
}

/** What the modules may refuse, by governance. */
const LISTING_ABI = [
  ...governanceAbi,
  ...[...futureAbi, ...optionAbi, ...rateSwapAbi].filter(({ type }) => type === 'error'),
]

function listCall(network: LocalNetwork, dated: string, terms: DatedTerms): Call {
  const { chains, hub } = network.manifest
  const { future, option, rateSwap } = hub.contracts
  const { governance } = chains.find(({ chainId }) => chainId === hub.chainId)!.contracts
  const feeds = datedFeeds(dated)
  const [spot, fixing, volatility, rate, meanRate] = [
    `${dated}/USD`,
    feeds.fixing,
    feeds.volatility,
    feeds.rate,
    feeds.meanRate,
  ].map((name) => feedAt(network, name)) as [number, number, number, number, number]
  const { id, kind, expiry, strike, start, period } = terms
  const list = (module: Address, abi: Call['abi'], args: readonly unknown[]): Call => ({
    to: governance,
    abi: LISTING_ABI,
    functionName: 'execute',
    args: [module, encodeFunctionData({ abi, functionName: 'list', args: [BigInt(id), ...args] })],
  })
  if (kind === 'swap') return list(rateSwap, rateSwapAbi, [start, expiry, period, rate, meanRate])
  if (kind === 'future') return list(future, futureAbi, [expiry, spot, fixing])
  return list(option, optionAbi, [kind === 'call', strike, expiry, spot, fixing, volatility])
}

/** `ETH-CALL at 144 until 2020-03-12T20:10`. */
function describeTerms({ symbol, strike, expiry }: DatedTerms): string {
  const at = strike === undefined ? '' : ` at ${usd(strike)}`
  return `${symbol}${at} until ${new Date(expiry * 1000).toISOString().slice(0, 16)}`
}
