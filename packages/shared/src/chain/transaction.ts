import type { Abi, Address, Hash, Hex, TransactionReceipt } from 'viem'
import type { SignedTransaction } from './broadcast.js'
import type { Fees } from './fees.js'
import type { Revert, RevertOutcome } from './revert.js'

/** One transaction to send. */
export interface TransactionRequest {
  to: Address
  data: Hex
  /** Wei; 0 by default. */
  value?: bigint
  /** Gas limit; estimated (with a quarter on top) when absent, which also shows reverts before anything is spent. */
  gas?: bigint
  /** With a given `gas`: call first, and send only what does not revert. */
  simulate?: boolean
  /** Nobody else may do it while this may still be mined: its effect would be had twice. By default its preconditions on chain prevent that. */
  exclusive?: boolean
  /** What it is for, in logs and metrics: a few fixed words, not data. */
  label: string
  /** Decodes custom errors. */
  abi?: Abi
  /** What a revert means; retryable by default. */
  classify?: (revert: Revert) => RevertOutcome
}

/** A transaction that was mined and did not revert. Times are in the sender's clock, milliseconds. */
export interface SentTransaction {
  hash: Hash
  nonce: number
  receipt: TransactionReceipt
  /** `send` was called. */
  readyAt: number
  /** A node had accepted it. */
  broadcastAt: number
  /** Its receipt was seen. */
  minedAt: number
  /** The block after the head at `readyAt`: the earliest that could hold it. */
  firstPossibleBlock: bigint
  missedFirstBlock: boolean
}

/** A request with everything but its nonce. */
export interface PreparedTransaction {
  request: TransactionRequest
  gas: bigint
  fees: Fees
  readyAt: number
  firstPossibleBlock: bigint
}

/** A version of a transaction that was signed; every version of a nonce may be the one that is mined. */
export interface Candidate extends SignedTransaction {
  fees: Fees
  /** Does nothing but use the nonce up. */
  cancels: boolean
}

/** A nonce in use, until one of its candidates is mined or the chain gave the nonce to another transaction. */
export interface InFlight {
  nonce: number
  prepared: PreparedTransaction
  /** Oldest first; never empty. */
  candidates: Candidate[]
  /** Undefined until a node accepted a candidate. */
  broadcastAt: number | undefined
  lastBroadcastAt: number
  /** The head when fees were last chosen. */
  lastBroadcastBlock: bigint
  /** Polls at which the nonce was used but no candidate had a receipt. */
  withoutReceipt: number
  /** Of an earlier process, undone by a reorg, or handed over to another signer: nobody waits for it, so when it is stuck its nonce is used up by nothing. */
  orphaned: boolean
  resolve: (sent: SentTransaction) => void
  reject: (error: Error) => void
}

/** A transaction that was mined and may still be undone by a reorg. */
export interface Mined {
  entry: InFlight
  hash: Hash
  block: bigint
  blockHash: Hash
}
