import { type Address, type Hex, pad } from 'viem'
import type { ComposeOption } from './options.js'
import { type Failure, UNEXPLAINED } from './pending.js'
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
/** Calls that wait, calls that nobody is known to have paid for, packets that pay for calls that don't wait: so many of each are remembered. */
const KEPT = 5_000
/** Made calls that a reorg of the destination may bring back. */
const SETTLED_KEPT = 1_000

const FRESH = { failures: 0, failure: undefined, notBefore: 0 }

/** What a packet's sender has paid our executor for. */
interface Payment {
  receiver: Hex
  options: readonly ComposeOption[]
  srcEid: number
  /** Block of the source. */
  block: bigint
}

/**
 * Compose calls of one destination: what packets pay for, joined with what receivers queue, in whichever order their logs are read. Anyone may
 * queue a call under any packet's guid, so one counts only from the packet's own receiver. One that has failed `maxFailures` times is a dead
 * letter, which is tried again only when it is replayed. What is paid for pushes nothing out but dead letters; where something is left out that
 * may be wanted, `missed` says from where its chain is to be read again.
 */
export function createComposes({ maxFailures, kept = KEPT }: { maxFailures: number; kept?: number }) {
  const paid = new Map<Hex, Payment>()
  /** Payments whose call has been settled. */
  const spent = new Map<Hex, Payment>()
  const queued = new Map<string, Tried>()
  /** Under guids for which no payment is known: not read yet, or anybody's noise. */
  const unpaid = new Map<string, QueuedCall>()
  const settled = new Map<string, Settled>()
  /** First block with something that found no room: of sources by endpoint id, of the destination under its own word. */
  const missing = new Map<number | 'destination', bigint>()
  const keyOf = ({ from, to, guid, index }: Omit<QueuedCall, 'message' | 'block'>) =>
    `${from}:${to}:${guid}:${index}`.toLowerCase()

  function optionOf({ guid, from, index }: QueuedCall): ComposeOption | undefined {
    const payment = paid.get(guid) ?? spent.get(guid)
    if (payment === undefined || payment.receiver !== pad(from).toLowerCase()) return undefined
    return payment.options.find((option) => option.index === index)
  }
  function paidCall(call: Tried): PaidCall[] {
    const option = optionOf(call)
    return option === undefined ? [] : [{ ...call, option }]
  }
  const calls = () => [...queued.values()].flatMap(paidCall)
  const isDead = ({ failures }: Tried) => failures >= maxFailures

  function miss(chain: number | 'destination', block: bigint): void {
    const lowest = missing.get(chain)
    if (lowest === undefined || block < lowest) missing.set(chain, block)
  }

  /** Makes room for one call that is paid for; false when none but live ones wait. */
  function hasRoom(): boolean {
    if (queued.size < kept) return true
    for (const [key, call] of queued) if (isDead(call)) return queued.delete(key)
    return false
  }

  /** Of payments, one for which nothing waits. */
  function leaveOutOldest(): void {
    const waiting = new Set([...queued.values()].map(({ guid }) => guid))
    for (const [guid, { srcEid, block }] of paid) {
      if (waiting.has(guid)) continue
      paid.delete(guid)
      miss(srcEid, block)
      return
    }
  }

  function put(call: QueuedCall): void {
    const key = keyOf(call)
    if (paid.has(call.guid) || spent.has(call.guid)) {
      if (optionOf(call) === undefined) return
      if (queued.has(key) || hasRoom()) queued.set(key, { ...call, ...FRESH })
      else miss('destination', call.block)
      return
    }
    unpaid.set(key, call)
    for (const [oldest, { block }] of unpaid) {
      if (unpaid.size <= kept) return
      unpaid.delete(oldest)
      miss('destination', block)
    }
  }

  return {
    /** A packet whose compose calls our executor is paid for. */
    expect({ packet, options, blockNumber }: Pick<SentPacket, 'packet' | 'options' | 'blockNumber'>): void {
      const { guid, receiver, srcEid } = packet
      if (options.composes.length === 0) return
      spent.delete(guid)
      paid.set(guid, { receiver, options: options.composes, srcEid, block: blockNumber })
      if (paid.size > kept + queued.size) leaveOutOldest()
      for (const [key, call] of unpaid) {
        if (call.guid !== guid) continue
        unpaid.delete(key)
        put(call)
      }
    },
    queue(call: QueuedCall): void {
      const key = keyOf(call)
      if ((queued.get(key) ?? unpaid.get(key) ?? settled.get(key)?.call)?.block === call.block) return
      settled.delete(key)
      put(call)
    },
    /** From where chains are to be read again for what found no room, once half of it is free, those that are due; forgotten when it is told. */
    missed(
      isDue: (chain: number | 'destination') => boolean,
    ): [chain: number | 'destination', block: bigint][] {
      if (2 * queued.size > kept) return []
      const found = [...missing].filter(([chain]) => isDue(chain))
      for (const [chain] of found) missing.delete(chain)
      return found
    },
    /** The destination's blocks from `block` on have changed: what they queued is read again, and what they made may be undone. */
    forget(block: bigint): void {
      for (const known of [queued, unpaid])
        for (const [key, call] of known) if (call.block >= block) known.delete(key)
      for (const [key, { call, block: at }] of settled) {
        if (at !== undefined && at < block) continue
        settled.delete(key)
        if (call.block < block) put(call)
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
      for (const [oldest, { call: lost, block }] of settled) {
        if (settled.size <= SETTLED_KEPT) break
        settled.delete(oldest)
        // Only one node has called it made.
        if (block === undefined) miss('destination', lost.block)
      }
      const payment = paid.get(call.guid)
      if (payment === undefined || [...queued.values()].some(({ guid }) => guid === call.guid)) return
      paid.delete(call.guid)
      spent.set(call.guid, payment)
      for (const oldest of spent.keys()) if (spent.size > kept) spent.delete(oldest)
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
      if (settled.delete(keyOf(call))) put(call)
    },
  }
}

export type Composes = ReturnType<typeof createComposes>
