import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createUpdateVerifier } from './accumulator.js'
import { decodeBinance } from './binance.js'
import { createQuoteBook } from './book.js'
import { decodeBybit } from './bybit.js'
import { decodeCoinbase } from './coinbase.js'
import { decimalToWad, parseObject, WAD } from './decimal.js'
import { decodeKraken } from './kraken.js'
import { decodeOkx } from './okx.js'
import { createHermesDecoder, createVaaDecoder, decodeUnread } from './pyth.js'
import { testGuardians } from './pythUpdate.test-util.js'
import { decodeReplay } from './replay.js'
import type { Decoded } from './types.js'

function onlyTick(decoded: Decoded) {
  if (decoded.kind !== 'ticks' || decoded.ticks.length !== 1) throw new Error(`no tick: ${decoded.kind}`)
  return decoded.ticks[0]
}

describe('bybit', () => {
  it('a last trade pushed again goes stale: same lastPrice, ts and cs advance', () => {
    const markets = [{ symbol: 'ETHUSDT', base: 'ETH', quote: 'USDT' }]
    const book = createQuoteBook({ source: 'bybit', kind: 'price', markets, maxClockSkewMs: 2_000 })
    const start = 1_672_304_484_000
    const level = { s: 'ETHUSDT', b: [['199', '1']], a: [['201', '1']], u: 7, seq: 7 }
    const first = { topic: 'orderbook.1.ETHUSDT', type: 'snapshot', ts: start, data: level, cts: start }
    book.take(decodeBybit(JSON.stringify(first)), start)
    for (let nth = 1; nth <= 3; nth++) {
      const ts = start + nth * 1_000
      const data = { symbol: 'ETHUSDT', lastPrice: '200' }
      const ticker = { topic: 'tickers.ETHUSDT', type: 'snapshot', ts, cs: 100 + nth, data }
      book.take(decodeBybit(JSON.stringify(ticker)), ts)
      const same = { ...first, ts, cts: ts, data: { ...level, seq: 7 + nth } }
      book.take(decodeBybit(JSON.stringify(same)), ts)
    }
    expect(book.status().lastEventTime).toBe(start)
    expect(book.quotes()).toMatchObject([{ price: 200n * WAD, confidence: WAD, eventTime: start }])
  })

  it('gives the middle of the first level, answers of the venue, and refuses deltas', () => {
    const data = { s: 'BTCUSDT', b: [['16493.50', '0.006']], a: [['16493.60', '0.029']], u: 18521288, seq: 7 }
    const frame = {
      topic: 'orderbook.1.BTCUSDT',
      type: 'snapshot',
      ts: 1672304484978,
      data,
      cts: 1672304484976,
    }
    const decode = (change: object) => decodeBybit(JSON.stringify({ ...frame, ...change }))
    expect(onlyTick(decode({}))).toEqual({
      symbol: 'BTCUSDT',
      price: 16493550000000000000000n,
      confidence: 50000000000000000n,
      eventTime: 1672304484976,
      sequence: 18521288n,
    })
    expect(decode({ type: 'delta' })).toMatchObject({ reason: 'unexpected_shape' })
    expect(decode({ data: { ...data, b: [] } })).toMatchObject({ reason: 'bad_price' })
    expect(decode({ data: { ...data, b: [['16493.70', '1']] } })).toMatchObject({ reason: 'crossed_book' })
    expect(decode({ cts: undefined })).toMatchObject({ reason: 'bad_time' })
    expect(decode({ topic: 'orderbook.1.ETHUSDT' })).toMatchObject({ reason: 'unexpected_shape' })
    expect(decodeBybit('{"success":true,"ret_msg":"pong","conn_id":"x","op":"ping"}')).toEqual({
      kind: 'control',
    })
    expect(decodeBybit('{"success":false,"ret_msg":"handler not found","op":"subscribe"}')).toMatchObject({
      reason: 'venue_error',
    })
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
      contiguous: true,
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
  const verify = createUpdateVerifier([testGuardians])
  const decodeVaa = createVaaDecoder(verify)
  const decoders = {
    decodeBinance,
    decodeBybit,
    decodeCoinbase,
    decodeKraken,
    decodeOkx,
    decodeReplay,
    decodeHermes: createHermesDecoder(verify),
    decodePriceService: (frame: string) => decodeVaa(parseObject(frame)?.price_feed),
    decodeUnread: (frame: string) => decodeUnread(frame, []),
  }
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
        type: fc.constantFrom('ticker', 'tick', 'heartbeat', 'snapshot', 'price_update'),
        topic: fc.constant('orderbook.1.X'),
        arg: fc.constant({ channel: 'tickers' }),
        bidPx: number,
        askPx: number,
        instId: fc.string(),
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
        cts: fc.oneof(number, fc.constant(1583971200000)),
        data: fc.jsonValue(),
        binary: fc.record({ encoding: fc.constantFrom('hex', 'base64'), data: fc.array(fc.base64String()) }),
        price_feed: fc.oneof(fc.base64String(), fc.jsonValue()),
      })
      .chain((value) =>
        fc
          .constantFrom([value], {
            ...value,
            s: 'X',
            b: [[value.b]],
            a: [[value.a]],
          })
          .map((data) => JSON.stringify({ ...value, data })),
      ),
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
