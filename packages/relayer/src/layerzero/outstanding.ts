import type { ChainContext } from '../chains/context.js'
import { boostOf, type DeliveryLimits, type Step } from './batch.js'
import type { Pending } from './outbox.js'
import { packetStates, requiredConfirmations, verificationStates } from './state.js'

/** What a destination says of packets. */
export interface Outstanding {
  /** What can go on now, in the order given. */
  steps: Step[]
  /** Nothing is left to do for them, whoever did it. */
  done: Pending[]
  /** They wait for others, and why. */
  waiting: { entry: Pending; reason: string }[]
}

/** Asks the destination what it still lacks of each packet. `sourceConfirmations`: of the chain that an endpoint id stands for. @throws RetryableError when the node fails. */
export async function outstanding(
  destination: Pick<ChainContext, 'client' | 'chain'>,
  entries: readonly Pending[],
  sourceConfirmations: (eid: number) => number,
  limits: DeliveryLimits,
): Promise<Outstanding> {
  const states = await packetStates(destination, entries)
  const open = entries.filter((_, i) => states[i]?.state === 'open')
  const [verifications, confirmations] = await Promise.all([
    verificationStates(destination, open),
    requiredConfirmations(destination, entries),
  ])
  const result: Outstanding = { steps: [], done: [], waiting: [] }
  for (const [i, entry] of entries.entries()) {
    const { state, inbound } = states[i] ?? { state: 'open', inbound: 0n }
    const required = confirmations[i]
    if (state === 'delivered' || (state === 'committed' && !entry.execute)) {
      result.done.push(entry)
      continue
    }
    const verified = state === 'open' ? verifications[open.indexOf(entry)] : undefined
    const calls = required === undefined ? undefined : callsFor(entry, state, verified)
    if (required === undefined || calls === undefined) {
      result.waiting.push({ entry, reason: [state, verified].join(' ') })
      continue
    }
    const source = BigInt(sourceConfirmations(entry.packet.srcEid))
    result.steps.push({
      entry,
      boost: boostOf(entry, entry.failures, limits),
      confirmations: required > source ? required : source,
      inbound,
      execute: entry.execute,
      ...calls,
    })
  }
  return result
}

/** Undefined when only others can go on. */
function callsFor(
  entry: Pending,
  state: string,
  verified: string | undefined,
): { verify: boolean; commit: boolean } | undefined {
  if (state === 'committed') return { verify: false, commit: false }
  if (state !== 'open') return undefined
  if (verified === 'verifiable') return { verify: false, commit: true }
  // Ours is there and others' are missing: only they can go on.
  if (verified === 'unverified' && entry.verify && !entry.verified) return { verify: true, commit: true }
  return undefined
}
