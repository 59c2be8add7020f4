import { join } from 'node:path'
import {
  clearinghouseAbi,
  futureAbi,
  iInstrumentAbi,
  iPriceOracleAbi,
  liquidationAuctionAbi,
  optionAbi,
  rateSwapAbi,
  riskConfigAbi,
} from '@clearspan/contracts'
import { createLogger, createQueueBackend, type QueueBackend, systemClock } from '@clearspan/shared'
import { type Hex, parseUnits, zeroAddress } from 'viem'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { datedFeeds, fixingPeriods } from '../packages/devnet/src/network/derivedFeeds.js'
import { LENDING } from '../packages/devnet/src/network/markets.js'
import { instrumentRisk } from '../packages/devnet/src/network/parameters.js'
import {
  type Actor,
  createActor,
  depositCalls,
  enrolCalls,
  matchCall,
} from '../packages/devnet/src/scenario/cast.js'
import type { Call } from '../packages/devnet/src/scenario/wallet.js'
import { createBidder, type Relayer } from '../packages/relayer/src/index.js'
import { temporaryDirectory } from './clearspan.js'
import { createTestRelayer, govern, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { startTestOracle, type TestOracle } from './testOracle.js'

const TEST_TIMEOUT_MS = 600_000
/** What a poll waits for takes seconds; a machine with much else to do takes minutes. */
const PATIENCE = { timeout: 280_000, interval: 500 }
const WAD = 10n ** 18n
const SPEED = 480
/** Real ms from a listing to its expiry, at least: longer than trades and a crash take. */
const LIFE_MS = 20_000
const ETH_AT_FIRST = 2_000
/** Alice breaks her maintenance margin there, and stays solvent: the fund of this network is empty. */
const ETH_AT_LAST = 1_560
/** From report to report. */
const FALL = 40
const RATE = 0.1
const MEAN_RATE = 0.2
/** Whole units: puts that alice sells, futures that bob buys, notional that bob swaps against floating. */
const SIZES = { put: 20n, future: 1n, swap: 1_000_000n }
const DEPOSITS = { alice: 10_000, bob: 10_000, maker: 200_000, bidder: 100_000 }
type Kind = keyof typeof SIZES

const logger = createLogger({ name: 'test', level: 'silent' })
const feeds = datedFeeds('ETH')

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let oracle: TestOracle
let on: TestNetwork
let backend: QueueBackend
let relayer: Relayer
let actors: Record<'alice' | 'bob' | 'maker' | 'bidder' | 'operator', Actor>
let bids: Promise<void>
const bidding = new AbortController()
let eth = ETH_AT_FIRST
let isFalling = false
/** Seconds; from then on there are fixings, once they may be. */
let expiry = Number.POSITIVE_INFINITY
let mayFix = false

beforeAll(async () => {
  dir = await temporaryDirectory()
  oracle = await startTestOracle()
  on = await startTestNetwork({
    directory: dir.path,
    chains: ['alpha'],
    nodeUrls: oracle.url,
    speed: SPEED,
    dated: true,
  })
  backend = await createQueueBackend({ dataDir: join(dir.path, 'queue'), clock: systemClock, logger })
  relayer = createTestRelayer(on, backend, {})
  await relayer.start()
  const stage = { manifest: on.network, timing: on.timing, realClock: systemClock }
  const { traders, maker, bidder, operator } = on.roles
  const actor = (key: typeof maker) => createActor(stage, key, logger)
  actors = {
    alice: actor(traders.alice),
    bob: actor(traders.bob),
    maker: actor(maker),
    bidder: actor(bidder),
    operator: actor(operator),
  }
  bids = createBidder({
    network: on.network,
    account: actors.bidder.account,
    chains: on.network.chains.map((chain, at) => ({ chain, ...actors.bidder.wallets[at]! })),
    maxShare: (WAD * 95n) / 100n,
    minReward: 0n,
    lotMarginBps: 100n,
    maxFraction: WAD,
    startBlock: 0n,
    clock: systemClock,
    logger,
  }).run(bidding.signal)
  oracle.publish(on, (feed) => {
    const isFixed = mayFix && on.networkClock.now() >= expiry * 1000
    if (feed === 'ETH/USD') {
      if (isFalling) eth = Math.max(ETH_AT_LAST, eth - FALL)
      return eth
    }
    if (feed === feeds.fixing) return isFixed ? ETH_AT_LAST : undefined
    if (feed === feeds.meanRate) return isFixed ? MEAN_RATE : undefined
    if (feed === feeds.volatility) return 0.8
    if (feed === feeds.rate) return RATE
    return feed === 'BTC/USD' ? 8_000 : 1
  })
})
afterAll(async () => {
  bidding.abort()
  await bids
  await relayer?.stop()
  await backend?.close()
  for (const actor of Object.values(actors ?? {})) await actor.close()
  await on?.stop()
  await oracle?.stop()
  await dir?.remove()
})

const feedAt = (name: string) => on.markets.feeds.findIndex((feed) => feed.name === name)
const modules = () => {
  const { future, option, rateSwap } = on.network.hub.contracts
  return { put: option, future, swap: rateSwap }
}

async function deposit(actor: Actor, amount: number): Promise<void> {
  const [chain] = on.network.chains
  const token = chain!.tokens.find(({ settlement }) => settlement)!
  await actor.hub.send([
    ...enrolCalls({ manifest: on.network }, actor, []),
    ...depositCalls(actor, chain!, token, parseUnits(String(amount), token.decimals)),
  ])
}

/** New instruments of each kind, with one expiry; their ids. */
async function list(): Promise<Record<Kind, bigint>> {
  const { riskConfig } = on.network.hub.contracts
  const config = { address: riskConfig, abi: riskConfigAbi } as const
  const count = await on.chains[0]!.client.readContract({ ...config, functionName: 'instrumentCount' })
  const ids = { put: count + 1n, future: count + 2n, swap: count + 3n }
  const { rate } = fixingPeriods(on.timing)
  const earliest = on.networkClock.now() / 1000 + (LIFE_MS / 1000) * SPEED
  expiry = Math.ceil(earliest / rate) * rate
  const spot = feedAt('ETH/USD')
  const open = (kind: Kind, feed: number): Call => {
    const risk = instrumentRisk(kind, on.markets.shocks[kind === 'swap' ? LENDING : 'ETH']!)
    return {
      to: riskConfig,
      abi: riskConfigAbi,
      functionName: 'setInstrument',
      args: [ids[kind], { module: modules()[kind], feed, ...risk }],
    }
  }
  const terms = (kind: Kind, abi: Call['abi'], args: readonly unknown[]): Call => ({
    to: modules()[kind],
    abi,
    functionName: 'list',
    args: [ids[kind], ...args],
  })
  const strike = BigInt(ETH_AT_FIRST) * WAD
  const fixing = feedAt(feeds.fixing)
  await govern(on, 0, [
    open('put', spot),
    open('future', spot),
    open('swap', feedAt(feeds.rate)),
    terms('put', optionAbi, [false, strike, expiry, spot, fixing, feedAt(feeds.volatility)]),
    terms('future', futureAbi, [expiry, spot, fixing]),
    terms('swap', rateSwapAbi, [expiry - rate, expiry, rate, feedAt(feeds.rate), feedAt(feeds.meanRate)]),
  ])
  return ids
}

let nonce = 0n

/** A trade at the mark, filled against the maker. */
async function match(actor: Actor, id: bigint, module: Hex, size: bigint): Promise<Call> {
  const price = await actors.maker.hub.client
    .readContract({ address: module, abi: iInstrumentAbi, functionName: 'mark', args: [id] })
    .then(([mark]) => mark)
  const order = (who: Actor, signed: bigint) => ({
    actor: who,
    order: {
      account: who.account,
      instrumentId: id,
      size: signed,
      limitPrice: price,
      expiry: BigInt(Math.floor(on.networkClock.now() / 1000) + 30 * 86_400),
      nonce: nonce++,
      matcher: zeroAddress,
    },
  })
  const own = order(actor, size)
  const others = order(actors.maker, -size)
  const [buyer, seller] = size > 0n ? [own, others] : [others, own]
  return matchCall({ manifest: on.network }, { buyer, seller, size: size > 0n ? size : -size, price })
}

/** Lists and trades, and does so again with other ids where the machine stood still until it was too late. */
async function openAll(): Promise<Record<Kind, bigint>> {
  const ids = await list()
  const { put, future, swap } = modules()
  const results = await actors.operator.hub.trySend([
    await match(actors.alice, ids.put, put, -SIZES.put * WAD),
    await match(actors.bob, ids.future, future, SIZES.future * WAD),
    await match(actors.bob, ids.swap, swap, SIZES.swap * WAD),
  ])
  return results.every(({ status }) => status === 'fulfilled') ? ids : openAll()
}

const ledger = () => ({ address: on.network.hub.contracts.clearinghouse, abi: clearinghouseAbi }) as const

test(
  'options, futures and swaps are liquidated, bid for, fixed and settled by nobody but the keeper and a bidder',
  async () => {
    const { alice, bob, maker, bidder } = actors
    const { client } = maker.hub
    const fund = Object.entries(DEPOSITS) as [keyof typeof DEPOSITS, number][]
    await Promise.all(fund.map(([name, amount]) => deposit(actors[name], amount)))
    const readiness = () =>
      client.readContract({
        address: on.network.chains[0]!.contracts.priceOracle,
        abi: iPriceOracleAbi,
        functionName: 'price',
        args: [BigInt(feedAt(feeds.rate))],
      })
    await expect.poll(async () => (await readiness()).price, PATIENCE).toBeGreaterThan(0n)
    const ids = await openAll()
    isFalling = true

    // The keeper opens the auction of who sold puts, and the bidder takes a part, puts included.
    const auction = { address: on.network.hub.contracts.liquidationAuction, abi: liquidationAuctionAbi }
    const bidsMade = () =>
      client.getContractEvents({ ...auction, eventName: 'Bid', fromBlock: 0n, strict: true })
    await expect.poll(async () => (await bidsMade()).length, PATIENCE).toBeGreaterThan(0)
    expect((await bidsMade())[0]!.args).toMatchObject({ account: alice.account, bidder: bidder.account })
    mayFix = true

    // Then all that is open ends by itself.
    const open = async () => {
      const interests = await Promise.all(
        Object.values(ids).map((id) =>
          client.readContract({ ...ledger(), functionName: 'openInterest', args: [id] }),
        ),
      )
      return interests.flat()
    }
    await expect.poll(open, PATIENCE).toEqual([0n, 0n, 0n, 0n, 0n, 0n])
    const closed = await client.getContractEvents({
      ...ledger(),
      eventName: 'ExpirySettled',
      fromBlock: 0n,
      strict: true,
    })
    const of = (id: bigint) => closed.filter(({ args }) => args.instrumentId === id).map(({ args }) => args)
    const paid = BigInt(ETH_AT_FIRST - ETH_AT_LAST) * WAD
    expect(of(ids.put).map(({ account }) => account)).toContain(bidder.account)
    expect(of(ids.put).reduce((total, { size }) => total + size, 0n)).toBe(0n)
    expect(new Set(of(ids.put).map(({ price }) => price))).toEqual(new Set([paid]))
    expect(of(ids.future)).toHaveLength(2)
    expect(of(ids.future)[0]!.price).toBe(BigInt(ETH_AT_LAST) * WAD)
    expect(of(ids.swap)).toHaveLength(2)
    const coupon = await client.readContract({
      address: modules().swap,
      abi: iInstrumentAbi,
      functionName: 'costIndex',
      args: [ids.swap],
    })
    const { rate } = fixingPeriods(on.timing)
    expect(-coupon).toBe((parseUnits(String(MEAN_RATE), 18) * BigInt(rate)) / BigInt(365 * 86_400))
    // Losers paid before winners asked: nobody is owed anything.
    await expect
      .poll(
        () => client.readContract({ ...ledger(), functionName: 'instrumentsOf', args: [bob.account] }),
        PATIENCE,
      )
      .toEqual([])

    // Once more is harmless.
    const again = { ...ledger(), functionName: 'settleExpired', args: [bob.account, ids.future] } as const
    expect((await client.simulateContract(again)).result).toBe(0n)
  },
  TEST_TIMEOUT_MS,
)
