import { createLogger, seededRandom, systemClock, UserError } from '@clearspan/shared'
import fc from 'fast-check'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import type { OracleNodeConfigInput } from './config.js'
import { createOracleNode } from './node.js'
import { createSigner } from './observation/signer.js'

const keys = [1, 2, 3, 4].map((n) => keccak256(toHex(`config ${n}`)))
const markets = [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }]
/** A configuration with a field of every kind; nothing of it is opened here. */
const good: OracleNodeConfigInput = {
  networkId: keccak256(toHex('config')),
  clock: { startMs: 0, realStartMs: 0, speed: 1 },
  index: 0,
  oracle: {
    epoch: 1,
    slotMs: 2_000,
    feeds: [
      { name: 'ETH/USD', exponent: -8 },
      { name: 'ETH/VOL', exponent: -8 },
    ],
    nodes: keys.map((key, at) => ({ url: `http://127.0.0.1:${at + 1}`, signer: privateKeyToAddress(key) })),
  },
  sources: [
    { id: 'a', adapter: 'replay', url: 'ws://127.0.0.1:1/a', tags: ['a'], markets },
    { id: 'b', adapter: 'okx', url: 'ws://127.0.0.1:1/b', tags: ['b'], markets },
    { id: 'c', adapter: 'kraken', url: 'ws://127.0.0.1:1/c', tags: ['c'], markets },
    {
      id: 'pyth',
      adapter: 'hermes',
      url: 'http://127.0.0.1:1',
      tags: ['pyth'],
      markets: [{ symbol: 'Crypto.ETH/USD', base: 'ETH', quote: 'USD', pythId: 'ff'.repeat(32) }],
      guardianSets: [{ index: 4, addresses: [privateKeyToAddress(keys[0] ?? '0x')] }],
    },
    {
      id: 'chainlink',
      adapter: 'chainlink',
      url: 'http://127.0.0.1:1',
      tags: ['chainlink'],
      markets: [
        {
          symbol: privateKeyToAddress(keys[1] ?? '0x'),
          base: 'ETH',
          quote: 'USD',
          chainlink: { heartbeatSeconds: 3_600, deviationBps: 50 },
        },
      ],
      chain: { chainId: 1, pollMs: 15_000 },
    },
  ],
  faultySources: 1,
  capped: [],
  derived: [{ kind: 'realisedVolatility', feed: 'ETH/VOL', of: 'ETH/USD', sampleSlots: 5, samples: 10 }],
  listen: { host: '127.0.0.1', port: 0 },
  dataDir: 'data',
  maxClockSkewMs: 2_000,
  proposeFraction: 0.25,
  deadlineFraction: 0.6,
  recording: { maxSegmentBytes: 65_536, maxSegments: 2 },
}

const make = (config: unknown) =>
  createOracleNode({
    config: config as OracleNodeConfigInput,
    networkClock: systemClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger: createLogger({ name: 'test', level: 'silent' }),
    signer: createSigner(keys[0] ?? '0x'),
  })

type Path = readonly (string | number)[]

/** Every place in a value, its containers included. */
function pathsOf(value: unknown, at: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [at]
  return [
    at,
    ...Object.entries(value).flatMap(([key, inner]) =>
      pathsOf(inner, [...at, Array.isArray(value) ? Number(key) : key]),
    ),
  ]
}

/** A copy with another value at a place; undefined takes the field away. */
function changed(value: unknown, [head, ...rest]: Path, to: unknown): unknown {
  if (head === undefined) return to
  const copy = Array.isArray(value) ? [...value] : { ...(value as object) }
  Reflect.set(copy, head, changed(Reflect.get(copy, head), rest, to))
  return to === undefined && rest.length === 0 && !Array.isArray(copy)
    ? Object.fromEntries(Object.entries(copy).filter(([key]) => key !== head))
    : copy
}

const hostile = fc.oneof(
  fc.constantFrom<unknown>(
    undefined,
    null,
    '',
    '\n\u001b[31m',
    '__proto__',
    'constructor',
    -1,
    0,
    0.5,
    1e21,
    2 ** 53,
    Number.MAX_VALUE,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    'http://',
    'http://[::1',
    'file:///etc/passwd',
    `0x${'0'.repeat(64)}`,
    [],
    {},
  ),
  fc.string({ unit: 'binary' }),
  fc.double(),
  fc.integer(),
  fc.jsonValue(),
)

describe('a hostile configuration', () => {
  it('is valid as it stands', () => {
    expect(make(good).listings.length).toBeGreaterThan(0)
  })

  it('is taken or refused in one line that names a field, whatever stands at any place of it', () => {
    const places = pathsOf(good)
    fc.assert(
      fc.property(fc.constantFrom(...places), hostile, (path, value) => {
        expectTakenOrNamed(() => make(changed(good, path, value)))
      }),
      { numRuns: 600 },
    )
  })

  it('names a field that it has too many, whatever its name', () => {
    const objects = pathsOf(good).filter((path) => {
      const value = path.reduce<unknown>((inner, part) => Reflect.get(inner as object, part), good)
      // Clock and network are the manifest's, which may know more than this node.
      const ofManifest = path[0] === 'clock' || path[0] === 'oracle'
      return typeof value === 'object' && value !== null && !Array.isArray(value) && !ofManifest
    })
    fc.assert(
      fc.property(fc.constantFrom(...objects), fc.string({ unit: 'binary', minLength: 1 }), (path, name) => {
        expectTakenOrNamed(() => make(changed(good, [...path, `x${name}`], 1)), true)
      }),
      { numRuns: 200 },
    )
  })
})

it('refuses a signed feed, which nodes cannot publish, in one line', () => {
  const withSign = (signed: boolean) => () => make(changed(good, ['oracle', 'feeds', 1, 'signed'], signed))
  expect(withSign(false)).not.toThrow()
  expect(withSign(true)).toThrow(UserError)
  expect(withSign(true)).toThrow(/^oracle oracle\.feeds\[1\]\.signed: must be absent or false: .+$/)
})

function expectTakenOrNamed(work: () => unknown, refused = false) {
  let error: unknown
  try {
    work()
    expect(refused).toBe(false)
    return
  } catch (caught) {
    error = caught
  }
  if (!(error instanceof UserError)) throw error
  expect(error.field).toMatch(/^(oracle|sources|key|peerKey|accessTokens)\b/)
  // What a terminal would obey isn't repeated to it.
  expect(error.message).not.toMatch(/\p{Cc}/u)
}
