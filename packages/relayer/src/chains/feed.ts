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
  /** Blocks from this number on have changed: forget what they said, it is read again. */
  onReorg?(from: bigint): void
  /** Logs of its addresses and events, in order of the chain. */
  onLogs(logs: ChainLog[], head: MinedBlock): void
}

export interface ChainFeedOptions {
  client: ChainClient
  startBlock: bigint
  /** Most blocks of one request. */
  logRange: bigint
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
  /** Reads a past range again, when something shows that a node has kept logs back. */
  reread(from: bigint): void
  /** Follows the chain from its first block of interest until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

export function createChainFeed({
  client,
  startBlock,
  logRange,
  clock,
  logger,
}: ChainFeedOptions): ChainFeed {
  const listeners: LogListener[] = []
  const headListeners: ((head: MinedBlock) => void)[] = []
  let newest: MinedBlock | undefined
  let readAt: number | undefined
  /** Where to begin, when that is before what the watcher says. */
  let behind: bigint | undefined = startBlock

  async function onBlock({ head, from: firstNew, reorged }: BlockUpdate): Promise<void> {
    const from = behind !== undefined && behind < firstNew ? behind : firstNew
    const asked = behind
    if (reorged) for (const listener of listeners) listener.onReorg?.(from)
    for (let start = from; start <= head.number; start += logRange) {
      const end = start + logRange - 1n
      const logs = await readLogs(client, listeners, start, end < head.number ? end : head.number, head)
      for (const { addresses, onLogs } of listeners) {
        const own = new Set(addresses.map((address) => address.toLowerCase()))
        onLogs(
          logs.filter(({ address }) => own.has(address.toLowerCase())),
          head,
        )
      }
    }
    if (behind === asked) behind = undefined
    newest = head
    readAt = clock.now()
    for (const announce of headListeners) announce(head)
  }

  return {
    listen: (listener) => void listeners.push(listener),
    onHead: (fn) => void headListeners.push(fn),
    head: () => newest,
    readAt: () => readAt,
    reread(from) {
      const start = from < startBlock ? startBlock : from
      if (behind === undefined || start < behind) behind = start
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

/** Logs of all listeners in one request. @throws RetryableError for an answer that can't be of the range asked for. */
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
  const logs = await client.getLogs({ address, events, fromBlock, toBlock })
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
