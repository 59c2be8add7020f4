import { BaseError } from 'viem'
import { RetryableError } from '../errors.js'
import { broadcast, countOf } from './broadcast.js'
import { finish, markAccepted, type SenderContext, signCandidate, signedRecord } from './context.js'
import { bumpFees } from './fees.js'
import { reportForeign } from './foreign.js'
import { prepare } from './prepare.js'
import { findReceipt } from './settle.js'
import type { InFlight, PreparedTransaction } from './transaction.js'

/** Rounds of signing anew when nonces turn out to be used. */
const NONCE_ROUNDS = 5

/** Gaps filled at one look: more than that is not a gap but a wrong count. */
export const MAX_GAP = 16

/** Versions of a nonce that nodes refuse again and again, for want of funds say: twice as many are the most that are remembered. */
const VERSIONS_KEPT = 16

/** A prepared transaction and whoever waits for it. */
export type Waiting = Pick<InFlight, 'prepared' | 'resolve' | 'reject'>

/**
 * Gives consecutive nonces, records them, and offers all transactions together. What is refused for itself rejects, and its nonce is filled if
 * later ones depend on it; a nonce that another transaction took is read again from the chain. One call at a time per sender.
 */
export async function offer(context: SenderContext, batch: readonly Waiting[]): Promise<void> {
  let left = batch
  try {
    for (let round = 0; left.length > 0 && round < NONCE_ROUNDS; round++)
      left = await offerOnce(context, left)
    if (left.length > 0) throw new RetryableError(`no free nonce after ${NONCE_ROUNDS} tries`)
  } catch (error) {
    // Nothing of these was offered: their nonce could not be read, or they could not be signed.
    const err = error instanceof BaseError ? new RetryableError(error.shortMessage, { cause: error }) : error
    for (const { reject } of left) reject(err instanceof Error ? err : new Error(String(err)))
  }
}

async function offerOnce(context: SenderContext, batch: readonly Waiting[]): Promise<Waiting[]> {
  const { client, account, entries, logger } = context
  const first = context.next ?? (await nextNonce(context))
  const offered = await Promise.all(batch.map((waiting, i) => createEntry(context, first + i, waiting)))
  // All are in the ledger, on disk, before any is offered: from then on each may be mined.
  await record(context, offered)
  for (const entry of offered) entries.set(entry.nonce, entry)
  context.next = first + offered.length
  const results = await Promise.all(
    offered.map((entry) => broadcast(client, account.address, entry.candidates.at(-1)!)),
  )
  const again: Waiting[] = []
  const refused: InFlight[] = []
  let isStale = false
  for (const [i, result] of results.entries()) {
    const entry = offered[i]!
    if (result.kind === 'accepted') markAccepted(context, entry)
    else if (result.kind === 'unknown')
      logger.warn({ nonce: entry.nonce, reason: result.error.shortMessage }, 'broadcast unanswered')
    else if (entries.get(entry.nonce) === entry) {
      // Still ours: reconciliation has not given up on it meanwhile.
      isStale ||= result.kind === 'nonce-used'
      if (entry.prepared.request.exclusive) leave(context, entry, result)
      else if (result.kind === 'nonce-used') {
        release(context, entry)
        again.push(entry)
      } else {
        release(context, entry)
        refused.push(entry)
        finish(context, entry, 'refused')
        entry.reject(result.error)
      }
    }
  }
  await releaseNonces(context, refused, isStale)
  // Once for the batch: one that sends beside us takes more than one nonce.
  const taken = offered.find((entry) => again.includes(entry))
  if (taken !== undefined) void reportTaken(context, taken)
  return again
}

/** Unless it was an earlier version of our own, which a node had refused. */
async function reportTaken(context: SenderContext, entry: InFlight): Promise<void> {
  const own = await findReceipt(context.client, entry).catch(() => undefined)
  if (own === undefined) await reportForeign(context, entry.nonce)
}

/**
 * What one node has refused another may have taken, and the node may lie: its versions stay known, in memory and on disk, until the nonce is used
 * up, whoever gets it next.
 */
function release(context: SenderContext, { nonce, prepared, candidates }: InFlight): void {
  const { entries, released, ledger, logger } = context
  entries.delete(nonce)
  const isLong = candidates.length > 2 * VERSIONS_KEPT
  const kept = isLong ? candidates.slice(-VERSIONS_KEPT) : candidates
  released.set(nonce, kept)
  if (!isLong) return
  const { label } = prepared.request
  const anew = [
    { nonce, state: 'released' } as const,
    { nonce, state: 'reserved', label } as const,
    ...kept.map(signedRecord),
  ]
  ledger?.append(anew).catch((err: unknown) => logger.error({ err }, 'nonce ledger not written'))
}

/** What may be done once only is not done by another nonce while this one may still be mined: it stays in flight until its nonce is used up. */
function leave(
  { logger }: SenderContext,
  entry: InFlight,
  result: { kind: 'nonce-used' } | { kind: 'refused'; error: Error },
): void {
  const { nonce, prepared, reject } = entry
  const { label } = prepared.request
  Object.assign(entry, { orphaned: true, resolve() {}, reject() {} })
  logger.warn({ nonce, label, answer: result.kind }, 'not accepted, and watched until its nonce is used up')
  reject(
    result.kind === 'refused'
      ? result.error
      : new RetryableError(`${label}: nonce ${nonce} was used by another transaction`),
  )
}

/** Reserves the nonces and writes down what was signed for them. */
async function record({ ledger }: SenderContext, entries: readonly InFlight[]): Promise<void> {
  await ledger?.append(
    entries.flatMap(({ nonce, prepared, candidates }) => [
      { nonce, state: 'reserved', label: prepared.request.label } as const,
      ...candidates.slice(-1).map(signedRecord),
    ]),
  )
}

/** Refused nonces at the end are given out again; those in the middle are filled, or the ones behind would wait for ever. */
async function releaseNonces(context: SenderContext, refused: InFlight[], stale: boolean): Promise<void> {
  const highest = Math.max(-1, ...context.entries.keys())
  const lowestRefused = Math.min(...refused.map(({ nonce }) => nonce))
  if (stale) context.next = undefined
  else if (refused.length > 0) context.next = Math.max(highest + 1, lowestRefused)
  for (const { nonce } of refused.filter((entry) => entry.nonce < highest)) {
    await fillGap(context, nonce).catch((err: unknown) => {
      // Reconciliation finds the gap again when the transactions behind it are stuck.
      context.logger.warn({ err, nonce }, 'nonce gap not filled')
    })
  }
}

/**
 * A node behind a balancer may count fewer than we know to be mined or in flight, and some count fewer pending than mined; only that can raise
 * its count, never a counter of our own: what it has passed may have been refused, and what is above such a nonce would wait for ever.
 */
async function nextNonce({ client, account, entries, mined }: SenderContext): Promise<number> {
  const count = await countOf(client, account.address)
  return Math.max(count, ...[...entries.keys(), ...mined.keys()].map((nonce) => nonce + 1))
}

async function createEntry(context: SenderContext, nonce: number, waiting: Waiting): Promise<InFlight> {
  const { released, caps, clock } = context
  const { prepared, resolve, reject } = waiting
  // To whoever waits now they do nothing but use the nonce up.
  const earlier = (released.get(nonce) ?? []).map((candidate) => ({ ...candidate, cancels: true }))
  const last = earlier.at(-1)
  const fees = (last && bumpFees(last.fees, prepared.fees, caps)) ?? prepared.fees
  const candidate = await signCandidate(context, nonce, prepared, fees)
  released.delete(nonce)
  return {
    nonce,
    prepared,
    candidates: [...earlier.filter(({ hash }) => hash !== candidate.hash), candidate],
    broadcastAt: undefined,
    lastBroadcastAt: clock.now(),
    lastBroadcastBlock: prepared.firstPossibleBlock - 1n,
    withoutReceipt: 0,
    orphaned: false,
    resolve,
    reject,
  }
}

/** A transaction to ourselves that does nothing but use its nonce up. */
export function prepareNothing(context: SenderContext): Promise<PreparedTransaction> {
  const { client, account, caps, clock } = context
  return prepare(client, account.address, caps, clock, {
    to: account.address,
    data: '0x',
    label: 'nonce filler',
  })
}

/** Uses a nonce up, so that the transactions behind it can be mined. */
export async function fillGap(context: SenderContext, nonce: number): Promise<void> {
  const { client, account, entries, mined, logger } = context
  if (entries.has(nonce) || mined.has(nonce)) return
  const prepared = await prepareNothing(context)
  const entry = await createEntry(context, nonce, { prepared, resolve: () => {}, reject: () => {} })
  await record(context, [entry])
  entries.set(nonce, entry)
  const result = await broadcast(client, account.address, entry.candidates.at(-1)!)
  logger.warn({ nonce, result: result.kind }, 'filled a nonce gap')
  if (result.kind === 'accepted') markAccepted(context, entry)
  if (result.kind === 'nonce-used' || result.kind === 'refused') {
    release(context, entry)
    finish(context, entry, 'refused')
  }
}
