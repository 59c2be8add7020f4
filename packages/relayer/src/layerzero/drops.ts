import type { Packet } from './packet.js'

/** A packet as the executor's events name it. */
export type Origin = Pick<Packet, 'srcEid' | 'sender' | 'nonce' | 'receiver'>

/** Drops remembered as made. Those of delivered packets are let go: their execution can't be had twice. */
const KEPT = 20_000

const keyOf = ({ srcEid, sender, nonce, receiver }: Origin): string =>
  `${srcEid}:${sender}:${nonce}:${receiver}`.toLowerCase()

export const isSameOrigin = (a: Origin, b: Origin) => a.nonce === b.nonce && keyOf(a) === keyOf(b)

/**
 * Native drops that the destination's executor has made: they stay even when the execution that they came with fails, so none may be made again.
 * None is ever pushed out. What finds no room leaves it unknown which others have been made, until it has been read again.
 */
export function createDrops(most = KEPT) {
  const made = new Map<string, { origin: Origin; block: bigint }>()
  /** First block of the destination with some that found no room. */
  let unread: bigint | undefined
  let isReading = false

  return {
    /** Made in this block of the destination. */
    mark(origin: Origin, block: bigint): void {
      const key = keyOf(origin)
      if (made.has(key) || made.size < most) made.set(key, { origin, block })
      else if (unread === undefined || block < unread) unread = block
    },
    has: (origin: Origin) => made.has(keyOf(origin)),
    /** Whether one that isn't known as made surely has not been; `isReread`: all that was to be read again has been. */
    isComplete(isReread: boolean): boolean {
      if (isReread) isReading = false
      return unread === undefined && !isReading
    },
    /** From where the destination is to be read again, now that there is room for `room` more. */
    readmit(room: number): bigint | undefined {
      if (unread === undefined || most - made.size < room) return undefined
      const from = unread
      unread = undefined
      isReading = true
      return from
    },
    /** Some to ask the destination about, others each time. */
    some(count: number): Origin[] {
      const found = [...made.entries()].slice(0, count)
      for (const [key, one] of found) {
        made.delete(key)
        made.set(key, one)
      }
      return found.map(([, { origin }]) => origin)
    },
    /** Its packet is delivered, and no reorg will take that back. */
    letGo: (origin: Origin): void => void made.delete(keyOf(origin)),
    /** The destination's blocks from `block` on have changed. */
    forget(block: bigint): void {
      for (const [key, one] of made) if (one.block >= block) made.delete(key)
      if (unread !== undefined && unread >= block) unread = undefined
    },
    size: () => made.size,
  }
}
