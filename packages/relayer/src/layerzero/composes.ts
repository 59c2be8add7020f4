import { type Address, type Hex, pad } from 'viem'
import type { ComposeOption } from './options.js'
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

/** A queued call that its packet's sender has paid our executor for. */
export interface PaidCall extends QueuedCall {
  option: ComposeOption
  failures: number
  /** Real ms before which it is not tried again. */
  notBefore: number
}

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** Packets and queued calls remembered; the oldest go first, and come back when their logs are read again. */
const KEPT = 5_000

/**
 * Compose calls of one destination: what packets pay for, joined with what receivers queue, in whichever order their logs are read. Anyone may
 * queue a call under any packet's guid, so one counts only from the packet's own receiver.
 */
export function createComposes() {
  const paid = new Map<Hex, { receiver: Hex; options: readonly ComposeOption[] }>()
  const queued = new Map<string, QueuedCall & { failures: number; notBefore: number }>()
  const keyOf = ({ from, to, guid, index }: Omit<QueuedCall, 'message' | 'block'>) =>
    `${from}:${to}:${guid}:${index}`.toLowerCase()

  function paidCall(call: QueuedCall & { failures: number; notBefore: number }): PaidCall[] {
    const packet = paid.get(call.guid)
    if (packet === undefined || packet.receiver !== pad(call.from).toLowerCase()) return []
    const option = packet.options.find(({ index }) => index === call.index)
    return option === undefined ? [] : [{ ...call, option }]
  }

  return {
    /** A packet whose compose calls our executor is paid for. */
    expect({ packet, options }: SentPacket): void {
      if (options.composes.length === 0) return
      paid.set(packet.guid, { receiver: packet.receiver, options: options.composes })
      for (const oldest of paid.keys()) if (paid.size > KEPT) paid.delete(oldest)
    },
    queue(call: QueuedCall): void {
      const key = keyOf(call)
      const known = queued.get(key)
      if (known?.block === call.block) return
      queued.set(key, { ...call, failures: 0, notBefore: 0 })
      for (const oldest of queued.keys()) if (queued.size > KEPT) queued.delete(oldest)
    },
    /** The destination's blocks from `block` on have changed: what they queued is read again. */
    forget(block: bigint): void {
      for (const [key, call] of queued) if (call.block >= block) queued.delete(key)
    },
    /** Calls that may be tried now; those that have failed `maxFailures` times are left to others. */
    take(now: number, limit: number, maxFailures: number): PaidCall[] {
      return [...queued.values()]
        .filter(({ notBefore, failures }) => notBefore <= now && failures < maxFailures)
        .flatMap(paidCall)
        .slice(0, limit)
    },
    /** Not done: tried again later. */
    postpone(call: QueuedCall, now: number, hasFailed: boolean): void {
      const found = queued.get(keyOf(call))
      if (found === undefined) return
      if (hasFailed) found.failures++
      found.notBefore = now + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(found.failures, 10))
    },
    /** It is made, or isn't queued any more. */
    settle(call: QueuedCall): void {
      queued.delete(keyOf(call))
    },
  }
}

export type Composes = ReturnType<typeof createComposes>
