import { describe, expect, it } from 'vitest'
import { type BookEvent, createQuoteBook } from './book.js'
import { WAD } from './decimal.js'
import type { Decoded, Skipped } from './types.js'

const markets = [{ symbol: 'ETHUSDT', base: 'ETH', quote: 'USDT' }]
const make = () => createQuoteBook({ source: 'binance', kind: 'price', markets, maxClockSkewMs: 2_000 })
const tick = (eventTime: number, change: object = {}): Decoded => ({
  kind: 'ticks',
  ticks: [{ symbol: 'ETHUSDT', price: 200n * WAD, confidence: null, eventTime, sequence: null, ...change }],
})

describe('the newest quotes of a source', () => {
  it('keeps event time and receive time apart, and no heartbeat refreshes either', () => {
    const book = make()
    book.take(tick(1_000), 1_500)
    book.take({ kind: 'control' }, 90_000)
    expect(book.quotes()).toMatchObject([{ eventTime: 1_000, receiveTime: 1_500 }])
    expect(book.status()).toMatchObject({ lastEventTime: 1_000, lastFrameTime: 90_000, quotes: 1 })
  })

  it('gives a trade the spread of the book before it', () => {
    const book = make()
    book.take(tick(1_000), 1_000)
    expect(book.quotes()[0]?.confidence).toBe(0n)
    book.take({ kind: 'spread', symbol: 'ETHUSDT', halfSpread: 7n }, 1_001)
    book.take(tick(1_001), 1_001)
    expect(book.quotes()[0]?.confidence).toBe(7n)
  })

  it('drops and counts what is from the future, out of order or of no known market', () => {
    const book = make()
    book.take(tick(10_000, { sequence: 5n }), 10_000)
    book.take(tick(12_001), 10_000)
    book.take(tick(9_999), 10_000)
    book.take(tick(10_000, { sequence: 4n }), 10_000)
    book.take(tick(10_000, { symbol: 'BTCUSDT' }), 10_000)
    book.take({ kind: 'spread', symbol: 'BTCUSDT', halfSpread: 1n }, 10_000)
    book.take({ kind: 'rejected', reason: 'crossed_book' }, 10_000)
    expect(book.quotes()).toHaveLength(1)
    expect(book.status().rejected).toEqual({ future: 1, out_of_order: 2, unknown_symbol: 2, crossed_book: 1 })
    book.take(tick(12_000), 10_000)
    expect(book.quotes()[0]?.eventTime).toBe(12_000)
  })

  it.each([
    ['from the future', 12_001, 'future'],
    ['out of order', 9_999, 'out_of_order'],
  ])('a tick %s is no gap: the next in sequence is taken', (_, eventTime, reason) => {
    const book = make()
    const counted = (at: number, sequence: bigint) => tick(at, { sequence, contiguous: true })
    book.take(counted(10_000, 5n), 10_000)
    expect(book.take(counted(eventTime, 6n), 10_000)).toBe('nothing')
    expect(book.take(counted(10_001, 7n), 10_001)).toBe('priced')
    expect(book.quotes()).toMatchObject([{ eventTime: 10_001, sequence: 7n }])
    expect(book.status().rejected).toEqual({ [reason]: 1 })
    expect(book.take(counted(13_000, 9n), 10_002)).toBe('gap')
    expect(book.quotes()).toEqual([])
  })

  it('counts and tells of a skipped message by its symbol, takes its neighbours, and withdraws nothing', () => {
    const events: BookEvent[] = []
    const book = createQuoteBook({
      ...{ source: 'hermes', kind: 'price', markets, maxClockSkewMs: 2_000 },
      onEvent: (event) => events.push(event),
    })
    book.take(tick(1_000), 1_000)
    const [quote] = book.quotes()
    const skip = (symbol: string): Skipped => ({ kind: 'skipped', symbol, reason: 'bad_price' })
    expect(book.take({ kind: 'ticks', ticks: [], skipped: [skip('ETHUSDT')] }, 1_001)).toBe('nothing')
    expect(book.quotes()).toEqual([quote])
    expect(book.take({ ...tick(1_002), skipped: [skip('BTCUSDT')] } as Decoded, 1_002)).toBe('priced')
    expect(book.quotes()).toMatchObject([{ eventTime: 1_002 }])
    expect(book.status().rejected).toEqual({ bad_price: 2 })
    expect(events.filter(({ kind }) => kind === 'told')).toEqual([
      { kind: 'told', decoded: skip('ETHUSDT'), now: 1_001, reason: 'bad_price' },
      { kind: 'told', decoded: skip('BTCUSDT'), now: 1_002, reason: 'bad_price' },
    ])
  })

  it('a slow source repeats itself, and what it withdraws is gone', () => {
    const book = createQuoteBook({ source: 'chainlink', kind: 'bound', markets, maxClockSkewMs: 2_000 })
    book.take(tick(1_000, { expiresAt: 5_000 }), 1_000)
    book.take(tick(1_000, { expiresAt: 5_000 }), 2_000)
    expect(book.quotes()).toMatchObject([
      { kind: 'bound', expiresAt: 5_000, eventTime: 1_000, receiveTime: 2_000 },
    ])
    book.take({ kind: 'rejected', reason: 'pinned_answer', symbol: 'ETHUSDT' }, 3_000)
    expect(book.quotes()).toEqual([])
    expect(book.status().rejected).toEqual({ pinned_answer: 1 })
  })

  describe('a slow source', () => {
    const HOLDS_MS = 3_600_000
    const bound = (eventTime: number, price: bigint): Decoded =>
      tick(eventTime, { price, expiresAt: eventTime + HOLDS_MS })
    const after = (from: bigint, to: bigint, laterMs: number) => {
      const book = createQuoteBook({ source: 'chainlink', kind: 'bound', markets, maxClockSkewMs: 2_000 })
      book.take(bound(1_000, from), 1_000)
      book.take(bound(1_000 + laterMs, to), 1_000 + laterMs)
      return { price: book.quotes()[0]?.price, rejected: book.status().rejected }
    }
    const slips = {
      'ten times': [1n, 10n],
      'a millionth': [10n ** 6n, 1n],
      'ten digits more': [1n, 10n ** 10n],
    }

    it.each(Object.entries(slips))(
      'that says %s of what it said has slipped, while that holds',
      (_, [from = 0n, to = 0n]) => {
        // The market may have moved by a few percent meanwhile.
        for (const drift of [91n, 100n, 109n]) {
          const [before, next] = [200n * WAD * from, 2n * WAD * to * drift]
          const slip = { price: before, rejected: { decimal_slip: 1 } }
          expect(after(before, next, HOLDS_MS - 1)).toEqual(slip)
          expect(after(before, next, HOLDS_MS)).toEqual({ price: next, rejected: {} })
        }
      },
    )

    it.each([2n, 8n, 12n, 50n, 1_200n])(
      'that moves by %s has moved: that is what a bound is for',
      (factor) => {
        expect(after(WAD, WAD * factor, 1_000)).toEqual({ price: WAD * factor, rejected: {} })
        expect(after(WAD * factor, WAD, 1_000)).toEqual({ price: WAD, rejected: {} })
      },
    )
  })

  it('follows a venue whose sequence began anew', () => {
    const book = make()
    book.take(tick(1_000, { sequence: 900n }), 1_000)
    book.take(tick(1_001, { sequence: 1n }), 1_001)
    expect(book.quotes()[0]?.sequence).toBe(1n)
  })
})
