import type { ChainContext } from '../chains/context.js'
import type { Outbox } from '../layerzero/outbox.js'
import { packetStates } from '../layerzero/state.js'

/** Packets that the destination is asked about at once, and how many there must be for that. */
const CHUNK = 500
const FROM = 100

/**
 * After a restart, and when much of the past is read again, most packets are delivered long since: the destination is asked about many at once
 * before rounds take a few each. Whoever calls meanwhile waits for the first. Rejects with RetryableError when the node fails.
 */
export function createCatchUp(
  destination: Pick<ChainContext, 'chain' | 'client' | 'feed'>,
  outbox: Outbox,
): () => Promise<void> {
  let running: Promise<void> | undefined
  async function catchUp(): Promise<void> {
    for (let entries = outbox.unasked(CHUNK); entries.length >= FROM; entries = outbox.unasked(CHUNK)) {
      const head = destination.feed.head()?.number ?? 0n
      const states = await packetStates(destination, entries)
      for (const [i, entry] of entries.entries()) {
        entry.asked = true
        if (states[i]?.state === 'delivered') outbox.settleSeen(entry.packet.guid, head)
      }
    }
  }
  return () => {
    running ??= catchUp().finally(() => {
      running = undefined
    })
    return running
  }
}
