import {
  type Address,
  BaseError,
  type Hash,
  type Hex,
  hexToBytes,
  parseTransaction,
  TransactionNotFoundError,
} from 'viem'
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
 * chain's own state and by the transaction itself.
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
      if ((await countOf(client, from)) > nonce) return { kind: 'nonce-used' }
      const Fate = (await fitsBlock(client, raw)) ? RetryableError : PermanentError
      return { kind: 'refused', error: new Fate(`node refused: ${error.details}`, { cause: error }) }
    } catch (lookup) {
      if (!(lookup instanceof BaseError)) throw lookup
      return { kind: 'unknown', error: lookup }
    }
  }
}

/** The nonce after those that an account has used or offered. Some nodes count fewer pending than mined, so both are asked. */
export async function countOf(client: ChainClient, address: Address): Promise<number> {
  const counts = await Promise.all([
    client.getTransactionCount({ address, blockTag: 'pending' }),
    client.getTransactionCount({ address, blockTag: 'latest' }),
  ])
  return Math.max(...counts)
}

/** Whether a block has room for it, and its gas covers what every transaction takes before its call begins (EIP-2028). */
async function fitsBlock(client: ChainClient, raw: Hex): Promise<boolean> {
  const { gas = 0n, data = '0x' } = parseTransaction(raw as Hex & `0x02${string}`)
  const intrinsic = hexToBytes(data).reduce((sum, byte) => sum + (byte === 0 ? 4n : 16n), 21_000n)
  const { gasLimit } = await client.getBlock()
  return gas >= intrinsic && gas <= gasLimit
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
