import { BlockNotFoundError, type Hash, type TransactionReceipt } from 'viem'
import { note, type SenderContext } from './context.js'
import { reportForeign } from './foreign.js'
import { findReceipt } from './settle.js'
import type { InFlight, Mined } from './transaction.js'

/** Looks at the head between two looks at what is mined, as long as nothing hints at a reorg. */
const LOOKS = 4

/** From now on the transaction is only watched, until it is final. */
export function keepMined(
  context: SenderContext,
  entry: InFlight,
  { transactionHash: hash, blockNumber: block, blockHash }: TransactionReceipt,
): void {
  const { nonce } = entry
  if (context.finalBlocks === undefined) {
    note(context, { nonce, state: 'final' })
    return
  }
  note(context, { nonce, state: 'mined', hash, block: String(block), blockHash })
  context.mined.set(nonce, { entry, hash, block, blockHash })
}

/**
 * Looks at mined transactions until they are final. By hashes: a reorg need not show in any log or count. Answers those that a reorg undid,
 * in flight again under the same nonces, to be offered. `latest`: the account's count.
 */
export async function confirmMined(context: SenderContext, latest: number): Promise<InFlight[]> {
  const { client, mined, finalBlocks = 0 } = context
  // The count falls with a reorg, or because a node lags; either way it is time to look.
  const isSuspect = [...mined.keys()].some((nonce) => nonce >= latest)
  if (mined.size === 0 || (!isSuspect && ++context.looks % LOOKS !== 0)) return []
  const head = await client.getBlockNumber()
  const isDeep = ({ block }: Mined) => head - block + 1n >= BigInt(finalBlocks)
  const looked = [...mined.values()].filter((one) => one.entry.nonce >= latest || isDeep(one))
  const hashes = new Map<bigint, Hash | undefined>()
  for (const { block } of looked)
    if (!hashes.has(block)) hashes.set(block, block > head ? undefined : await hashAt(context, block))
  const undone: InFlight[] = []
  for (const one of looked) {
    const { nonce } = one.entry
    if (hashes.get(one.block) !== one.blockHash) {
      if (await isUndone(context, one, latest)) undone.push(one.entry)
    } else if (isDeep(one)) {
      mined.delete(nonce)
      note(context, { nonce, state: 'final' })
    }
  }
  return undone
}

/** Its block is gone: mined in another one, replaced by another's transaction, or to be sent again. */
async function isUndone(context: SenderContext, { entry }: Mined, latest: number): Promise<boolean> {
  const { client, mined, entries, clock, counted, chainId, logger } = context
  const { nonce } = entry
  const receipt = await findReceipt(client, entry)
  if (receipt !== undefined) {
    keepMined(context, entry, receipt)
    return false
  }
  mined.delete(nonce)
  counted.reorged.inc({ chain: String(chainId) })
  if (nonce < latest) {
    note(context, { nonce, state: 'foreign' })
    await reportForeign(context, nonce)
    return false
  }
  const { hash } = entry.candidates.at(-1)!
  logger.warn({ nonce, hash }, 'a reorg undid a mined transaction, sending it again')
  Object.assign(entry, {
    orphaned: true,
    broadcastAt: undefined,
    withoutReceipt: 0,
    resolve() {},
    reject() {},
  })
  entry.lastBroadcastAt = clock.now()
  note(context, { nonce, state: 'broadcast', hash })
  entries.set(nonce, entry)
  return true
}

async function hashAt({ client }: SenderContext, blockNumber: bigint): Promise<Hash | undefined> {
  try {
    return (await client.getBlock({ blockNumber })).hash
  } catch (error) {
    if (error instanceof BlockNotFoundError) return undefined
    throw error
  }
}
