import { createLogger, createMetrics } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { expect, it, vi } from 'vitest'
import { createNodeMetrics } from './metrics.js'
import type { Effect } from './report/machine.js'
import { createRunner } from './runner.js'

const key = keccak256(toHex('runner'))
const prices = [{ price: 7n, confidence: 1 }]
const effects: Record<string, Effect> = {
  observation: { type: 'observe', seq: 9n },
  proposal: { type: 'propose', seq: 9n, observers: [], observations: [] },
  report: { type: 'sign', report: { epoch: 1, seq: 9n, prices }, observations: [] },
}

/** A runner whose machine wants one thing done, over a disk that answers when told to. */
function start(effect: Effect) {
  const steps: string[] = []
  let [write, fail] = [(_durable: boolean) => {}, (_error: Error) => {}]
  const disk = new Promise<boolean>((resolve, reject) => {
    ;[write, fail] = [resolve, reject]
  })
  const abort = new AbortController()
  const registry = createMetrics()
  const wanted = [effect]
  const runner = createRunner({
    index: 0,
    protocol: {
      networkId: key,
      oracle: {
        ...{ epoch: 1, slotMs: 1_000, feeds: [{ name: 'ETH/USD', exponent: -8 }] },
        nodes: Array.from({ length: 4 }, () => ({
          url: 'http://127.0.0.1',
          signer: privateKeyToAddress(key),
        })),
      },
    },
    machine: {
      tick: () => wanted.splice(0),
      owns: () => true,
      ignores: () => null,
      receive: () => ({ effects: [], ignored: null }),
      nextWake: () => Number.POSITIVE_INFINITY,
    },
    signer: {
      address: privateKeyToAddress(key),
      async sign() {
        steps.push('signed')
        return '0x'
      },
    },
    journal: {
      commit(kind, seq) {
        steps.push(`${kind} ${seq} written`)
        return disk
      },
      commitSuccessor: async () => false,
      successors: () => [],
      close: async () => {},
    },
    peers: {
      send: async (peer, { kind }) => void steps.push(`${kind} to ${peer}`),
      broadcast: async ({ kind }) => void steps.push(`${kind} to all`),
      tell: async () => {},
      stop() {},
    },
    networkClock: {
      now: () => 9_000,
      sleep: (_, signal) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason))
        }),
    },
    logger: createLogger({ name: 'test', level: 'silent' }),
    metrics: createNodeMetrics(registry),
    observe: () => prices,
    onProposal() {},
    onUnsigned() {},
    onFinish() {},
    onEvidence: async () => true,
  })
  const running = runner.run(abort.signal)
  const end = () => {
    abort.abort()
    return running
  }
  return { steps, write, fail, end, metrics: registry.text }
}

it.each(Object.keys(effects))(
  '%s: nothing is signed before it is on disk, nothing leaves before it is signed',
  async (kind) => {
    const { steps, write, end } = start(effects[kind]!)
    await vi.waitFor(() => expect(steps).toEqual([`${kind} 9 written`]))
    write(true)
    await end()
    // The leader of slot 9 of four nodes alone needs the observation; a signature goes to all, so that every node can publish.
    const sent = { observation: 'observation to 1', proposal: 'proposal to all', report: 'signature to all' }[
      kind
    ]
    expect(steps).toEqual([`${kind} 9 written`, 'signed', sent])
  },
)

it.each(Object.keys(effects))(
  '%s: what the journal binds to another is neither signed nor sent',
  async (kind) => {
    const { steps, write, end } = start(effects[kind]!)
    write(false)
    await end()
    expect(steps).toEqual([`${kind} 9 written`])
  },
)

it.each(Object.keys(effects))('%s: a disk that fails is counted, and nothing leaves', async (kind) => {
  const { steps, fail, end, metrics } = start(effects[kind]!)
  fail(new Error('disk full'))
  await end()
  expect(steps).toEqual([`${kind} 9 written`])
  expect(await metrics()).toContain(`oracle_errors_total{step="${effects[kind]!.type}"} 1`)
})

it('what is forwarded goes out as it came, without this node’s signature', async () => {
  const message = { epoch: 1, seq: 9n, prices, signature: '0x01' as const }
  const { steps, end } = start({ type: 'forward', to: 2, kind: 'signature', message })
  await end()
  expect(steps).toEqual(['signature to 2'])
})
