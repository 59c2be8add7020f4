import { type Report, reportDigest, reportPreimage } from '@clearspan/shared'
import { concatHex, keccak256, toHex } from 'viem'
import { describe, expect, it } from 'vitest'
import { recoverNode } from '../observation/message.js'
import { createSigner } from '../observation/signer.js'
import { createReportBoard } from '../report/board.js'
import { createSlotMachine } from '../report/machine.js'
import { createQuoteBook } from '../sources/book.js'
import { WAD } from '../sources/decimal.js'
import { decodeReplay } from '../sources/replay.js'
import type { Quote } from '../sources/types.js'
import { type Aggregate, toObserved } from './aggregate.js'
import { NOW, type Prices, priceOf, type SceneOptions, usd, wad } from './scene.test-util.js'

const same = (price: string, names = 'abcde'): Prices =>
  Object.fromEntries([...names].map((name) => [name, usd(price)]))

function within(result: Aggregate, low: string, high: string) {
  if ('hold' in result) throw new Error(`held: ${result.hold}`)
  expect(result.price >= wad(low) && result.price <= wad(high)).toBe(true)
  return result
}

/** What past failures of oracles would have done here. Sums and dates are those of the press. */
describe('incidents: votes', () => {
  it.each([
    ['0', 0n],
    ['1e18', WAD * WAD],
    ['nothing', -1n],
  ])('f of 2f + 1 say %s: within the honest least and most', (_, lie) => {
    const venues = { a: usd('199'), b: usd('200'), c: usd('201'), d: usd('1'), e: usd('1') }
    const change = ({ source, market }: Quote) =>
      'de'.includes(source) && market.base === 'ETH' ? { price: lie } : {}
    const result = priceOf(venues, { faultyTags: 2, change })
    // A venue that says 0 or nothing has no quote, and then 3 of 5 can't outvote 2 more.
    if (lie > 0n) within(result, '199', '201')
    else expect(result).toEqual({ hold: 'no_honest_majority' })
    expect(priceOf({ ...venues, f: usd('200'), g: usd('200') }, { faultyTags: 2, change })).toMatchObject({
      price: wad('200'),
    })
  })

  it.each(['NaN', 'Infinity', '-1', '0', '1e999', ''])('a venue that says %s has no quote', (price) => {
    const frame = JSON.stringify({ type: 'tick', symbol: 'ETH-USD', price, ts: NOW, seq: 1 })
    expect(decodeReplay(frame)).toEqual({ kind: 'rejected', reason: 'bad_price' })
  })

  it('f + 1 collude: held where they disagree with the rest too much to be believed', () => {
    expect(priceOf({ a: usd('200'), b: usd('150'), c: usd('250') })).toEqual({ hold: 'dispersion' })
  })

  it('f + 1 collude plausibly: undetectable by votes, and bounded only by what is slow (documented)', () => {
    const pumped = { a: usd('200'), b: usd('400'), c: usd('400') }
    expect(priceOf(pumped)).toMatchObject({ price: wad('400') })
    const slow = { ...pumped, chainlink: { 'ETH/USD': '200' } }
    expect(priceOf(slow, { slow: ['chainlink'] })).toEqual({ hold: 'out_of_slow_bounds' })
  })

  it('USDe, October 2025: one of five venues at −35% moves the median by less than 5 bps and is named', () => {
    const venues: Prices = Object.fromEntries(
      ['0.9995', '1.0001', '0.9999', '1.0003', '0.65'].map((price, at) => [`v${at}`, { 'USDE/USD': price }]),
    )
    const result = within(priceOf(venues, { feed: 'USDE/USD' }), '0.9995', '1.0005')
    expect(result.outliers).toEqual(['v4'])
  })

  it('Pyth, September 2021, BTC at $5,402: two publishers slip by decimals; neither moves the price, both are named', () => {
    const venues = same('54020', 'abcde')
    const slip = ({ source, price, market }: Quote) => {
      if (market.base !== 'ETH') return {}
      return source === 'd' ? { price: price * 10n ** 8n } : source === 'e' ? { price: price / 10n } : {}
    }
    expect(priceOf(venues, { faultyTags: 2, change: slip })).toMatchObject({
      price: wad('54020'),
      outliers: ['d', 'e'],
    })
    // All of them by the same: the feed's 64 bits can't hold it.
    const all = priceOf(venues, { change: ({ price }) => ({ price: price * 10n ** 8n }) })
    expect(toObserved(all, -8)).toEqual({ hold: 'out_of_range' })
  })

  it('half or more are equal, so that the deviation is 0: the interval keeps a floor, the honest neighbour its vote', () => {
    const result = within(priceOf({ ...same('200', 'abc'), d: usd('200.4') }), '200', '200.4')
    expect(result.relativeConfidence).toBe(WAD / 10_000n)
    expect(result.outliers).toEqual([])
  })

  it('a real −40% on all sources is a price at once (the chain parks it, and takes it once it has lasted)', () => {
    expect(priceOf(same('200'))).toMatchObject({ price: wad('200') })
    expect(priceOf(same('120'))).toMatchObject({ price: wad('120') })
  })

  it('Mango, October 2022: thin venues pumped tenfold are outvoted, or the feed is listed as one that can’t outvote them', () => {
    const pumped = { thin: usd('0.3'), thinner: usd('0.3') }
    expect(priceOf({ ...pumped, ...same('0.03', 'abc') }, { faultyTags: 2 })).toMatchObject({
      price: wad('0.03'),
    })
    expect(() => priceOf({ ...pumped, a: usd('0.03') }, { faultyTags: 2 })).toThrow(/can't outvote 2 lying/)
  })

  it('Moonwell, November 2025: sources over one depleted pool share its tag, and so one vote', () => {
    const over = ['pool'] as const
    const wrong = { 'WRSETH/USD': '1700000' }
    const honest = { 'WRSETH/USD': '3600' }
    const venues = { a: wrong, b: wrong, c: wrong, d: honest, e: honest, f: honest }
    const options: SceneOptions = { feed: 'WRSETH/USD', tags: { a: over, b: over, c: over } }
    expect(priceOf(venues, options)).toMatchObject({ price: wad('3600'), outliers: ['a', 'b', 'c'] })
    expect(() => priceOf({ a: wrong, b: wrong, c: wrong }, options)).toThrow(/1 independent groups/)
  })
})

describe('incidents: conversion', () => {
  const usdt = { 'ETH/USDT': '222.222222222222222222' }

  it('USDT at 0.90 with three USDT venues: converted at 0.90, and one group', () => {
    const legs = { a: { 'USDT/USD': '0.9' }, b: { 'USDT/USD': '0.9' }, c: { 'USDT/USD': '0.9' } }
    const venues = { ...legs, x: usdt, y: usdt, z: usdt }
    expect(() => priceOf(venues)).toThrow(/1 independent groups/)
    // 222.2… × 0.9, rounded down.
    expect(priceOf(venues, { capped: true })).toMatchObject({ price: wad('200') - 1n })
  })

  it('all venues in USDT, and no USDT/USD: no listing without the leg, no price when it falls away', () => {
    expect(() => priceOf({ x: usdt, y: usdt, z: usdt }, { capped: true })).toThrow(/or the leg that converts/)
    const legs = { a: { 'USDT/USD': '1' }, b: { 'USDT/USD': '1' }, c: { 'USDT/USD': '1' } }
    const change = ({ market }: Quote) => (market.base === 'USDT' ? { receiveTime: NOW - 60_001 } : {})
    expect(priceOf({ ...legs, x: usdt }, { capped: true, change })).toEqual({ hold: 'leg_missing' })
  })

  it('a liquid-staking token by its ratio, ETH/USD missing: no price, never the bare ratio', () => {
    const ratio = { 'WSTETH/ETH': '1.2' }
    const eth = { a: { 'ETH/USD': '200' }, b: { 'ETH/USD': '200' }, c: { 'ETH/USD': '200' } }
    const options = { feed: 'WSTETH/USD', capped: true }
    expect(priceOf({ ...eth, x: ratio }, options)).toMatchObject({ price: wad('240') })
    const change = ({ market }: Quote) => (market.base === 'ETH' ? { eventTime: NOW - 60_001 } : {})
    expect(priceOf({ ...eth, x: ratio }, { ...options, change })).toEqual({ hold: 'leg_missing' })
    expect(() => priceOf({ x: ratio }, options)).toThrow(/or the leg/)
  })
})

describe('incidents: clocks', () => {
  const market = { symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }
  const bookOf = () =>
    createQuoteBook({ kind: 'price', source: 'a', markets: [market], maxClockSkewMs: 2_000 })
  const tick = (ts: number, seq: number) =>
    decodeReplay(JSON.stringify({ type: 'tick', symbol: 'ETH-USD', price: '200', ts, seq }))

  it('the heartbeat lives, the trade time is frozen: stale', () => {
    const book = bookOf()
    const first = NOW - 60_001
    book.take(tick(first, 1), first)
    for (let at = first; at <= NOW; at += 1_000) {
      book.take(decodeReplay('{"type":"heartbeat"}'), at)
      // The same trade, sent again and again, is received just now and happened then.
      book.take(tick(first, 1), at)
    }
    expect(book.status().lastFrameTime).toBeGreaterThan(NOW - 1_000)
    const [quote] = book.quotes()
    const change = ({ source }: Quote) => (source === 'a' && quote ? { eventTime: quote.eventTime } : {})
    expect(priceOf(same('200', 'abc'), { change })).toEqual({ hold: 'no_honest_majority' })
  })

  it('a time five seconds ahead: the source is refused, on arrival and in the round', () => {
    const book = bookOf()
    book.take(tick(NOW + 5_000, 1), NOW)
    expect(book.quotes()).toEqual([])
    expect(book.status().rejected).toEqual({ future: 1 })
    const change = ({ source }: Quote) => (source === 'a' ? { eventTime: NOW + 5_000 } : {})
    expect(priceOf(same('200', 'abc'), { change })).toEqual({ hold: 'no_honest_majority' })
  })
})

describe('incidents: slow sources', () => {
  it('Venus and LUNA, May 2022: Chainlink paused at its floor, all others lower: it has no vote, and alone can only hold', () => {
    const venues = same('0.01', 'abc')
    const floor = { chainlink: { 'ETH/USD': '0.107' } }
    expect(priceOf({ ...venues, ...floor }, { slow: ['chainlink'] })).toEqual({ hold: 'out_of_slow_bounds' })
    // Beside another slow source it doesn't even do that.
    const twap = { twap: { 'ETH/USD': '0.0105' } }
    expect(priceOf({ ...venues, ...floor, ...twap }, { slow: ['chainlink', 'twap'] })).toMatchObject({
      price: wad('0.01'),
    })
  })

  it('bZx, February 2020: a pool’s spot pushed by 10% in one block; only its time-weighted mean is read, and it has no vote', () => {
    // 1 block of 12 s in a mean over 30 minutes.
    const twap = { twap: { 'ETH/USD': '200.13' } }
    const options: SceneOptions = { slow: ['twap'] }
    const quiet = priceOf({ ...same('200', 'abc'), twap: { 'ETH/USD': '200' } }, options)
    expect(priceOf({ ...same('200', 'abc'), ...twap }, options)).toEqual(quiet)
    expect(priceOf({ ...same('200', 'abc'), twap: { 'ETH/USD': '220' } }, options)).toEqual(quiet)
    expect(() => priceOf({ a: usd('200'), b: usd('200'), ...twap }, options)).toThrow(/2 independent groups/)
  })

  it('Aave, March 2026: a guard with a mismatched snapshot was the bug; here it holds or says nothing, and never sets a price', () => {
    for (const answer of ['1', '100', '171', '194.3', '240', '1000']) {
      const venues = { ...same('200', 'abc'), guard: { 'ETH/USD': answer } }
      const result = priceOf(venues, { slow: ['guard'] })
      expect([wad('200'), undefined]).toContain('price' in result ? result.price : undefined)
    }
  })
})

describe('incidents: reports', () => {
  const feeds = [{ name: 'ETH/USD', exponent: -8 }]
  const networkId = keccak256(toHex('one network'))
  const report: Report = { epoch: 1, seq: 8n, prices: [{ price: 20_000_000_000n, confidence: 5 }] }

  it('LayerZero brings 7 after 8: the older report is ignored', () => {
    const oracle = { epoch: 1, slotMs: 1_000, feeds, nodes: [] }
    const board = createReportBoard({ oracle } as unknown as Parameters<typeof createReportBoard>[0], {
      now: () => NOW,
      sleep: async () => {},
    })
    board.add(report, [])
    board.add({ ...report, seq: 7n }, [])
    expect(board.latest()?.seq).toBe('8')
  })

  it('replay: one digest for every chain of the network, another for another network, epoch, slot or feed set', () => {
    const digest = reportDigest(report, feeds, networkId)
    // No chain and no address goes in: what a quorum signed is meant for all chains.
    expect(reportDigest(report, feeds, networkId)).toBe(digest)
    const others = [
      reportDigest(report, feeds, keccak256(toHex('another network'))),
      reportDigest({ ...report, epoch: 2 }, feeds, networkId),
      reportDigest({ ...report, seq: 9n }, feeds, networkId),
      reportDigest(report, [{ name: 'BTC/USD', exponent: -8 }], networkId),
      reportDigest(report, [{ name: 'ETH/USD', exponent: -9 }], networkId),
    ]
    expect(new Set([digest, ...others]).size).toBe(6)
  })

  it('a node that signs the same report twice is one of the quorum', () => {
    const machine = createSlotMachine({
      index: 0,
      nodes: 4,
      quorum: 3,
      feeds: 1,
      epoch: 1,
      slots: () => ({ first: 0n, last: 2n ** 64n - 1n }),
      slotMs: 1_000,
      proposeFraction: 0.25,
      deadlineFraction: 0.6,
      maxClockSkewMs: 100,
    })
    const digest = reportDigest(report, feeds, networkId)
    const sign = (from: number) => {
      const message = { ...report, signature: toHex(from, { size: 64 }) }
      return machine.receive({ kind: 'signature', from, digest, message }, 8_500).effects
    }
    expect([1, 2, 2, 1].flatMap(sign)).toEqual([])
    expect(sign(3)).toMatchObject([
      { type: 'finish', signatures: [{ signer: 1 }, { signer: 2 }, { signer: 3 }] },
    ])
  })

  it('a signature made malleable (s becomes n − s, the parity the other) is nobody’s', async () => {
    const signer = createSigner(keccak256(toHex('incident')))
    const oracle = {
      epoch: 1,
      slotMs: 1_000,
      feeds,
      nodes: [{ url: 'http://127.0.0.1', signer: signer.address }],
    }
    const digest = reportDigest(report, feeds, networkId)
    const signature = await signer.sign(reportPreimage(report, feeds, networkId))
    expect(await recoverNode(digest, signature, oracle)).toBe(0)
    const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
    const word = BigInt(`0x${signature.slice(66)}`)
    const parity = word >> 255n
    const other = (n - (word - (parity << 255n))) | ((1n - parity) << 255n)
    const malleable = concatHex([`0x${signature.slice(2, 66)}`, toHex(other, { size: 32 })])
    expect(await recoverNode(digest, malleable, oracle)).toBeNull()
  })
})
