import { afterEach, describe, expect, it, vi } from 'vitest'
import { WAD } from './decimal.js'
import type { AdapterName } from './index.js'
import { hermesEvent, priceUpdate } from './pythUpdate.test-util.js'
import { connectSource, createCleanups, priced, startVenue } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

const ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'

/** Adapters that are told prices; the others ask for them. */
type StreamName = Exclude<AdapterName, 'chainlink' | 'uniswap-v3'>

interface Wire {
  symbol: string
  scheme: 'ws' | 'http'
  /** What a node must have sent, or asked for, once it is subscribed. */
  subscription: string[]
  /** A price in whole units, at a time in ms, as the nth of the venue. */
  tick(price: number, at: number, nth: number): string
  /** A sign of life without a price, after the nth tick; a WebSocket ping or SSE comment when absent. */
  alive?(nth: number): string
}

const iso = (at: number) => new Date(at).toISOString()
const json = JSON.stringify
const pyth = (price: number, at: number, nth: number) =>
  [
    { id: ID, price: BigInt(Math.round(price * 1e8)), publishTime: Math.floor(at / 1000) },
    { slot: BigInt(nth) },
  ] as const

/** Every venue's own frames. */
const wires: Record<StreamName, Wire> = {
  binance: {
    symbol: 'ETHUSDT',
    scheme: 'ws',
    subscription: ['{"method":"SUBSCRIBE","params":["ethusdt@aggTrade","ethusdt@bookTicker"],"id":1}'],
    tick: (price, at, nth) =>
      json({
        e: 'aggTrade',
        E: at,
        s: 'ETHUSDT',
        a: nth,
        p: String(price),
        q: '1',
        T: at,
        m: false,
        M: true,
      }),
    alive: (nth) => json({ u: nth, s: 'ETHUSDT', b: '199.9', B: '1', a: '200.1', A: '1' }),
  },
  coinbase: {
    symbol: 'ETH-USD',
    scheme: 'ws',
    subscription: ['{"type":"subscribe","product_ids":["ETH-USD"],"channels":["ticker","heartbeat"]}'],
    tick: (price, at, nth) =>
      json({
        type: 'ticker',
        sequence: nth * 10,
        product_id: 'ETH-USD',
        price: String(price),
        best_bid: String(price),
        best_ask: String(price),
        time: iso(at),
        trade_id: nth,
      }),
    alive: (nth) =>
      json({ type: 'heartbeat', sequence: 9, last_trade_id: nth, product_id: 'ETH-USD', time: iso(0) }),
  },
  kraken: {
    symbol: 'ETH/USD',
    scheme: 'ws',
    subscription: [
      '{"method":"subscribe","params":{"channel":"ticker","symbol":["ETH/USD"],"event_trigger":"bbo"}}',
    ],
    tick: (price, at) =>
      json({
        channel: 'ticker',
        type: 'update',
        data: [{ symbol: 'ETH/USD', bid: price, ask: price, last: price, timestamp: iso(at) }],
      }),
    alive: () => '{"channel":"heartbeat"}',
  },
  okx: {
    symbol: 'ETH-USDT',
    scheme: 'ws',
    subscription: ['{"op":"subscribe","args":[{"channel":"tickers","instId":"ETH-USDT"}]}'],
    tick: (price, at) =>
      json({
        arg: { channel: 'tickers', instId: 'ETH-USDT' },
        data: [{ instId: 'ETH-USDT', bidPx: String(price), askPx: String(price), ts: String(at) }],
      }),
    alive: () => 'pong',
  },
  bybit: {
    symbol: 'ETHUSDT',
    scheme: 'ws',
    subscription: ['{"op":"subscribe","args":["tickers.ETHUSDT","orderbook.1.ETHUSDT"]}'],
    tick: (price, at, nth) =>
      json({
        topic: 'tickers.ETHUSDT',
        ts: at,
        type: 'snapshot',
        cs: nth,
        data: { symbol: 'ETHUSDT', lastPrice: String(price) },
      }),
    alive: () => '{"success":true,"ret_msg":"pong","conn_id":"x","req_id":"","op":"ping"}',
  },
  replay: {
    symbol: 'ETH-USD',
    scheme: 'ws',
    subscription: ['{"type":"subscribe","symbols":["ETH-USD"]}'],
    tick: (price, at, nth) =>
      json({ type: 'tick', symbol: 'ETH-USD', price: String(price), ts: at, seq: nth }),
    alive: () => '{"type":"heartbeat"}',
  },
  hermes: {
    symbol: ID,
    scheme: 'http',
    subscription: [`/v2/updates/price/stream?ids%5B%5D=${ID}&parsed=false&ignore_invalid_price_ids=true`],
    tick: (...args) => {
      const [price, twist] = pyth(...args)
      return hermesEvent([price], twist)
    },
  },
  'price-service': {
    symbol: ID,
    scheme: 'http',
    subscription: [`{"ids":["${ID}"],"type":"subscribe","verbose":true,"binary":true}`],
    tick: (...args) => priceUpdate(...pyth(...args)),
    alive: () => '{"type":"response","status":"success"}',
  },
}

/** Whole seconds, for Pyth has no finer times; some way back, so that a second more is not the future. */
const start = Math.floor(Date.now() / 1000) * 1000 - 60_000
const at = (seconds: number) => start + seconds * 1000
const wad = (price: number) => BigInt(price) * WAD

async function subscribed(adapter: StreamName) {
  const wire = wires[adapter]
  const venue = await startVenue(cleanups)
  const markets = [{ symbol: wire.symbol, base: 'ETH', quote: 'USD' }]
  const source = connectSource(cleanups, { adapter, url: `${wire.scheme}://${venue.host}`, markets })
  await venue.subscribed(1)
  const send = (text: string) => venue.clients.at(-1)?.send(text)
  const alive = (nth: number) => (wire.alive ? send(wire.alive(nth)) : venue.clients.at(-1)?.comment())
  return { venue, source, send, alive }
}

describe.each(Object.entries(wires) as [StreamName, Wire][])('%s on the wire', (adapter, wire) => {
  it('asks for its markets, and again after each way that a connection ends', async () => {
    const { venue, source, send } = await subscribed(adapter)
    expect(venue.received).toEqual(wire.subscription)
    send(wire.tick(200, at(1), 11))
    await priced(source, wad(200))
    venue.clients[0]?.end()
    await venue.subscribed(2)
    expect(venue.received).toEqual([...wire.subscription, ...wire.subscription])
    send(wire.tick(201, at(2), 44))
    await priced(source, wad(201))
    await venue.stop()
    await vi.waitFor(() => expect(source.status().connected).toBe(false))
    const reborn = await startVenue(cleanups, Number(venue.host.split(':')[1]))
    await reborn.subscribed(1)
    reborn.clients[0]?.send(wire.tick(202, at(3), 7))
    await priced(source, wad(202))
    expect(source.status()).toMatchObject({ connected: true, quotes: 3 })
    expect(source.status().connects).toBeGreaterThanOrEqual(3)
  })

  it('names and counts garbage, and takes the next good frame', async () => {
    const { source, send } = await subscribed(adapter)
    send(wire.tick(200, at(1), 11))
    await priced(source, wad(200))
    const garbage = [
      ...['{', '[[[', 'null', '5', '"ping"', '{}', '{"data":[[]]}', '[]', `{"a":${'['.repeat(5_000)}`],
      '{"type":"ticker","__proto__":{"price":1}}',
      wire.tick(200, at(1), 11).slice(0, -9),
    ]
    for (const frame of garbage) send(frame)
    send(wire.tick(201, at(2), 12))
    await priced(source, wad(201))
    const { rejected, quotes } = source.status()
    expect(quotes).toBe(2)
    const { malformed = 0, unexpected_shape = 0, ...others } = rejected
    expect(malformed + unexpected_shape).toBe(garbage.length)
    expect(others).toEqual({})
  })

  it('refuses what is old, repeated, from the future or slipped by decimals, and keeps the good price', async () => {
    const { source, send } = await subscribed(adapter)
    send(wire.tick(200, at(2), 11))
    await priced(source, wad(200))
    send(wire.tick(150, at(1), 10))
    send(wire.tick(200, at(2), 11))
    send(wire.tick(150, Date.now() + 3_600_000, 12))
    send(wire.tick(20_000_000_000, at(3), 12))
    send(wire.tick(0.000002, at(3), 13))
    await vi.waitFor(() =>
      expect(source.status().rejected).toEqual({ out_of_order: 1, duplicate: 1, future: 1, decimal_slip: 2 }),
    )
    expect(source.quotes()).toMatchObject([{ price: wad(200), eventTime: at(2) }])
    send(wire.tick(199, at(4), 14))
    await priced(source, wad(199))
  })

  it('a frozen price stays as old as it is while the venue lives', async () => {
    const { source, send, alive } = await subscribed(adapter)
    send(wire.tick(200, at(1), 11))
    await priced(source, wad(200))
    const [first] = source.quotes()
    for (let i = 0; i < 3; i++) {
      send(wire.tick(200, at(1), 11))
      alive(11)
    }
    await vi.waitFor(() => expect(source.status().rejected.duplicate).toBe(3))
    expect(source.quotes()).toEqual([first])
    expect(source.status()).toMatchObject({ lastEventTime: at(1), connected: true, connects: 1 })
  })

  it('a market that was not asked for is refused', async () => {
    const venue = await startVenue(cleanups)
    const markets = [{ symbol: 'f'.repeat(64), base: 'ETH', quote: 'USD' }]
    const source = connectSource(cleanups, { adapter, url: `${wire.scheme}://${venue.host}`, markets })
    await venue.subscribed(1)
    venue.clients[0]?.send(wire.tick(200, at(1), 11))
    await vi.waitFor(() => expect(source.status().rejected).toEqual({ unknown_symbol: 1 }))
    expect(source.quotes()).toEqual([])
  })
})

describe.each(['binance', 'replay', 'coinbase'] as const)('%s counts its ticks', (adapter) => {
  it('and after a gap there is no price until it is subscribed anew', async () => {
    const { tick } = wires[adapter]
    const { venue, source, send, alive } = await subscribed(adapter)
    send(tick(200, at(1), 11))
    alive(11)
    await priced(source, wad(200))
    if (adapter === 'coinbase') {
      alive(12)
      // One heartbeat later trade 12 still hasn't come.
      alive(12)
    } else send(tick(201, at(2), 13))
    await vi.waitFor(() => expect(source.status().rejected).toEqual({ sequence_gap: 1 }))
    expect(source.quotes()).toEqual([])
    await venue.subscribed(2)
    send(tick(202, at(3), 20))
    await priced(source, wad(202))
  })
})
