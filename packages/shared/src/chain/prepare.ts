import { type Address, BaseError } from 'viem'
import type { Clock } from '../clock.js'
import { RetryableError } from '../errors.js'
import type { ChainClient } from './client.js'
import { type Fees, quoteFees } from './fees.js'
import { revertError, revertOf } from './revert.js'
import type { PreparedTransaction, TransactionRequest } from './transaction.js'

/** State may move between estimate and inclusion, and a call inside keeps 1/64 of the gas. */
const GAS_MARGIN_PERCENT = 125n

/** The chain's present fees within the caps, and its head. */
export async function currentFees(
  client: ChainClient,
  caps: Fees,
): Promise<{ fees: Fees | undefined; head: bigint; baseFee: bigint }> {
  const [block, tip] = await Promise.all([
    client.getBlock({ blockTag: 'latest' }),
    client.estimateMaxPriorityFeePerGas(),
  ])
  const baseFee = block.baseFeePerGas ?? 0n
  return { fees: quoteFees(baseFee, tip, caps), head: block.number, baseFee }
}

/**
 * Finds gas and fees, and simulates where asked.
 * @throws RetryableError when the node fails or the base fee is above its cap; what `classify` says for a simulated revert.
 */
export async function prepare(
  client: ChainClient,
  from: Address,
  caps: Fees,
  clock: Clock,
  request: TransactionRequest,
): Promise<PreparedTransaction> {
  const { label, abi = [], classify = () => 'retryable' } = request
  const readyAt = clock.now()
  try {
    const [{ fees, head, baseFee }, gas] = await Promise.all([
      currentFees(client, caps),
      gasFor(client, from, request),
    ])
    if (fees === undefined)
      throw new RetryableError(
        `${label}: base fee of ${baseFee} wei is above the cap of ${caps.maxFeePerGas}`,
      )
    return { request, gas, fees, readyAt, firstPossibleBlock: head + 1n }
  } catch (error) {
    if (!(error instanceof BaseError)) throw error
    const revert = revertOf(error, abi)
    if (revert !== undefined) throw revertError(label, revert, classify(revert))
    throw new RetryableError(`${label}: ${error.shortMessage}`, { cause: error })
  }
}

async function gasFor(
  client: ChainClient,
  account: Address,
  { to, data, value = 0n, gas, simulate = false }: TransactionRequest,
): Promise<bigint> {
  if (gas === undefined)
    return ((await client.estimateGas({ account, to, data, value })) * GAS_MARGIN_PERCENT) / 100n
  if (simulate) await client.call({ account, to, data, value, gas })
  return gas
}
