import { concatHex, type Hex, keccak256, numberToHex, slice, toHex } from 'viem'
import { describe, expect, it } from 'vitest'
import { PermanentError } from './errors.js'
import {
  type CountersMessage,
  decodeCounters,
  decodeReleases,
  encodeCounters,
  encodeReleases,
  type ReleasesMessage,
} from './messages.js'

const word = (name: string) => keccak256(toHex(name))
const address = (name: string) => slice(word(name), 0, 20)
const MAX = 2n ** 128n - 1n

/** Any amount up to u128, from a name. */
const amount = (name: string) => BigInt(slice(word(name), 0, 16))

function counters(nTokens: number, nRows: number): CountersMessage {
  return {
    epoch: nTokens + 7,
    time: BigInt(slice(word(`time${nRows}`), 0, 8)),
    tokens: Array.from({ length: nTokens }, (_, i) => ({
      token: address(`token${i}`),
      totalIn: i === 0 ? MAX : amount(`in${i}`),
      totalOut: amount(`out${i}`),
      shortfall: i === 0 ? 0n : amount(`short${i}`),
    })),
    rows: Array.from({ length: nRows }, (_, i) => ({
      account: word(`account${i}`),
      tokenIndex: i % nTokens,
      depositedIn: amount(`deposit${i}`),
    })),
  }
}

function releases(nTokens: number, nRows: number): ReleasesMessage {
  return {
    epoch: nTokens + 9,
    time: BigInt(nRows),
    tokens: Array.from({ length: nTokens }, (_, i) => ({
      token: address(`token${i}`),
      epoch: 1 + i * 0x01_00_00_00,
      creditedTotal: amount(`credit${i}`),
    })),
    rows: Array.from({ length: nRows }, (_, i) => ({
      account: word(`account${i}`),
      recipient: address(`recipient${i}`),
      tokenIndex: i % nTokens,
      released: amount(`release${i}`),
    })),
  }
}

const shapes = [
  [0, 0],
  [1, 0],
  [1, 1],
  [3, 5],
  [16, 48],
] as const

const lower = (message: unknown) =>
  JSON.parse(
    JSON.stringify(message, (_, v) => (typeof v === 'bigint' ? toHex(v) : v)),
    (_, v) => (typeof v === 'string' ? v.toLowerCase() : v),
  )

describe('counter messages', () => {
  it('survive a round trip in every shape', () => {
    for (const [nTokens, nRows] of shapes) {
      const counter = counters(nTokens, nRows)
      expect(lower(decodeCounters(encodeCounters(counter)))).toEqual(lower(counter))
      const release = releases(nTokens, nRows)
      expect(lower(decodeReleases(encodeReleases(release)))).toEqual(lower(release))
    }
  })

  it('write an address alike in either case', () => {
    const message = counters(1, 1)
    const decoded = decodeCounters(encodeCounters(message))
    expect(decoded.tokens[0]?.token).not.toBe(message.tokens[0]?.token)
    expect(encodeCounters(decoded)).toBe(encodeCounters(message))
  })

  // The contracts' test decodes and re-encodes these: one file, written here, proves that the twins agree.
  it('are the vectors that the contracts are tested on', async () => {
    const hex = (message: CountersMessage | ReleasesMessage, encoded: Hex) => ({
      epoch: message.epoch,
      time: numberToHex(message.time),
      tokens: message.tokens.length,
      rows: message.rows.length,
      encoded,
    })
    const vectors = {
      counters: shapes.map(([t, r]) => hex(counters(t, r), encodeCounters(counters(t, r)))),
      releases: shapes.map(([t, r]) => hex(releases(t, r), encodeReleases(releases(t, r)))),
    }
    await expect(`${JSON.stringify(vectors, null, 2)}\n`).toMatchFileSnapshot(
      '../../contracts/test/fixtures/messages.json',
    )
  })

  it('are refused when malformed, with a reason', () => {
    const good = encodeCounters(counters(2, 3))
    const release = encodeReleases(releases(2, 3))
    const bad: [Hex, string][] = [
      ['0x', 'too short'],
      [slice(good, 0, 16), 'too short'],
      [slice(good, 0, 40), 'too short for 2 tokens'],
      [slice(good, 0, -1), 'hold 2 tokens and 3 rows'],
      [concatHex([good, '0x00']), 'hold 2 tokens and 3 rows'],
      [concatHex(['0x02', slice(good, 1)]), 'unknown version 2'],
      [release, 'kind 2, not 1'],
    ]
    for (const [message, reason] of bad) {
      expect(() => decodeCounters(message)).toThrow(PermanentError)
      expect(() => decodeCounters(message)).toThrow(reason)
    }
    expect(() => decodeReleases(good)).toThrow('kind 1, not 2')
    const wild = counters(2, 3)
    wild.rows.push({ account: word('wild'), tokenIndex: 2, depositedIn: 1n })
    expect(() => decodeCounters(encodeCounters(wild))).toThrow('row 3 names token 2 of 2')
  })

  it('cannot be encoded out of bounds', () => {
    const message = counters(1, 1)
    expect(() =>
      encodeCounters({ ...message, rows: [{ account: word('a'), tokenIndex: 0, depositedIn: MAX + 1n }] }),
    ).toThrow()
    expect(() =>
      encodeCounters({ ...message, rows: [{ account: '0x01', tokenIndex: 0, depositedIn: 1n }] }),
    ).toThrow(PermanentError)
  })
})
