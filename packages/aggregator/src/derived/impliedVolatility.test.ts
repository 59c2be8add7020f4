import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wad } from '../aggregation/scene.test-util.js'
import { WAD } from '../sources/decimal.js'
import { black76 } from './black76.js'
import { ONE, squareRoot } from './fixedPoint.js'
import { impliedVolatility, type OptionMark, YEAR_MS } from './impliedVolatility.js'
import { type OptionVenueName, optionVenues } from './optionMarks.js'

const NOW = Date.UTC(2026, 0, 1)
const DAY = 86_400_000
const UP = ONE / WAD

/** What an option is worth at a volatility (WAD). */
function mark(
  type: OptionMark['type'],
  days: number,
  strike: bigint,
  sigma: bigint,
  forward = 3_000n * WAD,
): OptionMark {
  const deviation = squareRoot((sigma * UP * sigma * UP * BigInt(days * DAY)) / YEAR_MS / ONE)
  const value = black76({ type, forward: forward * UP, strike: strike * UP }, deviation)
  return { type, expiry: NOW + days * DAY, strike, forward, mark: value / UP }
}
/** Calls and puts at strikes around 3,000. */
const surface = (days: number, sigma: string, forward = 3_000n * WAD) =>
  [2_600n, 2_800n, 2_950n, 3_100n, 3_300n].flatMap((strike) =>
    (['call', 'put'] as const).map((type) => mark(type, days, strike * WAD, wad(sigma), forward)),
  )

function expectVolatility(marks: OptionMark[], days: number, expected: number) {
  const value = impliedVolatility(marks, NOW, days * DAY)
  if (value === null) throw new Error('no volatility')
  expect(Number(value) / 1e18).toBeCloseTo(expected, 8)
}

describe('implied volatility', () => {
  it('of a flat surface is its volatility, whatever the horizon', () => {
    const marks = [...surface(7, '0.6'), ...surface(35, '0.6'), ...surface(90, '0.6')]
    for (const days of [3, 7, 30, 60, 365]) expectVolatility(marks, days, 0.6)
  })

  it('interpolates variance between the expiries around the horizon', () => {
    const marks = [...surface(10, '0.8'), ...surface(50, '0.5'), ...surface(100, '2')]
    const variance = 0.64 * 10 + ((0.25 * 50 - 0.64 * 10) * 20) / 40
    expectVolatility(marks, 30, Math.sqrt(variance / 30))
    expectVolatility(marks, 5, 0.8)
    expectVolatility(marks, 200, 2)
  })

  it('interpolates between the strikes around the forward', () => {
    const marks = [mark('put', 30, 2_950n * WAD, wad('0.5')), mark('call', 30, 3_100n * WAD, wad('0.8'))]
    expectVolatility(marks, 30, 0.6)
  })

  it('leaves out what ends within a day, and expiries whose marks make no sense', () => {
    const broken = surface(20, '0.6').map((one) => ({ ...one, mark: 10n * one.forward }))
    expectVolatility([...surface(1, '9'), ...broken, ...surface(40, '0.7')], 30, 0.7)
    expect(impliedVolatility([], NOW, 30 * DAY)).toBeNull()
    expect(impliedVolatility(broken, NOW, 30 * DAY)).toBeNull()
    expect(impliedVolatility(surface(1, '0.6'), NOW, 30 * DAY)).toBeNull()
    const oneSided = surface(30, '0.6').filter(({ type }) => type === 'put')
    expect(impliedVolatility(oneSided, NOW, 30 * DAY)).toBeNull()
  })

  it('is the same in any order of marks', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: WAD / 5n, max: 3n * WAD }),
        fc.bigInt({ min: 2_900n, max: 3_150n }),
        fc.infiniteStream(fc.nat()),
        (sigma, forward, keys) => {
          const marks = [10, 60].flatMap((days) => surface(days, `${Number(sigma) / 1e18}`, forward * WAD))
          const shuffled = marks
            .map((one) => ({ one, key: keys.next().value }))
            .toSorted((a, b) => a.key - b.key)
            .map(({ one }) => one)
          const value = impliedVolatility(marks, NOW, 30 * DAY)
          expect(impliedVolatility(shuffled, NOW, 30 * DAY)).toBe(value)
          expect(Number(value ?? 0n) / Number(sigma)).toBeCloseTo(1, 6)
        },
      ),
      { numRuns: 20 },
    )
  })
})

describe('option marks', () => {
  const expected = {
    expiry: Date.UTC(2026, 2, 27, 8),
    strike: wad('3500'),
    type: 'call',
    forward: wad('3200.5'),
    mark: wad('160.025'),
  }
  const bodies: Record<OptionVenueName, Record<string, unknown>> = {
    deribit: {
      jsonrpc: '2.0',
      usOut: 1_700_000_000_000_999,
      result: [
        { instrument_name: 'ETH-27MAR26-3500-C', mark_price: 0.05, underlying_price: 3200.5, mark_iv: 60 },
        { instrument_name: 'ETH-27MAR26-9000-C', mark_price: 0, underlying_price: 3200.5 },
        { instrument_name: 'ETH-27MAR26-9500-C', mark_price: null, underlying_price: 3200.5 },
      ],
    },
    bybit: {
      retCode: 0,
      time: 1_700_000_000_000,
      result: {
        list: [{ symbol: 'ETH-27MAR26-3500-C-USDT', markPrice: '160.025', underlyingPrice: '3200.5' }],
      },
    },
    plain: {
      time: 1_700_000_000_000,
      options: [{ name: 'ETH-27MAR26-3500-C', mark: '160.025', forward: '3200.5' }],
    },
  }
  it.each(Object.keys(bodies) as OptionVenueName[])('of %s', (venue) => {
    expect(optionVenues[venue].decode(bodies[venue])).toEqual({
      marks: [expected],
      eventTime: 1_700_000_000_000,
    })
    expect(optionVenues[venue].path('ETH')).toContain('ETH')
  })

  it.each([
    ['deribit', { error: { code: 10028, message: 'too_many_requests' } }, 'venue_error'],
    ['deribit', { usOut: 1, result: {} }, 'unexpected_shape'],
    ['deribit', { result: [] }, 'bad_time'],
    ['bybit', { retCode: 10001 }, 'venue_error'],
    ['plain', { time: 1, options: [{ name: 'ETH-99XXX26-1-C', mark: '1', forward: '1' }] }, 'unknown_symbol'],
  ] as [OptionVenueName, Record<string, unknown>, string][])('of %s refuse %j', (venue, body, reason) => {
    expect(optionVenues[venue].decode(body)).toBe(reason)
  })

  it('never throw', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(optionVenues)),
        fc.dictionary(fc.string(), fc.jsonValue()),
        (venue, body) => {
          venue.decode({ ...body })
          venue.decode({ retCode: 0, time: 1, usOut: 1e6, result: [body], options: [body], ...body })
        },
      ),
    )
  })
})
