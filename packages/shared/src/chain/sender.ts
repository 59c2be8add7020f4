import { type Address, BaseError } from 'viem'
import { RetryableError } from '../errors.js'
import { finish, type SenderContext, type SenderOptions, senderMetrics } from './context.js'
import { offer, type Waiting } from './offer.js'
import { prepare } from './prepare.js'
import { reconcile } from './reconcile.js'
import type { SentTransaction, TransactionRequest } from './transaction.js'

/** Sends transactions of one signer on one chain, any number in flight. */
export interface Sender {
  readonly address: Address
  /**
   * Sends one transaction and waits until it is mined (not final).
   * @throws RetryableError, PermanentError or AlreadyDoneError: for a revert what `classify` says, with the Revert as cause; otherwise
   * retryable when the node fails, fees are above the caps or another transaction took the nonce, permanent when it can't be valid.
   */
  send(request: TransactionRequest): Promise<SentTransaction>
  /** Signs all with consecutive nonces and broadcasts them together. One that can't be prepared or is refused fails alone. */
  sendMany(requests: readonly TransactionRequest[]): Promise<PromiseSettledResult<SentTransaction>[]>
  /** Transactions that are neither mined nor given up. */
  inFlight(): number
  /** Stops watching and rejects what is in flight as retryable; it may still be mined. Idempotent. */
  close(): Promise<void>
}

/**
 * Creates the sender. Its ledger of nonces is in memory: after a restart it starts from the node's pending count, so a transaction of the run
 * before may be mined beside its retry; the precondition that every action carries on chain is what makes that harmless.
 */
export function createSender(options: SenderOptions): Sender {
  const { client, account, clock, caps } = options
  const context: SenderContext = {
    ...options,
    logger: options.logger.child({ chain: options.chainId, from: account.address }),
    entries: new Map(),
    next: undefined,
    head: undefined,
    counted: senderMetrics(options.metrics),
  }
  const closing = new AbortController()
  let offering: Promise<unknown> = Promise.resolve()
  let watching: Promise<void> | undefined

  async function watch(): Promise<void> {
    const pollMs = options.pollMs ?? client.pollingInterval
    while (context.entries.size > 0 && !closing.signal.aborted) {
      await clock.sleep(pollMs, closing.signal).catch(() => {})
      if (closing.signal.aborted) break
      await reconcile(context).catch((err: unknown) => {
        if (err instanceof BaseError || err instanceof RetryableError)
          context.logger.warn({ reason: err.message }, 'chain not readable, will look again')
        else context.logger.error({ err }, 'reconciling with the chain failed')
      })
    }
    watching = undefined
  }

  /** Nonces are given in order of readiness, one batch at a time; waiting for a block holds nobody up. */
  function submit(batch: readonly Waiting[]): Promise<unknown> {
    offering = offering.then(async () => {
      if (closing.signal.aborted) {
        for (const { reject } of batch) reject(new RetryableError('the sender is closed'))
        return
      }
      await offer(context, batch)
      context.counted.inFlight.set({ chain: String(options.chainId) }, context.entries.size)
      watching ??= watch()
    })
    return offering
  }

  async function sendMany(
    requests: readonly TransactionRequest[],
  ): Promise<PromiseSettledResult<SentTransaction>[]> {
    const prepared = await Promise.allSettled(
      requests.map((request) => prepare(client, account.address, caps, clock, request)),
    )
    const batch: Waiting[] = []
    const results = prepared.map((result) =>
      result.status === 'rejected'
        ? Promise.reject(result.reason)
        : new Promise<SentTransaction>((resolve, reject) => {
            batch.push({ prepared: result.value, resolve, reject })
          }),
    )
    if (batch.length > 0) void submit(batch)
    return Promise.allSettled(results)
  }

  return {
    address: account.address,
    sendMany,
    async send(request) {
      const [result] = await sendMany([request])
      if (result?.status === 'fulfilled') return result.value
      throw result?.reason
    },
    inFlight: () => context.entries.size,
    async close() {
      closing.abort()
      await Promise.all([offering, watching])
      for (const entry of [...context.entries.values()]) {
        finish(context, entry, 'abandoned')
        entry.reject(new RetryableError('the sender is closed'))
      }
    },
  }
}
