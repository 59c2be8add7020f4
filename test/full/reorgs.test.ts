import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import { parseUnits } from 'viem'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { Relayer } from '../../packages/relayer/src/index.js'
import { temporaryDirectory } from '../clearspan.js'
import { createTestRelayer, haltChain, startTestNetwork, type TestNetwork } from '../testNetwork.js'
import { createTrader, PATIENCE, type Trader } from '../testTrader.js'

// Reorgs under a relayer, deeper than the one confirmation that it waits for, on either side.
const TEST_TIMEOUT_MS = 600_000
const usdc = (amount: number) => parseUnits(String(amount), 6)

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let trader: Trader
let relayer: Relayer
const closes: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  dir = await temporaryDirectory()
})
afterEach(async () => {
  for (const close of closes.splice(0).reverse()) await close()
})
afterAll(() => dir.remove())

async function start(name: string): Promise<void> {
  on = await startTestNetwork({ directory: `${dir.path}/${name}`, chains: ['alpha', 'beta'] })
  closes.push(on.stop)
  trader = createTrader(on)
  closes.push(trader.close)
  relayer = await relay()
}

/** A relayer that knows only what the chains say. */
async function relay(): Promise<Relayer> {
  const logger = createLogger({ name: 'test', level: 'silent' })
  const backend = await createQueueBackend({ clock: systemClock, logger })
  closes.push(() => backend.close())
  // Nothing here may rest on sending again after a while.
  const opened = createTestRelayer(on, backend, { roles: ['relayer'], resendMs: 600_000 })
  closes.push(opened.stop)
  await opened.start()
  return opened
}

const heard = async () => ({ target: (await trader.credited()).target, free: await trader.freeCash() })
const amounts = (amount: number) => ({ target: usdc(amount), free: usdc(amount) * 10n ** 12n })

test.each([
  ['', 40, false],
  // No log says any more that this account has ever deposited.
  [', by a relayer that has seen nothing of the old branch', 0, true],
] as const)(
  'of the source: the hub takes back what the chain took back, and gives again what comes again%s',
  async (_, first, restarts) => {
    await start(`source-${first}`)
    if (first > 0) await trader.deposit(first)
    await trader.allCredited()
    const { client } = on.chains[1]!
    const { whileMining, reorg, resume } = await haltChain(on, 1)
    closes.push(resume)
    const height = await client.getBlockNumber()
    // Each by a message of its own, so that as many nonces are given again.
    await whileMining(
      (async () => {
        for (const part of [30, 25, 15]) await trader.deposit(part).then(trader.allCredited)
      })(),
    )

    if (restarts) await relayer.stop()
    // The deposits and the messages that told of them are gone, and their LayerZero nonces are given again.
    await reorg(Number((await client.getBlockNumber()) - height))
    await resume()
    if (restarts) await relay()
    await expect.poll(heard, PATIENCE).toEqual(amounts(first))

    // A wallet that knows nothing of the branch that is gone.
    const again = createTrader(on)
    closes.push(again.close)
    await again.deposit(70)
    await expect.poll(heard, PATIENCE).toEqual(amounts(first + 70))
  },
  TEST_TIMEOUT_MS,
)

test(
  'of the destination, at every depth: what was delivered is delivered again, once',
  async () => {
    await start('destination')
    const { client } = on.chains[0]!
    let total = 0
    for (const depth of [1, 2, 3, 4]) {
      const { whileMining, mine, reorg, resume } = await haltChain(on, 0)
      closes.push(resume)
      const height = await client.getBlockNumber()
      total += 10
      await whileMining(trader.deposit(10).then(trader.allCredited))
      const delivered = Number((await client.getBlockNumber()) - height)
      await mine(depth - delivered)
      await reorg(Math.max(depth, delivered))
      expect(await heard()).toEqual(amounts(total - 10))
      await resume()
      await expect.poll(heard, PATIENCE).toEqual(amounts(total))
    }
  },
  TEST_TIMEOUT_MS,
)
