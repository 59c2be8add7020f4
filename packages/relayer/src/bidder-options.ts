import type { Chain, ChainClient, Clock, Logger, Network, Sender } from '@clearspan/shared'
import type { Hex } from 'viem'

/** What a bidder bids with, and its limits. */
export interface BidderOptions {
  network: Network
  /** The bidder's funded account on the hub; the sender of the hub must control it. */
  account: Hex
  /** Where it acts: a client and the bidder's own sender per chain, the hub's among them. */
  chains: readonly { chain: Chain; client: ChainClient; sender: Sender }[]
  /** Bids for a solvent account once its price is at or below this WAD share of equity. */
  maxShare: bigint
  /** Bids for an insolvent account once the fund pays at least its deficit and this WAD share of its notional. */
  minReward: bigint
  /** Buys lots at or below the oracle's price less this, bps. */
  lotMarginBps: bigint
  /** Most of an account that one bid takes, WAD. */
  maxFraction: bigint
  /** First block of the hub to read auctions from. */
  startBlock: bigint
  /** Real time. */
  clock: Clock
  logger: Logger
}

export type BidderChain = BidderOptions['chains'][number]
