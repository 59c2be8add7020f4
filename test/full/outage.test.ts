import { join } from 'node:path'
import { createLogger, createQueueBackend, systemClock, UserError } from '@clearspan/shared'
import { expect, test } from 'vitest'
import { temporaryDirectory } from '../clearspan.js'
import { createTestRelayer, startOperators, startTestNetwork } from '../testNetwork.js'
import { createPackets } from '../testPackets.js'
import { cuts, hangs, honest, lies, type RpcProxy, startProxy } from '../testProxy.js'

// A relayer as outside local networks, three nodes a chain; one chain has an outage when it starts.
const TEST_TIMEOUT_MS = 300_000
const PATIENCE = { timeout: 120_000 }
const [ALPHA, BETA, GAMMA] = [0, 1, 2] as const
const logger = createLogger({ name: 'test', level: 'silent' })

test(
  'an outage of one chain keeps a relayer neither from starting nor from the others, and ends with it',
  async () => {
    const dir = await temporaryDirectory()
    const on = await startTestNetwork({
      directory: dir.path,
      chains: ['alpha', 'beta', 'gamma'],
      delivery: 'both',
    })
    const operators = await startOperators(on)
    const packets = createPackets(on)
    const proxies: RpcProxy[][] = await Promise.all(
      on.chains.map(({ rpcUrl }) => Promise.all([1, 2, 3].map(() => startProxy(rpcUrl)))),
    )
    const urls = on.network.chains.map(({ chainId }, at) => [
      String(chainId),
      proxies[at]!.map(({ url }) => url),
    ])
    const production = { ...on, network: { ...on.network, clock: null } }
    const backend = await createQueueBackend({ clock: systemClock, logger })
    const create = (ledger: string) =>
      createTestRelayer(
        production,
        backend,
        {
          roles: ['messages'],
          operators: operators.known,
          dvnOperators: operators.dvn,
          rpcUrls: Object.fromEntries(urls),
        },
        [],
        { ledgerDir: join(dir.path, ledger) },
      )
    const relayer = create('nonces')
    try {
      const toAlpha = await packets.deploy(ALPHA, 1)
      const toGamma = await packets.deploy(GAMMA, 1)
      const [first] = toAlpha as [`0x${string}`]
      for (const proxy of proxies[GAMMA]!) proxy.set(cuts)
      await relayer.start()
      expect((await relayer.status()).problems).toEqual(
        expect.arrayContaining([
          expect.stringMatching(/^gamma: its nodes don't answer/),
          'gamma: no block read yet',
        ]),
      )
      await packets.send(BETA, ALPHA, toAlpha, 'from beta')
      await packets.send(GAMMA, ALPHA, toAlpha, 'from gamma')
      await packets.send(BETA, GAMMA, toGamma, 'to gamma')
      await expect.poll(() => packets.has(ALPHA, first, 'from beta'), PATIENCE).toBe(true)

      for (const proxy of proxies[GAMMA]!) proxy.set(honest)
      await expect.poll(() => packets.has(ALPHA, first, 'from gamma'), PATIENCE).toBe(true)
      await expect.poll(() => packets.has(GAMMA, toGamma[0]!, 'to gamma'), PATIENCE).toBe(true)
      expect((await relayer.status()).problems).toEqual([])
      // It happens again while it runs: packets that wait for the silent source hold up no others.
      await packets.send(GAMMA, ALPHA, toAlpha, 'again from gamma')
      for (const proxy of proxies[GAMMA]!) proxy.set(hangs)
      await packets.send(BETA, ALPHA, toAlpha, 'again from beta')
      await expect.poll(() => packets.has(ALPHA, first, 'again from beta'), PATIENCE).toBe(true)
      for (const proxy of proxies[GAMMA]!) proxy.set(honest)
      await expect
        .poll(async () => (await packets.delivered(ALPHA)).map(({ packet }) => packet), PATIENCE)
        .toHaveLength(4)

      // A node of another chain is no outage.
      const isOther = lies(({ method }, result) => (method === 'eth_chainId' ? '0x1' : result))
      proxies[BETA]![2]!.set(isOther)
      const misled = create('others')
      await expect(misled.start()).rejects.toThrow(UserError)
      await expect(create('others').start()).rejects.toThrow(/node 2 serves chain 1, and beta is/)
    } finally {
      await relayer.stop()
      await backend.close()
      await packets.close()
      await operators.stop()
      for (const proxy of proxies.flat()) await proxy.close()
      await on.stop()
      await dir.remove()
    }
  },
  TEST_TIMEOUT_MS,
)
