import type { Chain, ChainClient } from '@clearspan/shared'
import { type Hex, isAddressEqual } from 'viem'
import type { Quarantine } from '../chains/quarantine.js'
import { endpointAbi } from './abi.js'
import { encodePacket } from './packet.js'
import type { SentPacket } from './sent.js'

/** Where packets come from: a library registered beside ours could make the endpoint say anything. */
type Sender = Pick<Chain['layerzero'], 'endpoint' | 'sendUln'>

/** One RPC's evidence of a block that is deep enough there: its hash, and which packets it sent. */
interface Testimony {
  hash: Hex
  timestamp: number
  packets: ReadonlySet<Hex>
}

/**
 * Packets that more than half of the source's RPCs confirm: the block has the same hash and `confirmations` blocks on top (its own included),
 * and it sent exactly this packet. More than half of all that are configured: one that fails or lags abstains, one that disagrees with such a
 * majority goes into quarantine and abstains from then on, and neither makes fewer suffice. Answers guid → timestamp (s) of its block.
 */
export async function confirmedPackets(
  witnesses: readonly ChainClient[],
  sender: Sender,
  packets: readonly (Pick<SentPacket, 'packet' | 'blockNumber' | 'blockHash'> & { confirmations: bigint })[],
  quarantine?: Quarantine,
): Promise<Map<Hex, number>> {
  const needed = Math.floor(witnesses.length / 2) + 1
  const confirmed = new Map<Hex, number>()
  const blocks = new Map(packets.map((entry) => [`${entry.blockHash}:${entry.confirmations}`, entry]))
  await Promise.all(
    [...blocks].map(async ([key, { blockNumber, blockHash, confirmations }]) => {
      const testimonies = await Promise.all(
        witnesses.map((client) =>
          quarantine?.holds(client)
            ? undefined
            : testify(client, sender, blockNumber, blockHash, confirmations),
        ),
      )
      for (const entry of packets) {
        if (`${entry.blockHash}:${entry.confirmations}` !== key) continue
        const encoded = encodePacket(entry.packet)
        const agrees = (one: Testimony | undefined) => one?.hash === blockHash && one.packets.has(encoded)
        const agreeing = testimonies.filter(agrees)
        const timestamp = agreeing[0]?.timestamp
        if (agreeing.length < needed || timestamp === undefined) continue
        confirmed.set(entry.packet.guid, timestamp)
        for (const [i, one] of testimonies.entries())
          if (one !== undefined && !agrees(one))
            quarantine?.put(
              witnesses[i]!,
              one.hash === blockHash ? `keeps back ${entry.packet.guid}` : `another block ${blockNumber}`,
            )
      }
    }),
  )
  return confirmed
}

/** Undefined when this RPC knows nothing of the block, or not that it is deep enough, for whatever reason. */
async function testify(
  client: ChainClient,
  { endpoint, sendUln }: Sender,
  blockNumber: bigint,
  blockHash: Hex,
  confirmations: bigint,
): Promise<Testimony | undefined> {
  try {
    // Both to their end: viem shares a request still under way with the next look, which would inherit its failure.
    const asked = [client.getBlockNumber(), client.getBlock({ blockNumber })] as const
    await Promise.allSettled(asked)
    const [head, { hash, timestamp }] = await Promise.all(asked)
    if (head - blockNumber + 1n < confirmations) return undefined
    // It stands by another block at that height, as deep: no logs of ours are there.
    if (hash !== blockHash) return { hash, timestamp: Number(timestamp), packets: new Set() }
    const logs = await client.getLogs({ address: endpoint, event: endpointAbi[0], blockHash, strict: true })
    const packets = logs.flatMap(({ args: { encodedPayload, sendLibrary } }) =>
      isAddressEqual(sendLibrary, sendUln) ? [encodedPayload.toLowerCase() as Hex] : [],
    )
    return { hash, timestamp: Number(timestamp), packets: new Set(packets) }
  } catch {
    return undefined
  }
}
