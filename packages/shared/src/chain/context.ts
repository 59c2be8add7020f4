import { keccak256, type LocalAccount } from 'viem'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { Metrics } from '../metrics.js'
import type { ChainClient } from './client.js'
import type { Fees } from './fees.js'
import type { Ledger, LedgerOptions, LedgerRecord } from './ledger.js'
import type { Candidate, InFlight, Mined, PreparedTransaction } from './transaction.js'

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
  /** Where the nonce ledger lies on disk; absent: in memory, and a restart knows only what nodes know. */
  ledger?: Pick<LedgerOptions, 'directory' | 'networkId'> | undefined
  /** Other signers can do the work: when replacements don't help, whoever waits is told so (RetryableError), and the nonce is used up by nothing. */
  handsOver?: boolean | undefined
  /** Blocks, its own included, from which a transaction is final; until then it is looked at again. Absent: as soon as it is mined. */
  finalBlocks?: number | undefined
}

/** What the parts of one sender share. */
export interface SenderContext extends Omit<SenderOptions, 'ledger'> {
  /** The ledger: nonces in use. */
  readonly entries: Map<number, InFlight>
  /** Versions that were signed for nonces which are free again by the word of one node: any may be mined. */
  readonly released: Map<number, readonly Candidate[]>
  /** Mined and not final, by nonce. */
  readonly mined: Map<number, Mined>
  /** The nonce that was next in line when the work was handed over to other signers. */
  handedOver: number | undefined
  /** Looks at the chain so far. */
  looks: number
  /** On disk; undefined before the sender has started, and without one. */
  ledger: Ledger | undefined
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
    foreign: metrics.counter(
      'transactions_foreign_total',
      'Nonces used by a transaction that this process did not send',
      ['chain'],
    ),
    reorged: metrics.counter('transactions_reorged_total', 'Mined transactions that a reorg undid', [
      'chain',
    ]),
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

/** What the ledger says of a new version of a transaction. */
export function signedRecord({ nonce, hash, raw, fees, cancels }: Candidate): LedgerRecord {
  const { maxFeePerGas, maxPriorityFeePerGas } = fees
  return {
    nonce,
    state: 'signed',
    hash,
    raw,
    maxFeePerGas: String(maxFeePerGas),
    maxPriorityFeePerGas: String(maxPriorityFeePerGas),
    cancels,
  }
}

/** Writes what nothing has to wait for: the chain says it again to whoever comes after a crash. */
export function note({ ledger, logger }: SenderContext, record: LedgerRecord): void {
  ledger?.append([record]).catch((err: unknown) => logger.error({ err }, 'nonce ledger not written'))
}

/** Notes that a node has the transaction. */
export function markAccepted(context: SenderContext, entry: InFlight): void {
  const { clock, counted, chainId } = context
  if (entry.broadcastAt !== undefined) return
  entry.broadcastAt = clock.now()
  note(context, { nonce: entry.nonce, state: 'broadcast', hash: entry.candidates.at(-1)!.hash })
  const { readyAt, request } = entry.prepared
  counted.broadcastSeconds.observe(
    { chain: String(chainId), label: request.label },
    (entry.broadcastAt - readyAt) / 1000,
  )
}

/** Takes an entry out of what is in flight. What is abandoned stays in the ledger: it may still be mined. */
export function finish(
  context: SenderContext,
  entry: InFlight,
  outcome: 'mined' | 'reverted' | 'cancelled' | 'lost' | 'refused' | 'abandoned',
): void {
  const { entries, counted, chainId } = context
  entries.delete(entry.nonce)
  if (outcome === 'lost') note(context, { nonce: entry.nonce, state: 'foreign' })
  counted.inFlight.set({ chain: String(chainId) }, entries.size)
  counted.outcomes.inc({ chain: String(chainId), label: entry.prepared.request.label, outcome })
}
