import { clearinghouseAbi, liquidationAuctionAbi } from '@clearspan/contracts'
import { type Hex, parseEventLogs } from 'viem'
import type { LaneContext } from './context.js'

/** Accounts that hold or held positions or debt, and those under auction, as the hub's events show them. */
export interface KeeperBook {
  accounts(): Hex[]
  readonly auctions: Set<Hex>
}

export function createKeeperBook({ hub, network }: LaneContext): KeeperBook {
  const { clearinghouse, liquidationAuction } = network.hub.contracts
  const accounts = new Set<Hex>()
  const auctions = new Set<Hex>()
  /** Block of the newest event of an account's auction. */
  const lastEvent = new Map<Hex, bigint>()
  const abi = [...clearinghouseAbi, ...liquidationAuctionAbi] as const
  hub.feed.listen({
    scrubbed: true,
    addresses: [clearinghouse, liquidationAuction],
    abi,
    // After a reorg an auction that is remembered wrongly is found ended by the lane that looks at it.
    onReorg(from) {
      for (const [account, block] of lastEvent) if (block >= from) lastEvent.delete(account)
    },
    onLogs(logs) {
      for (const { eventName, args, blockNumber } of parseEventLogs({ abi, logs, strict: true })) {
        if (eventName === 'Traded') {
          accounts.add(args.buyer)
          accounts.add(args.seller)
        } else if (eventName === 'Transferred') accounts.add(args.to)
        else if (eventName === 'Borrowed') accounts.add(args.account)
        else if (eventName === 'AuctionStarted' || eventName === 'AuctionEnded') {
          // Read again without what came after it.
          if (blockNumber < (lastEvent.get(args.account) ?? 0n)) continue
          lastEvent.set(args.account, blockNumber)
          if (eventName === 'AuctionStarted') auctions.add(args.account)
          else auctions.delete(args.account)
        }
      }
    },
  })
  return { accounts: () => [...accounts], auctions }
}
