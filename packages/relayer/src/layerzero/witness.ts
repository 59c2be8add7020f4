import type { Chain, ChainClient } from '@clearspan/shared'
import { type Hex, isAddressEqual } from 'viem'
import { endpointAbi } from './abi.js'
import { encodePacket } from './packet.js'
import type { SentPacket } from './sent.js'

/** Where packets come from: a library registered beside ours could make the endpoint say anything. */
type Sender = Pick<Chain['layerzero'], 'endpoint' | 'sendUln'>

/** One RPC's evidence of a block: whether it is deep enough there, and which packets it sent. */
interface Testimony {
  timestamp: number
  packets: ReadonlySet<Hex>
}

/**
 * Packets that more than half of the source's RPCs confirm: the block has the same hash and `confirmations` blocks on top (its own included),
 * and it sent exactly this packet. An RPC that fails, lags or disagrees counts against. Answers guid → timestamp (s) of its block.
 */
export async function confirmedPackets(
  witnesses: readonly ChainClient[],
  sender: Sender,
  packets: readonly (Pick<SentPacket, 'packet' | 'blockNumber' | 'blockHash'> & { confirmations: bigint })[],
): Promise<Map<Hex, number>> {
  const needed = Math.floor(witnesses.length / 2) + 1
  const confirmed = new Map<Hex, number>()
  const blocks = new Map(packets.map((entry) => [`${entry.blockHash}:${entry.confirmations}`, entry]))
  await Promise.all(
    [...blocks].map(async ([key, { blockNumber, blockHash, confirmations }]) => {
      const testimonies = await Promise.all(
        witnesses.map((client) => testify(client, sender, blockNumber, blockHash, confirmations)),
      )
      for (const entry of packets) {
        if (`${entry.blockHash}:${entry.confirmations}` !== key) continue
        const encoded = encodePacket(entry.packet)
        const agreeing = testimonies.filter((testimony) => testimony?.packets.has(encoded))
        const timestamp = agreeing[0]?.timestamp
        if (agreeing.length >= needed && timestamp !== undefined) confirmed.set(entry.packet.guid, timestamp)
      }
    }),
  )
  return confirmed
}

/** Undefined when this RPC can't vouch for the block, for whatever reason. */
async function testify(
  client: ChainClient,
  { endpoint, sendUln }: Sender,
  blockNumber: bigint,
  blockHash: Hex,
  confirmations: bigint,
): Promise<Testimony | undefined> {
  try {
    const [head, block, logs] = await Promise.all([
      client.getBlockNumber(),
      client.getBlock({ blockNumber }),
      client.getLogs({ address: endpoint, event: endpointAbi[0], blockHash, strict: true }),
    ])
    if (block.hash !== blockHash || head - blockNumber + 1n < confirmations) return undefined
    const packets = logs.flatMap(({ args: { encodedPayload, sendLibrary } }) =>
      isAddressEqual(sendLibrary, sendUln) ? [encodedPayload.toLowerCase() as Hex] : [],
    )
    return { timestamp: Number(block.timestamp), packets: new Set(packets) }
  } catch {
    return undefined
  }
}
