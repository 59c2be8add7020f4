import { type Address, BaseError, type Hash, isAddressEqual } from 'viem'
import type { ChainClient } from './client.js'
import type { SenderContext } from './context.js'

/** Blocks searched for a transaction; older state is gone from most nodes anyway. */
const SEARCHED_BLOCKS = 1n << 14n

/**
 * The transaction that used a nonce, found by bisecting the account's count over recent blocks. Undefined when it is older, or the node does
 * not keep the state that tells.
 */
export async function findTransaction(
  client: ChainClient,
  address: Address,
  nonce: number,
): Promise<{ hash: Hash; block: bigint } | undefined> {
  const countAt = (blockNumber: bigint) => client.getTransactionCount({ address, blockNumber })
  try {
    let high = await client.getBlockNumber()
    if ((await countAt(high)) <= nonce) return undefined
    let step = 1n
    let low = high
    do {
      if (low === 0n || step > SEARCHED_BLOCKS) return undefined
      high = low
      low = high > step ? high - step : 0n
      step *= 2n
    } while ((await countAt(low)) > nonce)
    while (high - low > 1n) {
      const middle = (high + low) / 2n
      if ((await countAt(middle)) > nonce) high = middle
      else low = middle
    }
    const { transactions } = await client.getBlock({ blockNumber: high, includeTransactions: true })
    const found = transactions.find((one) => one.nonce === nonce && isAddressEqual(one.from, address))
    return found && { hash: found.hash, block: high }
  } catch (error) {
    if (error instanceof BaseError) return undefined
    throw error
  }
}

/** Names a transaction that another process sent with our key. Best effort: it never throws. */
export async function reportForeign(context: SenderContext, nonce: number): Promise<void> {
  const { client, account, chainId, counted, logger } = context
  const found = await findTransaction(client, account.address, nonce).catch(() => undefined)
  counted.foreign.inc({ chain: String(chainId) })
  logger.error(
    { nonce, hash: found?.hash ?? 'unknown', block: String(found?.block ?? 'unknown') },
    'another transaction used our nonce: does another process send with this key?',
  )
}
