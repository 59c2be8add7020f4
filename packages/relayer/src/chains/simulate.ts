import { type ChainClient, RetryableError } from '@clearspan/shared'
import { BaseError, type ContractFunctionParameters, type MulticallParameters } from 'viem'

/** Calls of one simulation run one after the other on one state, in one request. */
const ONE_REQUEST = 1_000_000

/**
 * Tries calls in order, each on the state that the ones before left, without sending anything. A call that reverts answers undefined.
 * `time` (seconds): the timestamp of the block in which they are tried; by default that of the last block.
 * @throws RetryableError when the node fails.
 */
export async function trySequence<const C extends readonly ContractFunctionParameters[]>(
  client: ChainClient,
  contracts: MulticallParameters<C, true>['contracts'],
  time?: bigint,
): Promise<{ [I in keyof C]: unknown }> {
  try {
    const results = await client.multicall({
      contracts,
      allowFailure: true,
      deployless: true,
      batchSize: ONE_REQUEST,
      ...(time === undefined ? {} : { blockOverrides: { time } }),
    } as MulticallParameters<C, true>)
    return results.map((result) => {
      const { status, result: value } = result as { status: string; result?: unknown }
      return status === 'success' ? (value ?? null) : undefined
    }) as { [I in keyof C]: unknown }
  } catch (error) {
    if (error instanceof BaseError) throw new RetryableError(error.shortMessage, { cause: error })
    throw error
  }
}
