import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Clock, createLogger, createMetrics, systemClock, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import { decodeFunctionData, encodeErrorResult, encodeFunctionResult, type Hex, parseAbi } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, expect, it, vi } from 'vitest'
import { createRevocationWatch } from './anchor.js'
import type { OracleNodeConfigInput } from './config.js'
import { createNodeMetrics } from './metrics.js'
import { cleanUp, keys, later, makeNode, networkId } from './network.test-util.js'
import { observationPreimage } from './observation/message.js'
import { createSigner } from './observation/signer.js'
import { startLookup } from './sources/rpc.test-util.js'

afterEach(cleanUp)
// For what is awaited on a busy machine; nothing here waits for time to pass.
vi.setConfig({ testTimeout: 120_000 })

const abi = parseAbi([
  'function configHash(uint256 epoch) view returns (bytes32)',
  'function epochSlots(uint32 epoch) view returns (uint64 firstSeq, uint64 lastSeq, bool revoked)',
  'error UnknownEpoch(uint256 epoch)',
])
type State = 'open' | 'revoked' | 'silent' | { error: object }

/** A chain's PriceOracle; an epoch that isn't listed isn't opened. */
async function startChain(states: Map<number, State>) {
  const answerTo = (data: Hex) => {
    const { functionName, args } = decodeFunctionData({ abi, data })
    const state = states.get(Number(args[0]))
    const unknown = encodeErrorResult({ abi, errorName: 'UnknownEpoch', args: [BigInt(args[0])] })
    if (functionName === 'configHash') return { result: `0x${'00'.repeat(32)}` }
    if (state === 'silent') return { error: { code: -32_000, message: 'no' } }
    if (state === undefined) return { error: { code: 3, message: 'execution reverted', data: unknown } }
    if (typeof state === 'object') return state
    const result = encodeFunctionResult({ abi, functionName, result: [0n, 9n, state === 'revoked'] })
    return { result }
  }
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { id, params } = JSON.parse(body) as { id: number; params: [{ data: Hex }] }
    const answer = JSON.stringify({ jsonrpc: '2.0', id, ...answerTo(params[0].data) })
    response.setHeader('content-type', 'application/json').end(answer)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  later(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, priceOracle: `0x${'22'.repeat(20)}` as const }
}

/** Time that stands still until it is told to go on; only sleeps of `ms` are its own, where that is given. */
function steppedClock(startMs: number, ms?: number) {
  let now = startMs
  let sleepers: (() => void)[] = []
  const clock: Clock = {
    now: () => (ms === undefined ? now : systemClock.now()),
    sleep(asked, signal) {
      if (ms !== undefined && asked !== ms) return systemClock.sleep(asked, signal)
      return new Promise((wake, fail) => {
        sleepers.push(wake)
        signal?.addEventListener('abort', () => fail(signal.reason), { once: true })
      })
    },
  }
  const asleep = () => vi.waitFor(() => expect(sleepers).not.toEqual([]), { timeout: 60_000, interval: 5 })
  return {
    clock,
    asleep,
    /** Resolves once whoever it wakes sleeps again. */
    async pass(time: number) {
      await asleep()
      now += time
      const woken = sleepers
      sleepers = []
      for (const wake of woken) wake()
      await asleep()
    },
  }
}

const MINUTE = 60_000

it('asks the anchor each minute, and believes its newest answer', async () => {
  const states = new Map<number, State>([[1, 'open']])
  const logger = createLogger({ name: 'test', level: 'silent' })
  const [error, warn] = [vi.spyOn(logger, 'error'), vi.spyOn(logger, 'warn')]
  const metrics = createMetrics()
  const { clock, asleep, pass } = steppedClock(0, MINUTE)
  const anchor = await startChain(states)
  const counters = createNodeMetrics(metrics)
  const watch = createRevocationWatch({ anchor, epochs: [1, 2], realClock: clock, logger, metrics: counters })
  const abort = new AbortController()
  const running = watch.run(abort.signal)
  const said = () => [1, 2].map(watch.isRevoked)
  await asleep()
  // Epoch 2 isn't opened yet: that is an answer.
  expect(said()).toEqual([false, false])
  expect(warn).not.toHaveBeenCalled()

  states.set(1, 'revoked')
  await pass(MINUTE)
  await pass(MINUTE)
  expect(said()).toEqual([true, false])
  expect(error).toHaveBeenCalledTimes(1)
  expect(await metrics.text()).toContain('clearspan_oracle_epoch_revoked{epoch="1"} 1')

  states.set(1, 'silent')
  await pass(MINUTE)
  await pass(MINUTE)
  expect(said()).toEqual([true, false])
  expect(warn).toHaveBeenCalledTimes(1)

  // As after a reorg that undid it.
  states.set(1, 'open').set(2, 'revoked')
  await pass(MINUTE)
  expect(said()).toEqual([false, true])
  abort.abort()
  await running
})

it('a node signs nothing while its epoch is revoked, and says so', async () => {
  const SLOT_MS = 60_000
  const states = new Map<number, State>([[1, 'open']])
  const dataDir = await mkdtemp(join(tmpdir(), 'clearspan-anchor-'))
  later(() => rm(dataDir, { recursive: true, force: true }))
  const peerSigner = createSigner(keys[5]!)
  const config: OracleNodeConfigInput = {
    networkId,
    clock: { startMs: 0, realStartMs: 0, speed: 1 },
    index: 0,
    oracle: {
      epoch: 1,
      slotMs: SLOT_MS,
      feeds: [{ name: 'ETH/USD', exponent: -8 }],
      nodes: keys.slice(0, 4).map((key, at) => ({
        url: 'http://127.0.0.1:1',
        signer: privateKeyToAddress(key),
        ...(at === 0 && { peer: peerSigner.address }),
      })),
    },
    anchor: await startChain(states),
    sources: ['a', 'b', 'c'].map((id) => ({
      id,
      adapter: 'replay',
      url: 'ws://127.0.0.1:1',
      tags: [id],
      markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
    })),
    listen: { host: '127.0.0.1', port: 0 },
    dataDir,
  }
  const real = steppedClock(0, MINUTE)
  // Just before the first of the slots, each of which this node observes as long as it may sign.
  const network = steppedClock(1_000 * SLOT_MS - 1)
  const own = createSigner(keys[0]!)
  const sign = vi.fn(own.sign)
  const node = makeNode(config, network.clock, {
    realClock: real.clock,
    signer: { ...own, sign },
    peerSigner,
  })
  const { url } = await node.start()
  const health = async () => {
    const response = await fetch(`${url}/health`)
    return [response.status, ((await response.json()) as { status: string }).status]
  }
  /** Without a source it observes that it has no price. */
  const observed = (seq: bigint) =>
    observationPreimage(
      { epoch: 1, seq, prices: [{ price: 0n, confidence: UNUSABLE_CONFIDENCE }] },
      { networkId, oracle: config.oracle },
    )
  const signs = (...seqs: bigint[]) =>
    vi.waitFor(() => expect(sign.mock.calls).toEqual(seqs.map((seq) => [observed(seq)])), {
      timeout: 60_000,
      interval: 5,
    })
  await real.asleep()
  await network.asleep()
  sign.mockClear()
  await network.pass(1)
  await signs(1_000n)

  states.set(1, 'revoked')
  await real.pass(MINUTE)
  expect(await health()).toEqual([503, 'epoch revoked'])
  await network.pass(SLOT_MS)
  await network.pass(SLOT_MS)

  states.set(1, 'open')
  await real.pass(MINUTE)
  expect(await health()).not.toContain('epoch revoked')
  await network.pass(SLOT_MS)
  // Of the two slots between nothing.
  await signs(1_000n, 1_003n)
})

it('has no URL fetched that a contract names', async () => {
  const { asked, revertOf } = await startLookup({ add: later })
  const states = new Map<number, State>()
  const anchor = await startChain(states)
  states.set(1, { error: revertOf(anchor.priceOracle) })
  const logger = createLogger({ name: 'test', level: 'silent' })
  const warn = vi.spyOn(logger, 'warn')
  const { clock, asleep } = steppedClock(0, MINUTE)
  const metrics = createNodeMetrics(createMetrics())
  const watch = createRevocationWatch({ anchor, epochs: [1], realClock: clock, logger, metrics })
  const abort = new AbortController()
  const running = watch.run(abort.signal)
  await asleep()
  expect(warn).toHaveBeenCalledTimes(1)
  expect(asked).toEqual([])
  abort.abort()
  await running
})
