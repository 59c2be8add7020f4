import type { Address, Hex } from 'viem'
import type { PaidCall } from '../layerzero/composes.js'
import type { Failure, Pending } from '../layerzero/outbox.js'
import { pathOf } from '../layerzero/packet.js'

/** What packets and compose calls say alike. */
interface View {
  guid: Hex
  /** A dead letter is tried again only when it is replayed. */
  state: 'waiting' | 'dead'
  failures: number
  failure: Failure | null
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
  const { packet, own, waitsFor = null, attempts, failures, failure = null, notBefore } = entry
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
    failure,
    nextTryAt: state === 'dead' ? null : notBefore,
  }
}

export function viewOfCompose(call: PaidCall, state: View['state']): ComposeView {
  const { guid, from, to, index, failures, failure = null, notBefore } = call
  return {
    call: 'lzCompose',
    guid,
    from,
    to,
    index,
    state,
    failures,
    failure,
    nextTryAt: state === 'dead' ? null : notBefore,
  }
}
