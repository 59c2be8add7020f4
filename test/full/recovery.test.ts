import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Random, seededRandom } from '@clearspan/shared'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { startRedis } from '../../packages/shared/src/queue/redis.test-util.js'
import { clearspan, type Run, temporaryDirectory } from '../clearspan.js'
import { type Operators, startOperators, startTestNetwork, type TestNetwork } from '../testNetwork.js'
import { createTrader, PATIENCE, type Trader } from '../testTrader.js'

// A relayer's process that is killed, and whose queue is deleted, at moments that a seed chooses. Only the chains remember.
const TEST_TIMEOUT_MS = 600_000
const ROUNDS = 3
/** Longest stretch, in blocks of the hub, between what a trader does and the blow. */
const MAX_BLOCKS = 12
const SEEDS = [1, 2, 3, 4, 5]

const redis = await startRedis('a queue deleted at random moments, on Redis')

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let on: TestNetwork
let operators: Operators
let trader: Trader

beforeEach(async () => {
  dir = await temporaryDirectory()
  on = await startTestNetwork({ directory: dir.path, chains: ['alpha', 'beta'], delivery: 'both' })
  operators = await startOperators(on)
  trader = createTrader(on)
})
afterEach(async () => {
  await trader?.close()
  await operators?.stop()
  await on?.stop()
  await dir?.remove()
})
afterAll(() => redis?.stop())

/** Starts the relayer as a process of its own. */
async function start(env: Record<string, string>): Promise<Run> {
  const { price, bulk, urgent, peer, dvnSigners } = on.roles.relayer
  const keys = { price, bulk, urgent, peer, dvn0: dvnSigners[0]!, dvn1: dvnSigners[1]! }
  const spec = (name: string) => ({ env: `KEY_${name.toUpperCase()}` })
  writeFileSync(join(dir.path, 'network.json'), JSON.stringify(on.network))
  const relayer = {
    network: 'network.json',
    queueDir: 'queue',
    ledgerDir: 'nonces',
    config: {
      roles: ['relayer'],
      blockMs: on.blockMs,
      sweepMs: 500,
      resendMs: 5_000,
      stuckAfterMs: 5_000,
      heartbeatSeconds: 0,
      attestationSeconds: 3_600,
      operators: operators.known,
    },
    keys: {
      ...Object.fromEntries(['price', 'bulk', 'urgent', 'peer'].map((name) => [name, spec(name)])),
      dvnSigners: [spec('dvn0'), spec('dvn1')],
    },
  }
  writeFileSync(
    join(dir.path, 'relayer.json'),
    JSON.stringify({ name: 'relayer', logLevel: 'warn', relayer }),
  )
  const run = clearspan(dir.path, ['run', 'relayer.json'], {
    ...env,
    ...Object.fromEntries(Object.entries(keys).map(([name, { key }]) => [`KEY_${name.toUpperCase()}`, key])),
  })
  await run.line(/^\{"ready"/)
  return run
}

/** Waits for so many blocks of the hub. */
async function blocks(count: number): Promise<void> {
  const client = trader.hub.client
  const from = await client.getBlockNumber()
  await expect.poll(() => client.getBlockNumber(), PATIENCE).toBeGreaterThanOrEqual(from + BigInt(count))
}

async function act(random: Random): Promise<void> {
  const whole = (most: number) => 1 + Math.floor(random.next() * most)
  await trader.deposit(whole(500))
  const choice = random.next()
  if (choice < 0.3) await trader.sendCounters()
  else if (choice < 0.7) await trader.withdraw(whole(100))
}

describe.each(['embedded', 'Redis'] as const)('on %s', (kind) => {
  test.skipIf(kind === 'Redis' && redis === undefined).each(SEEDS)(
    'a relayer killed and robbed of its queue at any moment finishes all that is outstanding (seed %i)',
    async (seed) => {
      const random = seededRandom(seed)
      const env: Record<string, string> = kind === 'Redis' ? { REDIS_URL: redis!.url } : {}
      await trader.deposit(10_000)
      let run = await start(env)
      await trader.allCredited()
      for (let round = 0; round < ROUNDS; round++) {
        await act(random)
        await blocks(Math.floor(random.next() * MAX_BLOCKS))
        // A queue on Redis may vanish under a relayer that lives on.
        if (kind === 'Redis' && random.next() < 0.5) {
          await redis!.flush()
          continue
        }
        run.child.kill('SIGKILL')
        await run.exited
        await act(random)
        rmSync(join(dir.path, 'queue'), { recursive: true, force: true })
        // Nor does anything hang on the nonce ledger.
        if (round % 2 === 1) rmSync(join(dir.path, 'nonces'), { recursive: true, force: true })
        await redis?.flush()
        run = await start(env)
      }
      await trader.allCredited()
      await trader.allPaid()
      run.child.kill('SIGTERM')
      expect(await run.exited).toEqual({ code: 0, signal: null })
    },
    TEST_TIMEOUT_MS,
  )
})
