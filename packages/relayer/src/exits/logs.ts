import { type ChainClient, RetryableError } from '@clearspan/shared'
import { type Address, BaseError, type Hex, type Log } from 'viem'

/** What a contract has emitted from the first block to `to`: a range that the node refuses is asked for in halves. @throws RetryableError */
export async function logsUpTo(client: ChainClient, address: Address, to: bigint, from = 0n): Promise<Log[]> {
  try {
    return await client.getLogs({ address, fromBlock: from, toBlock: to })
  } catch (error) {
    if (!(error instanceof BaseError)) throw error
    if (from === to) throw new RetryableError(error.shortMessage, { cause: error })
    const middle = (from + to) / 2n
    const first = await logsUpTo(client, address, middle, from)
    return [...first, ...(await logsUpTo(client, address, to, middle + 1n))]
  }
}

/** A padded address or a small number: no account, whose owner comes first. */
const NOT_AN_ACCOUNT = /^0x0{24}/

/** All that may be an account among what logs are indexed by; something else that looks like one owns nothing. Sorted. */
export function accountsIn(logs: readonly Log[]): Hex[] {
  const topics = logs.flatMap(({ topics: [, ...indexed] }) => indexed)
  return [...new Set(topics.filter((topic) => !NOT_AN_ACCOUNT.test(topic)))].sort()
}
