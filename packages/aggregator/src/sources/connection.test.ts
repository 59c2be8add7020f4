import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createLogger, seededRandom, systemClock } from '@clearspan/shared'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { type AdapterName, createSource } from './index.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const timings = { minBackoffMs: 10, maxBackoffMs: 50, maxSilenceMs: 2_000 }
const ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
})

interface Venue {
  host: string
  sockets: WebSocket[]
  responses: ServerResponse[]
  /** What clients sent. */
  received: string[]
  /** Waits for the nth connection's first message (or request). */
  subscribed(nth: number): Promise<void>
  stop(): Promise<void>
}

async function startVenue(port = 0): Promise<Venue> {
  const venue = { sockets: [] as WebSocket[], responses: [] as ServerResponse[], received: [] as string[] }
  const http = createServer((_: IncomingMessage, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    venue.responses.push(response)
  })
  const server = new WebSocketServer({ server: http })
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.once('message', (data) => {
      venue.received.push(data.toString())
      venue.sockets.push(socket)
    })
  })
  http.listen(port, '127.0.0.1')
  await once(http, 'listening')
  const stop = () =>
    new Promise<void>((done) => {
      for (const client of server.clients) client.terminate()
      http.close(() => done())
      http.closeAllConnections()
    })
  cleanups.push(stop)
  return {
    ...venue,
    host: `127.0.0.1:${(http.address() as AddressInfo).port}`,
    stop,
    subscribed: (nth) =>
      vi.waitFor(() => expect(venue.sockets.length + venue.responses.length).toBe(nth), { timeout: 5_000 }),
  }
}

function connect(adapter: AdapterName, url: string, symbol = 'ETH-USD', change: object = {}) {
  const source = createSource({
    id: adapter,
    adapter,
    url,
    markets: [{ symbol, base: 'ETH', quote: 'USD' }],
    maxClockSkewMs: 1_000,
    networkClock: systemClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger,
    timings: { ...timings, ...change },
  })
  cleanups.push(() => source.stop())
  source.start()
  return source
}

const replayTick = (price: string, seq: number) =>
  JSON.stringify({ type: 'tick', symbol: 'ETH-USD', price, ts: Date.now(), seq })
const pythPrice = (price: string) => ({
  id: ID,
  price: { price, conf: '1', expo: -8, publish_time: Math.floor(Date.now() / 1000) },
  ema_price: { price, conf: '1', expo: -8, publish_time: Math.floor(Date.now() / 1000) },
})
const priced = (source: ReturnType<typeof connect>, price: bigint) =>
  vi.waitFor(() => expect(source.quotes()[0]?.price).toBe(price), { timeout: 5_000 })

describe('a source', () => {
  it('subscribes again after the venue closed, died and came back', async () => {
    const venue = await startVenue()
    const source = connect('replay', `ws://${venue.host}`)
    await venue.subscribed(1)
    expect(venue.received).toEqual(['{"type":"subscribe","symbols":["ETH-USD"]}'])
    venue.sockets[0]?.send(replayTick('200', 1))
    await priced(source, 200n * 10n ** 18n)
    venue.sockets[0]?.close()
    await venue.subscribed(2)
    await venue.stop()
    await vi.waitFor(() => expect(source.status().connected).toBe(false))
    const reborn = await startVenue(Number(venue.host.split(':')[1]))
    await reborn.subscribed(1)
    reborn.sockets[0]?.send(replayTick('201', 2))
    await priced(source, 201n * 10n ** 18n)
    expect(source.status().connects).toBeGreaterThanOrEqual(3)
  })

  it('leaves a connection that went silent', async () => {
    const venue = await startVenue()
    connect('replay', `ws://${venue.host}`, 'ETH-USD', { maxSilenceMs: 100 })
    await venue.subscribed(3)
  })

  it('survives hostile frames: counted, dropped, and the next good one taken', async () => {
    const venue = await startVenue()
    const source = connect('replay', `ws://${venue.host}`)
    await venue.subscribed(1)
    const [socket] = venue.sockets
    for (const frame of ['', '[[[', 'null', '{"type":"tick"}', replayTick('-1', 1)]) socket?.send(frame)
    socket?.send(Buffer.from([0, 1, 2]), { binary: true })
    socket?.send(replayTick('200', 1))
    await priced(source, 200n * 10n ** 18n)
    expect(source.status().rejected).toEqual({ malformed: 4, unexpected_shape: 1, bad_price: 1 })
    // Larger than any frame may be: the connection ends, the source comes back.
    socket?.send('x'.repeat(2 << 20))
    await venue.subscribed(2)
    expect(source.status().rejected).toMatchObject({ too_large: 1 })
  })

  it('hermes: comes back after the stream ended, and drops a bad event', async () => {
    const venue = await startVenue()
    const source = connect('hermes', `http://${venue.host}`, ID)
    await venue.subscribed(1)
    venue.responses[0]?.write('data: {"parsed":5}\n\n')
    venue.responses[0]?.write(`data: ${JSON.stringify({ parsed: [pythPrice('20000000000')] })}\n\n`)
    await priced(source, 200n * 10n ** 18n)
    venue.responses[0]?.write('event: error\ndata: closed after 24 hours\n\n')
    await venue.subscribed(2)
    venue.responses[1]?.write(`data: ${JSON.stringify({ parsed: [pythPrice('20100000000')] })}\n\n`)
    await priced(source, 201n * 10n ** 18n)
    venue.responses[1]?.end()
    await venue.subscribed(3)
    expect(source.status().rejected).toEqual({ unexpected_shape: 1 })
  })

  it('price service: survives what the client would end the process for', async () => {
    const exit = vi.spyOn(process, 'exit').mockImplementation(() => {
      throw new Error('the process would have ended')
    })
    cleanups.push(() => exit.mockRestore())
    const venue = await startVenue()
    const source = connect('price-service', `http://${venue.host}`, ID)
    await venue.subscribed(1)
    expect(JSON.parse(venue.received[0] ?? '')).toMatchObject({ ids: [ID], type: 'subscribe' })
    const [socket] = venue.sockets
    const update = (price_feed: unknown) => socket?.send(JSON.stringify({ type: 'price_update', price_feed }))
    socket?.send('not json')
    socket?.send('{"type":"response","status":"error","error":"unknown id"}')
    update({ id: 5 })
    update({ ...pythPrice('1'), price: { ...pythPrice('1').price, expo: 1e9 } })
    update(pythPrice('20000000000'))
    await priced(source, 200n * 10n ** 18n)
    expect(source.status().rejected).toEqual({ malformed: 1, unexpected_shape: 2, bad_price: 1 })
    await venue.stop()
    const reborn = await startVenue(Number(venue.host.split(':')[1]))
    await reborn.subscribed(1)
    expect(exit).not.toHaveBeenCalled()
  })

  it('stops while it waits to reconnect', async () => {
    const venue = await startVenue()
    await venue.stop()
    const source = connect('coinbase', `ws://${venue.host}`, 'ETH-USD', {
      minBackoffMs: 60_000,
      maxBackoffMs: 60_000,
    })
    await source.stop()
    expect(source.status()).toMatchObject({ connected: false, quotes: 0 })
  })
})
