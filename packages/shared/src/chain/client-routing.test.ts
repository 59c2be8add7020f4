import { ContractFunctionExecutionError, parseAbi } from 'viem'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  babbles,
  cuts,
  type Fault,
  hangs,
  honest,
  limits,
  type RpcProxy,
  startProxy,
  truncates,
} from '../../../../test/testProxy.js'
import type { Clock } from '../clock.js'
import { startAnvil, type TestAnvil } from './anvil.test-util.js'
import { createChainClient } from './client.js'
import type { RpcFailure } from './client-routing.js'

// Ordinary reads over real sockets; time passes only where a test, or a slow node, lets it.
let anvil: TestAnvil
beforeAll(async () => {
  anvil = await startAnvil()
})
afterAll(() => anvil.stop())

const proxies: RpcProxy[] = []
afterEach(async () => {
  for (const proxy of proxies.splice(0)) await proxy.close()
})

async function open(faults: readonly Fault[], { timeoutMs = 5_000, avoided = new Set<number>() } = {}) {
  const nodes = await Promise.all(faults.map((fault) => startProxy(anvil.url, fault)))
  proxies.push(...nodes)
  const failed: [number, RpcFailure][] = []
  const client = createChainClient({
    chainId: 31337,
    rpcUrls: nodes.map(({ url }) => url),
    blockMs: 1_000,
    clock,
    timeoutMs,
    avoid: (index) => avoided.has(index),
    onFailure: (...failure) => void failed.push(failure),
  })
  /** Nodes that one read goes to. */
  const served = async () => {
    for (const node of nodes) node.asked.length = 0
    await client.getChainId()
    return nodes.flatMap(({ asked }, index) =>
      asked.filter((method) => method === 'eth_chainId').map(() => index),
    )
  }
  return { nodes, client, failed, served }
}

let now = 1_000_000
const clock: Clock = {
  now: () => now,
  sleep: async (ms) => {
    now += ms
  },
}
const pass = (ms: number) => {
  now += ms
}
const answers: Record<string, unknown> = { eth_chainId: '0x7a69', eth_blockNumber: '0x10' }
/** A node that takes so long by the clock, and no time at all: what it says of another one's time is over before the next look. */
const slow =
  (ms: number): Fault =>
  ({ id, method }) => {
    pass(ms)
    return { id, result: answers[method] }
  }
const quick = slow(0)

/** Reads, which measures one more node each time, until reads go to this one. */
const reach = async ({ client, served }: Awaited<ReturnType<typeof open>>, node: number) =>
  expect
    .poll(async () => {
      pass(10_000)
      const at = await served()
      await client.getBlockNumber()
      // Until the next look the other node's answer has come.
      return at
    })
    .toEqual([node])

test('reads go to the fastest node wherever it is in the list, and follow it when that changes', async () => {
  const on = await open([slow(80), slow(400), slow(5)])
  expect(await on.served()).toEqual([0])
  await reach(on, 2)
  on.nodes[2]!.set(slow(1_000))
  await reach(on, 0)
  on.nodes[1]!.set(slow(1))
  await reach(on, 1)
})

test('a little faster is no reason to change: two nodes may be at different heights', async () => {
  const on = await open([slow(100), slow(90)])
  for (let i = 0; i < 5; i++) {
    await on.client.getBlockNumber()
    pass(10_000)
    await expect.poll(() => on.nodes[1]!.asked.length).toBe(1)
    expect(await on.served()).toEqual([0])
  }
})

test.each([
  ['is down', cuts, 'unavailable'],
  ['answers half', truncates, 'unavailable'],
  ['answers no JSON', babbles, 'unavailable'],
  ['fails', () => ({ status: 502 }), 'unavailable'],
  ['hangs', hangs, 'unavailable'],
  ['limits', limits(), 'limited'],
  ['limits by the code of EIP-1474', limits({ code: -32_005 }), 'limited'],
  ['limits for a day', limits({ retryAfter: '86400' }), 'limited'],
  ['limits until a date', limits({ retryAfter: 'Fri, 01 Jan 2100 00:00:00 GMT' }), 'limited'],
] as [string, Fault, RpcFailure][])(
  'a node that %s is passed over, left to rest, and found again',
  async (_, fault, kind) => {
    const on = await open([fault, slow(50)], { timeoutMs: fault === hangs ? 300 : 5_000 })
    expect(await on.served()).toEqual([0, 1])
    expect(on.failed).toEqual([[0, kind]])
    // It rests: nobody waits for it again.
    expect(await on.served()).toEqual([1])
    on.nodes[0]!.set(quick)
    await reach(on, 0)
  },
)

test('a node whose only fault is a limit is asked again later, however long it wants to be left alone', async () => {
  const { client, nodes, failed } = await open([limits({ retryAfter: '86400' })])
  await expect(client.getChainId()).rejects.toThrow()
  nodes[0]!.set(quick)
  expect(await client.getChainId()).toBe(31337)
  expect(failed).toEqual([[0, 'limited']])
})

test('when all fail they are tried once more', async () => {
  let times = 0
  const flaky: Fault = (request, ask) => (times++ < 2 ? 'cut' : quick(request, ask))
  const { client, nodes } = await open([flaky, flaky])
  expect(await client.getChainId()).toBe(31337)
  expect(nodes.map(({ asked }) => asked.length)).toEqual([2, 1])
})

test('a revert is an answer: no other node is asked, and nobody rests', async () => {
  const on = await open([honest, honest])
  await anvil.control.setCode({ address: '0x00000000000000000000000000000000000000fd', bytecode: '0x5f5ffd' })
  const read = on.client.readContract({
    address: '0x00000000000000000000000000000000000000fd',
    abi: parseAbi(['function f() view returns (uint256)']),
    functionName: 'f',
  })
  await expect(read).rejects.toThrow(ContractFunctionExecutionError)
  expect(on.nodes.map(({ asked }) => asked.length)).toEqual([1, 0])
  expect(on.failed).toEqual([])
})

test('a node to avoid is asked only when no other answers, however fast', async () => {
  const avoided = new Set([0])
  const on = await open([quick, slow(500)], { avoided })
  for (let i = 0; i < 3; i++) {
    await on.client.getBlockNumber()
    pass(10_000)
    expect(await on.served()).toEqual([1])
  }
  on.nodes[1]!.set(cuts)
  expect(await on.served()).toEqual([0, 1])
  avoided.clear()
  on.nodes[1]!.set(slow(500))
  await reach(on, 0)
})
