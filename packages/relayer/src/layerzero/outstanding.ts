import { type Address, type Hex, isAddressEqual } from 'viem'
import type { ChainContext } from '../chains/context.js'
import type { Silence } from '../chains/silence.js'
import { boostOf, type DeliveryLimits, type Step } from './batch.js'
import type { Pending } from './pending.js'
import {
  type Configured,
  isDone,
  type PacketState,
  packetStates,
  type Requirement,
  requirements,
  type Verification,
  verificationStates,
} from './state.js'

/** What a destination says of packets. */
export interface Outstanding {
  /** What can go on now, in the order given. */
  steps: Step[]
  /** Nothing is left to do for them, whoever did it. */
  done: Pending[]
  /** They wait for others, and why. `isUnknown`: for nodes, which don't tell what their path asks for. */
  waiting: { entry: Pending; reason: string; isUnknown: boolean }[]
}

/** `client`: who is asked about packets; what paths ask for more than half of the nodes must say. */
type Reading = Configured & Pick<ChainContext, 'client'>

/** Asks the destination what it still lacks of each packet; `sources` by endpoint id. @throws RetryableError when the destination's nodes fail. */
export async function outstanding(
  destination: Reading,
  entries: readonly Pending[],
  sources: ReadonlyMap<number, Configured>,
  limits: DeliveryLimits,
  silence?: Pick<Silence, 'note'>,
): Promise<Outstanding> {
  const states = await packetStates(destination, entries)
  const open = entries.filter((_, i) => states[i]?.state === 'open')
  const [verifications, required, below] = await Promise.all([
    verificationStates(destination, open),
    requirements(destination, sources, entries, silence),
    undeliveredBelow(destination, entries),
  ])
  const result: Outstanding = { steps: [], done: [], waiting: [] }
  for (const [i, entry] of entries.entries()) {
    const { state, inbound } = states[i] ?? { state: 'open' as const, inbound: 0n }
    const requirement = required[i]
    if (isDone(entry, state)) {
      result.done.push(entry)
      continue
    }
    const verified = state === 'open' ? verifications[open.indexOf(entry)] : undefined
    const situation = requirement && { state, verified, requirement, workers: destination.chain.layerzero }
    const calls = situation && callsFor(entry, situation)
    if (requirement === undefined || calls === undefined) {
      const reason = situation
        ? whyNothing(entry, situation)
        : 'no majority of nodes says what its path asks for'
      result.waiting.push({ entry, reason, isUnknown: requirement === undefined })
      continue
    }
    const source = BigInt(sources.get(entry.packet.srcEid)?.chain.confirmations ?? 1)
    result.steps.push({
      entry,
      boost: boostOf(entry, entry.failures, limits),
      confirmations: requirement.confirmations > source ? requirement.confirmations : source,
      inbound,
      after: below.get(entry.packet.guid) ?? [],
      execute: entry.execute,
      ...calls,
    })
  }
  return result
}

/**
 * For ordered packets the nonce just below, where it is not delivered. Those further down need not be asked for: a receiver that wants order
 * has not taken the one just below before them.
 */
async function undeliveredBelow(
  destination: Pick<Reading, 'chain' | 'client'>,
  entries: readonly Pending[],
): Promise<Map<Hex, bigint[]>> {
  const ordered = entries.filter(({ options, execute }) => options.ordered && execute)
  // Asking nothing is a request too.
  if (ordered.length === 0) return new Map()
  const states = await packetStates(
    destination,
    ordered.map(({ packet, payloadHash }) => ({
      packet: { ...packet, nonce: packet.nonce - 1n },
      payloadHash,
    })),
  )
  return new Map(
    ordered.flatMap(({ packet }, i) =>
      states[i]?.state === 'delivered' ? [] : [[packet.guid, [packet.nonce - 1n]] as const],
    ),
  )
}

interface Situation {
  state: PacketState
  verified: Verification | undefined
  requirement: Requirement
  workers: { dvn: Address; attestor?: Address | undefined }
}

/** Undefined when only others can go on. */
function callsFor(
  entry: Pending,
  { state, verified, requirement: { verifiers }, workers: { dvn, attestor } }: Situation,
): Pick<Step, 'verify' | 'attest' | 'commit'> | undefined {
  const nothing = { verify: false, attest: false, commit: false }
  if (state === 'committed') return nothing
  if (state !== 'open') return undefined
  if (verified === 'verifiable') return { ...nothing, commit: true }
  if (verified !== 'unverified') return undefined
  const counts = (worker: Address | undefined) => worker !== undefined && includes(verifiers, worker)
  const attest = entry.attest && counts(attestor)
  const verify = entry.verify && !entry.verified && counts(dvn)
  // Ours is there and others' are missing: only they can go on. What the Attestor verifies it commits too.
  return attest || verify ? { verify, attest, commit: !attest } : undefined
}

const includes = (list: readonly Address[], one: Address) => list.some((other) => isAddressEqual(other, one))

/** Why only others can go on, and who, for people. */
function whyNothing(entry: Pending, { state, verified, requirement, workers }: Situation): string {
  if (state === 'withdrawn') return 'its receiver has taken its verification back (nilify)'
  if (verified === 'not-initializable')
    return 'its receiver takes nothing from this path: most often its peer is not set'
  if (verified === 'unknown') return 'its receiver does not let itself be asked whether it takes this path'
  const { dvn, attestor } = workers
  const ours = [dvn, ...(attestor === undefined ? [] : [attestor])]
  const unpaid = requirement.verifiers.filter(
    (one) =>
      (isAddressEqual(one, dvn) && !entry.verify) ||
      (attestor !== undefined && isAddressEqual(one, attestor) && !entry.attest),
  )
  const others = requirement.verifiers.filter((one) => !includes(ours, one))
  return [
    ...(unpaid.length > 0
      ? [`its sender has not paid ${unpaid.join(', ')}, which its receiver's configuration names`]
      : []),
    ...(others.length > 0 ? [`it waits for ${others.join(', ')}`] : []),
    ...(unpaid.length + others.length === 0 ? ['our verification is there and does not suffice yet'] : []),
  ].join('; ')
}
