import { type ChainClient, RetryableError } from '@clearspan/shared'
import { BaseError, type ContractFunctionParameters, type MulticallParameters } from 'viem'

/** The calls travel as creation code, which nodes cap at 49,152 bytes; each costs some 200 bytes besides its own. */
const BATCH_BYTES = 5_000

/**
 * Many view calls at one state of the chain, its newest or that of a block, without a multicall contract. All answers or none.
 * @throws RetryableError when the node fails or any call reverts.
 */
export async function readAll<const C extends readonly ContractFunctionParameters[]>(
  client: ChainClient,
  contracts: MulticallParameters<C, false>['contracts'],
  blockNumber?: bigint,
) {
  try {
    return await client.multicall<C, false>({
      contracts,
      allowFailure: false,
      deployless: true,
      batchSize: BATCH_BYTES,
      ...(blockNumber !== undefined && { blockNumber }),
    } as MulticallParameters<C, false>)
  } catch (error) {
    if (error instanceof BaseError) throw new RetryableError(error.shortMessage, { cause: error })
    throw error
  }
}
