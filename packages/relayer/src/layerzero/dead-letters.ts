import type { Hex } from 'viem'
import type { Pending } from './pending.js'
import type { SentPacket } from './sent.js'

/** Dead letters of others that are kept whole: strangers must not fill the memory. Our own are all kept. */
const FOREIGN_KEPT = 1_000
/** Others' of which only the name is kept, so that reading their logs again doesn't begin their tries anew. */
const NAMES_KEPT = 50_000

/** A dead letter of others of which only this is left: the rest is on its source chain. */
export interface Named {
  srcEid: number
  block: bigint
  /** Of its block and its payload: with another of either it is another packet. */
  blockHash: Hex
  payloadHash: Hex
}

/** Packets that have failed too often to be tried again unasked, by guid. */
export function createDeadLetters() {
  const own = new Map<Hex, Pending>()
  const foreign = new Map<Hex, Pending>()
  const named = new Map<Hex, Named>()

  function name({ packet, blockNumber, blockHash, payloadHash }: Pending): void {
    named.delete(packet.guid)
    named.set(packet.guid, { srcEid: packet.srcEid, block: blockNumber, blockHash, payloadHash })
    for (const oldest of named.keys()) if (named.size > NAMES_KEPT) named.delete(oldest)
  }

  return {
    get: (guid: Hex) => own.get(guid) ?? foreign.get(guid),
    put(entry: Pending): void {
      const letters = entry.own ? own : foreign
      letters.set(entry.packet.guid, entry)
      for (const [guid, oldest] of foreign) {
        if (foreign.size <= FOREIGN_KEPT) return
        foreign.delete(guid)
        name(oldest)
      }
    },
    /** Whether it is one of which only the name is left. */
    isNamed({ packet: { guid }, blockHash }: SentPacket, payloadHash: Hex): boolean {
      const found = named.get(guid)
      return found?.blockHash === blockHash && found.payloadHash === payloadHash
    },
    /** It is to be read from its source again: where from. */
    recall(guid: Hex): Named | undefined {
      const found = named.get(guid)
      named.delete(guid)
      return found
    },
    delete(guid: Hex): void {
      own.delete(guid)
      foreign.delete(guid)
      named.delete(guid)
    },
    /** Blocks of a source from this one on have changed. */
    forget(srcEid: number, from: bigint): void {
      for (const letters of [own, foreign])
        for (const [guid, { packet, blockNumber }] of letters)
          if (packet.srcEid === srcEid && blockNumber >= from) letters.delete(guid)
      for (const [guid, one] of named) if (one.srcEid === srcEid && one.block >= from) named.delete(guid)
    },
    /** Our own first. */
    all: (): Pending[] => [...own.values(), ...foreign.values()],
  }
}
