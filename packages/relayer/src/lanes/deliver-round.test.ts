import {
  createLogger,
  createMetrics,
  RetryableError,
  systemClock,
  type TransactionRequest,
} from '@clearspan/shared'
import {
  type AbiEvent,
  type Address,
  BaseError,
  decodeFunctionData,
  encodeAbiParameters,
  encodeEventTopics,
  getAddress,
  type Hex,
  type Log,
  numberToHex,
  pad,
  RpcRequestError,
  sliceHex,
  zeroHash,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { relayerConfigSchema } from '../config.js'
import { endpointAbi, executorAbi, receiveUlnAbi, workerMulticallAbi } from '../layerzero/abi.js'
import type { WorkerCall } from '../layerzero/batch.js'
import { NO_OPTIONS } from '../layerzero/options.js'
import { createOutbox } from '../layerzero/outbox.js'
import { encodePacket, packetGuid, pathOf, payloadHash } from '../layerzero/packet.js'
import type { SentPacket } from '../layerzero/sent.js'
import { createStages } from '../stages.js'
import type { LaneContext } from './context.js'
import { createDeliveryRound } from './deliver-round.js'

const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const [DVN, EXECUTOR, RECEIVE_ULN, VIEW, ENDPOINT, WORKER, SEND_ULN] = [1, 2, 3, 4, 5, 6, 7].map(
  address,
) as Address[]
const [SOURCE, DESTINATION] = [101, 102]

function sent(nonce: bigint, sender: number): SentPacket {
  const key = {
    nonce,
    srcEid: SOURCE!,
    sender: pad(numberToHex(sender)),
    dstEid: DESTINATION!,
    receiver: pad(numberToHex(sender + 1_000)),
  }
  return {
    packet: { ...key, guid: packetGuid(key), message: '0xc0ffee' },
    options: { ...NO_OPTIONS, gas: 100_000n },
    verify: true,
    attest: false,
    execute: true,
    blockNumber: 1n,
    blockHash: pad('0x1'),
  }
}

interface Call {
  functionName: string
  args: readonly unknown[]
}

/** A refusal by the node, not by a contract. */
const refusal = () =>
  new BaseError('refused', {
    cause: new RpcRequestError({ body: {}, url: '', error: { code: -32_000, message: 'refused' } }),
  })

/** Sender and nonce of each packet that a batch executes, and of each it commits. */
function contents(calls: readonly WorkerCall[]) {
  const executed: string[] = []
  const committed: string[] = []
  for (const { target, data } of calls) {
    if (target === EXECUTOR) {
      const { args } = decodeFunctionData({ abi: executorAbi, data })
      const [{ origin }] = args as readonly [{ origin: { sender: Hex; nonce: bigint } }]
      executed.push(`${Number(origin.sender)}:${origin.nonce}`)
    } else if (target === RECEIVE_ULN) {
      const { args } = decodeFunctionData({ abi: receiveUlnAbi, data })
      const [header] = args as unknown as readonly [Hex]
      committed.push(`${Number(sliceHex(header, 13, 45))}:${BigInt(sliceHex(header, 1, 9))}`)
    }
  }
  return { executed, committed }
}

interface World {
  packets: SentPacket[]
  /** The node refuses to simulate a batch that executes one of these. */
  refused?: string[]
  /** Their receiver reverts when it is asked whether it takes a path. */
  hostile?: number[]
  /** Neither node answers what paths ask for. */
  isSilent?: boolean
  /** What its transactions emit. */
  logs?: Log[]
}

/** A destination that lacks every packet, and what its rounds send. */
function world({ packets, refused = [], hostile = [], logs = [], isSilent = false }: World) {
  const outbox = createOutbox({ ownPaths: new Set([pathOf(sent(1n, 1).packet)]), maxForeign: 100 })
  for (const packet of packets) outbox.add(packet, 0)
  const batches: string[][] = []
  const committed = new Set<string>()
  const delivered = new Set<string>()
  const answer = ({ functionName, args }: Call) => {
    if (functionName === 'inboundPayloadHash') {
      const [, , from, nonce] = args as readonly [Address, number, Hex, bigint]
      const key = `${Number(from)}:${nonce}`
      const isOpen = !committed.has(key) || delivered.has(key)
      return isOpen ? zeroHash : payloadHash(sent(nonce, Number(from)).packet)
    }
    if (functionName === 'inboundNonce') {
      let nonce = 0n
      while (committed.has(`${Number(args[2])}:${nonce + 1n}`)) nonce++
      return nonce
    }
    if (functionName === 'getUlnConfig' && isSilent) throw new BaseError('no answer')
    if (functionName === 'getUlnConfig') return { confirmations: 1n, requiredDVNs: [DVN], optionalDVNs: [] }
    if (functionName === 'vid') return 1
    if (functionName === 'quorum') return 1n
    const sender = Number(sliceHex(args[0] as Hex, 13, 45))
    if (hostile.includes(sender)) throw new BaseError('receiver reverted')
    return 0
  }
  const client = {
    multicall: async ({ contracts }: { contracts: Call[] }) => contracts.map(answer),
    getBlock: async () => ({ timestamp: 1_000n }),
    simulateContract: async ({ args: [calls] }: { args: [WorkerCall[]] }) => {
      if (contents(calls).executed.some((packet) => refused.includes(packet))) throw refusal()
      return { result: [calls.map(() => true), []] }
    },
  }
  const source = {
    chain: { eid: SOURCE, confirmations: 1, layerzero: { endpoint: ENDPOINT, sendUln: SEND_ULN } },
    client,
    witnesses: [
      {
        getBlockNumber: async () => 10n,
        getBlock: async () => ({ hash: pad('0x1'), timestamp: 5n }),
        getLogs: async () =>
          packets.map(({ packet }) => ({
            args: { encodedPayload: encodePacket(packet), sendLibrary: SEND_ULN },
          })),
      },
    ],
  }
  const bulk = {
    address: address(9),
    size: 1,
    async send({ data = '0x' }: TransactionRequest) {
      const { args } = decodeFunctionData({ abi: workerMulticallAbi, data })
      const done = contents(args[0] as readonly WorkerCall[])
      for (const packet of done.committed) committed.add(packet)
      for (const packet of done.executed) delivered.add(packet)
      batches.push(done.executed)
      return { receipt: { logs, blockNumber: 1n } }
    },
  }
  const layerzero = {
    dvn: DVN,
    executor: EXECUTOR,
    receiveUln: RECEIVE_ULN,
    receiveUlnView: VIEW,
    endpoint: ENDPOINT,
    workerMulticall: WORKER,
  }
  const destination = {
    chain: { chainId: 1, eid: DESTINATION, layerzero },
    client,
    senders: { bulk },
    feed: { head: () => ({ number: 5n }) },
  } as unknown as ChainContext
  const lines: { msg: string; guid?: Hex }[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const log = createLogger({ name: 'test', level: 'info', destination: stream })
  const context = {
    clock: systemClock,
    network: { networkId: zeroHash, clock: null },
    config: relayerConfigSchema.parse({}),
    keys: { dvnSigners: [privateKeyToAccount(pad('0x1'))] },
    stages: createStages(),
    metrics: createMetrics(),
  } as unknown as LaneContext
  const round = createDeliveryRound(context, {
    destination,
    sources: new Map([[SOURCE!, source as unknown as ChainContext]]),
    outbox,
    busy: new Set(),
    limits: { gas: 15_000_000n, value: 0n },
    isDeep: () => true,
    onLacking: () => {},
    log,
  })
  return { round: () => round(new AbortController().signal), batches, lines, outbox }
}

it('postpones the one packet whose delivery fails, and delivers its neighbours', async () => {
  const packets = [1, 2, 3].flatMap((sender) => [1n, 2n, 3n].map((nonce) => sent(nonce, sender)))
  const { round, batches, lines } = world({ packets, refused: ['2:2'] })
  while (await round()) {}
  const delivered = new Set(batches.flat())
  for (const sender of [1, 3])
    for (const nonce of [1, 2, 3]) expect(delivered).toContain(`${sender}:${nonce}`)
  // What is below the failing nonce goes; what is above it waits for it, as the endpoint would have it.
  expect(delivered).toContain('2:1')
  expect(delivered).not.toContain('2:2')
  expect(lines.filter(({ msg }) => msg === 'packet not deliverable').map(({ guid }) => guid)).toEqual([
    sent(2n, 2).packet.guid,
  ])
})

it("a stranger's receiver that won't be asked holds up its own path alone", async () => {
  const packets = [sent(1n, 1), sent(1n, 2), sent(1n, 3)]
  const { round, batches } = world({ packets, hostile: [2] })
  expect(await round()).toBe(true)
  expect(batches).toEqual([['1:1', '3:1']])
})

it('a node that fails where our own paths are asked is told apart from a receiver that does', async () => {
  const { round } = world({ packets: [sent(1n, 1)], hostile: [1] })
  await expect(round()).rejects.toThrow(RetryableError)
})

it('nodes that fail on both sides at once fail the round, and nothing besides', async () => {
  // A rejection that nobody waits for would end the process: the test runner counts it.
  await expect(world({ packets: [sent(1n, 1)], isSilent: true }).round()).rejects.toThrow(RetryableError)
})

it('reports no progress when there is nothing to send', async () => {
  const { round, outbox } = world({ packets: [sent(2n, 1)] })
  // Nonce 1 is missing: 2 is verified and committed, and can't be executed.
  expect(await round()).toBe(true)
  expect(outbox.has(pathOf(sent(1n, 1).packet), 2n)).toBe(true)
  expect(await round()).toBe(false)
})

it.each([
  ['of our executor, by the endpoint', ENDPOINT!, EXECUTOR!, 1],
  ['that a contract forges as ours', address(66), EXECUTOR!, 0],
  ['of another executor', ENDPOINT!, address(66), 0],
])('an alert %s', async (_, emitter, executor, failures) => {
  const { packet } = sent(2n, 1)
  const { srcEid, sender, nonce, guid, message } = packet
  const event = endpointAbi.find(
    (item) => item.type === 'event' && item.name === 'LzReceiveAlert',
  ) as AbiEvent
  const receiver = address(Number(packet.receiver))
  const origin = { srcEid, sender, nonce }
  const alert = {
    address: emitter,
    topics: encodeEventTopics({ abi: [event], args: { receiver, executor } }),
    data: encodeAbiParameters(
      event.inputs.filter((input) => !input.indexed),
      [origin, guid, 1n, 0n, message, '0x', '0x12345678'],
    ),
  } as unknown as Log
  // Nonce 1 is missing, so that the packet is committed and waits.
  const { round, outbox } = world({ packets: [sent(2n, 1)], logs: [alert] })
  await round()
  expect(outbox.pending()).toMatchObject([{ failures }])
})
