import {
  type ChainClient,
  type Clock,
  createChainClient,
  createLogger,
  createMetrics,
  systemClock,
} from '@clearspan/shared'
import {
  type Address,
  concatHex,
  encodeAbiParameters,
  type Hex,
  keccak256,
  numberToHex,
  pad,
  toHex,
} from 'viem'
import { createChainFeed } from '../packages/relayer/src/chains/feed.js'
import { createQuarantine } from '../packages/relayer/src/chains/quarantine.js'
import { endpointAbi } from '../packages/relayer/src/layerzero/abi.js'
import { createOutbox } from '../packages/relayer/src/layerzero/outbox.js'
import { encodePacket, type Packet, packetGuid } from '../packages/relayer/src/layerzero/packet.js'
import type { Pending } from '../packages/relayer/src/layerzero/pending.js'
import { sentPackets } from '../packages/relayer/src/layerzero/sent.js'
import { confirmedPackets } from '../packages/relayer/src/layerzero/witness.js'
import { startAnvil } from '../packages/shared/src/chain/anvil.test-util.js'

const EID = 1
const [endpoint, sendUln, dvn, executor, sender] = [0xe0, 0xe1, 0xe2, 0xe3, 0xacc].map((n) =>
  pad(numberToHex(n), { size: 20 }),
) as [Address, Address, Address, Address, Address]
const PACKET_SENT = keccak256(toHex('PacketSent(bytes,bytes,address)'))
/** Emits its calldata as a PacketSent: calldatacopy(0, 0, calldatasize); log1(0, calldatasize, topic). */
const EMITTER = concatHex(['0x365f5f37', '0x7f', PACKET_SENT, '0x365fa100'])

/** What an endpoint's event says of a packet. */
export function eventData(packet: Packet): Hex {
  return encodeAbiParameters(
    [{ type: 'bytes' }, { type: 'bytes' }, { type: 'address' }],
    [encodePacket(packet), '0x0003', sendUln],
  )
}

export function packetOf(nonce: bigint, message: Hex = '0xc0ffee'): Packet {
  const key = { nonce, srcEid: EID, sender: pad(sender), dstEid: 2, receiver: pad('0xbeef') }
  return { ...key, guid: packetGuid(key), message }
}

/** Blocks from the height down to the newest that the chain calls finalized. */
export const FINALIZED_BELOW = 4n

/** A real chain whose endpoint sends what a test wants. Blocks come when a test mines them. */
export async function startSource() {
  const anvil = await startAnvil('--no-mining', '--slots-in-an-epoch', String(FINALIZED_BELOW / 2n))
  await anvil.control.setCode({ address: endpoint, bytecode: EMITTER })
  await anvil.control.setBalance({ address: sender, value: 10n ** 24n })
  await anvil.control.impersonateAccount({ address: sender })
  const client = createChainClient({ chainId: 31337, rpcUrls: [anvil.url], blockMs: 80 })
  const mine = (blocks = 1) => anvil.control.mine({ blocks })
  return {
    url: anvil.url,
    client,
    mine,
    /** Mines a block that sends these; answers its height. */
    async send(...packets: Packet[]): Promise<bigint> {
      for (const packet of packets)
        await anvil.control.sendUnsignedTransaction({
          from: sender,
          to: endpoint,
          data: eventData(packet),
          gas: 500_000n,
        })
      await mine()
      return client.getBlockNumber()
    },
    /** Replaces the last blocks by as many empty ones. */
    async reorg(depth: number): Promise<void> {
      await anvil.control.request({ method: 'anvil_reorg' as never, params: [depth, []] as never })
      await anvil.dropAll()
    },
    stop: () => anvil.stop(),
  }
}

export type Source = Awaited<ReturnType<typeof startSource>>

/** What a relayer knows of a source by these nodes: the feed that reads from whichever is fastest, and the quorum that all are asked for. */
export function watchSource(
  urls: readonly string[],
  {
    startBlock,
    confirmations,
    finalized = false,
    timeoutMs = 5_000,
  }: { startBlock: bigint; confirmations: bigint; finalized?: boolean; timeoutMs?: number },
) {
  const options = { chainId: 31337, blockMs: 80, timeoutMs }
  const witnesses: ChainClient[] = urls.map((url) => createChainClient({ ...options, rpcUrls: [url] }))
  const lines: { level: number; node?: number; msg: string }[] = []
  const logger = createLogger({
    name: 'test',
    level: 'error',
    destination: { write: (line: string) => void lines.push(JSON.parse(line)) },
  })
  const metrics = createMetrics()
  // Of the quarantine alone: nobody is let out of it here.
  const clock: Clock = { ...systemClock, now: () => 0 }
  const quarantine = createQuarantine({ chain: 'source', nodes: witnesses, clock, logger, metrics })
  const client = createChainClient({
    ...options,
    rpcUrls: urls,
    avoid: (index) => quarantine.holds(witnesses[index]!),
  })
  const feed = createChainFeed({
    client,
    witnesses,
    isHeld: quarantine.holds,
    startBlock,
    logRange: 1_000n,
    rereadBlocks: 64n,
    clock: systemClock,
    logger,
  })
  const outbox = createOutbox({ ownPaths: new Set(), maxForeign: 1_000 })
  const workers = { endpoint, sendUln, dvn, executor }
  feed.listen({
    addresses: [endpoint],
    abi: endpointAbi.filter((item) => item.name === 'PacketSent'),
    onReorg: (from) => outbox.forget(EID, from),
    onLogs: (logs) => {
      for (const sent of sentPackets(logs, workers, () => {})) outbox.add(sent, 0)
    },
  })
  const abort = new AbortController()
  const running = feed.run(abort.signal)
  const isDeep = ({ blockNumber }: Pending) => (feed.head()?.number ?? 0n) - blockNumber + 1n >= confirmations
  const dissents = async () => /rpc_dissents_total\{.*\} \d+/.exec(await metrics.text())?.[0]
  return {
    feed,
    outbox,
    witnesses,
    quarantine,
    lines,
    dissents,
    /** Packets that the feed has shown and that a relayer would attest now, by nonce. */
    async attest(): Promise<bigint[]> {
      const entries = outbox.take(0, isDeep, new Set(), { limit: 100, foreignLimit: 100, enough: 100 })
      const asked = entries.map((entry) => ({ ...entry, confirmations }))
      const found = await confirmedPackets(witnesses, { endpoint, sendUln }, asked, quarantine)
      return entries.flatMap(({ packet }) => (found.has(packet.guid) ? [packet.nonce] : []))
    },
    /** Whether the quorum confirms a packet in a block, whatever the feed has shown. */
    async confirms(packet: Packet, blockNumber: bigint, blockHash: Hex): Promise<boolean> {
      const asked = [{ packet, blockNumber, blockHash, confirmations, finalized }]
      return (await confirmedPackets(witnesses, { endpoint, sendUln }, asked, quarantine)).size > 0
    },
    async close(): Promise<void> {
      abort.abort()
      await running
    },
  }
}
