import { type Hex, parseTransaction } from 'viem'
import type { SenderContext } from './context.js'
import { reportForeign } from './foreign.js'
import type { Ledger, LedgerEntry } from './ledger.js'
import { fillGap, MAX_GAP } from './offer.js'
import { offerUnaccepted } from './reconcile.js'
import type { InFlight } from './transaction.js'

/**
 * Takes up what an earlier process left in flight, and compares it with the chain both ways: what the chain lacks is offered again and gaps
 * below it are filled; what the ledger lacks is another's, and is named. @throws viem's BaseError when the node fails; then nothing was taken up.
 */
export async function recover(context: SenderContext, { left, next }: Ledger): Promise<void> {
  const { client, account, entries, mined, logger } = context
  const address = account.address
  const [latest, pending] = await Promise.all([
    client.getTransactionCount({ address, blockTag: 'latest' }),
    client.getTransactionCount({ address, blockTag: 'pending' }),
  ])
  for (const one of left) {
    const entry = resume(context, one)
    if (one.mined === undefined) entries.set(entry.nonce, entry)
    else mined.set(entry.nonce, { entry, ...one.mined })
  }
  if (left.length > 0)
    logger.info({ inFlight: entries.size, unfinal: mined.size, latest }, 'taken up from the nonce ledger')
  // Every nonce below `next` was ours; from there on to what is mined, another sent.
  if (next !== undefined && latest > next) await reportForeign(context, next)
  const highest = Math.max(-1, ...entries.keys())
  const free = Math.max(latest, pending)
  for (let nonce = free; nonce < Math.min(highest, free + MAX_GAP); nonce++) await fillGap(context, nonce)
  await offerUnaccepted(
    context,
    [...entries.values()].filter(({ nonce }) => nonce >= latest),
  )
}

function resume({ clock }: SenderContext, { nonce, label, candidates }: LedgerEntry): InFlight {
  // What was asked for is in the first version; later ones may be cancellations.
  const first = candidates[0]!
  const { to, data = '0x', value = 0n, gas = 21_000n } = parseTransaction(first.raw as Eip1559)
  const now = clock.now()
  return {
    nonce,
    candidates,
    prepared: {
      request: { to: to!, data, value, label },
      gas,
      fees: first.fees,
      readyAt: now,
      firstPossibleBlock: 0n,
    },
    broadcastAt: undefined,
    lastBroadcastAt: now,
    lastBroadcastBlock: 0n,
    withoutReceipt: 0,
    orphaned: true,
    resolve: () => {},
    reject: () => {},
  }
}

type Eip1559 = Hex & `0x02${string}`
