import type { Chain, Logger } from '@clearspan/shared'
import { type Address, type Hex, pad } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { endpointAbi, sendUlnAbi } from '../layerzero/abi.js'
import { wordToAddress } from '../layerzero/batch.js'
import { createOutbox, type Outbox, type Pending } from '../layerzero/outbox.js'
import { sentPackets } from '../layerzero/sent.js'
import { type LaneContext, type LanePart, openLane } from './context.js'
import { createDeliveryRound } from './deliver-round.js'

/**
 * Delivers packets to one chain: it watches every other chain's PacketSent, and each round takes what is deep enough, asks the destination
 * what is still missing, and sends that in one transaction. What a round did is read from the destination's logs, never from a status.
 */
export async function createDeliverLane(
  context: LaneContext,
  destination: ChainContext,
): Promise<LanePart & { pending(): number }> {
  const { chains, clock, stages, logger } = context
  const { chain, feed } = destination
  const outbox = createOutbox()
  const sources = new Map(
    chains.filter(({ chain: { eid } }) => eid !== chain.eid).map((source) => [source.chain.eid, source]),
  )
  const log = logger.child({ lane: `deliver-${chain.chainId}` })
  const isDeep = ({ packet, blockNumber }: Pending) => {
    const source = sources.get(packet.srcEid)
    const head = source?.feed.head()
    return head !== undefined && head.number - blockNumber + 1n >= BigInt(source?.chain.confirmations ?? 0)
  }
  const due = () => outbox.due(clock.now(), isDeep)
  const round = createDeliveryRound(context, destination, sources, outbox, log)
  const { lane, ring } = await openLane(context, `deliver-${chain.chainId}`, {
    async deliver(signal) {
      const entries = due()
      if (entries.length === 0) return
      await round(entries, signal)
      if (due().length > 0) ring('deliver')
    },
  })
  const ringIfDue = () => {
    if (due().length > 0) ring('deliver')
  }

  for (const source of sources.values()) {
    const { endpoint, sendUln, dvn, executor } = source.chain.layerzero
    const onInvalid = (err: unknown) => log.warn({ err, source: source.chain.name }, 'packet not readable')
    source.feed.listen({
      addresses: [endpoint, sendUln],
      abi: [...endpointAbi.filter((item) => item.name === 'PacketSent'), ...sendUlnAbi],
      onReorg: (from) => outbox.forget(source.chain.eid, from),
      onLogs(logs) {
        const sent = sentPackets(logs, { endpoint, sendUln, dvn, executor }, onInvalid).filter(
          ({ packet }) => packet.dstEid === chain.eid && packet.srcEid === source.chain.eid,
        )
        const now = clock.now()
        outbox.add(sent, now)
        for (const { packet } of sent) {
          const { guid, srcEid, dstEid, nonce } = packet
          stages.note(guid, {}, { srcEid, dstEid, nonce: String(nonce), observedAt: now })
        }
      },
    })
    source.feed.onHead(ringIfDue)
  }
  feed.listen({ addresses: [], abi: [], onReorg: (from) => outbox.restore(from), onLogs: () => {} })
  feed.onHead(ringIfDue)

  return {
    lane,
    pending: outbox.size,
    /** A node may have kept logs back: the source's own count of a path's packets shows it. */
    async sweep() {
      for (const source of sources.values()) await findMissing(context, destination, source, outbox, log)
      ringIfDue()
    },
  }
}

/** Reads the source again when it has sent more on a path than its logs have shown. */
async function findMissing(
  context: LaneContext,
  { chain }: ChainContext,
  { chain: source, client, feed }: ChainContext,
  outbox: Outbox,
  log: Logger,
): Promise<void> {
  const head = feed.head()
  if (head === undefined) return
  const prefix = `${source.eid}:`
  const seen = outbox.paths().filter((path) => path.startsWith(prefix))
  for (const path of new Set([...seen, ...gatewayPaths(context, source, chain)])) {
    const [, sender, , receiver] = path.split(':') as [string, Hex, string, Hex]
    const nonce = await client.readContract({
      address: source.layerzero.endpoint,
      abi: endpointAbi,
      functionName: 'outboundNonce',
      args: [wordToAddress(sender), chain.eid, receiver],
      blockNumber: head.number,
    })
    const highest = outbox.highest(path)
    if (nonce <= (highest?.nonce ?? 0n)) continue
    log.warn({ path, nonce: String(nonce) }, 'packets missed, reading the source again')
    feed.reread(highest?.block ?? 0n)
  }
}

/** The paths between two chains that this network itself uses: counters to the hub, releases from it. */
function gatewayPaths({ network, hub }: LaneContext, source: Chain, destination: Chain): string[] {
  const word = (address: Address) => pad(address.toLowerCase() as Address)
  const path = (sender: Address, receiver: Address) =>
    `${source.eid}:${word(sender)}:${destination.eid}:${word(receiver)}`
  const { hubGateway } = network.hub.contracts
  if (destination.eid === hub.chain.eid) return [path(source.contracts.spokeGateway, hubGateway)]
  if (source.eid === hub.chain.eid) return [path(hubGateway, destination.contracts.spokeGateway)]
  return []
}
