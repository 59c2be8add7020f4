import { keccak256, type LocalAccount } from 'viem'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { Metrics } from '../metrics.js'
import type { ChainClient } from './client.js'
import type { Fees } from './fees.js'
import type { Candidate, InFlight, PreparedTransaction } from './transaction.js'

export interface SenderOptions {
  client: ChainClient
  /** Signs; no other process may use it. */
  account: LocalAccount
  chainId: number
  /** Real time. */
  clock: Clock
  logger: Logger
  metrics: Metrics
  /** A transaction that is next in line and unmined for so long is replaced at higher fees, in the clock's milliseconds. */
  stuckAfterMs: number
  /** The most this sender ever pays, wei per gas. */
  caps: Fees
  /** Time between looks at the chain while anything is in flight; the client's polling interval by default. */
  pollMs?: number
}

/** What the parts of one sender share. */
export interface SenderContext extends SenderOptions {
  /** The ledger: nonces in use. */
  readonly entries: Map<number, InFlight>
  /** The nonce after the last one given; undefined when it must be asked of the chain. */
  next: number | undefined
  /** The lowest nonce in flight and since when it has been that. */
  head: { nonce: number; since: number } | undefined
  readonly counted: ReturnType<typeof senderMetrics>
}

/** The metrics of all senders of a process. */
export function senderMetrics(metrics: Metrics) {
  return {
    outcomes: metrics.counter('transactions_total', 'Transactions by outcome', ['chain', 'label', 'outcome']),
    replacements: metrics.counter('transaction_replacements_total', 'Replacements at higher fees', ['chain']),
    inFlight: metrics.gauge('transactions_in_flight', 'Transactions in flight', ['chain']),
    broadcastSeconds: metrics.histogram(
      'transaction_broadcast_seconds',
      'From ready to send until a node accepted it',
      ['chain', 'label'],
    ),
    minedSeconds: metrics.histogram('transaction_mined_seconds', 'From accepted until its receipt was seen', [
      'chain',
      'label',
    ]),
  }
}

/** Signs one version of a transaction. */
export async function signCandidate(
  { account, chainId }: SenderContext,
  nonce: number,
  { request: { to, data, value = 0n }, gas }: PreparedTransaction,
  fees: Fees,
  cancels = false,
): Promise<Candidate> {
  const raw = await account.signTransaction({
    type: 'eip1559',
    chainId,
    nonce,
    to,
    data,
    value,
    gas,
    ...fees,
  })
  return { hash: keccak256(raw), raw, nonce, fees, cancels }
}

/** Notes that a node has the transaction. */
export function markAccepted({ clock, counted, chainId }: SenderContext, entry: InFlight): void {
  if (entry.broadcastAt !== undefined) return
  entry.broadcastAt = clock.now()
  const { readyAt, request } = entry.prepared
  counted.broadcastSeconds.observe(
    { chain: String(chainId), label: request.label },
    (entry.broadcastAt - readyAt) / 1000,
  )
}

/** Takes an entry out of the ledger. */
export function finish(
  { entries, counted, chainId }: SenderContext,
  entry: InFlight,
  outcome: 'mined' | 'reverted' | 'cancelled' | 'lost' | 'refused' | 'abandoned',
): void {
  entries.delete(entry.nonce)
  counted.inFlight.set({ chain: String(chainId) }, entries.size)
  counted.outcomes.inc({ chain: String(chainId), label: entry.prepared.request.label, outcome })
}
