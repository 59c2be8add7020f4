// DESIGN §6.12: whatever prices, parameters, time and trades do, the keeper knows every account that brute force over the twin calls unsafe.
import {
  clearinghouseAbi,
  liquidationAuctionAbi,
  marginEngineAbi,
  priceOracleAbi,
} from '@clearspan/contracts'
import {
  type ChainClient,
  createLogger,
  createOption,
  type MarginMarket,
  type MarginPortfolio,
  marginHealth,
  perpetual,
} from '@clearspan/shared'
import fc from 'fast-check'
import {
  type AbiEvent,
  createPublicClient,
  custom,
  decodeFunctionData,
  encodeAbiParameters,
  encodeEventTopics,
  encodeFunctionResult,
  getAddress,
  type Hex,
  type Log,
  multicall3Abi,
  numberToHex,
  pad,
} from 'viem'
import { expect, it } from 'vitest'
import type { LaneContext } from './context.js'
import { createKeeperBook, type KeeperBook } from './keeper-book.js'
import { rankByDeficit } from './ranking.js'
import { risksOf } from './risks.js'

const WAD = 10n ** 18n
const DAY = 86_400n
const ACCOUNTS = 12
const account = (n: number) => pad(numberToHex(n + 1))
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const contracts = { priceOracle: address(1), marginEngine: address(2) }
const hubContracts = { clearinghouse: address(3), liquidationAuction: address(4) }

/** Three perpetuals and two options, the last of which are on the first feed. */
const INSTRUMENTS = [1, 2, 3, 4, 5]
const feedOf = (instrumentId: number) => (instrumentId > 3 ? 1 : instrumentId)

interface World {
  now: bigint
  /** By feed, WAD; of feed 4 the volatility of feed 1. */
  prices: Map<number, bigint>
  /** As the hub has them until the next report. */
  stored: Map<number, bigint>
  confidence: bigint
  shockMm: bigint
  rhoMm: bigint
  portfolios: Map<Hex, MarginPortfolio>
  auctions: Set<Hex>
}

const PRICES = new Map([
  [0, WAD],
  [1, 2_000n * WAD],
  [2, 40_000n * WAD],
  [3, 100n * WAD],
  [4, (WAD * 6n) / 10n],
])

const newWorld = (): World => ({
  now: 1_700_000_000n,
  prices: PRICES,
  stored: PRICES,
  confidence: 0n,
  shockMm: 600n,
  rhoMm: 3_000n,
  portfolios: new Map(
    Array.from({ length: ACCOUNTS }, (_, n) => [
      account(n),
      { cash: 20_000n * WAD, impairedCash: 0n, claims: [], positions: [], portfolioSet: n % 2 === 1 },
    ]),
  ),
  auctions: new Set(),
})

function marketOf({ now, prices, confidence, shockMm, rhoMm }: World): MarginMarket {
  const skew = { slope: -2_000n * 10n ** 14n, curvature: 0n }
  const dated = { now, mid: prices.get(1)!, volatility: prices.get(4)!, skew, fixing: 0n, fresh: true }
  const expiry = 1_700_000_000n + 60n * DAY
  const shocks = { shockIm: 2n * shockMm, shockMm, tailShock: 5_000n, tailDamping: 1_000n }
  return {
    settlementFeed: 0,
    prices: new Map(
      [...prices].map(([feed, price]) => [feed, { price, confidence, parked: 0n, fresh: true }]),
    ),
    shocks: new Map([1, 2, 3].map((feed) => [feed, shocks])),
    assets: new Map(),
    instruments: new Map([
      ...[1, 2, 3].map((id) => [id, perpetual(id)] as const),
      [4, createOption(1, { isCall: true, strike: 2_100n * WAD, expiry }, dated)],
      [5, createOption(1, { isCall: false, strike: 1_900n * WAD, expiry }, dated)],
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
    rhoMm,
    profitCapIm: 10_000n * WAD,
  }
}

/** What the hub says of its events, and a node that values accounts by the twin, at the prices of a report if one comes first. */
function keeperOf(world: World) {
  let onLogs: (logs: Log[]) => void = () => {}
  function listen(listener: { onLogs: typeof onLogs }) {
    onLogs = listener.onLogs
  }
  const context = { hub: { feed: { listen } }, network: { hub: { contracts: hubContracts } } }
  const book: KeeperBook = createKeeperBook(context as unknown as LaneContext)
  let block = 0n
  function tell(from: Hex, abi: readonly AbiEvent[], eventName: string, args: Record<string, unknown>) {
    const event = abi.find(({ name }) => name === eventName)!
    const topics = encodeEventTopics({ abi: [event], eventName, args }) as [Hex, ...Hex[]]
    const plain = event.inputs.filter(({ indexed }) => indexed !== true)
    const data = encodeAbiParameters(
      plain,
      plain.map(({ name }) => args[name!]),
    )
    const place = { blockHash: pad('0x1'), blockNumber: ++block, logIndex: 0, transactionIndex: 0 }
    onLogs([{ address: from, topics, data, transactionHash: pad('0x2'), removed: false, ...place }])
  }
  async function request({ params }: { params: [{ data: Hex }] }) {
    const { data } = params[0]
    const carried = decodeFunctionData({
      abi: multicall3Abi,
      data: `0x${data.slice(data.lastIndexOf('82ad56cb'))}`,
    })
    let prices = world.stored
    const results = (carried.args![0] as readonly { target: Hex; callData: Hex }[]).map((call) => {
      const abi = [...priceOracleAbi, ...marginEngineAbi] as const
      const { functionName, args } = decodeFunctionData({ abi, data: call.callData })
      if (functionName === 'update') {
        prices = world.prices
        return encodeFunctionResult({ abi: priceOracleAbi, functionName, result: true })
      }
      const market = marketOf({ ...world, prices })
      const result = (args![0] as readonly Hex[]).map((of) => marginHealth(world.portfolios.get(of)!, market))
      return encodeFunctionResult({ abi: marginEngineAbi, functionName: 'accountsHealth', result })
    })
    const result = results.map((returnData) => ({ success: true, returnData }))
    return encodeFunctionResult({ abi: multicall3Abi, functionName: 'aggregate3', result })
  }
  const client = createPublicClient({ transport: custom({ request }, { retryCount: 0 }) }) as ChainClient
  const events = { clearinghouse: eventsOf(clearinghouseAbi), auction: eventsOf(liquidationAuctionAbi) }
  return {
    traded: (buyer: Hex, seller: Hex) =>
      tell(hubContracts.clearinghouse, events.clearinghouse, 'Traded', {
        instrumentId: 1n,
        buyer,
        seller,
        size: 1n,
        price: 1n,
      }),
    transferred: (from: Hex, to: Hex) =>
      tell(hubContracts.clearinghouse, events.clearinghouse, 'Transferred', {
        from,
        to,
        fraction: 1n,
        payment: 0n,
      }),
    borrowed: (of: Hex) =>
      tell(hubContracts.clearinghouse, events.clearinghouse, 'Borrowed', { account: of, amount: 1n }),
    started: (of: Hex) =>
      tell(hubContracts.liquidationAuction, events.auction, 'AuctionStarted', {
        account: of,
        startedAt: 1n,
        equity: 0n,
        mm: -1n,
        insolvent: false,
      }),
    ended: (of: Hex) =>
      tell(hubContracts.liquidationAuction, events.auction, 'AuctionEnded', { account: of, emptied: false }),
    /** Accounts that it would start auctions of with the report, and those whose auctions it knows. */
    async danger(): Promise<Set<Hex>> {
      const logger = createLogger({ name: 'test', level: 'silent' })
      const moment = { blockNumber: 1n, time: world.now }
      const risks = await risksOf({ client, contracts, report: '0x01', moment, logger }, book.accounts())
      return new Set([...rankByDeficit(risks).map((risk) => risk.account), ...book.auctions])
    },
  }
}

const eventsOf = (abi: readonly { type: string }[]) =>
  abi.filter(({ type }) => type === 'event') as AbiEvent[]

/** The last accounts only bid: the keeper hears of them by what they took over. */
const BIDDERS = 3
const trader = fc.integer({ min: 0, max: ACCOUNTS - BIDDERS - 1 })
const bidder = fc.integer({ min: ACCOUNTS - BIDDERS, max: ACCOUNTS - 1 })
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('trade' as const),
      buyer: trader,
      seller: trader,
      instrumentId: fc.constantFrom(...INSTRUMENTS),
      /** Quote units of notional. */
      notional: fc.bigInt({ min: 1n, max: 250_000n }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('price' as const),
      feed: fc.constantFrom(1, 2, 3, 4),
      /** Percent of what it was. */
      to: fc.bigInt({ min: 70n, max: 140n }),
    }),
  },
  fc.record({
    kind: fc.constant('parameters' as const),
    shockMm: fc.bigInt({ min: 100n, max: 3_000n }),
    rhoMm: fc.bigInt({ min: 0n, max: 6_000n }),
    confidence: fc.bigInt({ min: 0n, max: WAD / 50n }),
  }),
  /** Funding of the perpetuals goes with the time, bps of their spot. */
  fc.record({
    kind: fc.constant('time' as const),
    days: fc.bigInt({ min: 0n, max: 20n }),
    funding: fc.bigInt({ min: -100n, max: 100n }),
  }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('bid' as const), to: bidder }) },
  fc.record({
    kind: fc.constant('borrow' as const),
    of: trader,
    amount: fc.bigInt({ min: 1n, max: 20_000n }),
  }),
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

function change(world: World, of: Hex, instrumentId: number, size: bigint, quote: bigint) {
  const held = world.portfolios.get(of)!
  const others = held.positions.filter((position) => position.instrumentId !== instrumentId)
  const before = held.positions.find((position) => position.instrumentId === instrumentId)
  const after = { instrumentId, size: (before?.size ?? 0n) + size, quote: (before?.quote ?? 0n) + quote }
  world.portfolios.set(of, { ...held, positions: [...others, after] })
}

function take(world: World, keeper: ReturnType<typeof keeperOf>, s: Step) {
  if (s.kind === 'price')
    world.prices = new Map([...world.prices, [s.feed, (world.prices.get(s.feed)! * s.to) / 100n]])
  else if (s.kind === 'parameters')
    Object.assign(world, { shockMm: s.shockMm, rhoMm: s.rhoMm, confidence: s.confidence })
  else if (s.kind === 'time') {
    world.now += s.days * DAY
    for (const [of, { positions }] of world.portfolios)
      for (const { instrumentId, size } of positions)
        if (instrumentId <= 3)
          change(
            world,
            of,
            instrumentId,
            0n,
            -((size * world.prices.get(instrumentId)! * s.funding) / WAD / 10_000n),
          )
  } else if (s.kind === 'trade') {
    const [buyer, seller] = [account(s.buyer), account(s.seller)]
    if (s.buyer === s.seller) return
    const mark = marketOf(world)
      .instruments.get(s.instrumentId)!
      .value(WAD, world.prices.get(feedOf(s.instrumentId))!, WAD)
    const size = (s.notional * WAD * WAD) / world.prices.get(feedOf(s.instrumentId))!
    change(world, buyer, s.instrumentId, size, -(size * mark) / WAD)
    change(world, seller, s.instrumentId, -size, (size * mark) / WAD)
    keeper.traded(buyer, seller)
  } else if (s.kind === 'borrow') {
    const of = account(s.of)
    const held = world.portfolios.get(of)!
    world.portfolios.set(of, { ...held, cash: held.cash - s.amount * WAD })
    keeper.borrowed(of)
  } else {
    const [from] = world.auctions
    const to = account(s.to)
    if (from === undefined || from === to) return
    for (const { instrumentId, size, quote } of world.portfolios.get(from)!.positions) {
      change(world, to, instrumentId, size, quote)
      change(world, from, instrumentId, -size, -quote)
    }
    keeper.transferred(from, to)
    keeper.ended(from)
    world.auctions.delete(from)
  }
}

it('calls in danger at each report whatever brute force calls unsafe', async () => {
  let unsafe = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(step, fc.boolean()), { minLength: 30, maxLength: 60 }),
      async (steps) => {
        const world = newWorld()
        const keeper = keeperOf(world)
        for (const [s, isReported] of steps) {
          take(world, keeper, s)
          if (!isReported) continue
          const market = marketOf(world)
          const brute = [...world.portfolios]
            .filter(([, held]) => marginHealth(held, market).mm < 0n)
            .map(([of]) => of)
          const danger = await keeper.danger()
          expect(brute.filter((of) => !danger.has(of))).toEqual([])
          unsafe += brute.length
          world.stored = world.prices
          const first = brute.find((of) => !world.auctions.has(of))
          if (first === undefined) continue
          world.auctions.add(first)
          keeper.started(first)
        }
      },
    ),
    { numRuns: 6 },
  )
  expect(unsafe).toBeGreaterThan(0)
})
