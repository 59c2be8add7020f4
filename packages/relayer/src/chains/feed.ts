import {
  type BlockUpdate,
  type ChainClient,
  type Clock,
  type Logger,
  type MinedBlock,
  RetryableError,
  watchBlocks,
} from '@clearspan/shared'
import type { Abi, AbiEvent, Address, Log } from 'viem'

export type ChainLog = Log<bigint, number, false>

/** A part of the relayer that learns from a chain's logs. It must bear seeing the same logs again. */
export interface LogListener {
  addresses: readonly Address[]
  abi: Abi
  /** No view of the chain shows what a node has kept back: all of the past is read again for it, a stretch at each sweep. */
  scrubbed?: boolean
  /** Blocks from this number on have changed: forget what they said, it is read again. */
  onReorg?(from: bigint): void
  /** Logs of its addresses and events, in order of the chain. */
  onLogs(logs: ChainLog[], head: MinedBlock): void
}

export interface ChainFeedOptions {
  client: ChainClient
  /** One client per RPC URL. What is read again is asked of each in turn: the one that kept a log back would do so again. */
  witnesses: readonly ChainClient[]
  /** Whether a witness is in quarantine: it isn't asked. */
  isHeld?: (witness: ChainClient) => boolean
  startBlock: bigint
  /** Most blocks of one request. */
  logRange: bigint
  /** Blocks below the head that each sweep reads again. */
  rereadBlocks: bigint
  clock: Clock
  logger: Logger
}

/** One watcher of a chain for everybody: each new range is read once and handed to every listener, then heads are announced. */
export interface ChainFeed {
  listen(listener: LogListener): void
  /** Called after the logs of a head were handed out. */
  onHead(fn: (head: MinedBlock) => void): void
  /** Newest head whose logs were handed out. */
  head(): MinedBlock | undefined
  /** When that was, in unix ms of the clock. */
  readAt(): number | undefined
  /** Reads the past from a block on again, when something shows that a node has kept logs back. */
  reread(from: bigint): void
  /** Whether some of that is still to be read. */
  isRereading(): boolean
  /** Reads again what lies just below the head, and one more stretch of the whole past for scrubbed listeners. */
  sweep(): void
  /** Follows the chain from its first block of interest until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** Blocks still to be read again, both included. */
interface Stretch {
  from: bigint
  to: bigint
}

/** Requests for what is read again between two heads: what is new never waits long for what is old. */
const REREADS_PER_HEAD = 10

export function createChainFeed(options: ChainFeedOptions): ChainFeed {
  const { client, witnesses, isHeld, startBlock, logRange, rereadBlocks, clock, logger } = options
  const listeners: LogListener[] = []
  const headListeners: ((head: MinedBlock) => void)[] = []
  let newest: MinedBlock | undefined
  let readAt: number | undefined
  let again: Stretch | undefined
  let isScrubDue = false
  let scrubbedFrom = startBlock
  let turn = 0
  /** The last head could not be handed out. */
  let hasFailed = false

  function nextWitness(): ChainClient {
    const trusted = isHeld === undefined ? witnesses : witnesses.filter((one) => !isHeld(one))
    return trusted[turn++ % trusted.length] ?? client
  }

  /** Reads one request's worth of a stretch and hands it out. Answers the first block after it. */
  async function handOut(
    reader: ChainClient,
    to: readonly LogListener[],
    { from, to: last }: Stretch,
    head: MinedBlock,
  ) {
    const end = from + logRange - 1n < last ? from + logRange - 1n : last
    const logs = await readLogs(reader, to, from, end, head)
    for (const { addresses, onLogs } of to) {
      const own = new Set(addresses.map(lowerCase))
      onLogs(
        logs.filter(({ address }) => own.has(lowerCase(address))),
        head,
      )
    }
    return end + 1n
  }

  async function onBlock({ head, from: firstNew, reorged }: BlockUpdate): Promise<void> {
    const from = newest === undefined || firstNew < startBlock ? startBlock : firstNew
    if (reorged) for (const listener of listeners) listener.onReorg?.(firstNew)
    // A node that answers nonsense is as fast as ever: what it could not give is asked of another one.
    const reader = hasFailed ? nextWitness() : client
    hasFailed = true
    for (let next = from; next <= head.number; )
      next = await handOut(reader, listeners, { from: next, to: head.number }, head)
    hasFailed = false
    newest = head
    readAt = clock.now()
    for (const announce of headListeners) announce(head)
    await readAgain(head)
  }

  /** A failure waits for the next head: it must not keep what is new from being read. */
  async function readAgain(head: MinedBlock): Promise<void> {
    // A turn only where something is read: heads between two sweeps could else bring each sweep to the same node.
    if (again === undefined && !isScrubDue) return
    const reader = nextWitness()
    try {
      for (let i = 0; i < REREADS_PER_HEAD && again !== undefined; i++) {
        const stretch: Stretch = again
        const next = await handOut(reader, listeners, stretch, head)
        // Something may have asked for more in between.
        if (again === stretch) again = next <= stretch.to ? { from: next, to: stretch.to } : undefined
      }
      if (!isScrubDue) return
      isScrubDue = false
      const scrubbed = listeners.filter((listener) => listener.scrubbed)
      const next = await handOut(reader, scrubbed, { from: scrubbedFrom, to: head.number }, head)
      scrubbedFrom = next <= head.number ? next : startBlock
    } catch (err) {
      logger.warn({ err }, 'logs not read again, another node is asked at the next block')
    }
  }

  function reread(from: bigint): void {
    if (newest === undefined) return
    const start = from < startBlock ? startBlock : from
    again = { from: again !== undefined && again.from < start ? again.from : start, to: newest.number }
  }

  return {
    listen: (listener) => void listeners.push(listener),
    onHead: (fn) => void headListeners.push(fn),
    head: () => newest,
    readAt: () => readAt,
    reread,
    isRereading: () => again !== undefined,
    sweep() {
      if (newest === undefined) return
      reread(newest.number - rereadBlocks + 1n)
      isScrubDue = true
    },
    run: (signal) =>
      watchBlocks(client, {
        onBlock,
        onError: (err) => logger.warn({ err }, 'chain not readable, will look again'),
        pollMs: client.pollingInterval,
        clock,
        signal,
      }),
  }
}

/** Logs of the listeners in one request. @throws RetryableError for an answer that can't be of the range asked for. */
async function readLogs(
  client: ChainClient,
  listeners: readonly LogListener[],
  fromBlock: bigint,
  toBlock: bigint,
  head: MinedBlock,
): Promise<ChainLog[]> {
  const address = [...new Set(listeners.flatMap(({ addresses }) => addresses.map(lowerCase)))]
  if (address.length === 0) return []
  const events = listeners.flatMap(({ abi }) => abi.filter((item): item is AbiEvent => item.type === 'event'))
  // By its hash where the head is all that is new: a node that hasn't got it yet must say so, and not that there is nothing.
  const isHead = fromBlock === toBlock && toBlock === head.number
  const range = isHead ? { blockHash: head.hash } : { fromBlock, toBlock }
  const logs = await client.getLogs({ address, events, ...range })
  const asked = new Set(address)
  for (const log of logs) {
    const foreign =
      !asked.has(lowerCase(log.address)) ||
      log.blockNumber < fromBlock ||
      log.blockNumber > toBlock ||
      log.removed
    // The node may have moved to another branch between the two answers.
    const otherHead = log.blockNumber === head.number && log.blockHash !== head.hash
    if (foreign || otherHead)
      throw new RetryableError(`logs of blocks ${fromBlock} to ${toBlock} don't fit the head ${head.hash}`)
  }
  return logs
}

function lowerCase(address: Address): Address {
  return address.toLowerCase() as Address
}
