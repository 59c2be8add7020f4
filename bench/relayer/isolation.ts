import { iCollateralVaultAbi, iLiquidationAuctionAbi, marginEngineAbi } from '@clearspan/contracts'
import { accountId, createLogger, systemClock } from '@clearspan/shared'
import { type Hex, parseUnits, zeroAddress } from 'viem'
import {
  type Actor,
  approve,
  createActor,
  enrolCalls,
  matchCall,
  mint,
} from '../../packages/devnet/src/scenario/cast.js'
import type { Call } from '../../packages/devnet/src/scenario/wallet.js'
import type { TransactionSample } from '../../packages/relayer/src/index.js'
import type { Stage } from './stage.js'

/** Accounts that a falling price liquidates one after another: what each has deposited, USD, and how much it holds for it. */
const ACCOUNTS = 30
const DEPOSIT = 1_000
const MOST_LEVERAGE = 7
const LEVERAGE_STEP = 0.1
const MAKER_DEPOSIT = 1_000_000
const ETH_AT_FIRST = 2_000
/** Share that the price loses from report to report: until the first account is near its end; then in every second one, so that some reports carry no liquidation. */
const APPROACH = 0.01
const STEP = 0.004
/** Maintenance margin left, USD, at which the approach ends: one more step of it would break it. */
const NEAR = 90
/** Longest for each part of it, real ms. */
const PATIENCE_MS = 90_000
/** How long prices fall while they are watched, real ms. */
const WATCHED_MS = 20_000
const WAD = 10n ** 18n

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Prices of a test oracle that can be made to fall, and when each report went out. */
export interface Market {
  price(feed: string): number
  /** Share of its price that ETH loses in each report, or in every second one. */
  fall(share: number, every: 1 | 2): void
  eth(): number
  onPublished(at: number): void
  /** Unix ms at which the report went out that had arrived by then. */
  publishedBefore(arrivedAt: number): number
}

export function createMarket(): Market {
  let eth = ETH_AT_FIRST
  let falling = { share: 0, every: 1 }
  let turn = 0
  const published: number[] = []
  return {
    price(feed) {
      if (feed !== 'ETH/USD') return feed === 'BTC/USD' ? 8_000 : 1
      if (turn++ % falling.every === 0) eth *= 1 - falling.share
      return eth
    },
    fall(share, every) {
      falling = { share, every }
    },
    eth: () => eth,
    onPublished: (at) => void published.push(at),
    publishedBefore: (arrivedAt) => published.findLast((at) => at <= arrivedAt) ?? Number.NaN,
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const began = Date.now(); !(await holds()); await pause(200))
    if (Date.now() - began > PATIENCE_MS) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`)
}

/**
 * Accounts of alice's from sub-account `first` on, each with a position in ETH a little smaller than the one before, and the price just above where
 * the first of them breaks its maintenance margin. A relayer with all roles must be running, and prices.
 */
export async function openPositions({ on }: Stage, market: Market, first: number): Promise<void> {
  const logger = createLogger({ name: 'bench', level: 'silent' })
  const network = { manifest: on.network, timing: on.timing, realClock: systemClock }
  const actor = (key: typeof on.roles.maker) => createActor(network, key, logger)
  const [alice, maker, operator] = [on.roles.traders.alice, on.roles.maker, on.roles.operator].map(actor) as [
    Actor,
    Actor,
    Actor,
  ]
  try {
    const accounts = Array.from({ length: ACCOUNTS }, (_, i) => ({
      ...alice,
      account: accountId(alice.key.account.address, BigInt(first + i)),
    }))
    await Promise.all([
      alice.hub.send(fundCalls(on, accounts, DEPOSIT)),
      maker.hub.send(fundCalls(on, [maker], MAKER_DEPOSIT)),
    ])
    await trade(on, { market, first, accounts, maker, operator })
    market.fall(APPROACH, 1)
    await until(
      'a price near the first liquidation',
      async () => (await mmOf(on, alice, accounts[0]!)) < NEAR,
    )
    market.fall(0, 1)
  } finally {
    await Promise.all([alice, maker, operator].map(({ close }) => close()))
  }
}

/** Deposits so many USD in each account of one owner, and lets the venue trade for it. */
function fundCalls(on: Stage['on'], accounts: readonly Actor[], usd: number): Call[] {
  const [owner] = accounts as [Actor, ...Actor[]]
  const chain = on.network.chains[0]!
  const token = chain.tokens.find(({ settlement }) => settlement)!
  const amount = parseUnits(String(usd), token.decimals)
  const all = amount * BigInt(accounts.length)
  const deposits = accounts.flatMap((actor): Call[] => [
    ...enrolCalls({ manifest: on.network }, actor, []),
    depositCall(chain.contracts.vault, actor.account, token.address, amount),
  ])
  return [mint(owner, token, all), approve(token, chain.contracts.vault, all), ...deposits]
}

function depositCall(to: Hex, account: Hex, token: Hex, amount: bigint): Call {
  return { to, abi: iCollateralVaultAbi, functionName: 'deposit', args: [account, token, amount] }
}

interface Trading {
  market: Market
  first: number
  accounts: readonly Actor[]
  maker: Actor
  operator: Actor
}

/** Each account buys from the maker; what isn't matured yet is tried again. */
async function trade(on: Stage['on'], { market, first, accounts, maker, operator }: Trading): Promise<void> {
  const manifest = on.network
  const instrumentId = BigInt(manifest.hub.instruments.find(({ feed }) => feed === 'ETH/USD')!.id)
  let nonce = BigInt(first) * 1_000n
  const callFor = (buyer: Actor, leverage: number) => {
    const price = parseUnits(market.eth().toFixed(8), 18)
    const size = (parseUnits(String(DEPOSIT * leverage), 18) * WAD) / price
    const order = (actor: Actor, signed: bigint) => ({
      actor,
      order: {
        account: actor.account,
        instrumentId,
        size: signed,
        limitPrice: price,
        expiry: BigInt(Math.floor(on.networkClock.now() / 1000) + 86_400),
        nonce: ++nonce,
        matcher: zeroAddress,
      },
    })
    return matchCall({ manifest }, { buyer: order(buyer, size), seller: order(maker, -size), size, price })
  }
  let left = accounts.map((actor, i) => ({ actor, leverage: MOST_LEVERAGE - i * LEVERAGE_STEP }))
  await until('every account has its position', async () => {
    const results = await operator.hub.trySend(
      await Promise.all(left.map(({ actor, leverage }) => callFor(actor, leverage))),
    )
    left = left.filter((_, i) => results[i]?.status === 'rejected')
    return left.length === 0
  })
}

/** USD. */
async function mmOf({ network }: Stage['on'], reader: Actor, { account }: Actor): Promise<number> {
  const { mm } = await reader.hub.client.readContract({
    address: network.hub.contracts.marginEngine,
    abi: marginEngineAbi,
    functionName: 'accountHealth',
    args: [account],
  })
  return Number(mm) / 1e18
}

/** When prices fell, unix ms. */
export interface Watch {
  from: number
  to: number
}

/** Lets prices fall for a while. @throws when that liquidated nobody. */
export async function watchFall({ destination, on }: Stage, market: Market): Promise<Watch> {
  const from = Date.now()
  const fromBlock = await destination.client.getBlockNumber()
  market.fall(STEP, 2)
  await pause(WATCHED_MS)
  market.fall(0, 1)
  const started = await destination.client.getContractEvents({
    address: on.network.hub.contracts.liquidationAuction,
    abi: iLiquidationAuctionAbi,
    eventName: 'AuctionStarted',
    fromBlock,
  })
  if (started.length === 0) throw new Error(`falling prices have liquidated nobody in ${WATCHED_MS} ms`)
  return { from, to: Date.now() }
}

/** Real ms from a report's leaving the oracle to the acceptance, by the hub's node, of the transaction that it made due. */
export function overheadsOf(
  samples: readonly TransactionSample[],
  { stage, market, watch }: { stage: Stage; market: Market; watch: Watch },
): Record<'price' | 'liquidate', number[]> {
  const of = (wanted: TransactionSample['label']) =>
    samples
      .filter(({ label, chainId }) => label === wanted && chainId === stage.destination.chainId)
      .filter(({ dueAt }) => dueAt >= watch.from && dueAt <= watch.to)
      .map(({ dueAt, broadcastAt }) => broadcastAt - market.publishedBefore(dueAt))
  return { price: of('price'), liquidate: of('liquidate') }
}
