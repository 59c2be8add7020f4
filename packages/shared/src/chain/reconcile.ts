import { BaseError } from 'viem'
import { RetryableError } from '../errors.js'
import { broadcast } from './broadcast.js'
import { finish, markAccepted, type SenderContext, signCandidate } from './context.js'
import { bumpFees, REPLACEMENTS } from './fees.js'
import { fillGap, prepareNothing } from './offer.js'
import { currentFees } from './prepare.js'
import { findReceipt, outcomeOf } from './settle.js'
import type { InFlight } from './transaction.js'

/** Looks for the receipt of a used nonce before it is taken for another's; a node behind a balancer may lag. */
const RECEIPT_POLLS = 10
/** Versions of a transaction tried; nodes take some into their pool that no block can hold. Then the nonce is used up by nothing. */
const CANCEL_AFTER = REPLACEMENTS
/** Gaps filled at one look: more than that is not a gap but a wrong count. */
const MAX_GAP = 16

/** One look at the chain: settles what was mined, and moves what is stuck. */
export async function reconcile(context: SenderContext): Promise<void> {
  const { client, account, entries, clock, stuckAfterMs } = context
  const latest = await client.getTransactionCount({ address: account.address, blockTag: 'latest' })
  const inOrder = [...entries.values()].sort((a, b) => a.nonce - b.nonce)
  await Promise.all(inOrder.filter(({ nonce }) => nonce < latest).map((entry) => settle(context, entry)))
  const waiting = inOrder.filter(({ nonce }) => nonce >= latest)
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
    entry.reject(
      new RetryableError(
        `${entry.prepared.request.label}: no block took it in ${CANCEL_AFTER} versions, cancelled`,
      ),
    )
    return
  }
  try {
    const outcome = await outcomeOf(client, account.address, entry, receipt, clock.now())
    if (outcome instanceof Error) {
      finish(context, entry, 'reverted')
      entry.reject(outcome)
      return
    }
    const { label } = entry.prepared.request
    counted.minedSeconds.observe(
      { chain: String(chainId), label },
      (outcome.minedAt - outcome.broadcastAt) / 1000,
    )
    finish(context, entry, 'mined')
    entry.resolve(outcome)
  } catch (error) {
    // A node that fails is asked again; anything else, such as a classifier that throws, is the caller's to hear.
    if (error instanceof BaseError) throw error
    finish(context, entry, 'reverted')
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
    const cancels = entry.candidates.length >= CANCEL_AFTER
    const prepared = cancels ? await prepareNothing(context) : entry.prepared
    const candidate = await signCandidate(context, entry.nonce, prepared, fees, cancels)
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

/** Any answer will do: what matters is seen at the next look. */
async function offerAgain(context: SenderContext, entry: InFlight): Promise<void> {
  const { client, account } = context
  const { kind } = await broadcast(client, account.address, entry.candidates.at(-1)!)
  if (kind === 'accepted') markAccepted(context, entry)
}
