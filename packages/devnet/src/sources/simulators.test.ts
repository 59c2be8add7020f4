import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, seededRandom, systemClock } from '@clearspan/shared'
import { HermesClient } from '@pythnetwork/hermes-client'
import { PriceServiceConnection } from '@pythnetwork/price-service-client'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { WebSocket } from 'ws'
import { parsePriceTape, planVenues, pythFeedId } from '../prices/index.js'
import { sharedDirectory } from '../prices/testData.js'
import { type SourceSimulators, startSourceSimulators } from './simulators.js'
import { openSocket, shapeOf } from './testClients.js'

const T = Date.UTC(2020, 2, 13)
const HOUR = 3_600_000

/** Network time stands still unless a test moves it; sleeping is none of the simulators' business. */
function manualClock(): Clock & { time: number } {
  const clock = {
    time: T + HOUR / 2,
    now: () => clock.time,
    sleep: async () => {
      throw new Error('a simulator does not sleep')
    },
  }
  return clock
}

const tape = parsePriceTape(
  [
    'timestamp_ms,source,symbol,open,high,low,close,volume',
    ...[
      'binance,BTC-USDT',
      'bybit,BTC-USDT',
      'coinbase,BTC-USD',
      'gemini,BTC-USD',
      'kraken,BTC-USD',
      'okx,BTC-USDT',
      'pyth,BTC-USD',
    ].flatMap((name) => [`${T},${name},,,,5301.14,`, `${T + HOUR},${name},,,,4770.5,`]),
    `${T},bitfinex,BTC-USD,,,,5300,`,
    `${T + 60_000},bitfinex,BTC-USD,,,,5300,`,
  ].join('\n'),
  'p.csv',
)
const plan = planVenues(tape, tape.range, seededRandom(1))
const clock = manualClock()
const opened = new Set<WebSocket>()
let simulators: SourceSimulators
const connect = (id: string, path = '') => openSocket(`${simulators.urls[id]}${path}`, opened)

beforeAll(async () => {
  simulators = await startSourceSimulators({
    plan,
    clock,
    realClock: systemClock,
    realTickMs: 20,
    random: seededRandom(2),
  })
})
afterAll(async () => {
  for (const socket of opened) socket.terminate()
  await simulators.stop()
})

const fixtures = sharedDirectory('fixtures')
const fixture = (name: string) => JSON.parse(readFileSync(join(fixtures!, name), 'utf8'))

test('every source of the plan has a server on loopback', () => {
  expect(Object.keys(simulators.urls)).toEqual(plan.sourceConfigs.map(({ id }) => id))
  for (const { id, adapter } of plan.sourceConfigs)
    expect(simulators.urls[id]).toMatch(
      adapter === 'hermes' || adapter === 'price-service'
        ? /^http:\/\/127\.0\.0\.1:\d+$/
        : /^ws:\/\/127\.0\.0\.1:\d+/,
    )
})

test('Binance: subscribe, trades and book, raw and combined, errors', async () => {
  const raw = await connect('binance')
  raw.send({
    method: 'SUBSCRIBE',
    params: ['btcusdt@aggTrade', 'btcusdt@bookTicker', 'nonsense@aggTrade'],
    id: 1,
  })
  expect(await raw.next((frame) => 'result' in frame)).toEqual({ result: null, id: 1 })
  expect(await raw.next(({ e }) => e === 'aggTrade')).toMatchObject({
    s: 'BTCUSDT',
    p: '5301.14000000',
    T: clock.time,
  })
  const book = await raw.next((frame) => 'b' in frame)
  expect((Number(book.b) + Number(book.a)) / 2).toBeCloseTo(5301.14, 5)
  expect(Number(book.a)).toBeGreaterThan(Number(book.b))
  raw.send({ method: 'LIST_SUBSCRIPTIONS', id: 2 })
  expect(await raw.next(({ id }) => id === 2)).toMatchObject({
    result: expect.arrayContaining(['btcusdt@aggTrade']),
  })
  raw.send({ method: 'UNSUBSCRIBE', params: ['btcusdt@aggTrade', 'btcusdt@bookTicker'], id: 3 })
  await raw.next(({ id }) => id === 3)
  raw.send({ method: 'SUBSCRIB', params: [], id: 4 })
  expect(await raw.next(({ id }) => id === 4)).toMatchObject({ error: { code: 2 } })
  raw.send('{')
  expect(await raw.next(({ error }) => error !== undefined)).toMatchObject({ error: { code: 3 } })

  const combined = await openSocket(
    `${simulators.urls.binance!.replace('/ws', '')}/stream?streams=btcusdt@aggTrade/btcusdt@bookTicker`,
    opened,
  )
  const trade = await combined.next(({ stream }) => stream === 'btcusdt@aggTrade')
  const wrapped = await combined.next(({ stream }) => stream === 'btcusdt@bookTicker')
  if (fixtures !== undefined) {
    const captured = fixture('ws_captured.json').binance
    expect(shapeOf(trade)).toEqual(shapeOf(JSON.parse(captured.aggTrade[0].raw)))
    expect(shapeOf(wrapped)).toEqual(shapeOf(JSON.parse(captured.bookTicker[0].raw)))
  }
})

test('Coinbase: subscriptions, ticker, heartbeat, its complaints', async () => {
  const client = await connect('coinbase')
  client.send({ type: 'subscribe', product_ids: ['BTC-USD'], channels: ['ticker', { name: 'heartbeat' }] })
  expect(await client.next(({ type }) => type === 'subscriptions')).toEqual({
    type: 'subscriptions',
    channels: [
      { name: 'ticker', product_ids: ['BTC-USD'] },
      { name: 'heartbeat', product_ids: ['BTC-USD'] },
    ],
  })
  const first = await client.next(({ type }) => type === 'ticker')
  expect(first).toMatchObject({
    product_id: 'BTC-USD',
    price: '5301.14',
    time: '2020-03-13T00:30:00.000000Z',
  })
  const second = await client.next(({ type }) => type === 'ticker')
  expect(Number(second.sequence)).toBeGreaterThan(Number(first.sequence))
  expect(await client.next(({ type }) => type === 'heartbeat')).toMatchObject({
    product_id: 'BTC-USD',
    time: '2020-03-13T00:30:00.000000Z',
  })
  if (fixtures !== undefined) {
    const captured = JSON.parse(fixture('ws_captured.json').coinbase.ticker[0].raw)
    // The sizes of the best prices came after the capture.
    expect(shapeOf({ ...first })).toEqual({
      ...(shapeOf(captured) as object),
      best_bid_size: 'string',
      best_ask_size: 'string',
    })
  }
  client.send({ type: 'subscribe', product_ids: ['NO-USD'], channels: ['ticker'] })
  expect(await client.next(({ type }) => type === 'error')).toEqual({
    type: 'error',
    message: 'Failed to subscribe',
    reason: 'NO-USD is not a valid product',
  })
  client.send({ type: 'subscribe', product_ids: ['BTC-USD'], channels: ['level9'] })
  expect(await client.next(({ type }) => type === 'error')).toMatchObject({
    reason: 'level9 is not a valid channel',
  })
})

test('Kraken: status, acknowledgement, snapshot, update, heartbeat, ping, unknown pair', async () => {
  const client = await connect('kraken')
  client.send({
    method: 'subscribe',
    params: { channel: 'ticker', symbol: ['BTC/USD', 'NO/USD'], event_trigger: 'bbo' },
    req_id: 7,
  })
  expect(await client.next(({ channel }) => channel === 'status')).toMatchObject({
    data: [{ system: 'online' }],
  })
  expect(await client.next(({ success }) => success === true)).toMatchObject({
    method: 'subscribe',
    result: { channel: 'ticker', event_trigger: 'bbo', snapshot: true, symbol: 'BTC/USD' },
    req_id: 7,
    time_in: '2020-03-13T00:30:00.000000Z',
  })
  expect(await client.next(({ success }) => success === false)).toMatchObject({
    error: 'Currency pair not supported NO/USD',
    symbol: 'NO/USD',
  })
  const snapshot = await client.next(({ type, channel }) => channel === 'ticker' && type === 'snapshot')
  expect(snapshot).toMatchObject({
    data: [{ symbol: 'BTC/USD', last: 5301.14, timestamp: '2020-03-13T00:30:00.000000Z' }],
  })
  await client.next(({ type, channel }) => channel === 'ticker' && type === 'update')
  await client.next(({ channel }) => channel === 'heartbeat')
  if (fixtures !== undefined)
    expect(shapeOf(snapshot)).toEqual(shapeOf(fixture('ws_current_shapes.json').kraken_v2.sample))
  client.send({ method: 'ping', req_id: 101 })
  expect(await client.next(({ method }) => method === 'pong')).toMatchObject({ req_id: 101 })
  client.send({ method: 'subscribe', params: { channel: 'candles' } })
  expect(await client.next(({ error }) => error === 'Unsupported channel candles')).toMatchObject({
    success: false,
  })
})

test('OKX: subscribe, ticker, ping, its complaints', async () => {
  const client = await connect('okx')
  const arg = { channel: 'tickers', instId: 'BTC-USDT' }
  client.send({ op: 'subscribe', args: [arg] })
  expect(await client.next(({ event }) => event === 'subscribe')).toMatchObject({ arg })
  const ticker = await client.next(({ data }) => data !== undefined)
  expect(ticker).toMatchObject({ arg, data: [{ last: '5301.14', ts: String(clock.time) }] })
  if (fixtures !== undefined) {
    const captured = JSON.parse(fixture('ws_captured.json').okx_v5.tickers[2].raw)
    expect(shapeOf(ticker)).toEqual(shapeOf(captured))
  }
  const pong = new Promise((resolve) =>
    client.socket.on('message', (data) => String(data) === 'pong' && resolve('pong')),
  )
  client.send('ping')
  expect(await pong).toBe('pong')
  client.send({ op: 'subscribe', args: [{ channel: 'tickers', instId: 'NO-USDT' }] })
  expect(await client.next(({ event }) => event === 'error')).toMatchObject({ code: '60018' })
  client.send({ op: 'shout' })
  expect(await client.next(({ event }) => event === 'error')).toMatchObject({ code: '60012' })
})

test('Bybit: subscribe, first level, ping, its complaints', async () => {
  const client = await connect('bybit')
  client.send({ op: 'subscribe', args: ['orderbook.1.BTCUSDT'], req_id: '7' })
  expect(await client.next(({ op }) => op === 'subscribe')).toMatchObject({ success: true, req_id: '7' })
  const { data, ...frame } = await client.next(({ topic }) => topic === 'orderbook.1.BTCUSDT')
  expect(frame).toMatchObject({ ts: clock.time, type: 'snapshot', cts: clock.time })
  const { b, a } = data as { b: [string, string][]; a: [string, string][] }
  expect((Number(b[0]![0]) + Number(a[0]![0])) / 2).toBeCloseTo(5301.14, 4)
  client.send({ op: 'ping' })
  expect(await client.next(({ op }) => op === 'ping')).toMatchObject({ success: true, ret_msg: 'pong' })
  client.send({ op: 'subscribe', args: ['orderbook.1.NOUSDT'] })
  expect(await client.next(({ success }) => success === false)).toMatchObject({ op: 'subscribe' })
  client.send({ op: 'subscribe', args: Array(11).fill('orderbook.1.BTCUSDT') })
  expect(await client.next(({ success }) => success === false)).toMatchObject({ ret_msg: 'args size >10' })
})

test('replay: ticks at once, errors by name', async () => {
  const client = await connect('gemini')
  client.send({ type: 'subscribe', symbols: ['BTC-USD', 'NO-USD'] })
  expect(await client.next(({ type }) => type === 'tick')).toEqual({
    type: 'tick',
    symbol: 'BTC-USD',
    price: '5301.14',
    ts: clock.time,
    seq: expect.any(Number),
  })
  expect(await client.next(({ type }) => type === 'error')).toEqual({
    type: 'error',
    message: 'unknown symbol NO-USD',
  })
  client.send('{')
  expect(await client.next(({ type }) => type === 'error')).toMatchObject({
    message: expect.stringContaining('expected'),
  })
})

test('a venue that the tape leaves without a price sends none', async () => {
  const client = await connect('bitfinex')
  client.send({ type: 'subscribe', symbols: ['BTC-USD', 'NO-USD'] })
  await client.next(({ type }) => type === 'error')
  await client.next(({ type }) => type === 'heartbeat')
  expect(client.pending().filter(({ type }) => type === 'tick')).toEqual([])
})

const ids = [pythFeedId('BTC'), pythFeedId('USDT')]

test('Hermes, by its own client: latest, stream, metadata, unknown id', async () => {
  const client = new HermesClient(simulators.urls['pyth-hermes']!, { httpRetries: 0 })
  const latest = await client.getLatestPriceUpdates(ids)
  expect(latest.parsed![0]).toMatchObject({
    id: ids[0],
    price: { price: '530114000000', expo: -8, publish_time: clock.time / 1000 },
  })
  if (fixtures !== undefined)
    expect(shapeOf(latest)).toEqual(
      shapeOf(fixture('pyth_hermes_v2_verbatim.json').response_v2_updates_price_latest),
    )
  expect((await client.getPriceFeeds({ query: 'btc' })).map(({ id }) => id)).toEqual([ids[0]])
  await expect(client.getLatestPriceUpdates([`0x${'1'.repeat(64)}`])).rejects.toThrow(
    `404, body: Price ids not found: 0x${'1'.repeat(64)}`,
  )
  await expect(client.getLatestPriceUpdates(['xyz'])).rejects.toThrow('status: 400')
  const ignoring = await client.getLatestPriceUpdates([...ids, '2'.repeat(64)], {
    ignoreInvalidPriceIds: true,
    encoding: 'base64',
  })
  expect(ignoring.parsed).toHaveLength(2)
  expect(Buffer.from(ignoring.binary.data[0]!, 'base64').subarray(0, 4).toString()).toBe('PNAU')

  const stream = await client.getPriceUpdatesStream(ids)
  try {
    const events = await new Promise<string[]>((resolve, reject) => {
      const seen: string[] = []
      stream.onerror = reject
      stream.onmessage = ({ data }) => seen.push(data) === 3 && resolve(seen)
    })
    expect(shapeOf(JSON.parse(events[2]!))).toEqual(shapeOf(latest))
    expect(JSON.parse(events[2]!).parsed.map(({ id }: { id: string }) => id)).toEqual(ids)
  } finally {
    stream.close()
  }
})

test('Price Service, by its own client: latest, ids, subscription, unknown id', async () => {
  const url = simulators.urls['pyth-price-service']!
  const quiet = () => {}
  const client = new PriceServiceConnection(url, {
    httpRetries: 0,
    priceFeedRequestConfig: { verbose: true, binary: true },
    logger: { trace: quiet, debug: quiet, info: quiet, warn: quiet, error: quiet },
  })
  const errors: Error[] = []
  client.onWsError = (error) => errors.push(error)
  try {
    expect(await client.getPriceFeedIds()).toEqual(expect.arrayContaining(ids))
    const [feed] = (await client.getLatestPriceFeeds(ids))!
    expect(feed!.getPriceUnchecked()).toMatchObject({
      price: '530114000000',
      expo: -8,
      publishTime: clock.time / 1000,
    })
    expect((await client.getLatestVaas(ids))[0]).toMatch(/^UE5BVQ/)
    await expect(client.getLatestPriceFeeds(['3'.repeat(64)])).rejects.toThrow('404')
    const update = await new Promise<{ id: string }>((resolve, reject) => {
      client.subscribePriceFeedUpdates([ids[0]!], resolve).catch(reject)
    })
    expect(update.id).toBe(ids[0])
    expect(errors).toEqual([])
  } finally {
    client.closeWebSocket()
  }
  if (fixtures !== undefined) {
    const body = await (await fetch(`${url}/api/latest_price_feeds?ids[]=${ids[0]}&binary=true`)).json()
    expect(shapeOf(body)).toEqual(shapeOf(fixture('pyth_price_service_v1.json').latest_price_feeds[0]))
  }
  const socket = await openSocket(`${url.replace('http', 'ws')}/ws`, opened)
  socket.send({ type: 'subscribe', ids: ['4'.repeat(64)] })
  expect(await socket.next(({ type }) => type === 'response')).toEqual({
    type: 'response',
    status: 'error',
    error: `Price feed(s) with id(s) [0x${'4'.repeat(64)}] not found`,
  })
  socket.send({ type: 'subscribe', ids, verbose: true, binary: false })
  expect(await socket.next(({ type }) => type === 'response')).toEqual({
    type: 'response',
    status: 'success',
  })
  expect(await socket.next(({ type }) => type === 'price_update')).toMatchObject({
    price_feed: { metadata: { emitter_chain: 26 } },
  })
})

test('faults: offset, frozen, silent, mended; outside the window the edge holds', async () => {
  const client = await connect('gemini')
  client.send({ type: 'subscribe', symbols: ['BTC-USD'] })
  const tick = (fits: (frame: Record<string, unknown>) => boolean) =>
    client.next((frame) => frame.type === 'tick' && fits(frame))
  const before = clock.time

  simulators.setFault('gemini', { kind: 'offset', bps: -3500 })
  expect(await tick(({ price }) => price !== '5301.14')).toMatchObject({ price: '3445.741' })

  simulators.setFault('gemini', { kind: 'frozen' })
  clock.time = T + 99 * HOUR
  await client.next(({ type }) => type === 'heartbeat')
  for (const frame of client.pending().filter(({ type }) => type === 'tick')) expect(frame.ts).toBe(before)
  // Others went on, at the edge of the window with the present time.
  const other = await connect('coinbase')
  other.send({ type: 'subscribe', product_ids: ['BTC-USD'], channels: ['ticker'] })
  expect(await other.next(({ type, price }) => type === 'ticker' && price !== '5301.14')).toMatchObject({
    price: '4770.5',
    time: '2020-03-17T03:00:00.000000Z',
  })

  simulators.setFault('gemini', { kind: 'silent' })
  // What was sent before the fault has arrived once a pong has: sockets keep order.
  await new Promise((resolve) => {
    client.socket.once('pong', resolve)
    client.socket.ping()
  })
  const arrived = client.pending().length
  const loud = await connect('kraken')
  loud.send({ method: 'subscribe', params: { channel: 'ticker', symbol: ['BTC/USD'] } })
  for (let i = 0; i < 5; i++) await loud.next(({ type }) => type === 'update')
  expect(client.pending()).toHaveLength(arrived)

  simulators.setFault('gemini', null)
  expect(await tick(({ ts }) => ts === clock.time)).toMatchObject({ price: '4770.5' })
  expect(() => simulators.setFault('nobody', null)).toThrow(RangeError)
  expect(() => simulators.setFault('gemini', { kind: 'offset', bps: -10_000 })).toThrow(RangeError)
})

test('stopping ends every connection', async () => {
  const own = await startSourceSimulators({ plan, clock, realClock: systemClock, random: seededRandom(2) })
  const sockets = await Promise.all(
    ['binance', 'coinbase', 'kraken', 'gemini'].map((id) => openSocket(own.urls[id]!, opened)),
  )
  const closed = sockets.map(({ socket }) => new Promise((resolve) => socket.once('close', resolve)))
  const stream = await fetch(`${own.urls['pyth-hermes']}/v2/updates/price/stream?ids[]=${ids[0]}`)
  const body = stream.text().catch((error: unknown) => error)
  await own.stop()
  await Promise.all([...closed, body])
  await expect(fetch(`${own.urls['pyth-hermes']}/v2/price_feeds`)).rejects.toThrow()
})
