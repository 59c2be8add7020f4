import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBinance } from './binance.js'
import { decodeCoinbase } from './coinbase.js'
import { decimalToWad, WAD } from './decimal.js'
import { decodeKraken } from './kraken.js'
import { decodeHermes, decodePythPrice } from './pyth.js'
import { decodeReplay } from './replay.js'
import type { Decoded } from './types.js'

const repository = join(dirname(fileURLToPath(import.meta.url)), '../../../..')
const fixtures = join(process.env.CLEARSPAN_SHARED ?? join(repository, '../shared'), 'fixtures')
const present = existsSync(fixtures)
if (!present) {
  if (process.env.CI === 'true') throw new Error(`no fixtures at ${fixtures}: set CLEARSPAN_SHARED`)
  console.warn(`skipped: golden frames of venues, because ${fixtures} is absent (set CLEARSPAN_SHARED)`)
}
const fixture = (name: string) => JSON.parse(readFileSync(join(fixtures, name), 'utf8'))
const frames = (list: { raw: string }[]) => list.map(({ raw }) => raw)

function onlyTick(decoded: Decoded) {
  if (decoded.kind !== 'ticks' || decoded.ticks.length !== 1) throw new Error(`no tick: ${decoded.kind}`)
  return decoded.ticks[0]
}

describe.skipIf(!present)('frames as venues sent them', () => {
  it('binance: trades are prices, the book only their spread', () => {
    const { aggTrade, bookTicker, kline } = fixture('ws_captured.json').binance
    expect(frames(aggTrade).map(decodeBinance)).toEqual([
      {
        kind: 'ticks',
        ticks: [
          {
            symbol: 'NKNUSDT',
            price: 352800000000000000n,
            confidence: null,
            eventTime: 1633998523963,
            sequence: 15683430n,
          },
        ],
      },
      {
        kind: 'ticks',
        ticks: [
          {
            symbol: 'LRCBTC',
            price: 6380000000000n,
            confidence: null,
            eventTime: 1633998534486,
            sequence: 9213679n,
          },
        ],
      },
    ])
    const books = frames(bookTicker).map(decodeBinance)
    expect(books[0]).toEqual({ kind: 'spread', symbol: 'NKNUSDT', halfSpread: 250000000000000n })
    expect(new Set(books.map(({ kind }) => kind))).toEqual(new Set(['spread']))
    for (const frame of frames(kline)) {
      expect(decodeBinance(frame)).toEqual({ kind: 'rejected', reason: 'unexpected_shape' })
    }
  })

  it('coinbase: the middle of the book, with its time', () => {
    const { ticker, control, match } = fixture('ws_captured.json').coinbase
    expect(onlyTick(decodeCoinbase(frames(ticker)[0] ?? ''))).toEqual({
      symbol: 'BAND-GBP',
      price: 14780500000000000000n,
      confidence: 25500000000000000n,
      eventTime: Date.parse('2021-04-17T16:43:30.244Z'),
      sequence: 333938798n,
    })
    for (const frame of frames(ticker)) {
      const sent = JSON.parse(frame)
      const tick = onlyTick(decodeCoinbase(frame))
      expect(tick?.symbol).toBe(sent.product_id)
      expect(tick?.price).toBeLessThanOrEqual(decimalToWad(sent.best_ask) ?? 0n)
      expect(tick?.price).toBeGreaterThanOrEqual(decimalToWad(sent.best_bid) ?? 0n)
    }
    expect(frames(control).map(decodeCoinbase)).toEqual([{ kind: 'control' }])
    expect(decodeCoinbase(frames(match)[0] ?? '').kind).toBe('rejected')
  })

  it('kraken: a v2 snapshot; a v1 frame is no v2 frame', () => {
    const { sample } = fixture('ws_current_shapes.json').kraken_v2
    expect(onlyTick(decodeKraken(JSON.stringify(sample)))).toEqual({
      symbol: 'BTC/USD',
      price: 105944250000000000000000n,
      confidence: 50000000000000000n,
      eventTime: Date.parse('2022-12-25T09:30:59.123Z'),
      sequence: null,
    })
    for (const frame of frames(fixture('ws_captured.json').kraken_v1.ticker)) {
      expect(decodeKraken(frame).kind).toBe('rejected')
    }
  })

  it('pyth: Hermes events and Price Service objects, prices to the last digit', () => {
    const verbatim = fixture('pyth_hermes_v2_verbatim.json')
    expect(onlyTick(decodeHermes(JSON.stringify(verbatim.sse_v2_updates_price_stream[0])))).toEqual({
      symbol: 'e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43',
      price: 61632600000000000000000n,
      confidence: 32685480790000000000n,
      eventTime: 1714748300000,
      sequence: 138886134n,
    })
    expect(decodeHermes(JSON.stringify(verbatim.response_v2_updates_price_latest))).toMatchObject({
      kind: 'ticks',
      ticks: [{ price: 61409935010000000000000n }, {}],
    })
    for (const update of fixture('pyth_hermes_v2_updates.json').updates) {
      expect(decodeHermes(JSON.stringify(update))).toMatchObject({ kind: 'ticks' })
    }
    for (const [feed] of fixture('pyth_price_service_v1.json').latest_price_feeds) {
      expect(decodePythPrice(feed)).toMatchObject({
        symbol: feed.id,
        eventTime: feed.price.publish_time * 1000,
      })
    }
    // Random bytes that someone signed with a test key: exponent −479473253, negative price and time.
    const [hostile] = fixture('pyth_negative.json').updates
    expect(decodeHermes(JSON.stringify(hostile))).toEqual({ kind: 'rejected', reason: 'bad_price' })
  })
})

describe('replay', () => {
  it('reads ticks, and nothing with a wrong price or time', () => {
    const frame = { type: 'tick', symbol: 'BTC-USD', price: '5301.14', ts: 1583712000000, seq: 1 }
    expect(onlyTick(decodeReplay(JSON.stringify(frame)))).toEqual({
      symbol: 'BTC-USD',
      price: 5301140000000000000000n,
      confidence: null,
      eventTime: 1583712000000,
      sequence: 1n,
    })
    const reason = (change: object) => {
      const decoded = decodeReplay(JSON.stringify({ ...frame, ...change }))
      return decoded.kind === 'rejected' ? decoded.reason : decoded.kind
    }
    for (const price of ['', '0', '-1', 'NaN', 'Infinity', '1e400', '0x10', null, 5301.14, '9'.repeat(40)]) {
      expect(reason({ price })).toBe('bad_price')
    }
    for (const ts of [0, -1, 1.5, '1583712000000', 2 ** 60, null]) expect(reason({ ts })).toBe('bad_time')
    expect(reason({ symbol: 5 })).toBe('unexpected_shape')
    expect(reason({ type: 'error' })).toBe('venue_error')
  })
})

describe('every decoder', () => {
  const decoders = { decodeBinance, decodeCoinbase, decodeKraken, decodeHermes, decodeReplay }
  const number = fc.oneof(
    fc.double().map(String),
    fc.integer().map(String),
    fc.constant('1e-7'),
    fc.jsonValue(),
  )
  const field = {
    bid: number,
    ask: number,
    best_bid: number,
    best_ask: number,
    b: number,
    a: number,
    p: number,
  }
  const hostile = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .record({
        ...field,
        type: fc.constantFrom('ticker', 'tick', 'heartbeat'),
        e: fc.constantFrom('aggTrade', undefined),
        u: fc.nat(),
        s: fc.string(),
        symbol: fc.string(),
        product_id: fc.string(),
        channel: fc.constantFrom('ticker', 'status'),
        price: number,
        time: fc.oneof(number, fc.constant('2020-03-12T00:00:00.5Z')),
        timestamp: fc.oneof(number, fc.constant('2020-03-12T00:00:00.123456Z')),
        T: fc.oneof(number, fc.constant(1583971200000)),
        ts: fc.oneof(number, fc.constant(1583971200000)),
        data: fc.jsonValue(),
        parsed: fc.array(
          fc.record({
            id: fc.constant('ff'.repeat(32)),
            price: fc.record({
              price: number,
              conf: number,
              expo: fc.oneof(fc.integer(), fc.constant(-8)),
              publish_time: fc.oneof(fc.integer(), fc.double()),
            }),
          }),
          { maxLength: 3 },
        ),
      })
      .map((value) => JSON.stringify({ ...value, data: [value] })),
  )

  it.each(Object.entries(decoders))('%s never throws, and yields only sound ticks', (_, decode) => {
    fc.assert(
      fc.property(hostile, (frame) => {
        const decoded = decode(frame)
        if (decoded.kind !== 'ticks') return
        for (const tick of decoded.ticks) {
          expect(tick.price > 0n).toBe(true)
          expect(tick.confidence === null || tick.confidence >= 0n).toBe(true)
          expect(Number.isSafeInteger(tick.eventTime) && tick.eventTime > 0).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('reads decimals exactly', () => {
    expect(decimalToWad('1')).toBe(WAD)
    expect(decimalToWad(1e-7)).toBe(WAD / 10n ** 7n)
    expect(decimalToWad('0.0000000000000000019')).toBe(1n)
    expect(decimalToWad('-2.5')).toBe((-5n * WAD) / 2n)
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 30n }), (value) => {
        const text = value.toString().padStart(19, '0')
        expect(decimalToWad(`${text.slice(0, -18)}.${text.slice(-18)}`)).toBe(value)
      }),
    )
  })
})
