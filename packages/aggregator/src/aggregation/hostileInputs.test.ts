import { readFileSync } from 'node:fs'
import { UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import { formatEther } from 'viem'
import { describe, expect, it } from 'vitest'
import type { Observation } from '../observation/message.js'
import { wireSchemas } from '../observation/wire.js'
import { combine } from '../report/combine.js'
import { createQuoteBook } from '../sources/book.js'
import { readChainlink } from '../sources/chainlink.js'
import { WAD } from '../sources/decimal.js'
import type { ChainClient } from '../sources/onchain.js'
import { decodeReplay } from '../sources/replay.js'
import { readTwap } from '../sources/twap.js'
import type { ChainSource, Market, Quote } from '../sources/types.js'
import { type Aggregate, aggregate, toObserved } from './aggregate.js'
import { planFeeds } from './plan.js'
import { NOW, type Prices, parameters, priceOf, usd, wad } from './scene.test-util.js'

/**
 * Inputs on which an oracle must not fail, and what must come of each: the rows of "Hostile inputs" in docs/oracle.md, by number and name.
 * Those of reports are beside them, and what the chain answers for in packages/contracts/test/oracle/HostileInputs.t.sol, under the same
 * numbers.
 */

const FEED = { name: 'ETH/USD', exponent: -8 }
const MARKET: Market = { symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }

/** Venues of which each is its own tag, from the frame that one sends to the price of all. */
function listVenues(names: string, faultyTags: number) {
  const sources = [...names].map((id) => ({ id, tags: [id], markets: [MARKET] }))
  const { plan } = planFeeds({ feeds: [FEED], sources, faultyTags, capped: [] })
  const { maxClockSkewMs } = parameters
  const venues = new Map(
    sources.map(({ id, markets }) => [
      id,
      { seq: 0, book: createQuoteBook({ kind: 'price', source: id, markets, maxClockSkewMs }) },
    ]),
  )
  const venue = (id: string) => {
    const found = venues.get(id)
    if (!found) throw new Error(`no venue ${id}`)
    return found
  }
  return {
    /** `at`: the trade's time; `received`: the node's. */
    say(id: string, price: string, at = NOW, received = at) {
      const { book } = venue(id)
      venue(id).seq += 1
      const frame = { type: 'tick', symbol: MARKET.symbol, price, ts: at, seq: venue(id).seq }
      book.take(decodeReplay(JSON.stringify(frame)), received)
    },
    beat: (id: string, at: number) => void venue(id).book.take(decodeReplay('{"type":"heartbeat"}'), at),
    status: (id: string) => venue(id).book.status(),
    price(at = NOW): Aggregate {
      const quotes = [...venues.values()].flatMap(({ book }) => book.quotes())
      const [result] = aggregate(plan, quotes, at, parameters)
      if (!result) throw new Error('no result')
      return result
    },
  }
}

function within(result: Aggregate, low: string, high: string) {
  if ('hold' in result) throw new Error(`held: ${result.hold}`)
  expect(result.price >= wad(low) && result.price <= wad(high), `${result.price}`).toBe(true)
  return result
}

const same = (price: string, names: string): Prices =>
  Object.fromEntries([...names].map((name) => [name, usd(price)]))

describe('row 1: f of 2f + 1 at 0, 1e18 or NaN → within honest min..max', () => {
  const HONEST = { a: '199', b: '200', c: '201' }

  it.each([
    ['0', { bad_price: 1 }],
    ['1e18', { decimal_slip: 1 }],
    ['NaN', { bad_price: 1 }],
  ])('row 1: f of 2f + 1 venues turn to %s → within honest min..max', (lie, rejected) => {
    const venues = listVenues('abcde', 2)
    for (const [id, price] of Object.entries({ ...HONEST, d: '200.5', e: '199.5' })) venues.say(id, price)
    const at = NOW + 1_000
    for (const [id, price] of Object.entries({ a: '198', b: '199', c: '200', d: lie, e: lie }))
      venues.say(id, price, at)
    within(venues.price(at), '198', '200')
    expect([venues.status('d').rejected, venues.status('e').rejected]).toEqual([rejected, rejected])
    // What they said before their lies grows old like any other price: then too few are left to outvote two, and nothing is guessed.
    const late = at + parameters.maxEventAgeMs
    for (const id of 'abc') venues.say(id, '199', late)
    expect(venues.price(late)).toEqual({ hold: 'no_honest_majority' })
  })

  it.each(['0', '1e18', 'NaN'])(
    'row 1: f of 3f + 1 venues never say but %s → within honest min..max',
    (lie) => {
      const venues = listVenues('abcdefg', 2)
      for (const [id, price] of Object.entries({ ...HONEST, d: lie, e: lie, f: '199.5', g: '200.5' }))
        venues.say(id, price)
      within(venues.price(), '199', '201')
    },
  )

  it('row 1: f of 2f + 1 venues never say but 1e18 → within honest min..max, and named', () => {
    const venues = listVenues('abcde', 2)
    for (const [id, price] of Object.entries({ ...HONEST, d: '1e18', e: '1e18' })) venues.say(id, price)
    expect(within(venues.price(), '199', '201').outliers).toEqual(['d', 'e'])
  })

  it.each([
    ['0 (held)', { price: 0n, confidence: UNUSABLE_CONFIDENCE }],
    ['the largest price', { price: 2n ** 63n - 1n, confidence: 1 }],
  ])(
    'row 1: f of 3f + 1 nodes at %s, the rest as far apart as they may be → within honest min..max',
    (_, lie) => {
      const honest = [198n, 199n, 200n, 201n, 202n].map((price) => ({ price, confidence: 5 }))
      const observe = (price: typeof lie): Observation => ({
        epoch: 1,
        seq: 8n,
        prices: [price],
        signature: '0x',
      })
      const [report] = combine([...honest, lie, lie].map(observe), 1, 5)
      expect(report?.price).toBeGreaterThanOrEqual(198n)
      expect(report?.price).toBeLessThanOrEqual(202n)
    },
  )

  it('row 1: a node that says NaN, a bare 0 or more than 64 bits → its message is refused', () => {
    const { observation } = wireSchemas(1, 4)
    const signature = `0x${'11'.repeat(64)}`
    const message = (price: unknown) => ({ epoch: 1, seq: '8', prices: [[price, 5]], signature })
    expect(observation.safeParse(message('1')).success).toBe(true)
    for (const price of ['NaN', Number.NaN, '0', '1000000000000000000000', '-1'])
      expect(observation.safeParse(message(price)).success, `${price}`).toBe(false)
  })
})

describe('row 2: f + 1 collude', () => {
  it('row 2: f + 1 collude and disagree with the rest beyond the limit of dispersion → HOLD', () => {
    expect(priceOf({ a: usd('200'), b: usd('150'), c: usd('250') })).toEqual({ hold: 'dispersion' })
  })

  it('row 2: a plausible coordinated majority → undetectable by votes, which is documented; only slow bounds hold it', () => {
    const pumped = { a: usd('200'), b: usd('400'), c: usd('400') }
    expect(priceOf(pumped)).toMatchObject({ price: wad('400') })
    const slow = { ...pumped, chainlink: { 'ETH/USD': '200' } }
    expect(priceOf(slow, { slow: ['chainlink'] })).toEqual({ hold: 'out_of_slow_bounds' })
    expect(oracleDocument()).toContain("More than f_s liars who agree plausibly can't be told from the truth")
  })
})

it('row 3: 1 of 5 at −35% → median within 5 bps of the honest one, venue flagged', () => {
  const honest = { a: '1999.8', b: '2000.2', c: '2000', d: '2000.6' }
  const venues = listVenues('abcde', 1)
  for (const [id, price] of Object.entries({ ...honest, e: '1300' })) venues.say(id, price)
  // The honest median is 2000.1, 5 basis points of it are 1.00005.
  expect(within(venues.price(), '1999.09995', '2001.10005').outliers).toEqual(['e'])
})

describe('rows 4 and 5: conversion', () => {
  const inUsdt = { 'ETH/USDT': '222.222222222222222222' }
  const legs = { a: { 'USDT/USD': '0.9' }, b: { 'USDT/USD': '0.9' }, c: { 'USDT/USD': '0.9' } }

  it('row 4: USDT at 0.90, three legs in USDT → converted at 0.90, one group by their shared leg', () => {
    const venues = { ...legs, x: inUsdt, y: inUsdt, z: inUsdt }
    // 222.2… × 0.9, rounded down: the middle of three groups, of which the three venues are one.
    const direct = { low: { 'ETH/USD': '199' }, high: { 'ETH/USD': '201' } }
    expect(priceOf({ ...venues, ...direct })).toMatchObject({ price: wad('200') - 1n })
    expect(() => priceOf({ ...venues, low: direct.low })).toThrow(
      /2 independent groups \(x\+y\+z, low\) can't outvote/,
    )
  })

  it('row 5: all legs in USDT, no USDT/USD → no price: not listed without it, held when it falls away', () => {
    expect(() => priceOf({ x: inUsdt, y: inUsdt, z: inUsdt }, { capped: true })).toThrow(
      /or the leg that converts/,
    )
    const change = ({ market }: Quote) =>
      market.base === 'USDT' ? { receiveTime: NOW - parameters.maxReceiveAgeMs - 1 } : {}
    const venues = { ...legs, x: inUsdt, y: inUsdt, z: inUsdt }
    expect(priceOf(venues, { capped: true })).toHaveProperty('price')
    expect(priceOf(venues, { capped: true, change })).toEqual({ hold: 'leg_missing' })
  })
})

describe('rows 6 and 7: clocks', () => {
  it('row 6: heartbeat alive, trade time frozen → stale: it has no vote, and three without it are no majority', () => {
    const [four, three] = [listVenues('abcd', 1), listVenues('abc', 1)]
    const frozen = NOW - parameters.maxEventAgeMs - 1
    for (const venues of [four, three]) {
      venues.say('a', '230', frozen)
      // The heartbeat lives, and the same trade is sent again and again: received just now, it happened then.
      for (let at = frozen + 1_000; at <= NOW; at += 1_000) {
        venues.beat('a', at)
        venues.say('a', '230', frozen, at)
      }
      for (const id of 'bcd') if (venues === four || id !== 'd') venues.say(id, '200')
      expect(venues.status('a').lastFrameTime).toBeGreaterThan(NOW - 1_000)
    }
    expect(four.price()).toMatchObject({ price: wad('200'), outliers: [] })
    expect(three.price()).toEqual({ hold: 'no_honest_majority' })
    // A moment before, it still voted.
    expect(four.price(NOW - 1)).toMatchObject({ outliers: ['a'] })
  })

  it('row 7: timestamp +5 s → the source is rejected, on arrival and in the round', () => {
    const venues = listVenues('abc', 1)
    for (const id of 'bc') venues.say(id, '200')
    venues.say('a', '200', NOW + 5_000, NOW)
    expect(venues.status('a').rejected).toEqual({ future: 1 })
    expect(venues.price()).toEqual({ hold: 'no_honest_majority' })
    const change = ({ source }: Quote) => (source === 'a' ? { eventTime: NOW + 5_000 } : {})
    expect(priceOf(same('200', 'abc'), { change })).toEqual({ hold: 'no_honest_majority' })
  })
})

describe('row 8: decimals × 1e8', () => {
  it('row 8: decimals ×1e8 by one venue → rejected, its last good price stands', () => {
    const venues = listVenues('abc', 1)
    for (const id of 'abc') venues.say(id, '200')
    venues.say('a', '20000000000', NOW + 1_000)
    expect(venues.status('a').rejected).toEqual({ decimal_slip: 1 })
    expect(venues.price(NOW + 1_000)).toMatchObject({ price: wad('200'), outliers: [] })
  })

  it('row 8: decimals ×1e8 from its first word on → outvoted and named', () => {
    const venues = listVenues('abc', 1)
    for (const [id, price] of Object.entries({ a: '20000000000', b: '200', c: '201' })) venues.say(id, price)
    expect(within(venues.price(), '200', '201').outliers).toEqual(['a'])
  })

  it('row 8: decimals ×1e8 by all alike → rejected: the feed’s 64 bits can’t hold it', () => {
    const venues = listVenues('abc', 1)
    for (const id of 'abc') venues.say(id, '5402000000000')
    expect(toObserved(venues.price(), FEED.exponent)).toEqual({ hold: 'out_of_range' })
  })
})

it('row 9: half or more equal, median deviation 0 → interval of floor width, honest neighbour kept', () => {
  const result = priceOf({ ...same('200', 'ab'), c: usd('200.4') })
  expect(result).toEqual({
    price: wad('200'),
    relativeConfidence: (BigInt(parameters.minConfidenceBps) * WAD) / 10_000n,
    outliers: [],
  })
  // The neighbour's vote is what makes a majority of three: were it filtered as beyond zero deviations, the feed would be held.
  const change = ({ source }: Quote) => (source === 'c' ? { eventTime: 1 } : {})
  expect(priceOf({ ...same('200', 'ab'), c: usd('200.4') }, { change })).toEqual({
    hold: 'no_honest_majority',
  })
})

it('row 10: real −40% on all sources → a price at once, refused as a slip nowhere (the breaker is on chain)', () => {
  const venues = listVenues('abc', 1)
  for (const id of 'abc') venues.say(id, '200')
  expect(venues.price()).toMatchObject({ price: wad('200') })
  for (const id of 'abc') venues.say(id, '120', NOW + 1_000)
  expect(venues.price(NOW + 1_000)).toMatchObject({ price: wad('120'), outliers: [] })
  for (const id of 'abc') expect(venues.status(id).rejected).toEqual({})
})

/** A chain whose contracts answer each function so. */
const chainOf = (answers: Record<string, unknown>) =>
  ({
    readContract: async ({ functionName }: { functionName: string }) => answers[functionName],
  }) as unknown as ChainClient
const CHAIN: ChainSource = { chainId: 1, pollMs: 1_000 }
const AT = { blockNumber: 9n, timestamp: BigInt(NOW / 1000) }

it('row 11: Chainlink at its floor, the others lower → excluded: it bounds nothing and the others’ price stands', async () => {
  const market = { ...MARKET, symbol: 'feed', chainlink: { heartbeatSeconds: 3_600, deviationBps: 50 } }
  const answer = async (least: bigint) => {
    const reading = await readChainlink(
      chainOf({
        latestRoundData: [7n, 10_000_000n, 0n, AT.timestamp - 60n, 7n],
        decimals: 8,
        aggregator: 'aggregator',
        minAnswer: least,
        maxAnswer: 10n ** 18n,
      }),
      market,
      AT,
      CHAIN,
    )
    const book = createQuoteBook({ kind: 'bound', source: 'chainlink', markets: [market], maxClockSkewMs: 0 })
    book.take(reading, NOW)
    const votes = ['a', 'b', 'c'].map((id) => ({ id, tags: [id], markets: [MARKET] }))
    const sources = [
      ...votes,
      { id: 'chainlink', tags: ['chainlink'], kind: 'bound' as const, markets: [market] },
    ]
    const { plan } = planFeeds({ feeds: [FEED], sources, faultyTags: 1, capped: [] })
    const quotes = votes.map(
      ({ id }): Quote => ({
        ...{ source: id, kind: 'price', market: MARKET, price: wad('0.01'), confidence: 0n },
        ...{ eventTime: NOW, receiveTime: NOW, expiresAt: null, sequence: null },
      }),
    )
    return {
      rejected: book.status().rejected,
      result: aggregate(plan, [...quotes, ...book.quotes()], NOW, parameters)[0],
    }
  }
  // 0.10, which is all that the aggregator can say of a market at 0.01.
  const floored = await answer(10_000_000n)
  expect(floored).toMatchObject({ rejected: { pinned_answer: 1 }, result: { price: wad('0.01') } })
  // The same answer of an aggregator that could say less is a bound, and holds the feed.
  expect(await answer(1n)).toMatchObject({ rejected: {}, result: { hold: 'out_of_slow_bounds' } })
})

it('row 12: spot moved 10% in one block against the TWAP → TWAP only, and of low weight: a bound without a vote', async () => {
  const [calm, pushed] = [52_985n, 52_985n + 953n]
  const window = 1_800n
  const pool = (spotSeconds: bigint) => ({
    token0: '0x00000000000000000000000000000000000000aa',
    token1: '0x00000000000000000000000000000000000000bb',
    decimals: 18,
    // What the pool trades at in this block: read for its cardinality alone.
    slot0: [0n, Number(spotSeconds > 0n ? pushed : calm), 0, 100, 100, 0, true],
    observe: [
      [0n, calm * (window - spotSeconds) + pushed * spotSeconds],
      [0n, (window << 128n) / 10n ** 18n],
    ],
  })
  const twap = {
    ...{ baseToken: pool(0n).token0, windowSeconds: Number(window) },
    ...{ minCardinality: 1, minLiquidity: '1', bandBps: 100 },
  }
  const read = async (spotSeconds: bigint) => {
    const reading = await readTwap(chainOf(pool(spotSeconds)), { ...MARKET, twap }, AT, CHAIN)
    if (reading.kind !== 'ticks') throw new Error(`no average: ${reading.kind}`)
    return reading.ticks[0]?.price ?? 0n
  }
  const [before, after] = [await read(0n), await read(12n)]
  expect(after).toBeGreaterThan(before)
  // One block of 12 s in half an hour: 10% of spot are 7 basis points of the mean.
  expect(((after - before) * 10_000n) / before).toBeLessThan(7n)

  const beside = (twapPrice: bigint, names: string) =>
    priceOf({ ...same('200', names), twap: { 'ETH/USD': formatEther(twapPrice) } }, { slow: ['twap'] })
  const quiet = beside(before, 'abc')
  expect(quiet).toMatchObject({ price: wad('200') })
  expect(beside(after, 'abc')).toEqual(quiet)
  // Without a vote it doesn't make two venues three.
  expect(() => beside(before, 'ab')).toThrow(/2 independent groups/)
})

it('row 16: a staking token by its ratio, ETH/USD missing → no price, never the bare ratio', () => {
  const ratio = { 'WSTETH/ETH': '1.2' }
  const eth = { a: { 'ETH/USD': '200' }, b: { 'ETH/USD': '200' }, c: { 'ETH/USD': '200' } }
  const options = { feed: 'WSTETH/USD', capped: true }
  expect(priceOf({ ...eth, x: ratio }, options)).toMatchObject({ price: wad('240') })
  const change = ({ market }: Quote) =>
    market.base === 'ETH' ? { eventTime: NOW - parameters.maxEventAgeMs - 1 } : {}
  expect(priceOf({ ...eth, x: ratio }, { ...options, change })).toEqual({ hold: 'leg_missing' })
  expect(() => priceOf({ x: ratio }, options)).toThrow(/or the leg/)
})

const repository = new URL('../../../../', import.meta.url)

function oracleDocument(): string {
  return readFileSync(new URL('docs/oracle.md', repository), 'utf8')
}

it('docs/oracle.md names a test of every row that is there, and no row lacks one', () => {
  const section = oracleDocument().split('## Hostile inputs')[1]?.split('\n## ')[0] ?? ''
  const rows = [...section.matchAll(/^\| (\d+) \|.*\| (.+) \|$/gm)]
  expect(rows.map(([, number]) => Number(number))).toEqual(Array.from({ length: 16 }, (_, at) => at + 1))
  for (const [, number, tests = ''] of rows) {
    const files = [...tests.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name)
    expect(files.length).toBeGreaterThan(0)
    for (const name of files) {
      const text = readFileSync(new URL(`packages/${name}`, repository), 'utf8')
      const named = name.endsWith('.sol') ? `function test_row${number}_` : `row ${number}: `
      expect(text.includes(named), `${name} has no test of row ${number}`).toBe(true)
    }
  }
})
