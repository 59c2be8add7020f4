import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Clock, createLogger, seededRandom, systemClock } from '@clearspan/shared'
import { expect, vi } from 'vitest'
import { type WebSocket, WebSocketServer } from 'ws'
import { defaultTimings } from './connection.js'
import { createSource, type Source, type SourceParameters } from './index.js'
import { testGuardians } from './pythUpdate.test-util.js'

/** Ends what a test began, newest first. */
export function createCleanups() {
  const ends: (() => unknown)[] = []
  return {
    add: (end: () => unknown) => void ends.push(end),
    async run() {
      for (let end = ends.pop(); end; end = ends.pop()) await end()
    },
  }
}
export type Cleanups = ReturnType<typeof createCleanups>

/** A server that speaks WebSocket and server-sent events, as a test tells it to. */
export interface TestVenue {
  host: string
  /** Clients that have subscribed, in order, of either kind. */
  clients: { send(text: string | Buffer): void; comment(): void; end(): void; headers: IncomingHttpHeaders }[]
  sockets: WebSocket[]
  responses: ServerResponse[]
  /** All that clients sent by WebSocket, and the URLs that they streamed. */
  received: string[]
  open: { connections: number }
  subscribed(nth: number): Promise<void>
  stop(): Promise<void>
}

export async function startVenue(cleanups: Cleanups, port = 0): Promise<TestVenue> {
  const venue: Omit<TestVenue, 'host' | 'stop' | 'subscribed'> = {
    clients: [],
    sockets: [],
    responses: [],
    received: [],
    open: { connections: 0 },
  }
  const http = createServer(({ url = '', headers }, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
    venue.received.push(url)
    venue.responses.push(response)
    venue.clients.push({
      send: (text) => response.write(`data: ${text}\n\n`),
      comment: () => response.write(':\n\n'),
      end: () => response.destroy(),
      headers,
    })
  })
  http.on('connection', (socket) => {
    venue.open.connections += 1
    socket.once('close', () => {
      venue.open.connections -= 1
    })
  })
  const server = new WebSocketServer({ server: http })
  server.on('connection', (socket, { headers }) => {
    socket.on('error', () => {})
    socket.on('message', (data) => venue.received.push(data.toString()))
    socket.once('message', () => {
      venue.sockets.push(socket)
      const send = (text: string | Buffer) => socket.send(text)
      venue.clients.push({ send, comment: () => socket.ping(), end: () => socket.terminate(), headers })
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
  cleanups.add(stop)
  return {
    ...venue,
    host: `127.0.0.1:${(http.address() as AddressInfo).port}`,
    stop,
    subscribed: (nth) =>
      vi.waitFor(() => expect(venue.clients.length).toBeGreaterThanOrEqual(nth), { timeout: 10_000 }),
  }
}

/** A started source with short real times, unless told otherwise. */
export function connectSource(
  cleanups: Cleanups,
  { adapter, url, ...rest }: Pick<SourceParameters, 'adapter' | 'url'> & Partial<SourceParameters>,
): Source {
  const source = createSource({
    id: adapter,
    adapter,
    url,
    markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
    guardianSets: [testGuardians],
    maxClockSkewMs: 1_000,
    networkClock: systemClock,
    realClock: systemClock,
    random: seededRandom(1),
    logger: createLogger({ name: 'test', level: 'silent' }),
    timings: { ...defaultTimings, minBackoffMs: 10, maxBackoffMs: 50, maxSilenceMs: 10_000 },
    ...rest,
  })
  cleanups.add(() => source.stop())
  source.start()
  return source
}

export const priced = (source: Source, price: bigint) =>
  vi.waitFor(() => expect(source.quotes()[0]?.price).toBe(price), { timeout: 10_000 })

/** A clock that stands still until it is moved; it keeps what was asked of it. */
export function manualClock(): Clock & { advance(ms: number): void; slept: number[] } {
  let now = 1_700_000_000_000
  const sleepers = new Set<{ at: number; wake(): void }>()
  const slept: number[] = []
  return {
    slept,
    now: () => now,
    sleep(ms, signal) {
      slept.push(ms)
      return new Promise((resolve, reject) => {
        const abort = () => reject(signal?.reason)
        if (signal?.aborted) return abort()
        const sleeper = {
          at: now + ms,
          wake() {
            sleepers.delete(sleeper)
            signal?.removeEventListener('abort', abort)
            resolve()
          },
        }
        sleepers.add(sleeper)
        signal?.addEventListener('abort', abort, { once: true })
      })
    },
    advance(ms) {
      now += ms
      for (const sleeper of [...sleepers]) if (sleeper.at <= now) sleeper.wake()
    },
  }
}
