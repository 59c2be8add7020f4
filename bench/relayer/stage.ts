import { testReceiverAbi, testReceiverBytecode } from '@clearspan/contracts'
import {
  createBatch,
  type Delivery,
  type LocalChain,
  localKeys,
  OPERATION_GAS_LIMIT,
} from '@clearspan/devnet'
import {
  type Address,
  concatHex,
  encodeFunctionData,
  type Hex,
  keccak256,
  numberToHex,
  pad,
  parseAbi,
  parseEther,
  size,
  sliceHex,
} from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'
import { startTestNetwork, type TestNetwork } from '../../test/testNetwork.js'

/** Real ms between blocks. Unequal, so that the two chains' phases drift through all of each other. */
const SOURCE_BLOCK_MS = 500
const DESTINATION_BLOCK_MS = 470
/** Directions with nonces of their own, each between a sender and a receiver of its own. */
const PATHS = 16
const MESSAGE_BYTES = 200
const RECEIVE_GAS = 100_000n
/** Packets of one source block in a burst: what a block of 30 million gas holds. */
const PER_BLOCK = 140
/** Nothing delivered for so long: something is broken, real ms. */
const STALLED_MS = 60_000
/** Longest that all is waited for: 10,000 packets at 40 a second, real ms. */
const LONGEST_MS = 250_000
const LOOK_MS = 20
/** How often whoever waits is told, real ms. */
const TELL_MS = 10_000

/** Signers that a relayer may have besides the first. */
const MORE_SIGNERS = 3

const endpointAbi = parseAbi([
  'struct Params { uint32 dstEid; bytes32 receiver; bytes message; bytes options; bool payInLzToken; }',
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'function send(Params params, address refund) payable',
  'event PacketSent(bytes encodedPayload, bytes options, address sendLibrary)',
  'event PacketDelivered(Origin origin, address receiver)',
])

/** A packet from its source block on; times in unix ms at which the node had mined the block. */
export interface Sent {
  guid: Hex
  sentAt: number
  deliveredAt: number | undefined
}

/** A packet's transaction, as its sender's own node is asked for it. */
export type Send = Readonly<Record<'from' | 'to' | 'data' | 'nonce' | 'value' | 'gas', Hex>>

/** Two real chains with LayerZero on them, mined here, and packets from the second to the first. */
export interface Stage {
  on: TestNetwork
  source: LocalChain
  destination: LocalChain
  /** Keys of signers besides the relayer's own first. */
  moreSigners: Hex[]
  /** So many packets, evenly over all paths, for `release`. */
  prepare(count: number): Send[]
  /** Puts packets on the source as fast as it takes them, block after block. */
  release(packets: readonly Send[]): Promise<void>
  /** Leaves packets to the source's next block. */
  submit(packets: readonly Send[]): Promise<void>
  /** Resolves once all that was sent is delivered. @throws when nothing is for long, or not all in minutes. */
  allDelivered(say?: (line: string) => void): Promise<void>
  deliveredCount(): number
  /** Resolves once more than so many are delivered. */
  deliveredMore(than: number): Promise<void>
  /** Of all packets so far. */
  sent(): Sent[]
  /** Gas that all transactions on the destination have used so far. */
  gasUsed(): bigint
  /** Unix ms at which a block of the destination was there. */
  minedAt(block: bigint): number
  stop(): Promise<void>
}

/** @param nodeUrls Where the network's oracle nodes are; without it nobody publishes prices. */
export async function openStage(directory: string, delivery: Delivery, nodeUrls?: string): Promise<Stage> {
  const on = await startTestNetwork({
    directory,
    chains: ['alpha', 'beta'],
    delivery,
    ...(nodeUrls !== undefined && { nodeUrls }),
    moreAdmins: MORE_SIGNERS,
    moreAccounts: PATHS,
  })
  try {
    return await play(on)
  } catch (error) {
    await on.stop()
    throw error
  }
}

async function play(on: TestNetwork): Promise<Stage> {
  await on.producer.halt()
  const [destination, source] = on.chains as [LocalChain, LocalChain]
  const keys = localKeys(on.roles.count + MORE_SIGNERS + PATHS).slice(on.roles.count)
  const moreSigners = keys.slice(0, MORE_SIGNERS)
  const senders = keys.slice(MORE_SIGNERS).map((key) => privateKeyToAccount(key))
  const receivers = await deployReceivers(on, destination)
  await destination.setBlockGasLimit(OPERATION_GAS_LIMIT)
  const packets = new Map<string, Sent>()
  const minedAt = new Map<bigint, number>()
  let delivered = 0
  let gas = 0n
  const nonces = senders.map(() => 0)

  async function readSource(blockNumber: bigint, at: number): Promise<void> {
    const { endpoint } = on.network.chains[1]!.layerzero
    const logs = await source.client.getLogs({
      address: endpoint,
      event: endpointAbi[1],
      fromBlock: blockNumber,
      toBlock: blockNumber,
      strict: true,
    })
    for (const { args } of logs) {
      const [nonce, sender, guid] = [
        [1, 9],
        [13, 45],
        [81, 113],
      ].map(([from, to]) => sliceHex(args.encodedPayload, from!, to!)) as [Hex, Hex, Hex]
      packets.set(keyOf(sender, BigInt(nonce)), { guid, sentAt: at, deliveredAt: undefined })
    }
  }

  async function readDestination(blockNumber: bigint, at: number): Promise<void> {
    const { endpoint } = on.network.chains[0]!.layerzero
    minedAt.set(blockNumber, at)
    const [{ gasUsed }, logs] = await Promise.all([
      destination.client.getBlock({ blockNumber }),
      destination.client.getLogs({
        address: endpoint,
        event: endpointAbi[2],
        fromBlock: blockNumber,
        toBlock: blockNumber,
        strict: true,
      }),
    ])
    gas += gasUsed
    for (const { args } of logs) {
      const packet = packets.get(keyOf(args.origin.sender, args.origin.nonce))
      if (packet === undefined) throw new Error('a packet was delivered that no source block has sent')
      if (packet.deliveredAt !== undefined) throw new Error(`${packet.guid} was delivered twice`)
      packet.deliveredAt = at
      delivered++
    }
  }

  async function mineSource(): Promise<void> {
    const { number } = await source.mine(Math.floor(on.networkClock.now() / 1000))
    await readSource(number, Date.now())
  }
  async function mineDestination(): Promise<void> {
    const { number } = await destination.mine(Math.floor(on.networkClock.now() / 1000))
    await readDestination(number, Date.now())
  }
  // One after another: a block's logs are read before the next is mined.
  let sourceTurn: Promise<unknown> = Promise.resolve()
  const inTurn = (mine: () => Promise<void>) => {
    const turn = sourceTurn.then(mine)
    sourceTurn = turn.catch(() => {})
    return turn
  }
  const miners = [
    repeat(SOURCE_BLOCK_MS, () => inTurn(mineSource)),
    repeat(DESTINATION_BLOCK_MS, mineDestination),
  ]

  async function deliveredAtLeast(count: number, say: (line: string) => void): Promise<void> {
    const began = Date.now()
    let last = { count: delivered, at: began }
    let told = began
    while (delivered < count) {
      await pause(LOOK_MS)
      for (const miner of miners) miner.check()
      const now = Date.now()
      if (delivered > last.count) last = { count: delivered, at: now }
      if (now - last.at > STALLED_MS || now - began > LONGEST_MS)
        throw new Error(
          `${delivered} of ${count} packets delivered in ${now - began} ms, the last ${now - last.at} ms ago`,
        )
      if (now - told < TELL_MS) continue
      told = now
      say(`${delivered} of ${count} packets delivered`)
    }
  }

  return {
    on,
    source,
    destination,
    moreSigners,
    prepare: (count) =>
      Array.from({ length: count }, (_, i) => {
        const path = i % PATHS
        return sendOf(on, senders[path]!, receivers[path]!, nonces[path]!++)
      }),
    async release(packets) {
      for (let at = 0; at < packets.length; at += PER_BLOCK) {
        await submit(source, packets.slice(at, at + PER_BLOCK))
        await inTurn(mineSource)
      }
    },
    submit: (packets) => submit(source, packets),
    async allDelivered(say = () => {}) {
      const sent = nonces.reduce((a, b) => a + b, 0)
      await deliveredAtLeast(sent, say)
    },
    deliveredCount: () => delivered,
    deliveredMore: (than) => deliveredAtLeast(than + 1, () => {}),
    sent: () => [...packets.values()],
    gasUsed: () => gas,
    minedAt: (block) => minedAt.get(block) ?? Number.NaN,
    async stop() {
      await Promise.all(miners.map((miner) => miner.stop()))
      await on.stop()
    },
  }
}

const keyOf = (sender: Hex, nonce: bigint) => `${sender.toLowerCase()}:${nonce}`
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Does something every `ms`, never twice at once; ticks that were missed are dropped. */
function repeat(ms: number, work: () => Promise<void>) {
  let stopped = false
  let failure: unknown
  const running = (async () => {
    for (let next = Date.now(); !stopped; next = Math.max(next + ms, Date.now())) {
      await pause(next - Date.now())
      if (!stopped) await work()
    }
  })().catch((error: unknown) => {
    failure = error
  })
  return {
    /** @throws what ended it. */
    check() {
      if (failure !== undefined) throw failure
    },
    async stop() {
      stopped = true
      await running
    },
  }
}

/** Each writes one slot and a count when it is called. */
async function deployReceivers(on: TestNetwork, chain: LocalChain): Promise<Address[]> {
  const batch = await createBatch(chain, on.roles.traders.bob.account)
  const receivers = Array.from({ length: PATHS }, (_, i) =>
    batch.create(`receiver ${i}`, { abi: testReceiverAbi, bytecode: testReceiverBytecode }),
  )
  await batch.send()
  return receivers
}

function sendOf(on: TestNetwork, { address }: PrivateKeyAccount, to: Address, nonce: number): Send {
  const [destination, source] = on.network.chains
  const gas = numberToHex(RECEIVE_GAS, { size: 16 })
  const option = concatHex(['0x01', numberToHex(size(gas) + 1, { size: 2 }), '0x01', gas])
  const message = pad(keccak256(numberToHex(nonce)), { size: MESSAGE_BYTES, dir: 'right' })
  const params = {
    dstEid: destination!.eid,
    receiver: pad(to),
    message,
    options: concatHex(['0x0003', option]),
    payInLzToken: false,
  }
  return {
    from: address,
    to: source!.layerzero.endpoint,
    data: encodeFunctionData({ abi: endpointAbi, functionName: 'send', args: [params, address] }),
    nonce: numberToHex(nonce),
    // More than it costs: the endpoint gives the rest back.
    value: numberToHex(parseEther('0.01')),
    gas: numberToHex(400_000n),
  }
}

/** Senders are accounts of the node's own mnemonic, so it signs for them, in one request for all. */
async function submit({ rpcUrl }: LocalChain, packets: readonly Send[]): Promise<void> {
  const body = packets.map((packet, id) => ({
    jsonrpc: '2.0',
    id,
    method: 'eth_sendTransaction',
    params: [packet],
  }))
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(rpcUrl, { method: 'POST', headers, body: JSON.stringify(body) })
  const answers = (await response.json()) as { error?: { message: string } }[]
  const refused = answers.find(({ error }) => error !== undefined)
  if (refused !== undefined) throw new Error(`a packet was not taken: ${refused.error?.message}`)
}
