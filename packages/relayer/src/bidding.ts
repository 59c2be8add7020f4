import { clearinghouseAbi, liquidationAuctionAbi, marginEngineAbi } from '@clearspan/contracts'
import { type ChainClient, type Revert, revertOf } from '@clearspan/shared'
import { type Hex, parseEther } from 'viem'
import type { BidderChain, BidderOptions } from './bidder-options.js'
import { readAll } from './chains/read.js'
import { requestOf } from './chains/request.js'
import { trySequence } from './chains/simulate.js'

const WAD = parseEther('1')
/** Fractions tried of one account in one round, each half of the one before. */
const FRACTIONS = 5

interface Bid {
  account: Hex
  fraction: bigint
  maxPayment: bigint
}

/** Bids once on each account that is cheap enough and not the bidder's own, as much as the bidder's cash and margin bear. One that can't be had stops no other. */
export async function bidOnAuctions(
  options: BidderOptions,
  on: BidderChain,
  auctioned: readonly Hex[],
): Promise<void> {
  const own = options.account.toLowerCase()
  const accounts = auctioned.filter((account) => account.toLowerCase() !== own)
  if (accounts.length === 0) return
  const { network, logger } = options
  const { liquidationAuction, marginEngine } = network.hub.contracts
  const quoteOf = { address: liquidationAuction, abi: liquidationAuctionAbi, functionName: 'quote' } as const
  const healthOf = { address: marginEngine, abi: marginEngineAbi, functionName: 'accountHealth' } as const
  const quotes = await trySequence(
    on.client,
    accounts.map((account) => ({ ...quoteOf, args: [account] }) as const),
  )
  const healths = await trySequence(
    on.client,
    accounts.map((account) => ({ ...healthOf, args: [account] }) as const),
  )
  for (const [i, account] of accounts.entries()) {
    const quote = quotes[i] as readonly [bigint, bigint, bigint] | undefined
    const health = healths[i] as { equity: bigint; notional: bigint } | undefined
    if (quote === undefined || health === undefined) continue
    const fraction = bidFraction(quote, health, options)
    if (fraction === 0n) continue
    try {
      await bidOn(options, on, { account, fraction, equity: health.equity })
    } catch (err) {
      logger.info({ err, account }, 'bid failed')
    }
  }
}

async function bidOn(
  options: BidderOptions,
  { client, sender }: BidderChain,
  { account, fraction, equity }: { account: Hex; fraction: bigint; equity: bigint },
): Promise<void> {
  const { network, account: bidder, maxShare, logger } = options
  const { clearinghouse } = network.hub.contracts
  // Each bid before this one has changed it.
  const [cash] = await readAll(client, [
    { address: clearinghouse, abi: clearinghouseAbi, functionName: 'cash', args: [bidder] },
  ] as const)
  for (const part of fractionsOf(fraction)) {
    // What it is willing to pay, not the quote: the mark of the next block is a little different.
    const maxPayment = equity > 0n ? (equity * maxShare * part) / (WAD * WAD) : 0n
    if (maxPayment > cash) continue
    const bid = { account, fraction: part, maxPayment }
    const refusal = await refusalOf(options, client, sender.address, bid)
    // Less of the account takes less margin.
    if (refusal?.name === 'BidderUnsafe') continue
    const told = { account, fraction: String(part), maxPayment: String(maxPayment) }
    if (refusal !== undefined) return logger.debug({ ...told, refusal: refusal.name }, 'bid would be refused')
    await sender.send(requestOf(bidCall(options, bid), 'bid'))
    return logger.info(told, 'bid')
  }
  logger.debug({ account }, 'no bid that cash and margin bear')
}

/** The fraction and its halves, largest first. */
function fractionsOf(fraction: bigint): bigint[] {
  return Array.from({ length: FRACTIONS }, (_, i) => fraction >> BigInt(i)).filter((part) => part > 0n)
}

function bidCall({ network, account: bidder }: BidderOptions, { account, fraction, maxPayment }: Bid) {
  return {
    address: network.hub.contracts.liquidationAuction,
    abi: liquidationAuctionAbi,
    functionName: 'bid',
    args: [account, bidder, fraction, maxPayment],
  } as const
}

/** Why the bid would revert on the last block, or undefined when it would not. */
async function refusalOf(
  options: BidderOptions,
  client: ChainClient,
  from: Hex,
  bid: Bid,
): Promise<Revert | undefined> {
  try {
    await client.simulateContract({ ...bidCall(options, bid), account: from })
    return undefined
  } catch (error) {
    const revert = revertOf(error, liquidationAuctionAbi)
    if (revert === undefined) throw error
    return revert
  }
}

/**
 * WAD fraction to bid for, 0 when the price isn't right yet. `quote`: WAD share of equity asked, WAD that the fund pays for all of an insolvent
 * account, largest WAD fraction.
 */
export function bidFraction(
  [share, fromFund, largest]: readonly [bigint, bigint, bigint],
  { equity, notional }: { equity: bigint; notional: bigint },
  limits: Pick<BidderOptions, 'maxShare' | 'minReward' | 'maxFraction'>,
): bigint {
  const solvent = equity > 0n
  const isCheap = solvent
    ? share <= limits.maxShare
    : fromFund >= -equity + (notional * limits.minReward) / WAD
  if (!isCheap) return 0n
  return largest < limits.maxFraction ? largest : limits.maxFraction
}
