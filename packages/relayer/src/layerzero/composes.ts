import { type Address, type Hex, pad } from 'viem'
import type { ComposeOption } from './options.js'
import { type Failure, UNEXPLAINED } from './outbox.js'
import type { SentPacket } from './sent.js'

/** A call that a packet's receiver has queued on the endpoint, to be made apart from the packet. */
export interface QueuedCall {
  from: Address
  to: Address
  guid: Hex
  index: number
  message: Hex
  /** Block of the destination that queued it. */
  block: bigint
}

interface Tried extends QueuedCall {
  failures: number
  failure: Failure | undefined
  /** Real ms before which it is not tried again. */
  notBefore: number
}

/** A queued call that its packet's sender has paid our executor for. */
export interface PaidCall extends Tried {
  option: ComposeOption
}

/** A call that is made, or isn't queued any more, as far as is known. */
interface Settled {
  call: QueuedCall
  /** Newest block of the destination that was known then. */
  head: bigint
  /** Block of the destination as of which more than one node says so; until then nobody knows which block it was of. */
  block: bigint | undefined
}

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** Packets and queued calls remembered; the oldest go first, and come back when their logs are read again. */
const KEPT = 5_000
/** Made calls that a reorg of the destination may bring back. */
const SETTLED_KEPT = 1_000

const FRESH = { failures: 0, failure: undefined, notBefore: 0 }

/**
 * Compose calls of one destination: what packets pay for, joined with what receivers queue, in whichever order their logs are read. Anyone may
 * queue a call under any packet's guid, so one counts only from the packet's own receiver. One that has failed `maxFailures` times is a dead
 * letter, which is tried again only when it is replayed.
 */
export function createComposes({ maxFailures }: { maxFailures: number }) {
  const paid = new Map<Hex, { receiver: Hex; options: readonly ComposeOption[] }>()
  const queued = new Map<string, Tried>()
  const settled = new Map<string, Settled>()
  const keyOf = ({ from, to, guid, index }: Omit<QueuedCall, 'message' | 'block'>) =>
    `${from}:${to}:${guid}:${index}`.toLowerCase()

  function paidCall(call: Tried): PaidCall[] {
    const packet = paid.get(call.guid)
    if (packet === undefined || packet.receiver !== pad(call.from).toLowerCase()) return []
    const option = packet.options.find(({ index }) => index === call.index)
    return option === undefined ? [] : [{ ...call, option }]
  }
  const calls = () => [...queued.values()].flatMap(paidCall)
  const isDead = ({ failures }: Tried) => failures >= maxFailures

  return {
    /** A packet whose compose calls our executor is paid for. */
    expect({ packet, options }: SentPacket): void {
      if (options.composes.length === 0) return
      paid.set(packet.guid, { receiver: packet.receiver, options: options.composes })
      for (const oldest of paid.keys()) if (paid.size > KEPT) paid.delete(oldest)
    },
    queue(call: QueuedCall): void {
      const key = keyOf(call)
      if ((queued.get(key) ?? settled.get(key)?.call)?.block === call.block) return
      settled.delete(key)
      queued.set(key, { ...call, ...FRESH })
      for (const oldest of queued.keys()) if (queued.size > KEPT) queued.delete(oldest)
    },
    /** The destination's blocks from `block` on have changed: what they queued is read again, and what they made may be undone. */
    forget(block: bigint): void {
      for (const [key, call] of queued) if (call.block >= block) queued.delete(key)
      for (const [key, { call, block: at }] of settled) {
        if (at !== undefined && at < block) continue
        settled.delete(key)
        if (call.block < block) queued.set(key, { ...call, ...FRESH })
      }
    },
    /** Calls that may be tried now, what has never failed before what has. */
    take(now: number, limit: number): PaidCall[] {
      return calls()
        .filter((call) => call.notBefore <= now && !isDead(call))
        .sort((a, b) => Number(a.failures > 0) - Number(b.failures > 0))
        .slice(0, limit)
    },
    pending: (): PaidCall[] => calls().filter((call) => !isDead(call)),
    dead: (): PaidCall[] => calls().filter(isDead),
    /** It failed: tried again later, after longer each time. The first failure with a reason stays the reason until another has one. */
    fail(call: QueuedCall, now: number, failure?: Failure): void {
      const found = queued.get(keyOf(call))
      if (found === undefined) return
      found.failures++
      found.failure = failure ?? found.failure
      if (isDead(found)) found.failure ??= UNEXPLAINED
      found.notBefore = now + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(found.failures, 10))
    },
    /** Tries all calls of a packet again, dead letters too. False when none waits here. */
    replay(guid: Hex): boolean {
      const found = calls().filter((call) => call.guid === guid)
      for (const call of found) Object.assign(queued.get(keyOf(call))!, FRESH)
      return found.length > 0
    },
    /** It is made, or isn't queued any more, by the newest state of a node, when this was the newest block known. */
    settle(call: QueuedCall, head: bigint): void {
      const key = keyOf(call)
      if (!queued.delete(key)) return
      settled.set(key, { call, head, block: undefined })
      for (const oldest of settled.keys()) if (settled.size > SETTLED_KEPT) settled.delete(oldest)
    },
    /** What has been settled before this block of the destination by one node's word alone, at most so many, the oldest first. */
    unconfirmed(block: bigint, most: number): QueuedCall[] {
      const found = [...settled.values()].filter((one) => one.block === undefined && one.head < block)
      return found.slice(0, most).map(({ call }) => call)
    },
    /** Not queued as of this block, by more than one node's word. */
    confirm(call: QueuedCall, block: bigint): void {
      const found = settled.get(keyOf(call))
      if (found !== undefined && found.head < block) found.block ??= block
    },
    /** It is still queued. */
    reopen(call: QueuedCall): void {
      if (settled.delete(keyOf(call))) queued.set(keyOf(call), { ...call, ...FRESH })
    },
  }
}

export type Composes = ReturnType<typeof createComposes>
