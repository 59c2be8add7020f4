import {
  type ChainClient,
  type Clock,
  createMetrics,
  createSender,
  type Logger,
  PermanentError,
  type Revert,
  type Sender,
  type SentTransaction,
} from '@clearspan/shared'
import { type Abi, type Address, encodeFunctionData, type PrivateKeyAccount, parseGwei } from 'viem'

/** Enough for any single call of a person; what isn't used isn't paid. */
const GAS = 5_000_000n
/** Blocks come every second or so. */
const STUCK_AFTER_MS = 15_000

export interface Call {
  to: Address
  abi: Abi
  functionName: string
  args: readonly unknown[]
  /** Wei. */
  value?: bigint
}

/** One account on one chain, as a person's wallet would be. */
export interface Wallet {
  address: Address
  client: ChainClient
  sender: Sender
  /**
   * Sends all calls at once, in order, and waits until they are mined. Throws PermanentError for the first failure, by name of its function;
   * when the wallet is closed meanwhile, too.
   */
  send(calls: readonly Call[]): Promise<SentTransaction[]>
  /** As `send`, but every call has an outcome of its own; the reason of a failure is a PermanentError. */
  trySend(calls: readonly Call[]): Promise<PromiseSettledResult<SentTransaction>[]>
  close(): Promise<void>
}

/** Name of the contract error that a call was refused with; undefined when it failed for another reason. */
export function refusalOf(error: unknown): string | undefined {
  let cause = error
  while (cause instanceof Error) cause = cause.cause
  // As the sender has it.
  return (cause as Partial<Revert> | undefined)?.name
}

export function createWallet(options: {
  client: ChainClient
  account: PrivateKeyAccount
  chainId: number
  /** Real time. */
  clock: Clock
  logger: Logger
}): Wallet {
  const sender = createSender({
    ...options,
    metrics: createMetrics(),
    stuckAfterMs: STUCK_AFTER_MS,
    caps: { maxFeePerGas: parseGwei('500'), maxPriorityFeePerGas: parseGwei('5') },
  })
  const trySend = async (calls: readonly Call[]) => {
    const results = await sender.sendMany(
      calls.map(({ to, abi, functionName, args, value }) => ({
        to,
        abi,
        data: encodeFunctionData({ abi, functionName, args }),
        gas: GAS,
        label: functionName,
        ...(value === undefined ? {} : { value }),
        classify: () => 'permanent' as const,
      })),
    )
    return results.map((result, index): PromiseSettledResult<SentTransaction> => {
      if (result.status === 'fulfilled') return result
      const { functionName } = calls[index]!
      const why = result.reason instanceof Error ? result.reason.message : String(result.reason)
      const reason = new PermanentError(`${functionName} by ${sender.address}: ${why}`, {
        cause: result.reason,
      })
      return { status: 'rejected', reason }
    })
  }
  return {
    address: sender.address,
    client: options.client,
    sender,
    trySend,
    async send(calls) {
      return (await trySend(calls)).map((result) => {
        if (result.status === 'rejected') throw result.reason
        return result.value
      })
    },
    close: () => sender.close(),
  }
}
