import type { Hex } from 'viem'
import { packetHeader, pathOf, payloadHash } from './packet.js'
import type { SentPacket } from './sent.js'

/** A packet on its way to one destination. */
export interface Pending extends SentPacket {
  header: Hex
  payloadHash: Hex
  /** Real ms at which its block had been read. */
  observedAt: number
  /** Our DVN's verification is on the destination chain. */
  verified: boolean
  attempts: number
  /** Real ms before which it is not tried again. */
  notBefore: number
}

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** Delivered packets that a reorg of the destination may bring back. */
const DELIVERED_KEPT = 2_000

/**
 * Packets for one destination, as the sources' logs show them. It holds nothing that the chains don't: a new process fills it again.
 */
export function createOutbox() {
  const pending = new Map<Hex, Pending>()
  const delivered = new Map<Hex, { entry: Pending; block: bigint }>()
  const highest = new Map<string, { nonce: bigint; block: bigint }>()

  return {
    /** Adds what a source sent; a packet that is known already keeps its history unless its block changed. */
    add(packets: readonly SentPacket[], now: number): void {
      for (const sent of packets) {
        const { packet, blockNumber, blockHash } = sent
        const path = pathOf(packet)
        const top = highest.get(path)
        if (top === undefined || top.nonce < packet.nonce)
          highest.set(path, { nonce: packet.nonce, block: blockNumber })
        const known = pending.get(packet.guid) ?? delivered.get(packet.guid)?.entry
        if (known?.blockHash === blockHash) continue
        delivered.delete(packet.guid)
        pending.set(packet.guid, {
          ...sent,
          header: packetHeader(packet),
          payloadHash: payloadHash(packet),
          observedAt: now,
          verified: false,
          attempts: 0,
          notBefore: 0,
        })
      }
    },
    /** The source's blocks from `block` on have changed: what they sent is read again. */
    forget(srcEid: number, block: bigint): void {
      for (const [guid, entry] of pending)
        if (entry.packet.srcEid === srcEid && entry.blockNumber >= block) pending.delete(guid)
      for (const [path, top] of highest)
        if (path.startsWith(`${srcEid}:`) && top.block >= block) highest.delete(path)
    },
    /** The destination's blocks from `block` on have changed: what they delivered may be undone. */
    restore(block: bigint): void {
      for (const [guid, { entry, block: at }] of delivered) {
        if (at < block) continue
        delivered.delete(guid)
        pending.set(guid, { ...entry, verified: false, attempts: 0, notBefore: 0 })
      }
    },
    settle(guid: Hex, block: bigint): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      pending.delete(guid)
      delivered.set(guid, { entry, block })
      if (delivered.size > DELIVERED_KEPT)
        for (const oldest of delivered.keys()) return void delivered.delete(oldest)
    },
    /** Not delivered: tried again later, each time after twice the wait. */
    postpone(guid: Hex, now: number): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      entry.notBefore = now + Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(entry.attempts, 10))
      entry.attempts++
    },
    markVerified(header: Hex, hash: Hex): void {
      for (const entry of pending.values())
        if (entry.header === header && entry.payloadHash === hash) entry.verified = true
    },
    /** What may be tried now, fresh before failed, each path in order of nonce. */
    due(now: number, isDeep: (entry: Pending) => boolean): Pending[] {
      return inOrder([...pending.values()].filter((entry) => entry.notBefore <= now && isDeep(entry)))
    },
    has: (path: string, nonce: bigint) =>
      [...pending.values()].some(({ packet }) => packet.nonce === nonce && pathOf(packet) === path),
    highest: (path: string) => highest.get(path),
    paths: () => [...highest.keys()],
    size: () => pending.size,
  }
}

export type Outbox = ReturnType<typeof createOutbox>

/** Paths with something fresh first; within a path always by nonce, since a nonce can't be committed before the ones below it. */
function inOrder(entries: readonly Pending[]): Pending[] {
  const paths = new Map<string, Pending[]>()
  for (const entry of entries) {
    const path = pathOf(entry.packet)
    paths.set(path, [...(paths.get(path) ?? []), entry])
  }
  const hasFailed = (path: readonly Pending[]) => Number(path.every(({ attempts }) => attempts > 0))
  return [...paths.values()]
    .sort((a, b) => hasFailed(a) - hasFailed(b))
    .flatMap((path) => path.sort((a, b) => (a.packet.nonce < b.packet.nonce ? -1 : 1)))
}
