import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLogger, oracleConfigHash, UserError } from '@clearspan/shared'
import { keccak256, toHex, zeroHash } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, describe, expect, it } from 'vitest'
import { checkAnchor } from './anchor.js'
import { type OracleNodeConfigInput, parseOracleNodeConfig } from './config.js'
import { cleanUp, keys, makeNode, networkId } from './network.test-util.js'
import { configuredRules } from './observer.js'
import { rulesHash } from './rules.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const clock = { now: () => 1_600_000_000_000, sleep: async () => {} }
const ends: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
  await cleanUp()
})

const ids = ['a', 'b', 'c']
function configOf(change: Partial<OracleNodeConfigInput> = {}): OracleNodeConfigInput {
  return {
    networkId,
    clock: { startMs: 0, realStartMs: 0, speed: 1 },
    index: 0,
    oracle: {
      epoch: 1,
      slotMs: 1_000,
      feeds: [
        { name: 'ETH/USD', exponent: -8 },
        { name: 'DEPTH/USD', exponent: -8 },
      ],
      nodes: keys.map((key) => ({ url: 'http://127.0.0.1:1', signer: privateKeyToAddress(key) })),
    },
    sources: ids.map((id) => source(id)),
    derived: [depth(100)],
    listen: { host: '127.0.0.1', port: 0 },
    dataDir: '/nowhere',
    ...change,
  }
}
const source = (id: string, tag = id): OracleNodeConfigInput['sources'][number] => ({
  id,
  adapter: 'replay',
  url: 'ws://127.0.0.1:1',
  tags: [tag],
  markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
})
const depth = (bandBps: number) => ({
  kind: 'depth' as const,
  feed: 'DEPTH/USD',
  bandBps,
  sources: ids.map((id) => ({
    id: `${id}-book`,
    url: 'http://127.0.0.1:1',
    tags: [id],
    venue: 'binance' as const,
    symbol: 'ETHUSD',
    quote: 'USD',
  })),
})
const hashOf = (config: OracleNodeConfigInput) => rulesHash(configuredRules(parseOracleNodeConfig(config)))

it('agrees with whoever goes by the same rules, wherever it is', () => {
  const agreed = hashOf(configOf())
  const elsewhere = configOf({
    index: 3,
    listen: { host: '0.0.0.0', port: 9 },
    dataDir: '/other',
    sources: ids.map((id) => ({ ...source(id), url: 'ws://10.0.0.1:9' })).reverse(),
  })
  expect(hashOf(elsewhere)).toBe(agreed)
  const { oracle } = configOf()
  expect(hashOf(configOf({ oracle: { ...oracle, rulesHash: agreed } }))).toBe(agreed)
})

it.each<[string, Partial<OracleNodeConfigInput>]>([
  ['a limit', { maxDispersionBps: 999 }],
  ['an age', { maxEventAgeMs: 59_999 }],
  ['f_s', { faultySources: 0 }],
  ['a tag', { sources: [source('a'), source('b', 'x'), source('c')] }],
  ['a source more', { sources: ['a', 'b', 'c', 'd'].map((id) => source(id)) }],
  ['how a derived feed is made', { derived: [depth(50)] }],
  ['the network', { networkId: keccak256(toHex('another')) }],
])('differs by %s, and a node of other rules refuses to start in one line', (_, change) => {
  const agreed = hashOf(configOf())
  expect(hashOf(configOf(change))).not.toBe(agreed)
  const { oracle } = configOf()
  const config = configOf({ ...change, oracle: { ...oracle, rulesHash: agreed } })
  const make = () => makeNode(config, clock)
  expect(make).toThrow(UserError)
  expect(make).toThrow(
    new RegExp(`^oracle.rulesHash: of epoch 1 is ${agreed}, but this configuration's is 0x`),
  )
  expect(() => makeNode(configOf({ oracle: { ...oracle, rulesHash: agreed } }), clock)).not.toThrow()
})

/** A chain whose PriceOracle answers so. */
async function chainWith(result: string | null) {
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += String(chunk)
    const { id } = JSON.parse(body) as { id: number }
    const answer = result === null ? { error: { code: -32_000, message: 'no' } } : { result }
    response
      .setHeader('content-type', 'application/json')
      .end(JSON.stringify({ jsonrpc: '2.0', id, ...answer }))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  ends.push(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
  const { port } = server.address() as AddressInfo
  return { url: `http://127.0.0.1:${port}`, priceOracle: `0x${'22'.repeat(20)}` as const }
}

it('refuses an epoch of which the chain expects other nodes, feeds or rules; silence keeps nobody from starting', async () => {
  const { oracle } = parseOracleNodeConfig(configOf())
  const check = async (result: string | null) =>
    checkAnchor({ oracle, anchor: await chainWith(result) }, logger)
  const own = oracleConfigHash(oracle)
  await check(own)
  await check(zeroHash)
  await check(null)
  await expect(check(keccak256('0x'))).rejects.toThrow(
    new RegExp(`^oracle: of epoch 1 has the hash ${own}, but 0x22.* expects`),
  )
  const anchor = await chainWith(keccak256('0x'))
  const node = makeNode(configOf({ anchor }), clock)
  await expect(node.start()).rejects.toThrow(UserError)
})

describe('outside a local network, where `clock` is null', () => {
  const { oracle } = configOf()
  const rules = hashOf(configOf())
  const agreed = { ...oracle, rulesHash: rules }
  const anchor = { url: 'http://127.0.0.1:9', priceOracle: `0x${'22'.repeat(20)}` as const }
  const next = { oracle: { ...agreed, epoch: 2 }, firstSeq: 100, lastSeq: 200, useAges: [120, 120] }
  const whole: Partial<OracleNodeConfigInput> = { clock: null, oracle: agreed, anchor, next }

  it('a node starts that has agreed on its rules and names a chain', () => {
    expect(() => makeNode(configOf(whole), clock)).not.toThrow()
  })

  it.each<[string, Partial<OracleNodeConfigInput>]>([
    ['oracle.rulesHash', { oracle }],
    ['next.oracle.rulesHash', { next: { ...next, oracle: { ...oracle, epoch: 2 } } }],
    ['anchor', { anchor: undefined }],
  ])('a node without %s is refused in one line, and on a local network is not', (field, change) => {
    const without = { ...whole, ...change }
    expect(() => makeNode(configOf(without), clock)).toThrow(
      expect.objectContaining({
        field,
        fix: expect.stringMatching(/^is required outside a local network: .+$/),
      }),
    )
    const local = { startMs: 0, realStartMs: 0, speed: 1 }
    expect(() => makeNode(configOf({ ...without, clock: local }), clock)).not.toThrow()
  })
})
