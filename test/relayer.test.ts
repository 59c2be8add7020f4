import { join } from 'node:path'
import {
  createLogger,
  createQueueBackend,
  type Network,
  type QueueBackend,
  systemClock,
} from '@clearspan/shared'
import { parseUnits } from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Relayer, RelayerConfigInput } from '../packages/relayer/src/index.js'
import { startRedis } from '../packages/shared/src/queue/redis.test-util.js'
import { temporaryDirectory } from './clearspan.js'
import { createTestRelayer, haltChain, startTestNetwork, type TestNetwork } from './testNetwork.js'
import { lies, startProxy } from './testProxy.js'
import { createTrader, PATIENCE, type Trader } from './testTrader.js'

// A relayer in this process on two real chains, without an oracle: collateral alone needs no price.
const TEST_TIMEOUT_MS = 600_000
const usdc = (amount: number) => parseUnits(String(amount), 6)

const logger = createLogger({ name: 'test', level: 'silent' })
const redis = await startRedis('a relayer without its queue, on Redis')

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let network: Network
let trader: Trader

beforeAll(async () => {
  dir = await temporaryDirectory()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'] })
  network = on.network
  trader = createTrader(on)
})
afterAll(async () => {
  await trader?.close()
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
async function relay(
  backend: QueueBackend,
  spokeUrls?: string[],
  config: Partial<RelayerConfigInput> = {},
): Promise<Relayer> {
  const [, spoke] = network.chains
  const rpcUrls = spokeUrls && { [String(spoke!.chainId)]: spokeUrls }
  const relayer = createTestRelayer(on, backend, {
    roles: ['relayer'],
    ...(rpcUrls && { rpcUrls }),
    ...config,
  })
  running.push({ relayer, backend })
  await relayer.start()
  return relayer
}

const QUEUES = {
  embedded: (name: string) =>
    createQueueBackend({ dataDir: join(dir.path, name), clock: systemClock, logger }),
  redis: (name: string) =>
    createQueueBackend({ redisUrl: redis?.url, namespace: name, clock: systemClock, logger }),
}

describe.each(['embedded', 'redis'] as const)('on %s', (kind) => {
  test.skipIf(kind === 'redis' && redis === undefined)(
    'with an empty queue a relayer rebuilds all that is outstanding from the chains, and finishes it',
    async () => {
      await relay(await QUEUES[kind](`${kind}-first`))
      await trader.deposit(1_000)
      await trader.allCredited()
      await stopAll()

      // A message that was sent and not delivered, a deposit that was not sent, and a release that was not sent.
      await trader.deposit(200)
      await trader.sendCounters()
      await trader.deposit(30)
      await trader.withdraw(400)
      expect((await trader.credited()).target).toBe(trader.deposited() - usdc(230))
      expect(await trader.paidOut()).toBe(trader.withdrawn() - usdc(400))

      await relay(await QUEUES[kind](`${kind}-second`))
      await trader.allCredited()
      await trader.allPaid()
    },
    TEST_TIMEOUT_MS,
  )
})

/** A node in front of the spoke's own that answers what `tamper` makes of the truth. */
async function proxy(tamper: (method: string, result: unknown) => unknown): Promise<string> {
  const { url, close } = await startProxy(
    on.chains[1]!.rpcUrl,
    lies(({ method }, result) => tamper(method, result)),
  )
  closes.push(close)
  return url
}

const honest = () => proxy((_, result) => result)
/** Keeps every log back. */
const forgetful = () => proxy((method, result) => (method === 'eth_getLogs' ? [] : result))

test(
  'a node that keeps back every log hides nothing, although it is asked first',
  async () => {
    await relay(await QUEUES.embedded('forgetful'), [await forgetful(), await honest(), await honest()])
    await trader.deposit(50)
    await trader.allCredited()
  },
  TEST_TIMEOUT_MS,
)

test(
  'nothing is attested without more than half of the nodes, and all is when they agree again',
  async () => {
    let lags = true
    const laggard = await proxy((method, result) => (lags && method === 'eth_blockNumber' ? '0x1' : result))
    const before = (await trader.credited()).target
    const backend = await QUEUES.embedded('laggard')
    const relayer = await relay(backend, [await honest(), laggard, await forgetful()])
    await trader.deposit(60)
    const pending = async () => {
      const { chains: states } = await relayer.status()
      return states.find(({ name }) => name === 'alpha')?.pendingPackets
    }
    await expect.poll(pending, PATIENCE).toBeGreaterThan(0)
    const from = await trader.hub.client.getBlockNumber()
    await expect.poll(() => trader.hub.client.getBlockNumber(), PATIENCE).toBeGreaterThan(from + 10n)
    expect((await trader.credited()).target).toBe(before)
    lags = false
    await trader.allCredited()
  },
  TEST_TIMEOUT_MS,
)

test(
  'what a chain takes in beyond a tier waits for the full depth; less goes at the depth of its tier',
  async () => {
    const spokeId = String(on.chains[1]!.chainId)
    const { mine, whileMining, resume } = await haltChain(on, 1)
    closes.push(resume)
    const send = (amount: number) => whileMining(trader.deposit(amount).then(() => trader.sendCounters()))
    // All deposits so far are settled.
    await mine(12)
    const relayer = await relay(await QUEUES.embedded('tiers'), undefined, {
      depths: { [spokeId]: { full: 12, tiers: [{ blocks: 2, upTo: { USDC: '100' } }] } },
    })
    await send(60)
    await mine(1)
    // The chain stands still: no depth but the tier's is ever reached.
    await trader.allCredited()

    const before = (await trader.credited()).target
    // Together they are more than the tier takes, however they are split.
    await send(50)
    await mine(1)
    const waiting = () =>
      relayer.packets().alpha!.map((one) => ('waitsFor' in one ? one.waitsFor : undefined))
    await expect.poll(waiting, PATIENCE).toContain('its source does not confirm it')
    const from = await trader.hub.client.getBlockNumber()
    await expect.poll(() => trader.hub.client.getBlockNumber(), PATIENCE).toBeGreaterThan(from + 4n)
    expect((await trader.credited()).target).toBe(before)
    await mine(12)
    await trader.allCredited()
  },
  TEST_TIMEOUT_MS,
)
