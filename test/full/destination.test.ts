import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import { type Address, concatHex, numberToHex, pad, toFunctionSelector } from 'viem'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Relayer } from '../../packages/relayer/src/index.js'
import { temporaryDirectory } from '../clearspan.js'
import {
  createTestRelayer,
  type Operators,
  startOperators,
  startTestNetwork,
  type TestNetwork,
} from '../testNetwork.js'
import { createPackets, PLAIN } from '../testPackets.js'
import { type Fault, freezes, type RpcProxy, startProxy } from '../testProxy.js'

// The fastest of a destination's three nodes is wrong about what has been delivered there.
const TEST_TIMEOUT_MS = 300_000
const PATIENCE = { timeout: 120_000 }
const [ALPHA, BETA] = [0, 1] as const
const RECEIVERS = 4
const DROP = 1_234n
const logger = createLogger({ name: 'test', level: 'silent' })

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let operators: Operators
let packets: ReturnType<typeof createPackets>
let receivers: Address[]
const closes: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  dir = await temporaryDirectory()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'], delivery: 'both' })
  operators = await startOperators(on)
  packets = createPackets(on)
  receivers = await packets.deploy(ALPHA, RECEIVERS)
}, TEST_TIMEOUT_MS)
afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close()
})
afterAll(async () => {
  await packets?.close()
  await operators?.stop()
  await on?.stop()
  await dir.remove()
})

/** A relayer whose first node of the destination is this one, and faster than the other two. */
async function relay(fault: Fault): Promise<{ relayer: Relayer; first: RpcProxy }> {
  const slow: Fault = async (request, ask) => {
    await systemClock.sleep(40)
    return ask(request)
  }
  const { rpcUrl } = on.chains[ALPHA]!
  const nodes = await Promise.all([fault, slow, slow].map((one) => startProxy(rpcUrl, one)))
  for (const node of nodes) closes.push(node.close)
  const backend = await createQueueBackend({ clock: systemClock, logger })
  closes.push(() => backend.close())
  const relayer = createTestRelayer(on, backend, {
    roles: ['messages'],
    operators: operators.known,
    rpcUrls: { [String(on.network.chains[ALPHA]!.chainId)]: nodes.map(({ url }) => url) },
  })
  closes.push(relayer.stop)
  await relayer.start()
  return { relayer, first: nodes[0]! }
}

/** Answers a call of whatever contract as if all nonces of the endpoint were delivered. */
function callsAllDelivered(): Fault {
  // For `inboundNonce` 100, for anything else 0.
  const selector = toFunctionSelector('inboundNonce(address,uint32,bytes32)').slice(2)
  const code = `0x5f3560e01c63${selector}14601257${'60205ff3'}${'5b60645f5260205ff3'}`
  return ({ params = [], ...request }, ask) => {
    if (request.method !== 'eth_call') return ask({ ...request, params })
    const { endpoint } = on.network.chains[ALPHA]!.layerzero
    return ask({ ...request, params: [params[0], params[1], { [endpoint]: { code } }] })
  }
}

/** Knows every block, and answers calls from the state that was newest at its first. */
function callsNothingDelivered(): Fault {
  let at: unknown
  return async ({ params = [], ...request }, ask) => {
    if (request.method !== 'eth_call') return ask({ ...request, params })
    at ??= (await ask({ id: 0, method: 'eth_blockNumber', params: [] })).result
    return ask({ ...request, params: [params[0], at] })
  }
}

let drops = 0
test.each([
  ['calls everything delivered', callsAllDelivered],
  ['calls nothing delivered', callsNothingDelivered],
  ['has stopped at a height', freezes],
] as const)(
  'whatever a node that %s says, nothing is lost and nothing done twice',
  async (name, fault) => {
    const before = (await packets.delivered(ALPHA)).length
    const client = packets.client(ALPHA)
    const sender = on.roles.relayer.bulk.account.address
    const nonceBefore = await client.getTransactionCount({ address: sender })
    const { relayer, first } = await relay(fault())
    const dropTo = pad(numberToHex(0xd00 + drops++), { size: 20 })
    const dropping = concatHex([
      PLAIN,
      '0x01',
      numberToHex(49, { size: 2 }),
      '0x02',
      numberToHex(DROP, { size: 16 }),
      pad(dropTo),
    ])
    await packets.send(BETA, ALPHA, receivers, name)
    await packets.send(BETA, ALPHA, receivers.slice(0, 1), `${name}, with a drop`, dropping)
    const count = RECEIVERS + 1
    await expect.poll(async () => (await packets.delivered(ALPHA)).length - before, PATIENCE).toBe(count)
    await expect.poll(() => relayer.packets().alpha, PATIENCE).toEqual([])

    const delivered = (await packets.delivered(ALPHA)).map(({ packet }) => packet)
    expect(new Set(delivered).size).toBe(delivered.length)
    for (const receiver of receivers.slice(1)) expect(await packets.has(ALPHA, receiver, name)).toBe(true)
    expect(await packets.has(ALPHA, receivers[0]!, `${name}, with a drop`)).toBe(true)
    expect(await client.getBalance({ address: dropTo })).toBe(DROP)
    // It was asked, and what it said cost a few transactions at most.
    expect(first.asked).toContain('eth_call')
    expect((await client.getTransactionCount({ address: sender })) - nonceBefore).toBeLessThanOrEqual(
      3 * count,
    )
  },
  TEST_TIMEOUT_MS,
)
