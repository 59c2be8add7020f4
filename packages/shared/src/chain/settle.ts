import { type Address, BaseError, type TransactionReceipt, TransactionReceiptNotFoundError } from 'viem'
import { RetryableError } from '../errors.js'
import { type ChainClient, isAnswered } from './client.js'
import { type Revert, revertError, revertOf } from './revert.js'
import type { InFlight, PreparedTransaction, SentTransaction } from './transaction.js'

/** The receipt of whichever candidate was mined. */
export async function findReceipt(
  client: ChainClient,
  { candidates }: InFlight,
): Promise<TransactionReceipt | undefined> {
  for (const { hash } of [...candidates].reverse()) {
    try {
      return await client.getTransactionReceipt({ hash })
    } catch (error) {
      if (!(error instanceof TransactionReceiptNotFoundError)) throw error
    }
  }
  return undefined
}

/** What a mined entry becomes: the sent transaction, or the error that its revert means. */
export async function outcomeOf(
  client: ChainClient,
  from: Address,
  entry: InFlight,
  receipt: TransactionReceipt,
  minedAt: number,
): Promise<SentTransaction | Error> {
  const { request, readyAt, firstPossibleBlock } = entry.prepared
  if (receipt.status === 'reverted') {
    const { label, classify = () => 'retryable' } = request
    const revert = await replay(client, from, entry.prepared, receipt)
    if (revert === undefined)
      return new RetryableError(`${label} reverted in ${receipt.transactionHash}, but no longer does`)
    return revertError(label, revert, classify(revert))
  }
  return {
    hash: receipt.transactionHash,
    nonce: entry.nonce,
    receipt,
    readyAt,
    broadcastAt: entry.broadcastAt ?? minedAt,
    minedAt,
    firstPossibleBlock,
    missedFirstBlock: receipt.blockNumber > firstPossibleBlock,
  }
}

/**
 * A receipt doesn't say why, so the call is made again: on the state after its block, where a rival that won the race shows, then on the state
 * before it.
 */
async function replay(
  client: ChainClient,
  account: Address,
  { request: { to, data, value = 0n, abi = [] }, gas }: PreparedTransaction,
  { blockNumber }: TransactionReceipt,
): Promise<Revert | undefined> {
  for (const at of [blockNumber, blockNumber - 1n]) {
    try {
      await client.call({ account, to, data, value, gas, blockNumber: at })
    } catch (error) {
      if (!(error instanceof BaseError)) throw error
      const revert = revertOf(error, abi)
      if (revert !== undefined) return revert
      // The node failed to answer: ask again at the next poll. It answered otherwise: out of gas and the like.
      if (!isAnswered(error)) throw error
      return { name: undefined, args: [], data: '0x' }
    }
  }
  return undefined
}
