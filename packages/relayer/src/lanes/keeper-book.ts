import { clearinghouseAbi, liquidationAuctionAbi } from '@clearspan/contracts'
import { type Hex, parseEventLogs } from 'viem'
import type { LaneContext } from './context.js'

/** Accounts that hold or held positions, and those under auction, as the hub's events show them. */
export interface KeeperBook {
  accounts(): Hex[]
  readonly auctions: Set<Hex>
}

export function createKeeperBook({ hub, network }: LaneContext): KeeperBook {
  const { clearinghouse, liquidationAuction } = network.hub.contracts
  const accounts = new Set<Hex>()
  const auctions = new Set<Hex>()
  const abi = [...clearinghouseAbi, ...liquidationAuctionAbi] as const
  hub.feed.listen({
    addresses: [clearinghouse, liquidationAuction],
    abi,
    // After a reorg an auction that is remembered wrongly is found ended by the lane that looks at it.
    onLogs(logs) {
      for (const { eventName, args } of parseEventLogs({ abi, logs, strict: true })) {
        if (eventName === 'Traded') {
          accounts.add(args.buyer)
          accounts.add(args.seller)
        } else if (eventName === 'Transferred') accounts.add(args.to)
        else if (eventName === 'AuctionStarted') auctions.add(args.account)
        else if (eventName === 'AuctionEnded') auctions.delete(args.account)
      }
    },
  })
  return { accounts: () => [...accounts], auctions }
}
