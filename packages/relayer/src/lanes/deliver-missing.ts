import type { Logger } from '@clearspan/shared'
import type { Backoff } from '../backoff.js'
import type { ChainContext } from '../chains/context.js'
import { endpointAbi } from '../layerzero/abi.js'
import { type Step, wordToAddress } from '../layerzero/batch.js'
import type { Outbox } from '../layerzero/outbox.js'
import { endsOf, packetGuid, pathOf } from '../layerzero/packet.js'
import type { LaneContext } from './context.js'

/** What looking for packets needs that a source has sent and no log has shown. */
export interface MissingPackets {
  context: Pick<LaneContext, 'clock'>
  sources: ReadonlyMap<number, ChainContext>
  outbox: Outbox
  backoff: Backoff
  log: Logger
}

/**
 * Nonces that their paths wait for and that don't wait here. One that was taken for delivered, or is a dead letter, is put back, as its
 * destination says that it isn't committed; of any other the source is read again, since a node may have kept it back.
 */
export function findGaps(
  { context, sources, outbox, backoff, log }: MissingPackets,
  steps: readonly Step[],
): void {
  for (const { entry, inbound } of steps) {
    const { packet, own } = entry
    const path = pathOf(packet)
    const nonce = inbound + 1n
    if (packet.nonce <= nonce || outbox.has(path, nonce) || outbox.reopenNonce(path, nonce)) continue
    outbox.recall(packetGuid({ ...packet, nonce }))
    // A stranger may leave gaps on as many paths as it likes, by paying others: all of theirs share one wait.
    if (!backoff.ready(own ? `${path}:${nonce}` : `foreign:${packet.srcEid}`, context.clock.now())) continue
    log.warn({ path, nonce: String(nonce) }, 'a packet is missing, reading its source again')
    sources.get(packet.srcEid)?.feed.reread(0n)
  }
}

/** Reads the source again when it has sent more on a path of our own than its logs have shown. @throws RetryableError when the node fails. */
export async function findMissing(
  { context, sources, outbox, backoff, log }: MissingPackets,
  path: string,
): Promise<void> {
  const { srcEid, sender, dstEid, receiver } = endsOf(path)
  const source = sources.get(srcEid)
  const head = source?.feed.head()
  if (source === undefined || head === undefined) return
  const nonce = await source.client.readContract({
    address: source.chain.layerzero.endpoint,
    abi: endpointAbi,
    functionName: 'outboundNonce',
    args: [wordToAddress(sender), dstEid, receiver],
    blockNumber: head.number,
  })
  const highest = outbox.highest(path)
  if (nonce <= (highest?.nonce ?? 0n) || !backoff.ready(`${path}:${nonce}`, context.clock.now())) return
  log.warn({ path, nonce: String(nonce) }, 'packets missed, reading the source again')
  source.feed.reread(highest?.block ?? 0n)
}
