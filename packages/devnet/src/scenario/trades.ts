import { formatUnits, parseUnits, zeroAddress } from 'viem'
import { stopwatch } from '../stopwatch.js'
import { type Actor, matchCall } from './cast.js'
import type { PlannedTrade } from './plan.js'
import { markOf, oraclePrice } from './prices.js'
import type { Character, Stage } from './stage.js'
import { usd } from './state.js'
import type { DatedTerms } from './terms.js'
import { until } from './until.js'
import { type Call, refusalOf } from './wallet.js'

const WAD = 10n ** 18n
const ORDER_LIFE_S = 30 * 86_400
/** Beyond a block; on a busy machine prices grow old, and margin asks for more, for a while. Real ms. */
const TRADE_TIMEOUT_MS = 300_000
/** Refusals that a smaller size may pass; all others may pass by themselves, at a newer price. */
const TOO_LARGE = ['InsufficientMargin', 'ExcessiveDebt']
/** What is left of a size when it was too large, and the least that is left of the planned one. */
const SMALLER = 0.95
const SMALLEST = 0.5

interface Trade extends PlannedTrade {
  actor: Actor
  /** Deposits of the trader, USD. */
  worth: number
  /** Of the planned size, 0 to 1. */
  share: number
}

/** Share of its planned size with which a trade is tried again, after the contract error that refused it with `share`. */
export function shareAfter(share: number, refusal: string | undefined): number {
  return refusal !== undefined && TOO_LARGE.includes(refusal) ? Math.max(SMALLEST, share * SMALLER) : share
}

/**
 * Opens every trader's planned positions against the maker, at the oracle's price. A trade that the hub refuses is tried again at the price
 * of then, and smaller where margin refused it, as its trader would: new risk must be safe at the adverse end of a price, which moves with
 * the price's age, and volatile markets ask for more. What isn't listed, or has expired meanwhile, is not traded.
 */
export async function openPositions(
  stage: Stage,
  cast: { characters: readonly Character[]; maker: Actor; operator: Actor },
  dated: readonly DatedTerms[],
): Promise<void> {
  const { network, onProgress, signal } = stage
  const took = stopwatch(network.realClock)
  const lines: string[] = []
  let refusal = ''
  let nonce = 0n
  let trades = cast.characters.flatMap(({ actor, plan }) => {
    const worth = plan.deposits.reduce((total, deposit) => total + deposit.usd, 0)
    return plan.trades.map((trade): Trade => ({ ...trade, actor, worth, share: 1 }))
  })
  await until({
    what: 'opening the positions',
    clock: network.realClock,
    timeoutMs: TRADE_TIMEOUT_MS,
    signal,
    missing: () => refusal,
    found: async () => {
      trades = trades.filter(({ instrumentId }) => isOpen(stage, dated, instrumentId))
      const first = nonce
      nonce += 2n * BigInt(trades.length)
      const made = await Promise.all(
        trades.map((trade, at) =>
          makeTrade(stage, { trade, maker: cast.maker, nonce: first + 2n * BigInt(at) }),
        ),
      )
      const results = await cast.operator.hub.trySend(made.map(({ call }) => call))
      lines.push(...made.filter((_, at) => results[at]!.status === 'fulfilled').map(({ line }) => line))
      trades = trades.flatMap((trade, at) => {
        const result = results[at]!
        if (result.status === 'fulfilled') return []
        refusal = result.reason.message
        return [{ ...trade, share: shareAfter(trade.share, refusalOf(result.reason)) }]
      })
      return trades.length === 0 || undefined
    },
  })
  onProgress(`trades: ${lines.join('; ')} (${took()})`)
}

function isOpen({ network }: Stage, dated: readonly DatedTerms[], instrumentId: number): boolean {
  const { kind } = network.markets.instruments.find(({ id }) => id === instrumentId)!
  const expiry = dated.find(({ id }) => id === instrumentId)?.expiry ?? 0
  return kind === 'perpetual' || network.clock.now() < expiry * 1000
}

/** Both signed orders as one call, and what it does in words. Takes two nonces. */
async function makeTrade(
  { network }: Stage,
  { trade, maker, nonce }: { trade: Trade; maker: Actor; nonce: bigint },
): Promise<{ call: Call; line: string }> {
  const { actor, instrumentId, leverage, worth, share } = trade
  const { base, symbol, kind } = network.markets.instruments.find(({ id }) => id === instrumentId)!
  const price = await markOf(network, instrumentId)
  const unit = kind === 'swap' ? WAD : await oraclePrice(network, base)
  const size = (parseUnits(String(Math.round(worth * Math.abs(leverage) * share)), 18) * WAD) / unit
  const expiry = BigInt(Math.floor(network.clock.now() / 1000) + ORDER_LIFE_S)
  const order = (who: Actor, signed: bigint, at: bigint) => ({
    actor: who,
    order: {
      account: who.account,
      instrumentId: BigInt(instrumentId),
      size: signed,
      // A percent of room; the fill is at the price named in the match.
      limitPrice: signed > 0n ? (price * 101n) / 100n : (price * 99n) / 100n,
      expiry,
      nonce: at,
      matcher: zeroAddress,
    },
  })
  const [buyer, seller] = leverage > 0 ? [actor, maker] : [maker, actor]
  return {
    call: await matchCall(network, {
      buyer: order(buyer, size, nonce),
      seller: order(seller, -size, nonce + 1n),
      size,
      price,
    }),
    line: `${actor.name} ${leverage > 0 ? 'long' : 'short'} ${amountOf(size)} ${symbol} at ${usd(price)}`,
  }
}

function amountOf(wad: bigint): string {
  return Number(formatUnits(wad, 18)).toLocaleString('en-US', { maximumSignificantDigits: 5 })
}
