import { attestorAbi, testReceiverAbi, testReceiverBytecode } from '@clearspan/contracts'
import { createBatch, deliveries } from '@clearspan/devnet'
import {
  createChainClient,
  createLogger,
  createQueueBackend,
  type QueueBackend,
  systemClock,
  UserError,
} from '@clearspan/shared'
import {
  type Address,
  concatHex,
  encodeAbiParameters,
  encodeFunctionData,
  type Hex,
  keccak256,
  numberToHex,
  pad,
  parseAbi,
  parseEther,
  size,
  toEventSelector,
  toFunctionSelector,
  toHex,
  zeroHash,
} from 'viem'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createWallet, type Wallet } from '../packages/devnet/src/scenario/wallet.js'
import {
  prepareRecovery,
  type Relayer,
  type RelayerConfigInput,
  type recoveryActions,
} from '../packages/relayer/src/index.js'
import { temporaryDirectory } from './clearspan.js'
import {
  createTestRelayer,
  govern,
  type Operators,
  startOperators,
  startTestNetwork,
  type TestNetwork,
} from './testNetwork.js'
import { lies, type RpcRequest, startProxy } from './testProxy.js'

// Strangers' packets between two real chains, by each way of verifying them: hostile receivers, and what becomes of their neighbours.
const TEST_TIMEOUT_MS = 600_000
// Blocks come every half second; to ask oftener costs a core more than what is tested.
const PATIENCE = { timeout: 280_000, interval: 250 }
const MODES = ['Write', 'Revert', 'Starve', 'ReturnBomb', 'Reenter', 'Swallow', 'Compose'] as const
type Mode = (typeof MODES)[number]

const endpointAbi = parseAbi([
  'struct Params { uint32 dstEid; bytes32 receiver; bytes message; bytes options; bool payInLzToken; }',
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'function send(Params params, address refund) payable',
  'function lzReceive(Origin origin, address receiver, bytes32 guid, bytes message, bytes extraData) payable',
  'function lzCompose(address from, address to, bytes32 guid, uint16 index, bytes message, bytes extraData) payable',
])
const logger = createLogger({ name: 'test', level: 'silent' })

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let operators: Operators
let wallets: Wallet[]
const running: { relayer: Relayer; backend: QueueBackend }[] = []

async function start(delivery: (typeof deliveries)[number]): Promise<void> {
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'], delivery })
  operators = await startOperators(on)
  wallets = on.chains.map(({ chainId, rpcUrl }) =>
    createWallet({
      client: createChainClient({ chainId, rpcUrls: [rpcUrl], blockMs: on.blockMs }),
      account: on.roles.traders.alice.account,
      chainId,
      clock: systemClock,
      logger,
    }),
  )
}

beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(async () => {
  for (const { relayer, backend } of running.splice(0)) {
    await relayer.stop()
    await backend.close()
  }
  for (const wallet of wallets ?? []) await wallet.close()
  await operators?.stop()
  await on?.stop()
  await dir.remove()
})

async function relay(config: Partial<RelayerConfigInput> = {}): Promise<Relayer> {
  const backend = await createQueueBackend({ clock: systemClock, logger })
  const relayer = createTestRelayer(on, backend, {
    roles: ['relayer'],
    operators: operators.known,
    dvnOperators: operators.dvn,
    maxExecutions: 3,
    ...config,
  })
  running.push({ relayer, backend })
  await relayer.start()
  return relayer
}

/** Receivers on the first chain, one for each mode asked for. */
async function deploy(modes: readonly Mode[]): Promise<Address[]> {
  await on.producer.halt()
  const batch = await createBatch(on.chains[0]!, on.roles.traders.bob.account)
  const receivers = modes.map((mode) => {
    const parameters = { abi: testReceiverAbi, bytecode: testReceiverBytecode }
    const receiver = batch.create(mode, parameters)
    batch.call(receiver, { abi: testReceiverAbi, functionName: 'setMode', args: [MODES.indexOf(mode)] })
    return receiver
  })
  await batch.send()
  on.producer.resume()
  return receivers
}

const option = (type: number, body: Hex) =>
  concatHex([
    '0x01',
    numberToHex((body.length - 2) / 2 + 1, { size: 2 }),
    numberToHex(type, { size: 1 }),
    body,
  ])
const word16 = (value: bigint) => numberToHex(value, { size: 16 })
const lzReceive = (gas: bigint, value?: bigint) =>
  option(1, value === undefined ? word16(gas) : concatHex([word16(gas), word16(value)]))
const compose = (gas: bigint, value: bigint) =>
  option(3, concatHex([numberToHex(0, { size: 2 }), word16(gas), word16(value)]))
const optionsOf = (...options: Hex[]) => concatHex(['0x0003', ...options])
const ENOUGH = optionsOf(lzReceive(200_000n))

interface Sending {
  to: Address
  message: Hex
  options?: Hex
}

/** Sends packets from the second chain to the first, in one block where it takes them. Answers the transactions. */
async function send(packets: readonly Sending[]): Promise<Hex[]> {
  const { endpoint } = on.network.chains[1]!.layerzero
  const sent = await wallets[1]!.send(
    packets.map(({ to, message, options = ENOUGH }) => ({
      to: endpoint,
      abi: endpointAbi,
      functionName: 'send',
      args: [
        {
          dstEid: on.network.chains[0]!.eid,
          receiver: pad(to),
          message,
          options,
          payInLzToken: false,
        },
        wallets[1]!.address,
      ],
      // More than it costs: the endpoint gives the rest back.
      value: parseEther('0.1'),
    })),
  )
  return sent.map(({ receipt }) => receipt.transactionHash)
}

function read(receiver: Address, functionName: 'last' | 'reentered' | 'received' | 'composed') {
  return wallets[0]!.client.readContract({ address: receiver, abi: testReceiverAbi, functionName })
}

const guidOf = (to: Address, nonce: bigint) => {
  const [destination, source] = on.network.chains
  return keccak256(
    concatHex([
      numberToHex(nonce, { size: 8 }),
      numberToHex(source!.eid, { size: 4 }),
      pad(wallets[1]!.address),
      numberToHex(destination!.eid, { size: 4 }),
      pad(to),
    ]),
  )
}

/** The local network's own in every run, the others in long ones. */
const tested = process.env.CLEARSPAN_TEST_FULL === '1' ? deliveries : (['both'] as const)

describe.each(tested)('with %s verifying', (delivery) => {
  test(
    'what one receiver does changes nothing for another, and what it refuses is a dead letter that can be replayed',
    async () => {
      await start(delivery)
      const modes = [
        'Write',
        'Revert',
        'Write',
        'Starve',
        'ReturnBomb',
        'Reenter',
        'Swallow',
        'Write',
        'Write',
      ] as const
      const receivers = await deploy(modes)
      const [first, reverting, second, starving, bombing, reentering, , poor, last] = receivers as Address[]
      // The packet that calls it tries to have itself delivered once more.
      const origin = { srcEid: on.network.chains[1]!.eid, sender: pad(wallets[1]!.address), nonce: 1n }
      const again = encodeFunctionData({
        abi: endpointAbi,
        functionName: 'lzReceive',
        args: [origin, reentering!, guidOf(reentering!, 1n), toHex('5'), '0x'],
      })
      const { endpoint } = on.network.chains[0]!.layerzero
      await wallets[0]!.send([
        { to: reentering!, abi: testReceiverAbi, functionName: 'setReentry', args: [endpoint, again] },
      ])
      const relayer = await relay()
      // For a megabyte that the receiver makes and the endpoint passes on.
      const plenty = optionsOf(lzReceive(6_000_000n))
      const stingy = optionsOf(lzReceive(15_000n), lzReceive(5_000n))
      await send(
        receivers.map((to, i) => ({
          to,
          message: toHex(String(i)),
          ...(to === poor && { options: stingy }),
          ...(to === bombing && { options: plenty }),
        })),
      )
      await send([{ to: reverting!, message: toHex('again') }])

      for (const [to, message] of [
        [first!, '0'],
        [second!, '2'],
        [last!, '8'],
      ] as const)
        await expect.poll(() => read(to, 'last'), PATIENCE).toBe(keccak256(toHex(message)))
      const dead = () => relayer.packets().alpha!.filter(({ state }) => state === 'dead')
      await expect.poll(() => dead().length, PATIENCE).toBe(5)
      const found = new Map(dead().map((letter) => [letter.guid, letter]))
      const refused = { kind: 'reverted', reason: toFunctionSelector('Refused()'), error: null }
      expect(found.get(guidOf(reverting!, 1n))?.failure).toEqual(refused)
      expect(found.get(guidOf(reverting!, 2n))?.failure).toEqual(refused)
      expect(found.get(guidOf(starving!, 1n))?.failure?.kind).toBe('silent')
      // Its megabyte arrived, and the beginning of it is kept.
      const megabyte = found.get(guidOf(bombing!, 1n))?.failure
      expect([megabyte?.kind, size(megabyte?.reason ?? '0x')]).toEqual(['reverted', 256])
      expect(found.get(guidOf(poor!, 1n))?.failure?.kind).toBe('out-of-gas')
      expect(await read(reentering!, 'reentered')).toBe(false)
      expect(await read(starving!, 'received')).toBe(0n)
      expect(relayer.packets().alpha!.filter(({ state }) => state === 'waiting')).toEqual([])

      await wallets[0]!.send([{ to: reverting!, abi: testReceiverAbi, functionName: 'setMode', args: [0] }])
      // Nothing is tried by itself; fresh packets to the same receiver go.
      await send([{ to: reverting!, message: toHex('fresh') }])
      await expect.poll(() => read(reverting!, 'last'), PATIENCE).toBe(keccak256(toHex('fresh')))
      expect(dead()).toHaveLength(5)
      expect(relayer.replay(guidOf(reverting!, 2n))).toBe(true)
      await expect.poll(() => read(reverting!, 'last'), PATIENCE).toBe(keccak256(toHex('again')))
      await expect.poll(() => dead().length, PATIENCE).toBe(4)
    },
    TEST_TIMEOUT_MS,
  )

  test(
    'value, native drops and composed calls arrive once each, whatever fails and restarts',
    async () => {
      await start(delivery)
      const [composing, reverting] = (await deploy(['Compose', 'Revert'])) as [Address, Address]
      const [dropped, droppedToo] = ['0xd1', '0xd2'].map((hex) => pad(hex as Hex, { size: 20 })) as [
        Address,
        Address,
      ]
      const balance = (address: Address) => wallets[0]!.client.getBalance({ address })
      const nativeDrop = (to: Address, amount: bigint) => option(2, concatHex([word16(amount), pad(to)]))
      await relay()
      const all = [lzReceive(200_000n, 1_000n), compose(60_000n, 7n), nativeDrop(dropped, 5n)]
      await send([
        {
          to: composing,
          message: toHex('composed'),
          options: optionsOf(...all, option(4, '0x'), compose(60_000n, 70n), lzReceive(50_000n, 100n)),
        },
        {
          to: reverting,
          message: toHex('later'),
          options: optionsOf(lzReceive(200_000n, 10n), nativeDrop(droppedToo, 9n)),
        },
      ])
      await expect.poll(() => read(composing, 'composed'), PATIENCE).toBe(1n)
      expect(await read(composing, 'last')).toBe(keccak256(toHex('composed')))
      await expect.poll(() => balance(droppedToo), PATIENCE).toBe(9n)
      await running[0]!.relayer.stop()
      await wallets[0]!.send([{ to: reverting, abi: testReceiverAbi, functionName: 'setMode', args: [0] }])

      const restarted = await relay()
      await expect.poll(() => read(reverting, 'last'), PATIENCE).toBe(keccak256(toHex('later')))
      await expect.poll(() => restarted.packets().alpha, PATIENCE).toEqual([])
      expect(await read(composing, 'composed')).toBe(1n)
      expect(await Promise.all([composing, reverting, dropped, droppedToo].map(balance))).toEqual([
        1_177n,
        10n,
        5n,
        9n,
      ])
    },
    TEST_TIMEOUT_MS,
  )
})

test(
  'what a delegate may do about a packet is prepared, never sent, and refused where the endpoint would refuse it',
  async () => {
    await start('attestor')
    const [receiver] = (await deploy(['Revert'])) as [Address]
    const transactions = [
      await send([{ to: receiver, message: toHex('1') }]),
      await send([{ to: receiver, message: toHex('2') }]),
    ]
    const prepare = (action: (typeof recoveryActions)[number], nonce: number) =>
      prepareRecovery({
        network: on.network,
        action,
        source: 'beta',
        transaction: transactions[nonce - 1]![0]!,
        guid: undefined,
      })
    /** Whether the endpoint takes it from the receiver. */
    const stands = async (action: (typeof recoveryActions)[number], nonce: number) => {
      const { to, data, from } = await prepare(action, nonce)
      await wallets[0]!.client.call({ account: from[0]!, to, data })
      await expect(wallets[0]!.client.call({ account: wallets[0]!.address, to, data })).rejects.toThrow()
    }
    await stands('skip', 1)
    await stands('nilify', 1)
    await expect(prepare('skip', 2)).rejects.toThrow(/first nonce that is not verified, 1/)
    await expect(prepare('clear', 1)).rejects.toThrow(/verified and committed first/)
    const missing = { transaction: pad('0x1'), guid: undefined, network: on.network, source: 'beta' }
    await expect(prepareRecovery({ ...missing, action: 'skip' })).rejects.toThrow(UserError)

    const relayer = await relay()
    const dead = () => relayer.packets().alpha!.filter(({ state }) => state === 'dead')
    await expect.poll(() => dead().length, PATIENCE).toBe(2)
    await stands('clear', 1)
    await stands('clear', 2)
    await stands('nilify', 2)
    await expect(prepare('skip', 1)).rejects.toThrow(UserError)

    await wallets[0]!.send([{ to: receiver, abi: testReceiverAbi, functionName: 'setMode', args: [0] }])
    for (const { guid } of dead()) expect(relayer.replay(guid)).toBe(true)
    await expect.poll(() => relayer.packets().alpha, PATIENCE).toEqual([])
    await expect(prepare('clear', 2)).rejects.toThrow(/already/)
  },
  TEST_TIMEOUT_MS,
)

test(
  'a restarted relayer finds the same dead letters on the chains, of packets and of composed calls',
  async () => {
    await start('attestor')
    const [reverting, composing] = (await deploy(['Revert', 'Compose'])) as [Address, Address]
    const first = await relay({ maxExecutions: 2 })
    await send([
      { to: reverting, message: toHex('refused') },
      // A fifth of what lzCompose takes.
      {
        to: composing,
        message: toHex('composed'),
        options: optionsOf(lzReceive(200_000n), compose(20_000n, 0n)),
      },
    ])
    const letters = (relayer: Relayer) =>
      relayer.packets().alpha!.map(({ call, guid, state, failure }) => ({ call, guid, state, failure }))
    const refused = {
      call: 'lzReceive',
      guid: guidOf(reverting, 1n),
      state: 'dead',
      failure: { kind: 'reverted', reason: toFunctionSelector('Refused()'), error: null },
    }
    const starved = {
      call: 'lzCompose',
      guid: guidOf(composing, 1n),
      state: 'dead',
      failure: { kind: 'out-of-gas', reason: '0x', error: null },
    }
    await expect.poll(() => letters(first), PATIENCE).toEqual([refused, starved])
    await first.stop()

    const second = await relay({ maxExecutions: 2 })
    await expect.poll(() => letters(second), PATIENCE).toEqual([refused, starved])
    await wallets[0]!.send([
      { to: reverting, abi: testReceiverAbi, functionName: 'setMode', args: [0] },
      // Whoever wants may make a call that is queued.
      {
        to: on.network.chains[0]!.layerzero.endpoint,
        abi: endpointAbi,
        functionName: 'lzCompose',
        args: [composing, composing, guidOf(composing, 1n), 0, toHex('composed'), '0x'],
      },
    ])
    await expect.poll(() => letters(second), PATIENCE).toEqual([refused])
    expect(second.replay(guidOf(reverting, 1n))).toBe(true)
    await expect.poll(() => letters(second), PATIENCE).toEqual([])
    expect(await read(reverting, 'last')).toBe(keccak256(toHex('refused')))
    expect(await read(composing, 'composed')).toBe(1n)
  },
  TEST_TIMEOUT_MS,
)

test(
  'operators are replaced while packets are in flight',
  async () => {
    await start('attestor')
    const [receiver] = (await deploy(['Write'])) as [Address]
    await send([{ to: receiver, message: toHex('1') }])
    await relay()
    await expect.poll(() => read(receiver, 'last'), PATIENCE).toBe(keccak256(toHex('1')))
    const attestor = on.network.chains[0]!.layerzero.attestor!
    await send([{ to: receiver, message: toHex('2') }])
    await on.producer.halt()
    const [first, second] = operators.known.map((one) => one.address)
    const [alone] = operators.dvn.map((one) => one.address)
    const set = [first!, second!, alone!].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
    const args = [set, 2n]
    await govern(on, 0, [{ to: attestor, abi: attestorAbi, functionName: 'setOperators', args }])
    on.producer.resume()
    await send([{ to: receiver, message: toHex('3') }])
    await expect.poll(() => read(receiver, 'last'), PATIENCE).toBe(keccak256(toHex('3')))
    const contract = { address: attestor, abi: attestorAbi } as const
    expect(await wallets[0]!.client.readContract({ ...contract, functionName: 'operatorSet' })).toBe(2)
  },
  TEST_TIMEOUT_MS,
)

test(
  'a packet that every node of the relayer makes up is refused by operators with nodes of their own',
  async () => {
    await start('attestor')
    const [forgedTo, honestTo] = (await deploy(['Write', 'Write'])) as [Address, Address]
    const [alpha, beta] = on.network.chains
    const { endpoint, sendUln, executor, attestor } = beta!.layerzero
    const block = await wallets[1]!.client.getBlock()
    const events = parseAbi([
      'event PacketSent(bytes encodedPayload, bytes options, address sendLibrary)',
      'event DVNFeePaid(address[] requiredDVNs, address[] optionalDVNs, uint256[] fees)',
      'event ExecutorFeePaid(address executor, uint256 fee)',
    ])
    const guid = guidOf(forgedTo, 1n)
    const header = concatHex([
      numberToHex(1, { size: 1 }),
      numberToHex(1, { size: 8 }),
      numberToHex(beta!.eid, { size: 4 }),
      pad(wallets[1]!.address),
      numberToHex(alpha!.eid, { size: 4 }),
      pad(forgedTo),
    ])
    const logOf = (address: Address, at: number, values: readonly unknown[], logIndex: number) => ({
      address: address.toLowerCase(),
      topics: [toEventSelector(events[at]!)],
      data: encodeAbiParameters(events[at]!.inputs, values as never),
      blockNumber: numberToHex(block.number),
      blockHash: block.hash,
      transactionHash: keccak256('0xf0'),
      transactionIndex: '0x0',
      logIndex: numberToHex(logIndex),
      removed: false,
    })
    const made = [
      logOf(sendUln, 2, [executor, 1n], 0),
      logOf(sendUln, 1, [[attestor!], [], [1n]], 1),
      logOf(endpoint, 0, [concatHex([header, guid, toHex('forged')]), ENOUGH, sendUln], 2),
    ]
    interface Filter {
      address?: string | string[]
      fromBlock?: Hex
      toBlock?: Hex
      blockHash?: Hex
    }
    const lie = ({ method, params = [] }: RpcRequest, result: unknown) => {
      if (method !== 'eth_getLogs' || !Array.isArray(result)) return result
      const { address = [], fromBlock = '0x0', toBlock = '0x0', blockHash } = params[0] as Filter
      const covers =
        blockHash === undefined
          ? BigInt(fromBlock) <= block.number && block.number <= BigInt(toBlock)
          : blockHash === block.hash
      const asked = [address].flat().map((one) => one.toLowerCase())
      return covers ? [...made.filter((log) => asked.includes(log.address)), ...result] : result
    }
    const liars = await Promise.all([1, 2, 3].map(() => startProxy(on.chains[1]!.rpcUrl, lies(lie))))
    const urls = liars.map(({ url }) => url)
    const relayer = await relay({ rpcUrls: { [String(beta!.chainId)]: urls } })
    const forged = () =>
      relayer
        .packets()
        .alpha!.flatMap((one) => (one.call === 'lzReceive' && one.guid === guid ? [one] : []))[0]
    await expect.poll(() => forged()?.waitsFor, PATIENCE).toBe('too few signers vouch for it')
    await send([{ to: honestTo, message: toHex('honest') }])
    await expect.poll(() => read(honestTo, 'last'), PATIENCE).toBe(keccak256(toHex('honest')))
    await expect.poll(() => forged()?.attempts ?? 0, PATIENCE).toBeGreaterThan(2)
    expect(await read(forgedTo, 'last')).toBe(zeroHash)
    for (const { close } of liars) await close()
  },
  TEST_TIMEOUT_MS,
)
