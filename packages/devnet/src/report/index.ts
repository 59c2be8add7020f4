import { priceOracleAbi } from '@clearspan/contracts'
import { accountId, oracleConfigHash, UNUSABLE_CONFIDENCE, unpackPrices } from '@clearspan/shared'
import { formatUnits, type Hex } from 'viem'
import { z } from 'zod'
import type { LocalNetwork } from '../network/localNetwork.js'
import { hubClient, markOf, oraclePrice } from '../scenario/prices.js'
import { type AccountHealth, healths, type Outstanding, releaseRefs } from '../scenario/state.js'
import type { DatedTerms } from '../scenario/terms.js'
import { type AuthorityReport, authorities } from './authority.js'
import { type Check, checkAll, type FinalPrices } from './checks.js'
import { type StoredReport, soldLots, storedReports } from './events.js'
import { type ExpiryReport, expiryReports } from './expiries.js'
import { type GasLine, gasByKind } from './gas.js'
import { type LedgerState, type NamedAccount, readLedger } from './ledger.js'
import { type LiquidationReport, liquidationStory } from './liquidations.js'
import { iso, money } from './text.js'

export type { Check, GasLine, NamedAccount }

const WAD = 10n ** 18n

/** Amounts of money are decimal strings of settlement units, sizes and token amounts decimal strings of whole units. */
export interface HealthFigures {
  equity: string
  im: string
  mm: string
}

export interface AccountReport {
  name: string
  account: Hex
  liquidated: boolean
  before: HealthFigures
  after: HealthFigures
  cash: string
  /** Claims by chain. */
  collateral: { chain: string; token: string; amount: string }[]
  /** `quote` is what was paid (−) or received (+) for the size, funding and settled profit included. */
  positions: { instrument: string; size: string; quote: string }[]
}

export interface LotReport {
  chain: string
  token: string
  amount: string
  proceeds: string
  /** Proceeds against the chain's own oracle, bps; negative is a discount. */
  againstOracleBps: number
}

/** From one stage of a message to another. */
export interface LatencyLine {
  stage: string
  unit: 'ms' | 's of network time'
  count: number
  p50: number
  p95: number
  max: number
}

export interface ClosingReport {
  networkId: Hex
  speed: number
  window: { start: string; end: string; worst: string | null }
  prices: { tape: string; real: string[]; simulated: string[]; notes: string[] }
  /** What the hub's oracle holds of feeds that aren't the price of a market; null before the first value. */
  derivedFeeds: { feed: string; value: string | null; fresh: boolean }[]
  accounts: AccountReport[]
  liquidations: LiquidationReport[]
  lots: LotReport[]
  /** What expired, and was settled. */
  expiries: ExpiryReport[]
  /** `backstop` is the equity of the fund's own book, at the oracle's prices; what it lost since it took accounts over is the fund's too. */
  losses: {
    badDebt: string
    paidByFund: string
    socialised: string
    fundBefore: string
    fundAfter: string
    backstop: string
  }
  latencies: LatencyLine[]
  gas: GasLine[]
  /** Auctions and lots that found no buyer by the end. */
  unsold: string[]
  /** Who may do what on each chain. */
  authorities: AuthorityReport[]
  checks: Check[]
}

/** What the story noted on the way. */
export interface StoryRecord {
  /** Network ms. */
  replay: { startMs: number; endMs: number }
  before: ReadonlyMap<Hex, AccountHealth>
  /** The fund's cash before the crash, WAD. */
  fundBefore: bigint
  named: readonly NamedAccount[]
  /** What was listed to expire. */
  dated: readonly DatedTerms[]
  left: Outstanding
}

/** Stops the chains for a moment, so that all of them are read at one time, and makes the report from what they say. */
export async function compileReport(options: {
  network: LocalNetwork
  record: StoryRecord
}): Promise<ClosingReport> {
  const { network } = options
  const latencies = await relayerLatencies(network)
  await network.producer.halt()
  try {
    return await compile(network, options.record, latencies)
  } finally {
    network.producer.resume()
  }
}

async function compile(
  network: LocalNetwork,
  record: StoryRecord,
  latencies: LatencyLine[],
): Promise<ClosingReport> {
  const { manifest, window, plan, tape, timing } = network
  const ledger = await readLedger({
    network: manifest,
    chains: network.chains,
    // What starting auctions earned lies with whoever started them.
    accounts: [
      ...record.named,
      { name: 'keeper', account: accountId(network.roles.relayer.urgent.account.address) },
    ],
    releases: await releaseRefs(network),
  })
  const after = await healths(network, [
    ...record.named.map(({ account }) => account),
    ledger.backstopAccount,
  ])
  const prices = await finalPrices(network, record.dated)
  const { auctions, losses, closings, liquidations } = await liquidationStory(network, ledger)
  const reports = await storedReports(network)
  const lots = await lotReports(network, reports)
  const fundAfter = ledger.accounts.find(({ account }) => account === ledger.fundAccount)?.cash ?? 0n
  const powers = await authorities(network)
  const total = (values: bigint[]) => values.reduce((a, b) => a + b, 0n)
  return {
    networkId: manifest.networkId,
    speed: timing.speed,
    window: {
      start: iso(window.startMs),
      end: iso(window.endMs),
      worst: window.worst
        ? `${window.worst.source} ${window.worst.symbol} −${(window.worst.depth * 100).toFixed(1)}%`
        : null,
    },
    prices: { tape: tape.name, ...plan.describe() },
    derivedFeeds: await derivedFeeds(network),
    accounts: record.named.map(({ name, account }) =>
      accountReport(network, ledger, {
        name,
        account,
        before: record.before.get(account)!,
        after: after.get(account)!,
        liquidated: auctions.some((auction) => auction.account === account),
      }),
    ),
    liquidations,
    lots,
    expiries: await expiryReports(network, record.dated, ledger.accounts),
    losses: {
      badDebt: money(total(losses.map(({ loss }) => loss))),
      paidByFund: money(total(losses.map(({ fromFund }) => fromFund))),
      socialised: money(total(losses.map(({ socialised }) => socialised))),
      fundBefore: money(record.fundBefore),
      fundAfter: money(fundAfter),
      backstop: money(after.get(ledger.backstopAccount)!.equity),
    },
    latencies,
    gas: await gasByKind(network),
    unsold: record.left.sales,
    authorities: powers,
    checks: checkAll({
      ledger,
      prices,
      auctions,
      losses,
      closings,
      reports,
      configuration: await configurationOf(network),
      authorities: powers,
      left: [...record.left.messages, ...record.left.expiries],
    }),
  }
}

async function derivedFeeds(network: LocalNetwork): Promise<ClosingReport['derivedFeeds']> {
  const { manifest, markets, plan } = network
  const { priceOracle } = manifest.chains.find(({ chainId }) => chainId === manifest.hub.chainId)!.contracts
  const derived = markets.feeds.slice(plan.feeds.length).map(async ({ name }, index) => {
    const { value, observedAt, fresh } = await hubClient(network).readContract({
      address: priceOracle,
      abi: priceOracleAbi,
      functionName: 'value',
      args: [BigInt(plan.feeds.length + index)],
    })
    return { feed: name, value: observedAt === 0n ? null : formatUnits(value, 18), fresh }
  })
  return Promise.all(derived)
}

async function configurationOf({ manifest, chains }: LocalNetwork) {
  const { oracle } = manifest
  const args = [BigInt(oracle.epoch)] as const
  const expected = chains.map(async ({ name, client }, index) => {
    const address = manifest.chains[index]!.contracts.priceOracle
    const hash = await client.readContract({ address, abi: priceOracleAbi, functionName: 'configHash', args })
    return { chain: name, expected: hash }
  })
  return { nodes: oracleConfigHash(oracle), chains: await Promise.all(expected) }
}

/** The hub's prices now; a unit of the settlement token is a unit of account. */
async function finalPrices(network: LocalNetwork, dated: readonly DatedTerms[]): Promise<FinalPrices> {
  const { tokens, instruments } = network.markets
  const bases = [...new Set(tokens.map(({ base }) => base))]
  // Without terms it has no mark, and nobody a position.
  const listed = instruments.filter(
    ({ id, kind }) => kind === 'perpetual' || dated.some((terms) => terms.id === id),
  )
  const prices = new Map(
    await Promise.all(
      bases.map(async (base): Promise<[string, bigint]> => [base, await oraclePrice(network, base)]),
    ),
  )
  const marks = new Map(
    await Promise.all(
      listed.map(async ({ id }): Promise<[number, bigint]> => [id, await markOf(network, id)]),
    ),
  )
  return {
    token: (symbol) => {
      const { base, settlement } = tokens.find((token) => token.symbol === symbol)!
      return settlement ? WAD : prices.get(base)!
    },
    instrument: (id) => marks.get(id)!,
  }
}

function accountReport(
  { manifest }: LocalNetwork,
  ledger: LedgerState,
  one: { name: string; account: Hex; before: AccountHealth; after: AccountHealth; liquidated: boolean },
): AccountReport {
  const state = ledger.accounts.find(({ account }) => account === one.account)!
  const figures = ({ equity, im, mm }: AccountHealth) => ({
    equity: money(equity),
    im: money(im),
    mm: money(mm),
  })
  return {
    name: one.name,
    account: one.account,
    liquidated: one.liquidated,
    before: figures(one.before),
    after: figures(one.after),
    cash: money(state.cash + state.warming),
    collateral: state.rows
      .filter(({ claim, immature }) => claim + immature > 0n)
      .map(({ assetId, claim, immature }) => {
        const { chain, symbol, decimals } = ledger.tokens.find((token) => token.assetId === assetId)!
        return { chain, token: symbol, amount: formatUnits(claim + immature, decimals) }
      }),
    positions: state.positions.map(({ instrumentId, size, quote }) => ({
      instrument: manifest.hub.instruments.find(({ id }) => id === instrumentId)!.symbol,
      size: formatUnits(size, 18),
      quote: money(quote),
    })),
  }
}

async function lotReports(network: LocalNetwork, reports: readonly StoredReport[]): Promise<LotReport[]> {
  const sold = await soldLots(network)
  return sold.map(({ chain, token, amount, proceeds, blockNumber }) => {
    const { symbol, decimals, feed } = chain.tokens.find(
      ({ address }) => address.toLowerCase() === token.toLowerCase(),
    )!
    const settlement = chain.tokens.find((one) => one.settlement)!
    const price = reportedPrice(network, reports, { chain: chain.name, block: blockNumber, feed })
    const worth = (amount * price) / 10n ** BigInt(decimals)
    const paid = proceeds * 10n ** BigInt(18 - settlement.decimals)
    return {
      chain: chain.name,
      token: symbol,
      amount: formatUnits(amount, decimals),
      proceeds: formatUnits(proceeds, settlement.decimals),
      againstOracleBps: worth === 0n ? 0 : Number(((paid - worth) * 10_000n) / worth),
    }
  })
}

/** Newest usable price (WAD) of a feed in the reports that a chain had stored by a block. */
function reportedPrice(
  { markets }: LocalNetwork,
  reports: readonly StoredReport[],
  at: { chain: string; block: bigint; feed: string },
): bigint {
  const index = markets.feeds.findIndex(({ name }) => name === at.feed)
  const exponent = markets.feeds[index]!.exponent
  const usable = reports
    .filter(({ chain, block }) => chain === at.chain && block <= at.block)
    .map(({ values }) => unpackPrices(values, markets.feeds.length)[index]!)
    .filter(({ confidence }) => confidence !== UNUSABLE_CONFIDENCE)
  return (usable.at(-1)?.price ?? 0n) * 10n ** BigInt(18 + exponent)
}

/** What the relayer measured, by stage, and its transactions from readiness to acceptance. */
async function relayerLatencies(network: LocalNetwork): Promise<LatencyLine[]> {
  const response = await fetch(`${network.relayerUrl}/status`)
  const { latencies } = relayerStatusSchema.parse(await response.json())
  return Object.entries(latencies).map(([stage, percentiles]) => ({
    stage,
    unit: stage === 'blockToBlock' ? 's of network time' : 'ms',
    ...percentiles,
  }))
}

const relayerStatusSchema = z.object({
  latencies: z.record(
    z.string(),
    z.object({ count: z.number(), p50: z.number(), p95: z.number(), max: z.number() }),
  ),
})
