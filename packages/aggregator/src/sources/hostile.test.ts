import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { createUpdateVerifier } from './accumulator.js'
import { binance } from './binance.js'
import { createQuoteBook } from './book.js'
import { bybit } from './bybit.js'
import { coinbase } from './coinbase.js'
import { asObject, parseObject, WAD } from './decimal.js'
import { type Hostile, heavy, hostile, spoil } from './hostile.test-util.js'
import type { Source, SourceStatus } from './index.js'
import { kraken } from './kraken.js'
import { okx } from './okx.js'
import { feedOf, poolOf, readOnChain, round, START, soon, tickOf } from './onchain.test-util.js'
import { createHermesDecoder, createVaaDecoder, decodeUnread } from './pyth.js'
import { testGuardians } from './pythUpdate.test-util.js'
import { replay } from './replay.js'
import { startRpc } from './rpc.test-util.js'
import type { Decoder, Quote } from './types.js'
import { connectSource, createCleanups, startVenue } from './venue.test-util.js'
import { PYTH_ID, type StreamName, wires } from './wires.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

const verify = createUpdateVerifier([testGuardians])
const decodeVaa = createVaaDecoder(verify)
const decoders: Record<StreamName, Decoder> = {
  binance: binance.decode,
  bybit: bybit.decode,
  coinbase: coinbase.decode,
  kraken: kraken.decode,
  okx: okx.decode,
  replay: replay.decode,
  hermes: createHermesDecoder(verify),
  'price-service': (frame) => {
    const vaa = asObject(parseObject(frame)?.price_feed)?.vaa
    return vaa === undefined ? decodeUnread(frame, [PYTH_ID]) : decodeVaa(vaa)
  },
}
const streams = Object.keys(wires) as StreamName[]

const counted = ({ rejected }: SourceStatus) => Object.values(rejected).reduce((sum, count) => sum + count, 0)

function expectSound(quotes: readonly Quote[]) {
  for (const { price, confidence, eventTime, expiresAt } of quotes) {
    expect(price > 0n && confidence >= 0n).toBe(true)
    expect(Number.isSafeInteger(eventTime) && eventTime > 0).toBe(true)
    expect(expiresAt === null || Number.isSafeInteger(expiresAt)).toBe(true)
  }
}

describe.each(streams)('any frame of %s', (adapter) => {
  const { tick, symbol } = wires[adapter]
  const decode = decoders[adapter]
  const at = START * 1_000
  /** So long after that nothing before it makes it doubtful. */
  const later = at + 3_600_000
  const [first, second] = [tick(200, at, 11), tick(201, later, 12)]

  function take(how: Hostile) {
    const markets = [{ symbol, base: 'ETH', quote: 'USD' }]
    const book = createQuoteBook({ source: adapter, kind: 'price', markets, maxClockSkewMs: 2_000 })
    book.setConnected(true)
    book.take(decode(first), at)
    const before = book.status()
    expect(before).toMatchObject({ quotes: 1, rejected: {} })
    const decoded = decode(spoil(first, how))
    book.take(decoded, at + 1_000)
    expectSound(book.quotes())
    const after = book.status()
    const heard = ['control', 'heartbeat', 'spread'].includes(decoded.kind)
    expect(heard || counted(after) + after.quotes > counted(before) + before.quotes).toBe(true)
    // As after a gap that it made one believe in.
    book.setConnected(false)
    book.setConnected(true)
    expect(book.take(decode(second), later)).toBe('priced')
    expect(book.quotes()).toMatchObject([{ price: 201n * WAD, eventTime: later }])
  }

  it('is a sound price or a named refusal, and the next good one counts', () => {
    fc.assert(fc.property(hostile, take), { numRuns: 150 })
    for (const how of heavy) take(how)
  })
})

/** The same few on the wire, every time. */
const [few, fewer] = [40, 20].map((numRuns) => [
  ...fc.sample(hostile, { numRuns, seed: 3 }),
  ...heavy.slice(0, 4),
])

describe.each(streams)('%s on the wire', (adapter) => {
  it('survives whatever is sent, text or bytes', async () => {
    const { tick, symbol, scheme } = wires[adapter]
    let now = START * 1_000
    const venue = await startVenue(cleanups)
    const source = connectSource(cleanups, {
      ...{ adapter, url: `${scheme}://${venue.host}`, markets: [{ symbol, base: 'ETH', quote: 'USD' }] },
      networkClock: { now: () => now, sleep: () => new Promise(() => {}) },
    })
    await venue.subscribed(1)
    const send = (frame: string | Buffer) => venue.clients.at(-1)?.send(frame)
    for (const how of few ?? []) {
      const frame = spoil(tick(200, now, 11), how)
      send(frame)
      send(Buffer.from(frame, 'latin1'))
    }
    send(Buffer.from([0xff, 0xfe, 0, 10, 13, 10, 0xc0]))
    // A connection may have ended by it; and what came of it may be doubtful for a while.
    now += 3_600_000
    let nth = 20
    await vi.waitFor(
      () => {
        send(tick(201, now, nth++))
        expect(source.quotes()).toMatchObject([{ price: 201n * WAD }])
      },
      { timeout: 10_000 },
    )
    expectSound(source.quotes())
    expect(counted(source.status())).toBeGreaterThan(0)
  })
})

describe.each(['chainlink', 'uniswap-v3'] as const)('any answer of an RPC to %s', (adapter) => {
  it('is a sound price or a named refusal, and the next good one counts', async () => {
    const rpc = await startRpc(cleanups)
    let nth = 0
    const mine = () => {
      nth += 1
      const at = START + nth * 7_200
      const contracts = { ...feedOf(round(nth, 20_000_000_000n + BigInt(nth), at)), ...poolOf(tickOf(200)) }
      rpc.mine({ number: BigInt(nth), timestamp: BigInt(at), contracts })
      return at * 1_000
    }
    const priced = async (source: Source, eventTime: number) =>
      soon(() => expect(source.quotes()).toMatchObject([{ eventTime }]))
    const first = mine()
    const { source, time } = readOnChain(cleanups, { adapter, url: rpc.url })
    time.now = first
    await priced(source, first)
    for (const [which, how] of (fewer ?? []).entries()) {
      const before = source.status()
      // One after another of the calls that a reading makes.
      let left = which % 8
      let spoilt = false
      rpc.spoil = (text) => {
        if (left-- > 0 || spoilt) return text
        spoilt = true
        return spoil(text, how)
      }
      const eventTime = mine()
      time.now = eventTime
      await soon(() => expect(spoilt).toBe(true))
      await priced(source, eventTime)
      expectSound(source.quotes())
      const after = source.status()
      expect(counted(after) + after.quotes).toBeGreaterThan(counted(before) + before.quotes)
    }
    expect(counted(source.status())).toBeGreaterThan(0)
  })
})
