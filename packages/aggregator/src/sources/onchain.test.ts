import type { ServerResponse } from 'node:http'
import { type Address, toHex } from 'viem'
import { afterEach, describe, expect, it } from 'vitest'
import { WAD } from './decimal.js'
import {
  feedOf,
  HEARTBEAT,
  instead,
  type OnChainName,
  onChainMarkets,
  poolOf,
  readAgain,
  readOnChain,
  rejects,
  round,
  START,
  says,
  soon,
  tickOf,
  timings,
  WINDOW,
} from './onchain.test-util.js'
import { reply, startLookup, startRpc, type TestContract, type TestRpc } from './rpc.test-util.js'
import { priceAtTick } from './twap.js'
import type { RejectReason } from './types.js'
import { createCleanups } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

interface Wire {
  /** How long a quote holds, seconds. */
  holds: number
  /** The contracts that say a price, in whole units, at a time in unix seconds, as the nth answer. */
  contracts(price: number, at: number, nth: number): Record<string, TestContract>
  /** The same with decimals that slipped by so many digits. */
  slipped(price: number, at: number, nth: number, digits: number): Record<string, TestContract>
  /** What is made of it, WAD. */
  expected(price: number): bigint
  sequence(nth: number): bigint
}

const wires: Record<OnChainName, Wire> = {
  chainlink: {
    holds: HEARTBEAT,
    contracts: (price, at, nth) => feedOf(round(nth, BigInt(price) * 10n ** 8n, at)),
    slipped: (price, at, nth, digits) => feedOf(round(nth, BigInt(price) * 10n ** BigInt(8 + digits), at)),
    expected: (price) => BigInt(price) * WAD,
    sequence: BigInt,
  },
  'uniswap-v3': {
    holds: WINDOW,
    contracts: (price) => poolOf(tickOf(price)),
    slipped: (price, _at, _nth, digits) => poolOf(tickOf(price), { decimals: BigInt(18 + digits) }),
    expected: (price) => priceAtTick(tickOf(price), { decimals0: 6, decimals1: 18 }, false) ?? 0n,
    sequence: (nth) => blockOf(nth),
  },
}
const blockOf = (nth: number) => BigInt(nth) * 10n

async function started(adapter: OnChainName) {
  const wire = wires[adapter]
  const rpc = await startRpc(cleanups)
  const tell = (price: number, at: number, nth: number, to: TestRpc = rpc) =>
    to.mine({
      number: blockOf(nth),
      timestamp: BigInt(START + at),
      contracts: wire.contracts(price, START + at, nth),
    })
  tell(200, 0, 1)
  const { source, time } = readOnChain(cleanups, { adapter, url: rpc.url })
  await says(source, wire.expected(200))
  return { rpc, source, time, tell, wire }
}

const text = (body: string) => (response: ServerResponse) =>
  response.writeHead(200, { 'content-type': 'application/json' }).end(body)
const content = (value: object) => (response: ServerResponse, id: number) => reply(response, id, value)

/** What is no answer to any method, and its name; without one the RPC was not reached. */
const garbage: Record<
  string,
  [name: RejectReason | null, (response: ServerResponse, id: number) => unknown]
> = {
  'a page': ['malformed', (response) => response.end('<html>')],
  nothing: ['malformed', text('')],
  'half an answer': ['malformed', text('{"jsonrpc":"2.0","id":1,"result":"0x')],
  'a list': ['malformed', text('[]')],
  'a number': ['malformed', text('5')],
  null: ['malformed', text('null')],
  depth: ['malformed', text('['.repeat(100_000))],
  'two megabytes': ['too_large', text(`{"result":"0x${'0'.repeat(2 << 20)}"}`)],
  'no result': ['unexpected_shape', content({})],
  'a result of null': ['unexpected_shape', content({ result: null })],
  'another type': ['unexpected_shape', content({ result: { a: [] } })],
  'a number of JSON': ['unexpected_shape', content({ result: 1e300 })],
  'no hex': ['unexpected_shape', content({ result: '0xzz' })],
  'a limit': ['venue_error', content({ error: { code: -32_005, message: 'limit exceeded' } })],
  'an internal error': ['venue_error', content({ error: { code: -32_603, message: 'internal error' } })],
  'an error of another type': ['venue_error', content({ error: 'no' })],
  'a status': [null, (response) => response.writeHead(500).end('no')],
  'a redirect': [null, (response) => response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
  'a broken connection': [null, (response) => response.destroy()],
}

describe.each(Object.keys(onChainMarkets) as OnChainName[])('%s on the wire', (adapter) => {
  it('asks again after each way that a connection ends', async () => {
    const { rpc, source, tell, wire } = await started(adapter)
    tell(201, 1, 2)
    rpc.endConnections()
    await says(source, wire.expected(201))
    await rpc.stop()
    await soon(() => expect(source.status().connected).toBe(false))
    // What it said before still holds.
    expect(source.quotes()).toMatchObject([{ price: wire.expected(201) }])
    const reborn = await startRpc(cleanups, rpc.port)
    tell(202, 2, 3, reborn)
    await says(source, wire.expected(202))
    expect(source.status()).toMatchObject({ connected: true, rejected: {} })
    expect(source.status().connects).toBeGreaterThanOrEqual(2)
    expect(source.quotes()).toMatchObject([
      {
        kind: 'bound',
        eventTime: (START + 2) * 1_000,
        expiresAt: (START + 2 + wire.holds) * 1_000,
        sequence: wire.sequence(3),
      },
    ])
  })

  it.each([
    ['eth_call', Object.keys(garbage)],
    ['eth_getBlockByNumber', ['a page', 'two megabytes', 'no hex', 'a limit', 'a broken connection']],
    ['eth_chainId', ['a page', 'two megabytes', 'no hex', 'a limit', 'a broken connection']],
  ])(
    'names what is no answer to %s, makes no price of it and takes the next good one',
    async (asked, kinds) => {
      const { rpc, source, tell, wire } = await started(adapter)
      for (const [at, kind] of kinds.entries()) {
        const [name, misbehave] = garbage[kind] ?? expect.fail(kind)
        const rejected = () => (name ? (source.status().rejected[name] ?? 0) : 0)
        const before = { rejected: rejected(), price: source.quotes()[0]?.price }
        let times = 0
        rpc.twist = (method, response, id) => {
          // The chain's number is asked for by a new connection only.
          if (method !== asked && asked === 'eth_chainId') response.destroy()
          if (method !== asked) return asked === 'eth_chainId'
          times += 1
          misbehave(response, id)
          return true
        }
        await soon(() => {
          expect(times, kind).toBeGreaterThanOrEqual(2)
          expect(rejected(), kind).toBeGreaterThanOrEqual(before.rejected + (name ? 1 : 0))
        })
        for (const { price } of source.quotes()) expect(price, kind).toBe(before.price)
        rpc.twist = undefined
        tell(201 + at, 1 + at, 2 + at)
        await says(source, wire.expected(201 + at))
      }
      const names = new Set(kinds.flatMap((kind) => garbage[kind]?.[0] ?? []))
      expect(new Set(Object.keys(source.status().rejected))).toEqual(names)
    },
  )

  it('withdraws what contracts answer in another length or beyond their types', async () => {
    const { rpc, source, tell, wire } = await started(adapter)
    const words = (count: number, word: string) => `0x${word.repeat(count)}`
    const results = [
      '0x1234',
      words(1, 'f'.repeat(64)),
      words(20, 'f'.repeat(64)),
      words(20, '7'.padEnd(64, 'f')),
      words(20, '1'.padStart(64, '0')),
    ]
    for (const [at, value] of results.entries()) {
      rpc.twist = instead('eth_call', content({ result: value }))
      await soon(() => expect(source.quotes()).toEqual([]))
      rpc.twist = undefined
      tell(201 + at, 1 + at, 2 + at)
      await says(source, wire.expected(201 + at))
    }
    expect(source.status()).toMatchObject({ connects: 1 })
  })

  it('refuses what is old, from the future or slipped by decimals, and keeps the good answer', async () => {
    const { rpc, source, tell, wire } = await started(adapter)
    tell(205, 10, 3)
    await says(source, wire.expected(205))
    const [good] = source.quotes()
    const { sequence, expiresAt, eventTime, price } = good ?? {}
    const same = () => expect(source.quotes()).toMatchObject([{ sequence, expiresAt, eventTime, price }])
    // An RPC that has fallen behind.
    tell(150, 5, 2)
    await rejects(source, 'out_of_order')
    same()
    tell(150, 3_600, 4)
    await rejects(source, 'future')
    same()
    for (const digits of [1, -1, 10]) {
      const block = { number: blockOf(5), timestamp: BigInt(START + 20) }
      rpc.mine({ ...block, contracts: wire.slipped(205, START + 20, 5, digits) })
      await readAgain(source)
      same()
    }
    expect(source.status().rejected).toHaveProperty('decimal_slip')
    tell(199, 30, 6)
    await says(source, wire.expected(199))
  })

  it('a repeated or frozen block renews nothing: what it says ends by its own time', async () => {
    const { source, time, wire } = await started(adapter)
    const [first] = source.quotes()
    time.now += 1_000
    await readAgain(source)
    const [again] = source.quotes()
    // Read anew, and as old as it was.
    expect(again).toEqual({ ...first, receiveTime: (first?.receiveTime ?? 0) + 1_000 })
    expect(again?.expiresAt).toBe((START + wire.holds) * 1_000)
    time.now = (START + wire.holds) * 1_000
    await readAgain(source)
    expect(source.quotes()[0]?.expiresAt).toBe(time.now)
    expect(source.status()).toMatchObject({ lastEventTime: START * 1_000, rejected: {} })
  })

  it('a block of no time is named', async () => {
    const { rpc, source, tell, wire } = await started(adapter)
    const [first] = source.quotes()
    const blocks = [
      [{ number: '0x1' }, 'unexpected_shape'],
      [{ timestamp: '0x1' }, 'unexpected_shape'],
      [{ number: '0x1', timestamp: '0x0' }, 'bad_time'],
      [{ number: '0x1', timestamp: toHex(2n ** 64n) }, 'bad_time'],
      [{ number: '0xzz', timestamp: 'soon' }, 'unexpected_shape'],
      [[], 'unexpected_shape'],
    ] as const
    for (const [result, name] of blocks) {
      const before = source.status().rejected[name] ?? 0
      rpc.twist = instead('eth_getBlockByNumber', content({ result }))
      await soon(() => expect(source.status().rejected[name] ?? 0).toBeGreaterThan(before))
      expect(source.quotes()).toMatchObject([{ eventTime: first?.eventTime, price: first?.price }])
    }
    rpc.twist = undefined
    tell(201, 1, 2)
    await says(source, wire.expected(201))
  })

  it('one market’s broken contract leaves the others their prices', async () => {
    const wire = wires[adapter]
    const rpc = await startRpc(cleanups)
    const contracts = wire.contracts(200, START, 1)
    rpc.mine({ number: 10n, timestamp: BigInt(START), contracts })
    const market = onChainMarkets[adapter]
    const broken = { ...market, symbol: '0x00000000000000000000000000000000000000aa' }
    const { source } = readOnChain(cleanups, { adapter, url: rpc.url, markets: [broken, market] })
    await says(source, wire.expected(200))
    expect(Object.keys(source.status().rejected)).toEqual(['reverted'])
    expect(source.status().connects).toBe(1)
  })

  it('has no URL fetched that a contract names', async () => {
    const { rpc, source, tell, wire } = await started(adapter)
    const { asked, revertOf } = await startLookup(cleanups)
    const contract = onChainMarkets[adapter].symbol as Address
    rpc.twist = instead('eth_call', content({ error: revertOf(contract) }))
    await rejects(source, 'reverted')
    rpc.twist = undefined
    tell(201, 1, 2)
    await says(source, wire.expected(201))
    expect(asked).toEqual([])
  })

  it('of another chain is named, and nothing else asked of it', async () => {
    const rpc = await startRpc(cleanups)
    rpc.twist = instead('eth_chainId', content({ result: '0x1' }))
    const { source } = readOnChain(cleanups, { adapter, url: rpc.url, accessToken: 's3cret' })
    await soon(() => expect(source.status().rejected.wrong_chain).toBeGreaterThanOrEqual(2))
    expect(new Set(rpc.requests.map(({ method }) => method))).toEqual(new Set(['eth_chainId']))
    expect(rpc.requests[0]?.headers.authorization).toBe('Bearer s3cret')
  })

  it('is left when it is silent', async () => {
    const rpc = await startRpc(cleanups)
    rpc.twist = () => true
    readOnChain(cleanups, { adapter, url: rpc.url, timings: { ...timings, maxSilenceMs: 50 } })
    await soon(() => expect(rpc.requests.length).toBeGreaterThanOrEqual(2))
  })
})
