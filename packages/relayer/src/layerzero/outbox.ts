import { type Address, type Hex, pad } from 'viem'
import { createDeadLetters } from './dead-letters.js'
import { createDrops, isSameOrigin, type Origin } from './drops.js'
import { endsOf, packetGuid, packetHeader, pathOf, payloadHash } from './packet.js'
import { type Failure, type Pending, UNEXPLAINED } from './pending.js'
import type { SentPacket } from './sent.js'
import { createTurns, pathsOf, type Turn } from './turns.js'

/** A packet for which nothing is left to do, as far as is known. */
interface Settled {
  entry: Pending
  /** Newest block of the destination that was known then. */
  head: bigint
  /** Block of the destination in which it was done, or a later one; undefined until that is known: the node that said so may be ahead. */
  block: bigint | undefined
  confirmed: boolean
}

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** Delivered packets that a reorg of the destination may bring back: of others, and of our own beside those that one node's word alone has settled. */
const DELIVERED_KEPT = 10_000

const FRESH = {
  asked: false,
  attempts: 0,
  waitsFor: undefined,
  failures: 0,
  failure: undefined,
  notBefore: 0,
}

export interface OutboxOptions {
  /** Paths of this network's own gateways (`pathOf`): served first, and watched for packets that no log has shown. */
  ownPaths: ReadonlySet<string>
  /** Most packets of others that may wait: strangers must not fill the memory. */
  maxForeign: number
}

/**
 * Packets for one destination, as the sources' logs show them. It holds nothing that the chains don't: a new process fills it again.
 */
export function createOutbox({ ownPaths, maxForeign }: OutboxOptions) {
  const pending = new Map<Hex, Pending>()
  const [ownDelivered, foreignDelivered] = [new Map<Hex, Settled>(), new Map<Hex, Settled>()]
  const dead = createDeadLetters()
  const highest = new Map<string, { nonce: bigint; block: bigint }>()
  const drops = createDrops()
  const refused = new Map<number, { lowest: bigint; highest: bigint }>()
  const served = createTurns()
  let foreign = 0

  function put(entry: Pending): void {
    remove(entry.packet.guid)
    pending.set(entry.packet.guid, entry)
    if (!entry.own) foreign++
  }

  function remove(guid: Hex): void {
    const entry = pending.get(guid)
    if (entry !== undefined && !entry.own) foreign--
    pending.delete(guid)
  }

  function refuse({ packet: { srcEid }, blockNumber: block }: SentPacket): void {
    const { lowest, highest } = refused.get(srcEid) ?? { lowest: block, highest: block }
    refused.set(srcEid, {
      lowest: block < lowest ? block : lowest,
      highest: block > highest ? block : highest,
    })
  }

  const settledOf = (guid: Hex) => ownDelivered.get(guid) ?? foreignDelivered.get(guid)
  /** Our own first. */
  const delivered = () => [...ownDelivered.values(), ...foreignDelivered.values()]

  function unsettle(guid: Hex): void {
    ownDelivered.delete(guid)
    foreignDelivered.delete(guid)
  }

  function settle(guid: Hex, head: bigint, block: bigint | undefined): void {
    const entry = pending.get(guid) ?? dead.get(guid)
    if (entry === undefined) return
    remove(guid)
    dead.delete(guid)
    const settled = entry.own ? ownDelivered : foreignDelivered
    settled.set(guid, { entry, head, block, confirmed: false })
    if (entry.failures > 0 || entry.options.ordered) release(entry.path)
    if (settled.size <= DELIVERED_KEPT) return
    const [oldest] = settled.values()
    // Of our own, one that may not be delivered after all would be forgotten.
    if (oldest !== undefined && (!entry.own || oldest.confirmed)) settled.delete(oldest.entry.packet.guid)
  }

  /** It is to be done again, as if it had just been read. */
  function putBack(entry: Pending): void {
    unsettle(entry.packet.guid)
    put({ ...entry, ...FRESH, verified: false, dropped: drops.has(entry.packet) })
  }

  /** Something of a path is delivered: what wanted order there need not wait out its time. */
  function release(path: string): void {
    for (const entry of pending.values())
      if (entry.path === path && entry.options.ordered && entry.failures === 0) entry.notBefore = 0
  }

  function replay(guid: Hex): boolean {
    const entry = dead.get(guid) ?? pending.get(guid)
    if (entry === undefined) return false
    dead.delete(guid)
    put({ ...entry, ...FRESH, dropped: drops.has(entry.packet) })
    return true
  }

  function reopen(entry: Pending): void {
    putBack({ ...entry, reopened: entry.reopened + 1 })
  }

  return {
    /** A packet of an own path was sent, whether it is ours to deliver or not. */
    note({ packet, blockNumber }: SentPacket): void {
      const path = pathOf(packet)
      const top = highest.get(path)
      if (ownPaths.has(path) && (top === undefined || top.nonce < packet.nonce))
        highest.set(path, { nonce: packet.nonce, block: blockNumber })
    },
    /**
     * Adds what a source sent; a packet that is known already keeps its history unless its block changed, or its message, which no guid
     * covers: then a node has lied, and whichever it was, the truth must find its way in. False when it is a stranger's and as many wait as
     * may: `readmit` says when its logs are worth reading again.
     */
    add(sent: SentPacket, now: number): boolean {
      const { packet, blockHash } = sent
      const hash = payloadHash(packet)
      const path = pathOf(packet)
      const own = ownPaths.has(path)
      const known = pending.get(packet.guid) ?? settledOf(packet.guid)?.entry ?? dead.get(packet.guid)
      if (known?.blockHash === blockHash && known.payloadHash === hash) return true
      if (dead.isNamed(sent, hash)) return true
      if (!own && known === undefined && foreign >= maxForeign) {
        refuse(sent)
        return false
      }
      unsettle(packet.guid)
      dead.delete(packet.guid)
      put({
        ...sent,
        path,
        header: packetHeader(packet),
        payloadHash: hash,
        own,
        observedAt: now,
        verified: false,
        dropped: drops.has(packet),
        reopened: 0,
        ...FRESH,
      })
      return true
    },
    /**
     * The first block of a source that had a packet refused, when there is room again for `room` of others'. Only once that source is read up to
     * the last of them: up to where its head is, it can be read again.
     */
    readmit(srcEid: number, head: bigint, room: number): bigint | undefined {
      const found = refused.get(srcEid)
      if (found === undefined || found.highest > head || maxForeign - foreign < room) return undefined
      refused.delete(srcEid)
      return found.lowest
    },
    /** The source's blocks from `block` on have changed: what they sent is read again. */
    forget(srcEid: number, block: bigint): void {
      for (const [guid, entry] of pending)
        if (entry.packet.srcEid === srcEid && entry.blockNumber >= block) remove(guid)
      dead.forget(srcEid, block)
      for (const [path, top] of highest)
        if (path.startsWith(`${srcEid}:`) && top.block >= block) highest.delete(path)
      const again = refused.get(srcEid)
      if (again === undefined || again.highest < block) return
      if (again.lowest >= block) refused.delete(srcEid)
      else refused.set(srcEid, { lowest: again.lowest, highest: block - 1n })
    },
    /** The destination's blocks from `block` on have changed: what they delivered may be undone. */
    restore(block: bigint): void {
      drops.forget(block)
      for (const entry of pending.values()) entry.dropped = drops.has(entry.packet)
      for (const { entry, block: at } of delivered()) if (at === undefined || at >= block) putBack(entry)
    },
    /** Nothing is left to do for it since this block of the destination. */
    settle: (guid: Hex, block: bigint): void => settle(guid, block, block),
    /** A node's newest state says that nothing is left to do for it: what block that was of nobody knows, when `head` was the newest known. */
    settleSeen: (guid: Hex, head: bigint): void => settle(guid, head, undefined),
    /** What has been settled before this block of the destination by one node's word alone, at most so many, the oldest first. */
    unconfirmed(block: bigint, most: number): Pending[] {
      const found: Pending[] = []
      for (const { entry, head, confirmed } of delivered()) {
        if (found.length >= most) break
        if (!confirmed && head < block) found.push(entry)
      }
      return found
    },
    /** Nothing is left to do for it as of this block, by more than one node's word. */
    confirm(guid: Hex, block: bigint): void {
      const found = settledOf(guid)
      // Settled anew in between, it has to be asked about anew.
      if (found === undefined || found.head >= block) return
      found.confirmed = true
      found.block ??= block
    },
    /** It is not done after all. False when it was not settled. */
    reopen(guid: Hex): boolean {
      const found = settledOf(guid)
      if (found !== undefined) reopen(found.entry)
      return found !== undefined
    },
    /** The same of the packet that a path waits for, and of a dead letter: a reorg of the destination may have undone its commit. */
    reopenNonce(path: string, nonce: bigint): boolean {
      const guid = packetGuid({ ...endsOf(path), nonce })
      const settled = settledOf(guid)
      if (settled !== undefined) reopen(settled.entry)
      return settled !== undefined || replay(guid)
    },
    /** Not delivered: tried again later, each time after twice the wait, up to `longestMs`. */
    postpone(guid: Hex, now: number, waitsFor: string, longestMs = MAX_RETRY_MS): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      entry.waitsFor = waitsFor
      entry.notBefore = now + Math.min(longestMs, FIRST_RETRY_MS * 2 ** Math.min(entry.attempts, 10))
      entry.attempts++
    },
    /** What a node has said of it may be wrong: from now on another is asked each time. */
    suspect(guid: Hex): void {
      const entry = pending.get(guid)
      if (entry !== undefined) entry.reopened ||= 1
    },
    /** Why it can't go on now, though it may at any moment. */
    explain(guid: Hex, waitsFor: string): void {
      const entry = pending.get(guid)
      if (entry !== undefined) entry.waitsFor = waitsFor
    },
    /** Its execution failed; the first failure with a reason stays the reason until another has one. */
    markFailed(guid: Hex, failure?: Failure): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      entry.failures++
      entry.failure = failure ?? entry.failure
    },
    /** Not tried any more until it is replayed, or somebody else executes it: it is committed, so nonces above don't wait for it. */
    bury(guid: Hex): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      remove(guid)
      entry.failure ??= UNEXPLAINED
      dead.put(entry)
    },
    /** Tries a dead letter again, or a packet that waits at once. False when there is none of this guid. */
    replay,
    /** A dead letter of another's that found no room to be kept may be added again, from what its source's block says. */
    recall: dead.recall,
    dead: dead.all,
    pending: (): Pending[] => [...pending.values()],
    /** The destination's executor has made a packet's native drops, in this block. */
    markDropped(origin: Omit<Origin, 'receiver'>, receiver: Address, block: bigint): void {
      const dropped = { ...origin, receiver: pad(receiver) }
      drops.mark(dropped, block)
      for (const entry of pending.values()) if (isSameOrigin(entry.packet, dropped)) entry.dropped = true
    },
    drops,
    markVerified(header: Hex, hash: Hex): void {
      for (const entry of pending.values())
        if (entry.header === header && entry.payloadHash === hash) entry.verified = true
    },
    /** Packets that the destination hasn't been asked about, and not those that it was asked about in vain, at most `most`, the oldest first. */
    unasked(most: number): Pending[] {
      const found: Pending[] = []
      for (const entry of pending.values()) {
        if (found.length >= most) break
        if (!entry.asked && entry.reopened === 0) found.push(entry)
      }
      return found
    },
    /** How many packets may be tried now, of paths that nobody is at; counted no further than `most`. */
    due(now: number, isDeep: (entry: Pending) => boolean, busy: ReadonlySet<string>, most: number): number {
      let count = 0
      for (const entry of pending.values()) {
        if (count >= most) break
        if (entry.notBefore <= now && isDeep(entry) && !busy.has(entry.path)) count++
      }
      return count
    },
    /**
     * What may be tried now, of paths that nobody is at: own ones first; of either, what has never failed before what has; then whoever has waited
     * longest since its last turn, one packet of each path after another, each path in order of nonce. What has failed is committed, so nothing
     * above it on its path waits for it.
     */
    take(now: number, isDeep: (entry: Pending) => boolean, busy: ReadonlySet<string>, turn: Turn): Pending[] {
      const due = [...pending.values()].filter((entry) => entry.notBefore <= now && isDeep(entry))
      const freshFirst = (entries: readonly Pending[], { limit, enough }: Omit<Turn, 'foreignLimit'>) => {
        // What wants order and was put off may wait for what has failed: it must not come before it.
        const isFresh = ({ failures, attempts, options }: Pending) =>
          failures === 0 && (attempts === 0 || !options.ordered)
        const fresh = pathsOf(entries.filter(isFresh))
        const failed = pathsOf(entries.filter((entry) => !isFresh(entry)))
        const first = served.take(fresh, busy, { limit, enough })
        const rest = { limit: limit - first.length, enough: enough - first.length }
        return [...first, ...served.take(failed, busy, rest)]
      }
      const entriesOf = (isOwn: boolean) => due.filter(({ own }) => own === isOwn)
      const own = freshFirst(entriesOf(true), turn)
      return [
        ...own,
        ...freshFirst(entriesOf(false), {
          limit: Math.min(turn.foreignLimit, turn.limit - own.length),
          enough: turn.enough - own.length,
        }),
      ]
    },
    has: (path: string, nonce: bigint) => pending.has(packetGuid({ ...endsOf(path), nonce })),
    /** Of an own path. */
    highest: (path: string) => highest.get(path),
    size: () => pending.size,
  }
}

export type Outbox = ReturnType<typeof createOutbox>
