import { type ChainClient, RetryableError } from '@clearspan/shared'
import {
  BaseError,
  ContractFunctionExecutionError,
  type ContractFunctionParameters,
  type MulticallParameters,
} from 'viem'

/** Calls of one simulation run one after the other on one state, in one request. */
const ONE_REQUEST = 1_000_000
/** The function that carries them all; no contract of ours has one of its name. */
const CARRIER = 'aggregate3'

/** Where a simulation runs. */
export interface Moment {
  /** The block whose state it starts from. */
  blockNumber: bigint
  /** Timestamp of the block that it makes, in seconds. */
  time: bigint
}

/**
 * Tries calls in order, each on the state that the ones before left, without sending anything. A call that reverts answers undefined.
 * By default on the last block, at its time.
 * @throws RetryableError when the node fails, or does not bear them in one request; its cause is viem's error.
 */
export async function trySequence<const C extends readonly ContractFunctionParameters[]>(
  client: ChainClient,
  contracts: MulticallParameters<C, true>['contracts'],
  moment?: Moment,
): Promise<{ [I in keyof C]: unknown }> {
  try {
    const results = await client.multicall({
      contracts,
      allowFailure: true,
      deployless: true,
      batchSize: ONE_REQUEST,
      ...(moment && { blockNumber: moment.blockNumber, blockOverrides: { time: moment.time } }),
    } as MulticallParameters<C, true>)
    return results.map((result) => {
      const { status, result: value, error } = result as { status: string; result?: unknown; error?: Error }
      if (status === 'success') return value ?? null
      // A request that failed as a whole comes as the failure of each of its calls, none of which was tried.
      if (error instanceof ContractFunctionExecutionError && error.functionName === CARRIER) throw error
      return undefined
    }) as { [I in keyof C]: unknown }
  } catch (error) {
    if (error instanceof BaseError) throw new RetryableError(error.shortMessage, { cause: error })
    throw error
  }
}
