import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { clearinghouseAbi, collateralVaultAbi, spokeGatewayAbi, testTokenAbi } from '@clearspan/contracts'
import {
  accountId,
  createChainClient,
  createLogger,
  createQueueBackend,
  type Network,
  type QueueBackend,
  systemClock,
} from '@clearspan/shared'
import { parseUnits } from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { localRoles } from '../packages/devnet/src/network/roles.js'
import { type Call, createWallet, type Wallet } from '../packages/devnet/src/scenario/wallet.js'
import type { Relayer } from '../packages/relayer/src/index.js'
import { startRedis } from '../packages/shared/src/queue/redis.test-util.js'
import { temporaryDirectory } from './clearspan.js'
import { createTestRelayer, startTestNetwork, type TestNetwork } from './testNetwork.js'

// A relayer in this process on two real chains, without an oracle: collateral alone needs no price.
const TEST_TIMEOUT_MS = 600_000
/** What a poll waits for takes seconds; a machine with much else to do takes minutes. */
const PATIENCE = { timeout: 280_000 }
const usdc = (amount: number) => parseUnits(String(amount), 6)

const logger = createLogger({ name: 'test', level: 'silent' })
const redis = await startRedis()
if (redis === undefined) {
  if (process.env.CI === 'true') throw new Error('redis-server is missing: apt-get install redis-server')
  console.warn('SKIP: a relayer without its queue, on Redis: redis-server is not installed')
}

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let network: Network
let wallets: Wallet[]
const trader = localRoles().traders.alice.account
const account = accountId(trader.address)
let deposited = 0n
let withdrawn = 0n

beforeAll(async () => {
  dir = await temporaryDirectory()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'] })
  network = on.network
  wallets = on.chains.map(({ chainId, rpcUrl }) =>
    createWallet({
      client: createChainClient({ chainId, rpcUrls: [rpcUrl], blockMs: on.blockMs }),
      account: trader,
      chainId,
      clock: systemClock,
      logger,
    }),
  )
})
afterAll(async () => {
  for (const wallet of wallets ?? []) await wallet.close()
  await on?.stop()
  await redis?.stop()
  await dir?.remove()
})

const running: { relayer: Relayer; backend: QueueBackend }[] = []
async function stopAll(): Promise<void> {
  for (const { relayer, backend } of running.splice(0)) {
    await relayer.stop()
    await backend.close()
  }
}
const closes: (() => Promise<void>)[] = []
afterEach(async () => {
  await stopAll()
  for (const close of closes.splice(0)) await close()
})

/** Starts a relayer that sees the spoke through these nodes. */
async function relay(backend: QueueBackend, spokeUrls?: string[]): Promise<Relayer> {
  const [, spoke] = network.chains
  const rpcUrls = spokeUrls && { [String(spoke!.chainId)]: spokeUrls }
  const relayer = createTestRelayer(on, backend, { roles: ['relayer'], ...(rpcUrls && { rpcUrls }) })
  running.push({ relayer, backend })
  await relayer.start()
  return relayer
}

const settlement = () => network.chains[1]!.tokens.find((token) => token.settlement)!

async function deposit(amount: number): Promise<void> {
  const { address } = settlement()
  const { vault } = network.chains[1]!.contracts
  const token = { to: address, abi: testTokenAbi }
  const calls: Call[] = [
    { ...token, functionName: 'mint', args: [trader.address, usdc(amount)] },
    { ...token, functionName: 'approve', args: [vault, usdc(amount)] },
    { to: vault, abi: collateralVaultAbi, functionName: 'deposit', args: [account, address, usdc(amount)] },
  ]
  await wallets[1]!.send(calls)
  deposited += usdc(amount)
}

async function withdraw(amount: number): Promise<void> {
  const args = [account, BigInt(settlement().assetId), trader.address, usdc(amount)]
  const { clearinghouse } = network.hub.contracts
  await wallets[0]!.send([{ to: clearinghouse, abi: clearinghouseAbi, functionName: 'withdraw', args }])
  withdrawn += usdc(amount)
}

/** What the hub has heard of, and what of it is cash. */
async function credited() {
  const hub = { address: network.hub.contracts.clearinghouse, abi: clearinghouseAbi } as const
  const client = wallets[0]!.client
  const [{ target, immature }, cash] = await Promise.all([
    client.readContract({ ...hub, functionName: 'row', args: [account, BigInt(settlement().assetId)] }),
    client.readContract({ ...hub, functionName: 'cash', args: [account] }),
  ])
  return { target, immature, cash }
}

const paidOut = () =>
  wallets[1]!.client.readContract({
    address: network.chains[1]!.contracts.vault,
    abi: collateralVaultAbi,
    functionName: 'paidOut',
    args: [account, settlement().address, trader.address],
  })

const allCredited = () =>
  expect.poll(credited, PATIENCE).toEqual({
    target: deposited,
    immature: 0n,
    cash: (deposited - withdrawn) * 10n ** 12n,
  })

const QUEUES = {
  embedded: (name: string) => createQueueBackend({ dataDir: join(dir.path, name), logger }),
  redis: (name: string) => createQueueBackend({ redisUrl: redis?.url, namespace: name, logger }),
}

describe.each(['embedded', 'redis'] as const)('on %s', (kind) => {
  test.skipIf(kind === 'redis' && redis === undefined)(
    'with an empty queue a relayer rebuilds all that is outstanding from the chains, and finishes it',
    async () => {
      await relay(await QUEUES[kind](`${kind}-first`))
      await deposit(1_000)
      await allCredited()
      await stopAll()

      // A message that was sent and not delivered, a deposit that was not sent, and a release that was not sent.
      await deposit(200)
      const { spokeGateway } = network.chains[1]!.contracts
      const keys = [{ account, token: settlement().address }]
      const gateway = { address: spokeGateway, abi: spokeGatewayAbi } as const
      const value = await wallets[1]!.client.readContract({
        ...gateway,
        functionName: 'quoteCounters',
        args: [keys],
      })
      await wallets[1]!.send([
        {
          to: spokeGateway,
          abi: spokeGatewayAbi,
          functionName: 'sendCounters',
          args: [keys],
          value: 2n * value,
        },
      ])
      await deposit(30)
      await withdraw(400)
      expect((await credited()).target).toBe(deposited - usdc(230))
      expect(await paidOut()).toBe(withdrawn - usdc(400))

      await relay(await QUEUES[kind](`${kind}-second`))
      await allCredited()
      await expect.poll(paidOut, PATIENCE).toBe(withdrawn)
    },
    TEST_TIMEOUT_MS,
  )
})

/** A node in front of the spoke's own that answers what `tamper` makes of the truth. */
async function startProxy(tamper: (method: string, result: unknown) => unknown): Promise<string> {
  const { rpcUrl } = on.chains[1]!
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray()).toString()
    const answer = await fetch(rpcUrl, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
    })
      .then((answered) => answered.json() as Promise<{ result?: unknown }>)
      .catch(() => undefined)
    if (answer === undefined) return void response.destroy()
    if ('result' in answer)
      answer.result = tamper((JSON.parse(body) as { method: string }).method, answer.result)
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answer))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  closes.push(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const honest = () => startProxy((_, result) => result)
/** Keeps every log back. */
const forgetful = () => startProxy((method, result) => (method === 'eth_getLogs' ? [] : result))

test(
  'a node that keeps back every log hides nothing, although it is asked first',
  async () => {
    await relay(await QUEUES.embedded('forgetful'), [await forgetful(), await honest(), await honest()])
    await deposit(50)
    await allCredited()
  },
  TEST_TIMEOUT_MS,
)

test(
  'nothing is attested without more than half of the nodes, and all is when they agree again',
  async () => {
    let lags = true
    const laggard = await startProxy((method, result) =>
      lags && method === 'eth_blockNumber' ? '0x1' : result,
    )
    const before = (await credited()).target
    const backend = await QUEUES.embedded('laggard')
    const relayer = await relay(backend, [await honest(), laggard, await forgetful()])
    await deposit(60)
    const pending = async () => {
      const { chains: states } = await relayer.status()
      return states.find(({ name }) => name === 'alpha')?.pendingPackets
    }
    await expect.poll(pending, PATIENCE).toBeGreaterThan(0)
    const from = await wallets[0]!.client.getBlockNumber()
    await expect.poll(() => wallets[0]!.client.getBlockNumber(), PATIENCE).toBeGreaterThan(from + 10n)
    expect((await credited()).target).toBe(before)
    lags = false
    await allCredited()
  },
  TEST_TIMEOUT_MS,
)
