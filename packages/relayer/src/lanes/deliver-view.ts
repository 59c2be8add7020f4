import type { Address, Hex } from 'viem'
import type { PaidCall } from '../layerzero/composes.js'
import { pathOf } from '../layerzero/packet.js'
import type { Failure, Pending } from '../layerzero/pending.js'
import { describeReason } from '../layerzero/reason.js'

/** What packets and compose calls say alike. */
interface View {
  guid: Hex
  /** A dead letter is tried again only when it is replayed. */
  state: 'waiting' | 'dead'
  failures: number
  /** `error`: the reason in words, where it is known. */
  failure: (Failure & { error: string | null }) | null
  /** Unix ms of the next try; null for a dead letter. */
  nextTryAt: number | null
}

/** A packet that is not delivered yet. */
export interface PacketView extends View {
  call: 'lzReceive'
  path: string
  nonce: string
  /** Of this network's own gateways. */
  own: boolean
  /** Why it was put off last; null for one that is not due yet. */
  waitsFor: string | null
  attempts: number
}

/** A call that a delivered packet's receiver has queued, and that is not made yet. */
export interface ComposeView extends View {
  call: 'lzCompose'
  from: Address
  to: Address
  index: number
}

/** What a destination still lacks, for people to read; no bigint in it. */
export type DeliveryView = PacketView | ComposeView

export function viewOfPacket(entry: Pending, state: View['state']): PacketView {
  const { packet, own, waitsFor = null, attempts, failures, failure, notBefore } = entry
  return {
    call: 'lzReceive',
    guid: packet.guid,
    path: pathOf(packet),
    nonce: String(packet.nonce),
    own,
    state,
    waitsFor,
    attempts,
    failures,
    failure: failure === undefined ? null : inWords(failure),
    nextTryAt: state === 'dead' ? null : notBefore,
  }
}

export function viewOfCompose(call: PaidCall, state: View['state']): ComposeView {
  const { guid, from, to, index, failures, failure, notBefore } = call
  return {
    call: 'lzCompose',
    guid,
    from,
    to,
    index,
    state,
    failures,
    failure: failure === undefined ? null : inWords(failure),
    nextTryAt: state === 'dead' ? null : notBefore,
  }
}

/** A failure with its reason in words. */
export function inWords(failure: Failure): Failure & { error: string | null } {
  return { ...failure, error: describeReason(failure.reason) ?? null }
}
