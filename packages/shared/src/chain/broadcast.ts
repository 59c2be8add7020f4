import {
  type Address,
  BaseError,
  type Hash,
  type Hex,
  IntrinsicGasTooHighError,
  IntrinsicGasTooLowError,
  NonceTooLowError,
  TransactionNotFoundError,
} from 'viem'
import { getNodeError } from 'viem/utils'
import { PermanentError, RetryableError } from '../errors.js'
import { type ChainClient, isAnswered } from './client.js'

export interface SignedTransaction {
  hash: Hash
  raw: Hex
  nonce: number
}

/**
 * What is known after offering a transaction: a node has it, nobody knows, its nonce belongs to another transaction, or it is refused for
 * itself and its nonce is free.
 */
export type BroadcastResult =
  | { kind: 'accepted' }
  | { kind: 'unknown'; error: BaseError }
  | { kind: 'nonce-used' }
  | { kind: 'refused'; error: Error }

/**
 * Offers a signed transaction to the node. Nodes and providers word and number their refusals differently, so a refusal is judged by the
 * chain's own state wherever that can tell.
 */
export async function broadcast(
  client: ChainClient,
  from: Address,
  { raw, hash, nonce }: SignedTransaction,
): Promise<BroadcastResult> {
  try {
    await client.sendRawTransaction({ serializedTransaction: raw })
    return { kind: 'accepted' }
  } catch (error) {
    if (!(error instanceof BaseError)) throw error
    try {
      if (await isKnown(client, hash)) return { kind: 'accepted' }
      // No JSON-RPC answer: the request may have arrived all the same.
      if (!isAnswered(error)) return { kind: 'unknown', error }
      const cause = getNodeError(error, {})
      if (cause instanceof NonceTooLowError) return { kind: 'nonce-used' }
      const pending = await client.getTransactionCount({ address: from, blockTag: 'pending' })
      if (pending > nonce) return { kind: 'nonce-used' }
      const Fate =
        cause instanceof IntrinsicGasTooLowError || cause instanceof IntrinsicGasTooHighError
          ? PermanentError
          : RetryableError
      return { kind: 'refused', error: new Fate(`node refused: ${error.details}`, { cause: error }) }
    } catch (lookup) {
      if (!(lookup instanceof BaseError)) throw lookup
      return { kind: 'unknown', error: lookup }
    }
  }
}

async function isKnown(client: ChainClient, hash: Hash): Promise<boolean> {
  try {
    await client.getTransaction({ hash })
    return true
  } catch (error) {
    if (error instanceof TransactionNotFoundError) return false
    throw error
  }
}
