import { createLogger, createMetrics, systemClock, type TransactionRequest } from '@clearspan/shared'
import {
  type AbiEvent,
  type Address,
  BaseError,
  decodeFunctionData,
  encodeAbiParameters,
  encodeEventTopics,
  getAddress,
  type Hex,
  keccak256,
  numberToHex,
  pad,
  RpcRequestError,
} from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import { relayerConfigSchema } from '../config.js'
import { endpointAbi, executorAbi, workerMulticallAbi } from '../layerzero/abi.js'
import type { WorkerCall } from '../layerzero/batch.js'
import { createComposes } from '../layerzero/composes.js'
import { NO_OPTIONS } from '../layerzero/options.js'
import { type Packet, packetGuid } from '../layerzero/packet.js'
import type { LaneContext } from './context.js'
import { createComposeRound } from './deliver-compose.js'

const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const [ENDPOINT, EXECUTOR, WORKER, FROM, TO] = [1, 2, 3, 4, 5].map(address) as [
  Address,
  Address,
  Address,
  Address,
  Address,
]
const GAS = 50_000n
const MESSAGE: Hex = '0xc0ffee'
const MAX_FAILURES = 3
const REFUSED: Hex = '0x12345678'

function packetOf(nonce: bigint): Packet {
  const key = { nonce, srcEid: 101, sender: pad('0x9'), dstEid: 102, receiver: pad(FROM) }
  const receiver = key.receiver.toLowerCase() as Hex
  return { ...key, receiver, guid: packetGuid({ ...key, receiver }), message: '0x' }
}

/** What a composer does with its call: as a node simulates it, and on the chain. */
interface Composer {
  /** Revert data, '0x' for none; undefined: it succeeds with so much gas. */
  simulated?: (gas: bigint) => Hex | undefined
  alerts?: (guid: Hex) => { emitter: Address; executor: Address; reason: Hex }[]
  /** Whether a call that is sent is made. */
  makes?: () => boolean
}

/** A destination where one packet's receiver has queued a call that its sender has paid for, at block 5. */
function world({ simulated = () => undefined, alerts = () => [], makes = () => true }: Composer) {
  let now = 0
  const composes = createComposes({ maxFailures: MAX_FAILURES })
  const packet = packetOf(1n)
  const { guid } = packet
  const option = { index: 0, gas: GAS, value: 0n }
  const queued = { from: FROM, to: TO, guid, index: 0, message: MESSAGE, block: 5n }
  composes.expect({ packet, options: { ...NO_OPTIONS, composes: [option] } } as never)
  composes.queue(queued)
  const made = new Set<Hex>()
  const sent: Hex[] = []
  const event = endpointAbi.find(
    (item) => item.type === 'event' && item.name === 'LzComposeAlert',
  ) as AbiEvent
  const alertLog = ({ emitter, executor, reason }: { emitter: Address; executor: Address; reason: Hex }) => ({
    address: emitter,
    topics: encodeEventTopics({ abi: [event], args: { from: FROM, to: TO, executor } }),
    data: encodeAbiParameters(
      event.inputs.filter((input) => !input.indexed),
      [guid, 0, GAS, 0n, MESSAGE, '0x', reason],
    ),
  })
  const destination = {
    chain: { layerzero: { endpoint: ENDPOINT, executor: EXECUTOR, workerMulticall: WORKER } },
    feed: { head: () => ({ number: 9n }) },
    client: {
      multicall: async ({ contracts }: { contracts: { args: readonly [Address, Address, Hex] }[] }) =>
        contracts.map(({ args }) => (made.has(args[2]) ? pad('0x1') : keccak256(MESSAGE))),
      async call({ gas }: { gas: bigint }) {
        const data = simulated(gas)
        if (data === undefined) return {}
        const error = { code: 3, message: 'execution reverted', data }
        throw new BaseError('reverted', { cause: new RpcRequestError({ body: {}, url: '', error }) })
      },
    },
    senders: {
      bulk: {
        address: address(9),
        unclaimed: () => 0,
        async send({ data = '0x' }: TransactionRequest) {
          const { args } = decodeFunctionData({ abi: workerMulticallAbi, data })
          for (const call of args[0] as readonly WorkerCall[]) {
            const { args: compose } = decodeFunctionData({ abi: executorAbi, data: call.data })
            const composed = compose[2] as unknown as Hex
            sent.push(composed)
            if (makes()) made.add(composed)
          }
          return { receipt: { logs: alerts(guid).map(alertLog), blockNumber: 9n } }
        },
      },
    },
  } as unknown as ChainContext
  const config = relayerConfigSchema.parse({ maxExecutions: MAX_FAILURES })
  const clock = { ...systemClock, now: () => now }
  const composing = createComposeRound(
    { clock, config, metrics: createMetrics() } as unknown as LaneContext,
    {
      destination,
      composes,
      limits: { gas: 15_000_000n, value: 0n },
      log: createLogger({ name: 'test', level: 'silent' }),
    },
  )
  return {
    ...composing,
    composes,
    guid,
    queued,
    sent,
    made,
    pass: (ms: number) => {
      now += ms
    },
  }
}

/** Rounds until nothing is due however long one waits. */
async function exhaust({ round, pass }: ReturnType<typeof world>) {
  for (let i = 0; i < 10; i++) {
    await round()
    pass(60_000)
  }
}

it('makes a call that would succeed, once', async () => {
  const one = world({})
  await exhaust(one)
  expect(one.sent).toEqual([one.guid])
  expect([one.composes.pending(), one.composes.dead()]).toEqual([[], []])
  expect(one.composes.replay(one.guid)).toBe(false)
})

it.each<[string, (gas: bigint) => Hex | undefined, { kind: string; reason: Hex }]>([
  ['a composer that refuses', () => REFUSED, { kind: 'reverted', reason: REFUSED }],
  [
    'one that gets too little gas',
    (gas) => (gas < 2n * GAS ? '0x' : undefined),
    { kind: 'out-of-gas', reason: '0x' },
  ],
  ['one that fails for no reason', () => '0x', { kind: 'silent', reason: '0x' }],
])('%s makes a dead letter of its kind, which costs no transaction', async (_, simulated, failure) => {
  const one = world({ simulated })
  await exhaust(one)
  expect(one.sent).toEqual([])
  expect(one.composes.pending()).toEqual([])
  expect(one.composes.dead()).toMatchObject([{ guid: one.guid, index: 0, failures: MAX_FAILURES, failure }])
})

it('a dead letter is tried again only when it is replayed, and then as if for the first time', async () => {
  let refuses = true
  const one = world({ simulated: () => (refuses ? REFUSED : undefined) })
  await exhaust(one)
  refuses = false
  await exhaust(one)
  expect(one.sent).toEqual([])
  expect(one.composes.replay(packetOf(2n).guid)).toBe(false)
  expect(one.composes.replay(one.guid)).toBe(true)
  expect(one.composes.dead()).toEqual([])
  expect(await one.round()).toBe(true)
  expect(one.sent).toEqual([one.guid])
  expect(one.composes.pending()).toEqual([])
})

it('a dead letter that somebody else has made leaves the list, and comes back when a reorg undoes that', async () => {
  const one = world({ simulated: () => REFUSED })
  await exhaust(one)
  await one.settleDead()
  expect(one.composes.dead()).toHaveLength(1)
  one.made.add(one.guid)
  await one.settleDead()
  expect(one.composes.dead()).toEqual([])
  // Its log read again brings nothing back, nor does a reorg above.
  one.composes.queue(one.queued)
  // By more than one node's word.
  one.composes.confirm(one.queued, 10n)
  one.composes.forget(11n)
  expect(one.composes.pending()).toEqual([])
  one.composes.forget(10n)
  expect(one.composes.pending()).toMatchObject([{ failures: 0, failure: undefined }])
  // One that reaches the block that queued it takes the call too.
  one.composes.forget(5n)
  expect(one.composes.pending()).toEqual([])
})

it.each([
  ['of our executor, by the endpoint', ENDPOINT, EXECUTOR, { kind: 'reverted', reason: REFUSED }],
  ['that a composer forges as ours', address(66), EXECUTOR, undefined],
  ['of another executor', ENDPOINT, address(66), undefined],
])(
  'a call that fails on the chain is tried again; its reason is in the alert %s',
  async (_, emitter, executor, failure) => {
    const one = world({ makes: () => false, alerts: () => [{ emitter, executor, reason: REFUSED }] })
    expect(await one.round()).toBe(true)
    expect(one.composes.pending()).toMatchObject([{ failures: 1, failure }])
    await exhaust(one)
    expect(one.sent).toHaveLength(MAX_FAILURES)
    expect(one.composes.dead()).toMatchObject([{ failure: failure ?? { kind: 'silent', reason: '0x' } }])
  },
)

it('an alert, forged or not, says nothing of a call that was made', async () => {
  const alerts = () => [{ emitter: ENDPOINT, executor: EXECUTOR, reason: REFUSED }]
  const one = world({ alerts })
  await exhaust(one)
  expect(one.sent).toHaveLength(1)
  expect([one.composes.pending(), one.composes.dead()]).toEqual([[], []])
})

it('tries what is fresh before what has failed', () => {
  const composes = createComposes({ maxFailures: MAX_FAILURES })
  const calls = [1n, 2n, 3n].map((nonce) => {
    const packet = packetOf(nonce)
    const options = { ...NO_OPTIONS, composes: [{ index: 0, gas: GAS, value: 0n }] }
    composes.expect({ packet, options } as never)
    return { from: FROM, to: TO, guid: packet.guid, index: 0, message: MESSAGE, block: 5n }
  })
  for (const call of calls) composes.queue(call)
  composes.fail(calls[0]!, 0)
  const order = composes.take(60_000, 10).map(({ guid }) => guid)
  expect(order).toEqual([calls[1]!, calls[2]!, calls[0]!].map(({ guid }) => guid))
  expect(composes.take(60_000, 2).map(({ guid }) => guid)).toEqual(order.slice(0, 2))
})
