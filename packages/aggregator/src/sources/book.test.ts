import { describe, expect, it } from 'vitest'
import { createQuoteBook } from './book.js'
import { WAD } from './decimal.js'
import type { Decoded } from './types.js'

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

  it('follows a venue whose sequence began anew', () => {
    const book = make()
    book.take(tick(1_000, { sequence: 900n }), 1_000)
    book.take(tick(1_001, { sequence: 1n }), 1_001)
    expect(book.quotes()[0]?.sequence).toBe(1n)
  })
})
