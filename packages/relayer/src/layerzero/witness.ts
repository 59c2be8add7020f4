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

/** A packet as a feed has read it, and how deep its block must be; `finalized`: by the chain's own word too, as each RPC has it. */
type Asked = Pick<SentPacket, 'packet' | 'blockNumber' | 'blockHash'> & {
  confirmations: bigint
  finalized?: boolean
}

/**
 * Packets that more than half of the source's RPCs confirm: the block has the same hash, `confirmations` blocks on top (its own included) and,
 * where asked for, is finalized, and it sent exactly this packet. More than half of all that are configured: one that fails or lags abstains, one that disagrees with such a
 * majority, whichever way, goes into quarantine and abstains from then on, and neither makes fewer suffice. Nobody waits for the rest once
 * enough agree; what the rest says is judged when it comes. Answers guid → timestamp (s) of its block.
 */
export async function confirmedPackets(
  witnesses: readonly ChainClient[],
  sender: Sender,
  packets: readonly Asked[],
  quarantine: Quarantine,
): Promise<Map<Hex, number>> {
  const blocks = new Map<string, Asked[]>()
  for (const entry of packets) {
    const key = `${entry.blockHash}:${entry.confirmations}:${entry.finalized}`
    blocks.set(key, [...(blocks.get(key) ?? []), entry])
  }
  const confirmed = await Promise.all(
    [...blocks.values()].map((asked) => hear(witnesses, sender, asked, quarantine)),
  )
  return new Map(confirmed.flatMap((times) => [...times]))
}

/** Hears every witness about packets of one block, until enough agree on all of them or none is left. */
function hear(
  witnesses: readonly ChainClient[],
  sender: Sender,
  asked: readonly Asked[],
  quarantine: Quarantine,
): Promise<Map<Hex, number>> {
  const needed = Math.floor(witnesses.length / 2) + 1
  const heard: (Testimony & { witness: ChainClient })[] = []
  let missing = witnesses.length
  const confirmed = new Map<Hex, number>()

  function judge({ packet, blockHash, blockNumber }: Asked): void {
    const encoded = encodePacket(packet)
    const agreeing = heard.filter((one) => one.hash === blockHash && one.packets.has(encoded))
    const others = heard.filter((one) => !agreeing.includes(one))
    const [first] = agreeing
    if (first !== undefined && agreeing.length >= needed) {
      confirmed.set(packet.guid, first.timestamp)
      for (const { witness, hash } of others)
        quarantine.put(
          witness,
          hash === blockHash ? `keeps back ${packet.guid}` : `another block ${blockNumber}`,
        )
    }
    const isMajority = ({ hash }: Testimony) => others.filter((one) => one.hash === hash).length >= needed
    if (others.some(isMajority))
      for (const { witness } of agreeing) quarantine.put(witness, `makes up ${packet.guid}`)
  }

  return new Promise((resolve) => {
    const end = (witness: ChainClient, testimony: Testimony | undefined) => {
      missing--
      if (testimony !== undefined) heard.push({ witness, ...testimony })
      for (const entry of asked) judge(entry)
      const isClear = asked.every(({ packet }) => confirmed.has(packet.guid))
      if (isClear || missing === 0) resolve(confirmed)
    }
    for (const witness of witnesses) {
      const isHeld = quarantine.holds(witness)
      void (isHeld ? Promise.resolve(undefined) : testify(witness, sender, asked)).then((one) =>
        end(witness, one),
      )
    }
  })
}

/** Undefined when this RPC knows nothing of the block, or not that it is deep enough, for whatever reason. */
async function testify(
  client: ChainClient,
  sender: Sender,
  packets: readonly Asked[],
): Promise<Testimony | undefined> {
  const { blockNumber, blockHash, confirmations, finalized = false } = packets[0]!
  try {
    // Both to their end: viem shares a request still under way with the next look, which would inherit its failure.
    const asked = [client.getBlockNumber(), client.getBlock({ blockNumber })] as const
    await Promise.allSettled(asked)
    const [head, { hash, timestamp }] = await Promise.all(asked)
    if (head - blockNumber + 1n < confirmations) return undefined
    if (finalized && (await client.getBlock({ blockTag: 'finalized' })).number < blockNumber) return undefined
    // It stands by another block at that height, as deep: no logs of ours are there.
    if (hash !== blockHash) return { hash, timestamp: Number(timestamp), packets: new Set() }
    const known = shown.get(client)?.get(blockHash)
    if (known !== undefined && packets.every(({ packet }) => known.has(encodePacket(packet))))
      return { hash, timestamp: Number(timestamp), packets: known }
    const found = await packetsOf(client, sender, blockHash)
    keep(client, blockHash, found)
    return { hash, timestamp: Number(timestamp), packets: found }
  } catch {
    return undefined
  }
}

/** Blocks of one RPC whose packets are remembered. */
const BLOCKS_KEPT = 64
/**
 * Packets of blocks by their hash, as each RPC has shown them: a block is attested in several rounds, and what is in it doesn't change. What one
 * has not shown it is asked for again.
 */
const shown = new WeakMap<ChainClient, Map<Hex, ReadonlySet<Hex>>>()

function keep(client: ChainClient, blockHash: Hex, packets: ReadonlySet<Hex>): void {
  const blocks = shown.get(client) ?? new Map<Hex, ReadonlySet<Hex>>()
  shown.set(client, blocks)
  blocks.set(blockHash, packets)
  for (const oldest of blocks.keys()) if (blocks.size > BLOCKS_KEPT) blocks.delete(oldest)
}

async function packetsOf(
  client: ChainClient,
  { endpoint, sendUln }: Sender,
  blockHash: Hex,
): Promise<ReadonlySet<Hex>> {
  const logs = await client.getLogs({ address: endpoint, event: endpointAbi[0], blockHash, strict: true })
  const packets = logs.flatMap(({ address, args: { encodedPayload, sendLibrary } }) =>
    isAddressEqual(address, endpoint) && isAddressEqual(sendLibrary, sendUln)
      ? [encodedPayload.toLowerCase() as Hex]
      : [],
  )
  return new Set(packets)
}
