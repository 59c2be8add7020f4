import type { AdapterName } from './index.js'
import { hermesEvent, priceUpdate } from './pythUpdate.test-util.js'

export const PYTH_ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'

/** Adapters that are told prices; the others ask for them. */
export type StreamName = Exclude<AdapterName, 'chainlink' | 'uniswap-v3'>

export interface Wire {
  symbol: string
  scheme: 'ws' | 'http'
  /** What a node must have sent, or asked for, once it is subscribed. */
  subscription: string[]
  /** A price in whole units, at a time in ms, as the nth of the venue. */
  tick(price: number, at: number, nth: number): string
  /** That price pushed anew at a later time: all advances but the price's own number. Absent where it has none. */
  again?(price: number, at: number, nth: number, pushedAt: number): string
  /** A sign of life without a price, after the nth tick; a WebSocket ping or SSE comment when absent. */
  alive?(nth: number): string
}

const iso = (at: number) => new Date(at).toISOString()
const json = JSON.stringify
const aggTrade = (price: number, at: number, nth: number, pushedAt = at) =>
  json({
    e: 'aggTrade',
    E: pushedAt,
    s: 'ETHUSDT',
    a: nth,
    p: String(price),
    q: '1',
    T: at,
    m: false,
    M: true,
  })
const coinbaseTicker = (price: number, at: number, nth: number, sequence = nth * 10) =>
  json({
    type: 'ticker',
    sequence,
    product_id: 'ETH-USD',
    price: String(price),
    best_bid: String(price),
    best_ask: String(price),
    time: iso(at),
    trade_id: nth,
  })
const bybitBook = (price: number, at: number, nth: number, seq = nth * 10) =>
  json({
    topic: 'orderbook.1.ETHUSDT',
    ts: at + 2,
    type: 'snapshot',
    data: { s: 'ETHUSDT', b: [[String(price), '1']], a: [[String(price), '1']], u: nth, seq },
    cts: at,
  })
const pyth = (price: number, at: number, nth: number) =>
  [
    { id: PYTH_ID, price: BigInt(Math.round(price * 1e8)), publishTime: Math.floor(at / 1000) },
    { slot: BigInt(nth) },
  ] as const

/** Every venue's own frames. */
export const wires: Record<StreamName, Wire> = {
  binance: {
    symbol: 'ETHUSDT',
    scheme: 'ws',
    subscription: ['{"method":"SUBSCRIBE","params":["ethusdt@aggTrade","ethusdt@bookTicker"],"id":1}'],
    tick: (price, at, nth) => aggTrade(price, at, nth),
    again: (price, at, nth, pushedAt) => aggTrade(price, at, nth, pushedAt),
    alive: (nth) => json({ u: nth, s: 'ETHUSDT', b: '199.9', B: '1', a: '200.1', A: '1' }),
  },
  coinbase: {
    symbol: 'ETH-USD',
    scheme: 'ws',
    subscription: ['{"type":"subscribe","product_ids":["ETH-USD"],"channels":["ticker","heartbeat"]}'],
    tick: (price, at, nth) => coinbaseTicker(price, at, nth),
    again: (price, _, nth, pushedAt) => coinbaseTicker(price, pushedAt, nth, pushedAt),
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
    subscription: ['{"op":"subscribe","args":["orderbook.1.ETHUSDT"]}'],
    tick: (price, at, nth) => bybitBook(price, at, nth),
    again: (price, _, nth, pushedAt) => bybitBook(price, pushedAt, nth, pushedAt),
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
    symbol: PYTH_ID,
    scheme: 'http',
    subscription: [
      `/v2/updates/price/stream?ids%5B%5D=${PYTH_ID}&parsed=false&ignore_invalid_price_ids=true`,
    ],
    tick: (...args) => {
      const [price, twist] = pyth(...args)
      return hermesEvent([price], twist)
    },
  },
  'price-service': {
    symbol: PYTH_ID,
    scheme: 'http',
    subscription: [`{"ids":["${PYTH_ID}"],"type":"subscribe","verbose":true,"binary":true}`],
    tick: (...args) => priceUpdate(...pyth(...args)),
    alive: () => '{"type":"response","status":"success"}',
  },
}
