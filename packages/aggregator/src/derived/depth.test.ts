import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { aggregate } from '../aggregation/aggregate.js'
import { planFeeds } from '../aggregation/plan.js'
import {
  makeScene,
  NOW,
  type Prices,
  parameters,
  type SceneOptions,
  wad,
} from '../aggregation/scene.test-util.js'
import { WAD } from '../sources/decimal.js'
import { depth } from './depth.js'
import { type BookVenueName, bookVenues } from './orderBooks.js'

const side = (...levels: [price: string, amount: string][]) =>
  levels.map(([price, amount]) => [wad(price), wad(amount)] as const)

describe('depth of one book', () => {
  const bids = side(['99.9', '1'], ['99', '2'], ['98.99', '100'])
  const asks = side(['100.1', '1'], ['101', '1'], ['101.01', '100'])

  it.each([
    ['counts both ends of the band, and the smaller side', 100, '201.1'],
    ['counts less in a narrower one', 10, '99.9'],
    ['counts nothing inside the spread', 9, '0'],
    ['counts more in a wider one', 200, '10196.9'],
  ])('%s', (_, bandBps, expected) => {
    expect(depth({ bids, asks }, bandBps)).toBe(wad(expected))
    expect(depth({ bids: bids.toReversed(), asks: asks.toReversed() }, bandBps)).toBe(wad(expected))
  })

  it('is none of a book with one side, or a crossed one', () => {
    expect(depth({ bids, asks: [] }, 100)).toBeNull()
    expect(depth({ bids: [], asks }, 100)).toBeNull()
    expect(depth({ bids: side(['101', '1']), asks: side(['100', '1']) }, 100)).toBeNull()
  })

  it('grows with the band and with every level, and is never more than either side', () => {
    const level = fc.tuple(fc.bigInt({ min: 1n, max: 100n }), fc.bigInt({ min: 0n, max: 10n ** 6n }))
    const levels = fc.array(level, { minLength: 1, maxLength: 30 })
    fc.assert(
      fc.property(levels, levels, fc.integer({ min: 0, max: 9_999 }), (below, above, band) => {
        const book = {
          bids: below.map(([away, amount]) => [(1_000n - away) * WAD, amount * WAD] as const),
          asks: above.map(([away, amount]) => [(1_000n + away) * WAD, amount * WAD] as const),
        }
        const total = (levels: (typeof book)['bids']) =>
          levels.reduce((sum, [price, amount]) => sum + (price * amount) / WAD, 0n)
        const value = depth(book, band) ?? -1n
        expect(value >= 0n && value <= total(book.bids) && value <= total(book.asks)).toBe(true)
        expect((depth(book, band + 1) ?? -1n) >= value).toBe(true)
      }),
    )
  })
})

describe('depth of a market', () => {
  const feed = 'ETH.DEPTH/USD'
  function marketOf(prices: Prices, { faultyTags = 1, capped = false, ...options }: SceneOptions = {}) {
    const { sources, quotes } = makeScene(prices, options)
    const feeds = [{ name: feed, exponent: 0 }]
    const { plan } = planFeeds({ feeds, sources, faultyTags, capped: capped ? [feed] : [], sums: [feed] })
    return aggregate(plan, quotes, NOW, parameters)[0]
  }
  const usd = (amount: string) => ({ [feed]: amount, 'USDT/USD': '1' })

  it('is the sum of the venues without the f_s largest', () => {
    const venues = { a: usd('100'), b: usd('300'), c: usd('200'), d: usd('250') }
    expect(marketOf(venues)).toMatchObject({ price: wad('550') })
    // Venues that differ by so much would be too dispersed for a price; as amounts they only add up.
    expect(marketOf({ ...venues, d: usd('1000000') })).toMatchObject({ price: wad('600') })
  })

  it('converts, and leaves each USDT venue its own vote', () => {
    const leg = { a: usd('100'), b: usd('100'), c: usd('100') }
    const tether = { x: { 'ETH.DEPTH/USDT': '1000' }, y: { 'ETH.DEPTH/USDT': '2000' } }
    expect(marketOf({ ...leg, ...tether })).toMatchObject({ price: wad('1300') })
  })

  it('adds venues of one tag to one group', () => {
    const venues = { a: usd('100'), b: usd('100'), c: usd('100'), x: usd('70'), y: usd('80') }
    expect(marketOf(venues, { tags: { x: ['same'], y: ['same'] } })).toMatchObject({ price: wad('300') })
  })

  it('of a capped feed is its one venue’s, and of too few venues held', () => {
    expect(marketOf({ a: usd('100') }, { capped: true })).toMatchObject({ price: wad('100') })
    const venues = { a: usd('100'), b: usd('100'), c: usd('100') }
    const change = ({ source }: { source: string }) => (source === 'a' ? { eventTime: 1 } : {})
    expect(marketOf(venues, { change })).toEqual({ hold: 'no_honest_majority' })
  })

  it('with f_s liars is never more than the honest sum, nor less than it without its f_s largest', () => {
    const amount = fc.bigInt({ min: 1n, max: 10n ** 9n })
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2).chain((f) =>
          fc.record({
            f: fc.constant(f),
            honest: fc.array(amount, { minLength: f + 1, maxLength: 9 }),
            lies: fc.array(fc.bigInt({ min: 1n, max: 10n ** 20n }), { minLength: f, maxLength: f }),
          }),
        ),
        ({ f, honest, lies }) => {
          const venues = Object.fromEntries(
            [...honest, ...lies].map((value, at) => [`v${at}`, usd(`${value}`)]),
          )
          const result = marketOf(venues, { faultyTags: f })
          if (!result || 'hold' in result) throw new Error('held')
          const sorted = honest.toSorted((a, b) => (a < b ? -1 : 1)).map((value) => value * WAD)
          const sum = (values: bigint[]) => values.reduce((total, value) => total + value, 0n)
          expect(result.price <= sum(sorted)).toBe(true)
          expect(result.price >= sum(sorted.slice(0, -f))).toBe(true)
        },
      ),
    )
  })
})

describe('order books', () => {
  const levels = { bids: [['99', '2', '0', '1']], asks: [['101', '3', '0', '1']] }
  const book = { bids: [[wad('99'), wad('2')]], asks: [[wad('101'), wad('3')]] }
  const iso = '2026-01-02T03:04:05.678Z'
  const bodies: Record<
    BookVenueName,
    [body: Record<string, unknown>, time: number | null, sequence: bigint | null]
  > = {
    binance: [{ lastUpdateId: 7, ...levels }, null, 7n],
    coinbase: [{ ...levels, sequence: 8, auction_mode: false, time: iso }, Date.parse(iso), 8n],
    kraken: [
      { error: [], result: { XETHZUSD: { bids: [['99', '2', 1]], asks: [['101', '3', 1]] } } },
      null,
      null,
    ],
    okx: [{ code: '0', msg: '', data: [{ ...levels, ts: '1700000000000' }] }, 1_700_000_000_000, null],
  }
  it.each(Object.keys(bodies) as BookVenueName[])('of %s', (venue) => {
    const [body, eventTime, sequence] = bodies[venue]
    expect(bookVenues[venue].decode(body)).toEqual({ ...book, eventTime, sequence })
    expect(bookVenues[venue].path('ETH-USD')).toContain('ETH-USD')
  })

  it.each([
    ['kraken', { error: ['EQuery:Unknown asset pair'] }, 'venue_error'],
    ['okx', { code: '51001', data: [] }, 'venue_error'],
    ['okx', { code: '0', data: [levels] }, 'bad_time'],
    ['coinbase', { ...levels, time: 'yesterday' }, 'bad_time'],
    ['binance', { code: -1121, msg: 'Invalid symbol.' }, 'unexpected_shape'],
    ['binance', { bids: [['99', 'NaN']], asks: [] }, 'bad_price'],
    ['binance', { bids: [['-99', '1']], asks: [] }, 'bad_price'],
    ['binance', { bids: [99], asks: [] }, 'bad_price'],
    ['kraken', { error: [], result: null }, 'unexpected_shape'],
  ] as [BookVenueName, Record<string, unknown>, string][])('of %s refuse %j', (venue, body, reason) => {
    expect(bookVenues[venue].decode(body)).toBe(reason)
  })

  it('never throw', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...Object.values(bookVenues)),
        fc.dictionary(fc.string(), fc.jsonValue()),
        (venue, body) => {
          venue.decode({ ...body })
          venue.decode({ code: '0', data: [body], result: body, ...body })
        },
      ),
    )
  })
})
