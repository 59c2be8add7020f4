import { type Address, BaseError } from 'viem'
import { RetryableError } from '../errors.js'
import { finish, type SenderContext, type SenderOptions, senderMetrics } from './context.js'
import { type Ledger, openLedger } from './ledger.js'
import { offer, type Waiting } from './offer.js'
import { prepare } from './prepare.js'
import { reconcile } from './reconcile.js'
import { recover } from './recover.js'
import type { SentTransaction, TransactionRequest } from './transaction.js'

/** Sends transactions of one signer on one chain, any number in flight. */
export interface Sender {
  readonly address: Address
  /**
   * Opens the ledger and takes up what an earlier process left in flight; the first send does it otherwise. Idempotent.
   * @throws UserError when the ledger is another process's, another network's, or damaged.
   */
  start(): Promise<void>
  /**
   * Sends one transaction and waits until it is mined (not final).
   * @throws RetryableError, PermanentError or AlreadyDoneError: for a revert what `classify` says, with the Revert as cause; otherwise
   * retryable when the node fails, fees are above the caps, another transaction took the nonce or the work is handed over, permanent when it
   * can't be valid.
   */
  send(request: TransactionRequest): Promise<SentTransaction>
  /** Signs all with consecutive nonces and broadcasts them together. One that can't be prepared or is refused fails alone. */
  sendMany(requests: readonly TransactionRequest[]): Promise<PromiseSettledResult<SentTransaction>[]>
  /** Transactions that are neither mined nor given up. */
  inFlight(): number
  /**
   * Transactions in flight that nobody here waits for (of an earlier process, undone by a reorg, left to another signer), and those of them
   * mined above block `read`: what they do may be done without whoever looks at the chain knowing it.
   */
  unclaimed(read: bigint): number
  /** With `handsOver`: its transactions are not mined, and what waited for them was left to other signers. Ends when its lowest nonce is used up. */
  isStuck(): boolean
  /** Stops watching and rejects what is in flight as retryable; it may still be mined. Idempotent. */
  close(): Promise<void>
}

/**
 * Creates the sender. Its nonce ledger says reserved, signed, broadcast, mined, final, each written before what it allows; a restart goes on
 * from it. Without one (or when it is lost) the node's pending count is the start, and a transaction of the run before may be mined beside its
 * retry: the precondition that every action carries on chain is what makes that harmless.
 */
export function createSender(options: SenderOptions): Sender {
  const { ledger: place, ...others } = options
  const { client, account, clock, caps } = options
  const context: SenderContext = {
    ...others,
    logger: options.logger.child({ chain: options.chainId, from: account.address }),
    entries: new Map(),
    released: new Map(),
    mined: new Map(),
    looks: 0,
    handedOver: undefined,
    ledger: undefined,
    next: undefined,
    head: undefined,
    counted: senderMetrics(options.metrics),
  }
  const closing = new AbortController()
  let offering: Promise<unknown> = Promise.resolve()
  let watching: Promise<void> | undefined
  let starting: Promise<void> | undefined
  let recovering: Ledger | undefined

  /** A start that fails is made again by the next one. */
  function start(): Promise<void> {
    starting ??= open().catch((error: unknown) => {
      starting = undefined
      throw error
    })
    return starting
  }

  async function open(): Promise<void> {
    if (place === undefined || closing.signal.aborted) return
    context.ledger = await openLedger({ ...place, chainId: options.chainId, signer: account.address })
    recovering = context.ledger
    await takeUp().catch((error: unknown) => {
      if (!(error instanceof BaseError || error instanceof RetryableError)) throw error
      context.logger.warn({ reason: error.message }, 'chain not readable, the nonce ledger waits for it')
    })
  }

  /** Before anything new is sent: new nonces come after those of the ledger. */
  async function takeUp(): Promise<void> {
    if (recovering === undefined) return
    await recover(context, recovering)
    recovering = undefined
    ensureWatched()
  }

  /** With nothing to watch, `watch` would end before its promise is kept, and none would ever begin again. */
  function ensureWatched(): void {
    if (context.entries.size + context.mined.size > 0) watching ??= watch()
  }

  async function watch(): Promise<void> {
    const pollMs = options.pollMs ?? client.pollingInterval
    while (context.entries.size + context.mined.size > 0 && !closing.signal.aborted) {
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
      try {
        await start()
        await takeUp()
      } catch (error) {
        const err =
          error instanceof BaseError ? new RetryableError(error.shortMessage, { cause: error }) : error
        for (const { reject } of batch) reject(err instanceof Error ? err : new Error(String(err)))
        return
      }
      await offer(context, batch)
      context.counted.inFlight.set({ chain: String(options.chainId) }, context.entries.size)
      ensureWatched()
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
    start,
    sendMany,
    async send(request) {
      const [result] = await sendMany([request])
      if (result?.status === 'fulfilled') return result.value
      throw result?.reason
    },
    inFlight: () => context.entries.size,
    unclaimed: (read) =>
      [...context.entries.values()].filter(({ orphaned }) => orphaned).length +
      [...context.mined.values()].filter(({ entry, block }) => entry.orphaned && block > read).length,
    isStuck: () => context.handedOver !== undefined && context.entries.has(context.handedOver),
    async close() {
      closing.abort()
      await Promise.all([starting?.catch(() => {}), offering])
      await watching
      for (const entry of [...context.entries.values()]) {
        finish(context, entry, 'abandoned')
        entry.reject(new RetryableError('the sender is closed'))
      }
      await context.ledger?.close()
    },
  }
}
