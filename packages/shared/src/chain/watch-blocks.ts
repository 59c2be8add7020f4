import { type Block, BlockNotFoundError, type Hash } from 'viem'
import type { Clock } from '../clock.js'
import type { ChainClient } from './client.js'

/** Hashes remembered to find where a reorg began. */
const REMEMBERED = 128

export type MinedBlock = Block<bigint, false, 'latest'>

/** A new head of the chain. */
export interface BlockUpdate {
  head: MinedBlock
  /** First block to read again: the one after the newest that was already reported and still stands; 0 when none is known to stand. */
  from: bigint
  /** Blocks reported before are no longer in the chain; what was read since `from` must be taken back. */
  reorged: boolean
}

export interface WatchBlocksOptions {
  /** Called for one update at a time. When it throws, the next head covers the same blocks again. */
  onBlock: (update: BlockUpdate) => Promise<void> | void
  /** A failed poll or onBlock; watching goes on. */
  onError: (error: unknown) => void
  /** Time between polls, in the clock's milliseconds. */
  pollMs: number
  /** Real time. */
  clock: Clock
  signal: AbortSignal
}

interface Known {
  number: bigint
  hash: Hash
}

/**
 * Follows the head until the signal aborts, then resolves. Heads between two polls are not reported one by one: `from` to
 * `head.number` is what is new. A reorg shows by a parent that is not the block reported before.
 */
export async function watchBlocks(client: ChainClient, options: WatchBlocksOptions): Promise<void> {
  const { onBlock, onError, pollMs, clock, signal } = options
  let known: Known[] = []
  while (!signal.aborted) {
    try {
      const head = await client.getBlock({ blockTag: 'latest' })
      // A head that was reported before, also an older one: a node that lags behind.
      if (!known.some(({ hash }) => hash === head.hash)) {
        const standing = await standingBlocks(client, known, head)
        const newest = standing.at(-1)
        // Where nothing stands that is remembered, nobody knows how much more has changed.
        const from = newest !== undefined ? newest.number + 1n : known.length > 0 ? 0n : head.number
        if (!signal.aborted) await onBlock({ head, from, reorged: standing.length < known.length })
        known = [
          ...(newest === undefined ? parentOf(head) : standing),
          { number: head.number, hash: head.hash },
        ]
        known = known.slice(-REMEMBERED)
      }
    } catch (error) {
      if (!signal.aborted) onError(error)
    }
    await clock.sleep(pollMs, signal).catch(() => {})
  }
}

/** Of the first head: a reorg of that alone must not look like one of everything. */
function parentOf({ number, parentHash }: MinedBlock): Known[] {
  return number === 0n ? [] : [{ number: number - 1n, hash: parentHash }]
}

/** The remembered blocks that are still ancestors of `head`. */
async function standingBlocks(client: ChainClient, known: Known[], head: MinedBlock): Promise<Known[]> {
  const standing = [...known]
  for (let last = standing.at(-1); last !== undefined; last = standing.at(-1)) {
    if (last.number === head.number - 1n && last.hash === head.parentHash) return standing
    if (last.number < head.number && (await hashAt(client, last.number)) === last.hash) return standing
    standing.pop()
  }
  return standing
}

async function hashAt(client: ChainClient, blockNumber: bigint): Promise<Hash | undefined> {
  try {
    return (await client.getBlock({ blockNumber })).hash
  } catch (error) {
    if (error instanceof BlockNotFoundError) return undefined
    throw error
  }
}
