import { BaseError } from 'viem'
import { RetryableError } from '../errors.js'
import { broadcast } from './broadcast.js'
import { finish, markAccepted, type SenderContext, signCandidate, signedRecord } from './context.js'
import { bumpFees, REPLACEMENTS } from './fees.js'
import { confirmMined, keepMined } from './final.js'
import { findTransaction, reportForeign } from './foreign.js'
import { fillGap, MAX_GAP, prepareNothing } from './offer.js'
import { currentFees } from './prepare.js'
import { findReceipt, outcomeOf } from './settle.js'
import type { InFlight } from './transaction.js'

/** Looks for the receipt of a used nonce before it is taken for another's; a node behind a balancer may lag. */
const RECEIPT_POLLS = 10
/** Versions of a transaction tried; nodes take some into their pool that no block can hold. Then the nonce is used up by nothing. */
const CANCEL_AFTER = REPLACEMENTS
/** Versions of the next in line without success after which other signers, where there are any, take the work over. */
const HAND_OVER_AFTER = 2
/** Transactions that no node has accepted yet, offered again at one look. */
const OFFERS_PER_LOOK = 64

/** One look at the chain: settles what was mined, and moves what is stuck. */
export async function reconcile(context: SenderContext): Promise<void> {
  const { client, account, entries, released, clock, stuckAfterMs } = context
  const latest = await client.getTransactionCount({ address: account.address, blockTag: 'latest' })
  // Used up, by one of their versions or by another's.
  for (const nonce of released.keys()) if (nonce < latest) released.delete(nonce)
  const inOrder = [...entries.values()].sort((a, b) => a.nonce - b.nonce)
  await Promise.all(inOrder.filter(({ nonce }) => nonce < latest).map((entry) => settle(context, entry)))
  for (const entry of await confirmMined(context, latest)) await offerAgain(context, entry)
  const waiting = inOrder.filter(({ nonce }) => nonce >= latest)
  await offerUnaccepted(context, waiting)
  const [head, ...behind] = waiting
  if (head === undefined) return
  if (context.head?.nonce !== head.nonce) context.head = { nonce: head.nonce, since: clock.now() }
  if (clock.now() - Math.max(context.head.since, head.lastBroadcastAt) < stuckAfterMs) return
  if (head.nonce > latest) {
    for (let nonce = latest; nonce < Math.min(head.nonce, latest + MAX_GAP); nonce++)
      await fillGap(context, nonce)
    return
  }
  await replace(context, head)
  // Those behind may have been dropped with it; a node that has them says so.
  for (const entry of behind) await offerAgain(context, entry)
}

async function settle(context: SenderContext, entry: InFlight): Promise<void> {
  const { client, account, clock, counted, chainId } = context
  const receipt = await findReceipt(client, entry)
  if (receipt === undefined) {
    if (++entry.withoutReceipt < RECEIPT_POLLS) return
    const found = await findTransaction(client, account.address, entry.nonce)
    if (entry.candidates.some(({ hash }) => hash === found?.hash)) {
      // Ours after all: the node lacks a receipt that it will have.
      entry.withoutReceipt = 0
      return
    }
    await reportForeign(context, entry.nonce)
    finish(context, entry, 'lost')
    entry.reject(
      new RetryableError(
        `${entry.prepared.request.label}: nonce ${entry.nonce} was used by another transaction`,
      ),
    )
    return
  }
  if (entry.candidates.some(({ hash, cancels }) => cancels && hash === receipt.transactionHash)) {
    finish(context, entry, 'cancelled')
    keepMined(context, entry, receipt)
    entry.reject(
      new RetryableError(
        `${entry.prepared.request.label}: nonce ${entry.nonce} was used up by another version of it, or by what it was given for before`,
      ),
    )
    return
  }
  try {
    const outcome = await outcomeOf(client, account.address, entry, receipt, clock.now())
    if (outcome instanceof Error) {
      finish(context, entry, 'reverted')
      keepMined(context, entry, receipt)
      entry.reject(outcome)
      return
    }
    const { label } = entry.prepared.request
    counted.minedSeconds.observe(
      { chain: String(chainId), label },
      (outcome.minedAt - outcome.broadcastAt) / 1000,
    )
    finish(context, entry, 'mined')
    keepMined(context, entry, receipt)
    entry.resolve(outcome)
  } catch (error) {
    // A node that fails is asked again; anything else, such as a classifier that throws, is the caller's to hear.
    if (error instanceof BaseError) throw error
    finish(context, entry, 'reverted')
    keepMined(context, entry, receipt)
    entry.reject(error instanceof Error ? error : new Error(String(error)))
  }
}

/** Offers a stuck transaction at higher fees. While no block came since the last offer, fees are not what it waits for. */
async function replace(context: SenderContext, entry: InFlight): Promise<void> {
  const { client, caps, clock, counted, chainId, logger } = context
  const { fees: current, head } = await currentFees(client, caps)
  const last = entry.candidates.at(-1)!
  const fees = head > entry.lastBroadcastBlock ? bumpFees(last.fees, current, caps) : undefined
  if (fees === undefined) {
    logger.warn(
      { nonce: entry.nonce, hash: last.hash },
      'transaction stuck: no new block, or fees at their cap',
    )
  } else {
    const versions = entry.candidates.filter(({ cancels }) => !cancels).length
    if (context.handsOver && versions >= HAND_OVER_AFTER) handOver(context, entry)
    const cancels = entry.orphaned || versions >= CANCEL_AFTER
    const prepared = cancels ? await prepareNothing(context) : entry.prepared
    const candidate = await signCandidate(context, entry.nonce, prepared, fees, cancels)
    await context.ledger?.append([signedRecord(candidate)])
    entry.candidates.push(candidate)
    entry.lastBroadcastBlock = head
    counted.replacements.inc({ chain: String(chainId) })
    logger.warn(
      { nonce: entry.nonce, hash: candidate.hash, replaces: last.hash, cancels },
      'transaction replaced',
    )
  }
  entry.lastBroadcastAt = clock.now()
  await offerAgain(context, entry)
}

/** What waits behind a nonce that is stuck waits in vain, so all are told; what only one signer may do goes on waiting. */
function handOver(context: SenderContext, head: InFlight): void {
  const { entries, logger } = context
  context.handedOver = head.nonce
  for (const entry of entries.values()) {
    const { request } = entry.prepared
    if (entry.orphaned || request.exclusive) continue
    const { reject } = entry
    Object.assign(entry, { orphaned: true, resolve() {}, reject() {} })
    logger.warn({ nonce: entry.nonce, stuckAt: head.nonce }, 'left to another signer')
    reject(new RetryableError(`${request.label}: stuck at nonce ${head.nonce}, left to another signer`))
  }
}

/** Any answer will do: what matters is seen at the next look. */
async function offerAgain(context: SenderContext, entry: InFlight): Promise<boolean> {
  const { client, account } = context
  const { kind } = await broadcast(client, account.address, entry.candidates.at(-1)!)
  if (kind === 'accepted') markAccepted(context, entry)
  return kind !== 'unknown'
}

/**
 * Signed is not broadcast: what no node has accepted is offered again at every look, in order of nonce, so that a node which was down, or
 * takes no nonce out of turn, never leaves a region of nonces that nobody will ever use. `waiting` in order of nonce.
 */
export async function offerUnaccepted(context: SenderContext, waiting: readonly InFlight[]): Promise<void> {
  const never = waiting.filter(({ broadcastAt }) => broadcastAt === undefined)
  for (const entry of never.slice(0, OFFERS_PER_LOOK)) if (!(await offerAgain(context, entry))) return
}
