import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { BookEvent } from '../sources/book.js'
import { createLineReader, createLineWriter } from './lines.js'
import { createRows } from './rows.js'

const sources = ['a', 'b', 'c'].map((id) => ({
  id,
  tags: [id],
  markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
}))

describe('rows of a segment', () => {
  const { encode, decode } = createRows({ sources })
  const now = 1_700_000_000_000
  const anyTime = fc.oneof(
    fc.integer({ min: 0, max: 2 * now }),
    fc.double().map((ms) => ms + 0),
  )
  const wad = fc.bigInt({ min: -(10n ** 60n), max: 10n ** 60n })
  const symbol = fc.oneof(fc.constant('ETH-USD'), fc.string({ maxLength: 60 }))
  const reason = fc.constantFrom(null, 'duplicate' as const, 'future' as const)
  const sequence = fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n })

  const event: fc.Arbitrary<BookEvent> = fc.oneof(
    fc.record({ kind: fc.constant('connection' as const), connected: fc.boolean() }),
    fc.record({
      kind: fc.constant('tick' as const),
      now: anyTime,
      reason,
      tick: fc.record(
        {
          symbol,
          price: fc.bigInt({ min: 1n, max: 10n ** 60n }),
          confidence: fc.option(wad),
          eventTime: anyTime,
          sequence: fc.option(sequence),
          contiguous: fc.constant<true>(true),
          expiresAt: anyTime,
        },
        { requiredKeys: ['symbol', 'price', 'confidence', 'eventTime', 'sequence'] },
      ),
    }),
    fc.record({
      kind: fc.constant('told' as const),
      now: anyTime,
      reason,
      decoded: fc.oneof(
        fc.record({ kind: fc.constant('spread' as const), symbol, halfSpread: wad }),
        fc.record({ kind: fc.constant('heartbeat' as const), symbol, sequence }),
      ),
    }),
    fc
      .record(
        { symbol, reason: fc.constantFrom('malformed' as const, 'stale' as const) },
        { requiredKeys: ['reason'] },
      )
      .map((decoded) => ({
        kind: 'told' as const,
        now,
        reason: decoded.reason,
        decoded: { kind: 'rejected' as const, ...decoded },
      })),
    symbol.map((about) => ({
      kind: 'told' as const,
      now,
      reason: 'bad_price' as const,
      decoded: { kind: 'skipped' as const, symbol: about, reason: 'bad_price' as const },
    })),
  )

  it('say everything that a venue can say, whatever it is', () => {
    fc.assert(
      fc.property(fc.constantFrom('a', 'c'), event, fc.integer({ min: 0, max: now }), (source, told, at) => {
        const line = createLineReader()(createLineWriter()([encode(source, told, at)]).trimEnd())
        expect(decode((line as unknown[])[0], at)).toEqual({ source, event: told })
      }),
      { numRuns: 300 },
    )
  })

  it.each(['0', '0.000', '-1', '1e3', ''])('refuse a price of "%s"', (price) => {
    expect(() => decode([0, 0, 0, 0, price, null, null, null], now)).toThrow('is no row of a segment')
  })

  it('cut only the symbol that no market has', () => {
    const tick = { symbol: 'x'.repeat(1 << 20), price: 1n, confidence: null, eventTime: now, sequence: null }
    const row = encode('a', { kind: 'tick', tick, now, reason: 'unknown_symbol' }, now)
    expect(JSON.stringify(row).length).toBeLessThan(200)
  })
})

it('a text that looks like a big number stays one', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.bigInt(), fc.stringMatching(/^~{0,2}-?\d{1,3}n?$/))), (values) => {
      expect(createLineReader()(createLineWriter()(values).trimEnd())).toEqual(values)
    }),
  )
})
