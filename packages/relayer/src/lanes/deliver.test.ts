import {
  createLogger,
  createMetrics,
  type QueueBackend,
  type QueueJobData,
  systemClock,
} from '@clearspan/shared'
import {
  type AbiEvent,
  type Address,
  encodeAbiParameters,
  type Hex,
  pad,
  toEventSelector,
  zeroHash,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import type { ChainLog, LogListener } from '../chains/feed.js'
import { createQuarantine } from '../chains/quarantine.js'
import { relayerConfigSchema } from '../config.js'
import { endpointAbi, sendUlnAbi } from '../layerzero/abi.js'
import { encodePacket, payloadHash } from '../layerzero/packet.js'
import { createStages } from '../stages.js'
import type { LaneContext } from './context.js'
import { createDeliverLane } from './deliver.js'
import { address, ENDPOINT, EXECUTOR, sent } from './deliver.test-util.js'

const [DVN, SEND_ULN] = [address(1), address(7)] as [Address, Address]
const OPTIONS: Hex = '0x0003010011010000000000000000000000000000c350'

/** What the chain logs of a packet that pays our workers: the nonce's own block and transaction. */
function logsOf(nonce: bigint): ChainLog[] {
  const at = { blockNumber: nonce, blockHash: pad('0x1'), transactionHash: pad(`0x${nonce.toString(16)}`) }
  const log = (emitter: Address, name: string, values: readonly unknown[]) => {
    const event = [...endpointAbi, ...sendUlnAbi].find(
      (item) => 'name' in item && item.name === name,
    ) as AbiEvent
    const data = encodeAbiParameters(event.inputs, values)
    return { ...at, address: emitter, topics: [toEventSelector(event)], data } as unknown as ChainLog
  }
  return [
    log(SEND_ULN, 'DVNFeePaid', [[DVN], [], [1n]]),
    log(SEND_ULN, 'ExecutorFeePaid', [EXECUTOR, 1n]),
    log(ENDPOINT, 'PacketSent', [encodePacket(sent(nonce, 1).packet), OPTIONS, SEND_ULN]),
  ]
}

/** A feed that does what a test says. */
function feedAt(number: bigint, read: (from: bigint) => readonly ChainLog[] = () => []) {
  const listeners: LogListener[] = []
  const announced: ((head: never) => void)[] = []
  let head: { number: bigint } | undefined
  const reread = (from: bigint) => {
    for (const { onLogs } of listeners) onLogs([...read(from)], undefined as never)
  }
  return {
    listen: (listener: LogListener) => void listeners.push(listener),
    onHead: (fn: (head: never) => void) => void announced.push(fn),
    head: () => head,
    isRereading: () => false,
    reread,
    announce(more = 0n) {
      head = { number: (head?.number ?? number) + more }
      for (const fn of announced) fn(head as never)
    },
  }
}

/** A lane with packets of another's path, one in each block of its source; its destination has executed those up to one. */
async function world(count: bigint, executed: bigint, maxForeignPackets: number) {
  const metrics = createMetrics()
  const logger = createLogger({ name: 'test', level: 'silent' })
  const layerzero = { endpoint: ENDPOINT, executor: EXECUTOR, dvn: DVN, sendUln: SEND_ULN }
  const nonces = Array.from({ length: Number(count) }, (_, i) => BigInt(i + 1))
  const source = feedAt(count, (from) => nonces.filter((nonce) => nonce >= from).flatMap(logsOf))
  const destination = feedAt(5n)
  /** Executed by a node's word up to this nonce. */
  const node = (upTo: bigint) => ({
    getChainId: async () => 2,
    getBlock: async () => ({ hash: pad('0x1') }),
    multicall: async ({ contracts }: { contracts: { functionName: string; args: readonly unknown[] }[] }) =>
      contracts.map(({ functionName, args }) => {
        if (functionName === 'inboundNonce') return executed
        const nonce = args[3] as bigint
        return nonce > upTo && nonce <= executed ? payloadHash(sent(nonce, 1).packet) : zeroHash
      }),
  })
  const witnesses = [node(executed - 1n)] as never[]
  const clock = systemClock
  const on = {
    chain: { chainId: 2, eid: 102, name: 'destination', confirmations: 1, layerzero },
    client: node(executed),
    witnesses,
    quarantine: createQuarantine({ chain: 'destination', nodes: witnesses, clock, logger, metrics }),
    senders: { bulk: { size: 1, address: address(9), unclaimed: () => 0 } },
    feed: destination,
  } as unknown as ChainContext
  const from = {
    // What the destination lacks is not deep enough for a round.
    chain: { chainId: 1, eid: 101, name: 'source', confirmations: 10, layerzero },
    feed: source,
  } as unknown as ChainContext
  let work: ((data: QueueJobData) => Promise<void>) | undefined
  const isReady = { waitUntilReady: async () => {} }
  const backend = {
    kind: 'embedded',
    queue: () => ({
      ...isReady,
      add: async (_: string, __: unknown, { jobId }: { jobId: string }) => ({ id: jobId }),
    }),
    worker(_: string, process: (job: unknown) => Promise<void>) {
      work = (data) => process({ data, attemptsMade: 0 })
      return { ...isReady, on: () => {} }
    },
  } as unknown as QueueBackend
  const context = {
    network: { networkId: zeroHash, clock: null, hub: { contracts: {} } },
    hub: { chain: { eid: 999 } },
    config: relayerConfigSchema.parse({ maxForeignPackets }),
    keys: { dvnSigners: [privateKeyToAccount(pad('0x1'))] },
    chains: [on, from],
    backend,
    clock,
    random: { next: Math.random },
    stages: createStages(),
    logger,
    metrics,
  } as unknown as LaneContext
  const lane = await createDeliverLane(context, on)
  return { lane, source, destination, deliver: () => work!({ kind: 'deliver' }) }
}

const waiting = ({ lane }: Awaited<ReturnType<typeof world>>) =>
  lane
    .packets()
    .map((view) => Number('nonce' in view ? view.nonce : 0))
    .sort((a, b) => a - b)

it('a restart over a long past reads again what it had no room for, and keeps what is outstanding', async () => {
  const on = await world(300n, 295n, 100)
  // All of the past comes before the first head.
  on.source.reread(0n)
  expect(waiting(on).at(-1)).toBe(100)
  on.source.announce()
  for (let head = 1n; head <= 3n; head++) {
    await on.deliver()
    on.destination.announce(1n)
  }
  expect(waiting(on)).toEqual([296, 297, 298, 299, 300])
})

it('a sweep puts back what only one node calls delivered', async () => {
  const on = await world(120n, 110n, 110)
  on.source.reread(0n)
  on.source.announce()
  on.destination.announce()
  await on.deliver()
  expect(waiting(on)).toEqual([])
  on.destination.announce(1n)
  await on.lane.sweep()
  // Those above it found no room at first.
  expect(waiting(on)).toEqual([110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120])
})
