import { type Address, type Hex, pad } from 'viem'
import { type Packet, packetHeader, pathOf, payloadHash } from './packet.js'
import type { SentPacket } from './sent.js'

/** A packet on its way to one destination. */
export interface Pending extends SentPacket {
  /** Its `pathOf`: made once, since rounds sort thousands by it. */
  path: string
  header: Hex
  payloadHash: Hex
  /** Of this network's own gateways. */
  own: boolean
  /** Real ms at which its block had been read. */
  observedAt: number
  /** Our DVN's verification is on the destination chain. */
  verified: boolean
  /** Its native drops have been made: they stay even when its execution fails. */
  dropped: boolean
  /** How often it was settled and was not done after all: that node is not asked first again. */
  reopened: number
  /** The destination has been asked what it knows of it. */
  asked: boolean
  attempts: number
  /** Why it was put off last. */
  waitsFor: string | undefined
  /** Executions that failed: the next gets more gas. */
  failures: number
  failure: Failure | undefined
  /** Real ms before which it is not tried again. */
  notBefore: number
}

/** A packet for which nothing is left to do, as far as is known. */
interface Settled {
  entry: Pending
  /** Newest block of the destination that was known then. */
  head: bigint
  /** Block of the destination in which it was done, or a later one; undefined until that is known: the node that said so may be ahead. */
  block: bigint | undefined
  confirmed: boolean
}

/** How an execution failed. */
export interface Failure {
  /**
   * `reverted`: the receiver refused, and said why. `out-of-gas`: it takes more gas than its sender paid for. `silent`: it failed without a
   * reason, and more gas was not seen to help.
   */
  kind: 'reverted' | 'out-of-gas' | 'silent'
  /** Revert data, its beginning only. */
  reason: Hex
}

/** Of what failed on the chain, and never where it could be looked into. */
export const UNEXPLAINED: Failure = { kind: 'silent', reason: '0x' }

const FIRST_RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000
/** Delivered packets that a reorg of the destination may bring back. */
const DELIVERED_KEPT = 10_000
/** Dead letters that are shown and may be replayed; an older one comes back when its logs are read again. */
const DEAD_KEPT = 1_000

/** Packets whose native drops are remembered as made. */
const DROPS_KEPT = 10_000

const FRESH = {
  asked: false,
  attempts: 0,
  waitsFor: undefined,
  failures: 0,
  failure: undefined,
  notBefore: 0,
}

/** How much is taken at once. */
export interface Turn {
  /** Packets, and of others' packets. */
  limit: number
  foreignLimit: number
  /** Paths that together have so many packets are enough: the rest is left to whoever delivers beside this one. */
  enough: number
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
  const delivered = new Map<Hex, Settled>()
  const dead = new Map<Hex, Pending>()
  const highest = new Map<string, { nonce: bigint; block: bigint }>()
  const drops = new Map<string, bigint>()
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

  function settle(guid: Hex, head: bigint, block: bigint | undefined): void {
    const entry = pending.get(guid) ?? dead.get(guid)
    if (entry === undefined) return
    remove(guid)
    dead.delete(guid)
    delivered.set(guid, { entry, head, block, confirmed: false })
    if (entry.failures > 0 || entry.options.ordered) release(entry.path)
    if (delivered.size > DELIVERED_KEPT)
      for (const oldest of delivered.keys()) return void delivered.delete(oldest)
  }

  /** It is to be done again, as if it had just been read. */
  function putBack(entry: Pending): void {
    delivered.delete(entry.packet.guid)
    put({ ...entry, ...FRESH, verified: false, dropped: drops.has(originOf(entry.packet)) })
  }

  /** Something of a path is delivered: what wanted order there need not wait out its time. */
  function release(path: string): void {
    for (const entry of pending.values())
      if (entry.path === path && entry.options.ordered && entry.failures === 0) entry.notBefore = 0
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
      const known = pending.get(packet.guid) ?? delivered.get(packet.guid)?.entry ?? dead.get(packet.guid)
      if (known?.blockHash === blockHash && known.payloadHash === hash) return true
      if (!own && known === undefined && foreign >= maxForeign) {
        refuse(sent)
        return false
      }
      delivered.delete(packet.guid)
      dead.delete(packet.guid)
      put({
        ...sent,
        path,
        header: packetHeader(packet),
        payloadHash: hash,
        own,
        observedAt: now,
        verified: false,
        dropped: drops.has(originOf(packet)),
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
      for (const [guid, entry] of dead)
        if (entry.packet.srcEid === srcEid && entry.blockNumber >= block) dead.delete(guid)
      for (const [path, top] of highest)
        if (path.startsWith(`${srcEid}:`) && top.block >= block) highest.delete(path)
      const again = refused.get(srcEid)
      if (again === undefined || again.highest < block) return
      if (again.lowest >= block) refused.delete(srcEid)
      else refused.set(srcEid, { lowest: again.lowest, highest: block - 1n })
    },
    /** The destination's blocks from `block` on have changed: what they delivered may be undone. */
    restore(block: bigint): void {
      for (const [key, at] of drops) if (at >= block) drops.delete(key)
      for (const entry of pending.values()) entry.dropped = drops.has(originOf(entry.packet))
      for (const { entry, block: at } of [...delivered.values()])
        if (at === undefined || at >= block) putBack(entry)
    },
    /** Nothing is left to do for it since this block of the destination. */
    settle: (guid: Hex, block: bigint): void => settle(guid, block, block),
    /** A node's newest state says that nothing is left to do for it: what block that was of nobody knows, when `head` was the newest known. */
    settleSeen: (guid: Hex, head: bigint): void => settle(guid, head, undefined),
    /** What has been settled before this block of the destination by one node's word alone, at most so many, the oldest first. */
    unconfirmed(block: bigint, most: number): Pending[] {
      const found: Pending[] = []
      for (const { entry, head, confirmed } of delivered.values()) {
        if (found.length >= most) break
        if (!confirmed && head < block) found.push(entry)
      }
      return found
    },
    /** Nothing is left to do for it as of this block, by more than one node's word. */
    confirm(guid: Hex, block: bigint): void {
      const found = delivered.get(guid)
      // Settled anew in between, it has to be asked about anew.
      if (found === undefined || found.head >= block) return
      found.confirmed = true
      found.block ??= block
    },
    /** It is not done after all. False when it was not settled. */
    reopen(guid: Hex): boolean {
      const found = delivered.get(guid)
      if (found !== undefined) reopen(found.entry)
      return found !== undefined
    },
    /** The same of the packet that a path waits for. */
    reopenNonce(path: string, nonce: bigint): boolean {
      for (const { entry } of delivered.values()) {
        if (entry.packet.nonce !== nonce || entry.path !== path) continue
        reopen(entry)
        return true
      }
      return false
    },
    /** Not delivered: tried again later, each time after twice the wait, up to `longestMs`. */
    postpone(guid: Hex, now: number, waitsFor: string, longestMs = MAX_RETRY_MS): void {
      const entry = pending.get(guid)
      if (entry === undefined) return
      entry.waitsFor = waitsFor
      entry.notBefore = now + Math.min(longestMs, FIRST_RETRY_MS * 2 ** Math.min(entry.attempts, 10))
      entry.attempts++
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
      dead.set(guid, entry)
      for (const oldest of dead.keys()) if (dead.size > DEAD_KEPT) dead.delete(oldest)
    },
    /** Tries a dead letter again, or a packet that waits at once. False when there is none of this guid. */
    replay(guid: Hex): boolean {
      const entry = dead.get(guid) ?? pending.get(guid)
      if (entry === undefined) return false
      dead.delete(guid)
      put({ ...entry, ...FRESH })
      return true
    },
    dead: (): Pending[] => [...dead.values()],
    pending: (): Pending[] => [...pending.values()],
    /** The destination's executor has made a packet's native drops, in this block. */
    markDropped(origin: Origin, receiver: Address, block: bigint): void {
      const key = originOf({ ...origin, receiver: pad(receiver) })
      drops.set(key, block)
      for (const oldest of drops.keys()) if (drops.size > DROPS_KEPT) drops.delete(oldest)
      for (const entry of pending.values()) if (originOf(entry.packet) === key) entry.dropped = true
    },
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
    has(path: string, nonce: bigint): boolean {
      for (const entry of pending.values())
        if (entry.packet.nonce === nonce && entry.path === path) return true
      return false
    },
    /** Of an own path. */
    highest: (path: string) => highest.get(path),
    size: () => pending.size,
  }
}

type Origin = Pick<Packet, 'srcEid' | 'sender' | 'nonce'>

/** A packet as the executor's events name it. */
function originOf({ srcEid, sender, nonce, receiver }: Origin & { receiver: Hex }): string {
  return `${srcEid}:${sender}:${nonce}:${receiver}`.toLowerCase()
}

export type Outbox = ReturnType<typeof createOutbox>

function pathsOf(entries: readonly Pending[]): Map<string, Pending[]> {
  const paths = new Map<string, Pending[]>()
  for (const entry of entries) {
    const list = paths.get(entry.path)
    if (list === undefined) paths.set(entry.path, [entry])
    else list.push(entry)
  }
  return paths
}

/** A nonce can't be committed before the ones below it. */
const byNonce = (a: Pending, b: Pending) => (a.packet.nonce < b.packet.nonce ? -1 : 1)

/** Whose turn it is: paths with something fresh before those where all has failed, then by how long ago their last turn was. */
function createTurns() {
  const lastTurn = new Map<string, number>()
  let turn = 0
  return {
    take(
      paths: ReadonlyMap<string, readonly Pending[]>,
      busy: ReadonlySet<string>,
      { limit, enough }: Pick<Turn, 'limit' | 'enough'>,
    ): Pending[] {
      const rank = (path: string) => {
        const hasFailed = paths.get(path)?.every(({ attempts }) => attempts > 0) ?? false
        return [Number(hasFailed), lastTurn.get(path) ?? 0] as const
      }
      const ranked = [...paths.keys()]
        .filter((path) => !busy.has(path))
        .sort((a, b) => {
          const [[failedA, turnA], [failedB, turnB]] = [rank(a), rank(b)]
          return failedA - failedB || turnA - turnB
        })
      const order: Pending[][] = []
      for (let packets = 0, at = 0; packets < enough && at < ranked.length; at++) {
        const list = paths.get(ranked[at]!)!
        order.push([...list].sort(byNonce))
        packets += list.length
      }
      const taken: Pending[] = []
      for (let depth = 0, more = true; more && taken.length < limit; depth++) {
        more = false
        for (const list of order) {
          const entry = list[depth]
          if (entry === undefined || taken.length >= limit) continue
          more = true
          taken.push(entry)
        }
      }
      turn++
      for (const { path } of taken) lastTurn.set(path, turn)
      for (const path of lastTurn.keys()) if (lastTurn.size > TURNS_KEPT) lastTurn.delete(path)
      return taken
    },
  }
}

/** Paths whose last turn is remembered. */
const TURNS_KEPT = 1_000
