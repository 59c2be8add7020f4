import {
  type Clock,
  createLogger,
  createMetrics,
  systemClock,
  type TransactionRequest,
} from '@clearspan/shared'
import {
  type Address,
  BaseError,
  decodeFunctionData,
  getAddress,
  type Hex,
  HttpRequestError,
  type Log,
  numberToHex,
  pad,
  RpcRequestError,
  sliceHex,
  zeroHash,
} from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import type { ChainContext } from '../chains/context.js'
import { createQuarantine } from '../chains/quarantine.js'
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

export const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const [DVN, RECEIVE_ULN, VIEW, WORKER, SEND_ULN] = [1, 3, 4, 6, 7].map(address) as Address[]
export const [EXECUTOR, ENDPOINT] = [address(2), address(5)]
const [SOURCE, DESTINATION] = [101, 102]

/** A packet of the sender's path to a receiver of its own. */
export function sent(nonce: bigint, sender: number): SentPacket {
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
      // Native drops, if any, come before it.
      const { origin } = args.at(-1) as { origin: { sender: Hex; nonce: bigint } }
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
  /** The source's node is out of reach. */
  sourceDown?: () => boolean
  /** Whom paths name to verify; our stock DVN alone by default. */
  verifiers?: readonly Address[]
  /** Neither node answers what paths ask for. */
  isSilent?: boolean
  /** The node that ordinary reads go to calls everything delivered; there are one that is down and an honest one beside it. */
  lies?: boolean
  /** That node calls nothing delivered, and nothing committed. */
  denies?: boolean
  /** What its transactions emit. */
  logs?: Log[]
  /** Committed there from the beginning, and their lzReceive fails. */
  stuck?: string[]
  /** Committed there from the beginning; by default what is stuck. */
  committed?: string[]
  /** Senders whose receiver refuses a nonce before those below it. */
  ordering?: number[]
  /** Transactions of an earlier process that may still be mined. */
  unclaimed?: () => number
  /** Signers that deliver beside one another. */
  signers?: number
  /** Up to where the destination's logs are read. */
  head?: () => bigint | undefined
  clock?: Clock
  /** What becomes of a transaction; without it, it is mined at once. */
  sending?: (transaction: Sending) => Promise<void>
}

export interface Sending {
  request: TransactionRequest
  /** Sender and nonce of each packet that it executes. */
  executes: readonly string[]
  /** As when it is mined. */
  apply(): void
}

/** A destination that lacks every packet, and what its rounds send. */
export function world({
  packets,
  refused = [],
  hostile = [],
  verifiers = [DVN!],
  sourceDown = () => false,
  logs = [],
  isSilent = false,
  stuck = [],
  committed: before = stuck,
  ordering = [],
  lies = false,
  denies = false,
  unclaimed = () => 0,
  signers = 1,
  head = () => 5n,
  clock = systemClock,
  sending = async ({ apply }) => apply(),
}: World) {
  const outbox = createOutbox({ ownPaths: new Set([pathOf(sent(1n, 1).packet)]), maxForeign: 100 })
  for (const packet of packets) outbox.add(packet, 0)
  const batches: string[][] = []
  const committed = new Set<string>(before)
  const delivered = new Set<string>()
  const inbound = (sender: number) => {
    let nonce = 0n
    while (committed.has(`${sender}:${nonce + 1n}`)) nonce++
    return nonce
  }
  /** As the endpoint has it: all nonces up to it are committed. */
  const isExecutable = (packet: string) => {
    const [sender, nonce] = packet.split(':')
    return BigInt(nonce!) <= inbound(Number(sender))
  }
  const isTaken = (packet: string) => {
    const [sender, nonce] = packet.split(':')
    const below = `${sender}:${BigInt(nonce!) - 1n}`
    const isInOrder = nonce === '1' || !ordering.includes(Number(sender)) || delivered.has(below)
    return isInOrder && !stuck.includes(packet)
  }
  const answer = ({ functionName, args }: Call) => {
    if (functionName === 'inboundPayloadHash') {
      const [, , from, nonce] = args as readonly [Address, number, Hex, bigint]
      const key = `${Number(from)}:${nonce}`
      const isOpen = !committed.has(key) || delivered.has(key)
      return isOpen ? zeroHash : payloadHash(sent(nonce, Number(from)).packet)
    }
    if (functionName === 'inboundNonce') return inbound(Number(args[2]))
    if (functionName === 'getUlnConfig' && isSilent) throw new BaseError('no answer')
    if (functionName === 'getUlnConfig')
      return { confirmations: 1n, requiredDVNs: verifiers, optionalDVNs: [] }
    if (functionName === 'vid') return 1
    if (functionName === 'quorum') return 1n
    const sender = Number(sliceHex(args[0] as Hex, 13, 45))
    if (hostile.includes(sender)) throw new BaseError('receiver reverted')
    return 0
  }
  const client = {
    multicall: async ({ contracts }: { contracts: Call[] }) =>
      contracts.map((call) => {
        if (lies && call.functionName === 'inboundNonce') return 1_000n
        if (denies && call.functionName === 'inboundNonce') return 0n
        if (denies && call.functionName === 'inboundPayloadHash') return zeroHash
        return answer(call)
      }),
    getBlock: async () => ({ timestamp: 1_000n }),
    async call({ data }: { data: Hex }) {
      const { args } = decodeFunctionData({ abi: endpointAbi, data })
      const [{ sender, nonce }] = args as unknown as readonly [{ sender: Hex; nonce: bigint }]
      if (!isTaken(`${Number(sender)}:${nonce}`)) throw refusal()
    },
    simulateContract: async ({ args: [calls] }: { args: [WorkerCall[]] }) => {
      if (contents(calls).executed.some((packet) => refused.includes(packet))) throw refusal()
      return { result: [calls.map(() => true), []] }
    },
  }
  const honest = async ({ contracts }: { contracts: Call[] }) => contracts.map(answer)
  const down = async () => {
    throw new BaseError('down')
  }
  const metrics = createMetrics()
  const quiet = createLogger({ name: 'test', level: 'silent' })
  const source = {
    quarantine: createQuarantine({ chain: 'source', nodes: [], clock, logger: quiet, metrics }),
    chain: { eid: SOURCE, confirmations: 1, layerzero: { endpoint: ENDPOINT, sendUln: SEND_ULN } },
    client,
    witnesses: [
      {
        multicall: async (asked: { contracts: Call[] }) => {
          if (sourceDown()) throw new HttpRequestError({ url: 'http://127.0.0.1' })
          return client.multicall(asked)
        },
        getBlockNumber: async () => 10n,
        getBlock: async () => ({ hash: pad('0x1'), timestamp: 5n }),
        getLogs: async () =>
          packets.map(({ packet }) => ({
            address: ENDPOINT,
            args: { encodedPayload: encodePacket(packet), sendLibrary: SEND_ULN },
          })),
      },
    ],
  }
  const bulk = {
    address: address(9),
    size: signers,
    unclaimed,
    async send(request: TransactionRequest) {
      const { args } = decodeFunctionData({ abi: workerMulticallAbi, data: request.data })
      const done = contents(args[0] as readonly WorkerCall[])
      batches.push(done.executed)
      await sending({
        request,
        executes: done.executed,
        apply() {
          for (const packet of done.committed) committed.add(packet)
          for (const packet of done.executed)
            if (isExecutable(packet) && isTaken(packet)) delivered.add(packet)
        },
      })
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
    witnesses: [client, { ...client, multicall: down }, { ...client, multicall: honest }],
    senders: { bulk },
    feed: {
      head() {
        const number = head()
        return number && { number }
      },
      isRereading: () => false,
    },
  } as unknown as ChainContext
  const lines: { msg: string; guid?: Hex }[] = []
  const stream = { write: (line: string) => void lines.push(JSON.parse(line)) }
  const log = createLogger({ name: 'test', level: 'info', destination: stream })
  const context = {
    clock,
    network: { networkId: zeroHash, clock: null },
    config: relayerConfigSchema.parse({}),
    keys: { dvnSigners: [privateKeyToAccount(pad('0x1'))] },
    stages: createStages(),
    metrics,
  } as unknown as LaneContext
  const round = createDeliveryRound(context, {
    destination,
    sources: new Map([[SOURCE!, source as unknown as ChainContext]]),
    outbox,
    busy: new Set(),
    limits: { gas: 15_000_000n, value: 10n ** 18n },
    isDeep: () => true,
    onLacking: () => {},
    log,
  })
  return { round: () => round(new AbortController().signal), batches, delivered, lines, outbox }
}
