import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { UserError } from '@clearspan/shared'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { defaultTimings } from './connection.js'
import { WAD } from './decimal.js'
import { hermesEvent, priceUpdate } from './pythUpdate.test-util.js'
import { connectSource, createCleanups, manualClock, priced, startVenue } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

const ID = 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'
const pythMarkets = [{ symbol: ID, base: 'ETH', quote: 'USD' }]
const pythPrice = (price: bigint) => ({
  id: ID,
  price: price * 100_000_000n,
  publishTime: Math.floor(Date.now() / 1000),
})
const replayTick = (price: string, seq: number) =>
  JSON.stringify({ type: 'tick', symbol: 'ETH-USD', price, ts: Date.now(), seq })
const replayOf = ({ host }: { host: string }) => ({ adapter: 'replay', url: `ws://${host}` }) as const

describe('a connection', () => {
  it('is left when it is silent, though the socket stays open', async () => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const source = connectSource(cleanups, { ...replayOf(venue), realClock, timings: defaultTimings })
    await venue.subscribed(1)
    realClock.advance(defaultTimings.maxSilenceMs)
    await vi.waitFor(() => expect(source.status().connected).toBe(false))
    realClock.advance(1_000)
    await venue.subscribed(2)
  })

  it('is left when it lives but brings no price', async () => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const source = connectSource(cleanups, { ...replayOf(venue), realClock, timings: defaultTimings })
    await venue.subscribed(1)
    for (let ms = 0; ms < defaultTimings.maxQuietMs; ms += 20_000) {
      expect(source.status().connected).toBe(true)
      const before = source.status().rejected.venue_error ?? 0
      venue.clients[0]?.send('{"type":"error"}')
      await vi.waitFor(() => expect(source.status().rejected.venue_error).toBe(before + 1))
      realClock.advance(20_000)
    }
    await vi.waitFor(() => expect(source.status().connected).toBe(false))
    realClock.advance(1_000)
    await venue.subscribed(2)
  })

  it.each(['replay', 'hermes', 'price-service'] as const)(
    'of %s is renewed before its 24 hours are over',
    async (adapter) => {
      const venue = await startVenue(cleanups)
      const realClock = manualClock()
      const timings = { ...defaultTimings, maxSilenceMs: 1e9, maxQuietMs: 1e9 }
      const scheme = adapter === 'replay' ? 'ws' : 'http'
      connectSource(cleanups, {
        adapter,
        url: `${scheme}://${venue.host}`,
        realClock,
        timings,
        markets: pythMarkets,
      })
      await venue.subscribed(1)
      realClock.advance(24 * 3_600_000 - defaultTimings.maxBackoffMs)
      await vi.waitFor(() => expect(realClock.slept.at(-1)).toBeLessThanOrEqual(defaultTimings.minBackoffMs))
      realClock.advance(defaultTimings.minBackoffMs)
      await venue.subscribed(2)
    },
  )

  it('waits longer each time while the venue hangs up after a frame, and starts over once one has lasted', async () => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const source = connectSource(cleanups, { ...replayOf(venue), realClock, timings: defaultTimings })
    const { minBackoffMs, maxBackoffMs } = defaultTimings
    const hangUp = async (nth: number) => {
      await venue.subscribed(nth)
      venue.clients.at(-1)?.send(replayTick('200', nth))
      await vi.waitFor(() => expect(source.status().quotes).toBe(nth))
      const before = realClock.slept.length
      venue.clients.at(-1)?.end()
      await vi.waitFor(() => expect(realClock.slept.length).toBeGreaterThan(before))
      const wait = realClock.slept.at(-1) ?? 0
      realClock.advance(wait)
      return wait
    }
    for (let i = 1; i <= 8; i++) {
      const bound = Math.min(maxBackoffMs, minBackoffMs * 2 ** (i - 1))
      const wait = await hangUp(i)
      expect(wait).toBeGreaterThanOrEqual(bound / 2)
      expect(wait).toBeLessThanOrEqual(bound)
    }
    await venue.subscribed(9)
    realClock.advance(maxBackoffMs)
    expect(await hangUp(9)).toBeLessThanOrEqual(minBackoffMs)
  })

  it('stops while it waits to reconnect', async () => {
    const venue = await startVenue(cleanups)
    await venue.stop()
    const timings = { ...defaultTimings, minBackoffMs: 60_000, maxBackoffMs: 60_000 }
    const source = connectSource(cleanups, { adapter: 'coinbase', url: `ws://${venue.host}`, timings })
    await source.stop()
    expect(source.status()).toMatchObject({ connected: false, quotes: 0 })
  })

  it.each([
    ['kraken', '{"method":"ping"}'],
    ['okx', 'ping'],
    ['bybit', '{"op":"ping"}'],
  ] as const)('to %s is kept open by its own ping', async (adapter, ping) => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const timings = { ...defaultTimings, maxSilenceMs: 1e9, maxQuietMs: 1e9 }
    connectSource(cleanups, { adapter, url: `ws://${venue.host}`, realClock, timings })
    await venue.subscribed(1)
    for (let i = 1; i <= 3; i++) {
      await vi.waitFor(() => expect(realClock.slept.filter((ms) => ms === 20_000)).toHaveLength(i))
      realClock.advance(20_000)
      await vi.waitFor(() => expect(venue.received.filter((text) => text === ping)).toHaveLength(i))
    }
  })

  it('answers the pings of the venue', async () => {
    const venue = await startVenue(cleanups)
    connectSource(cleanups, { adapter: 'binance', url: `ws://${venue.host}` })
    await venue.subscribed(1)
    const pong = new Promise((resolve) => venue.sockets[0]?.once('pong', resolve))
    venue.sockets[0]?.ping('1700000000')
    expect(String(await pong)).toBe('1700000000')
  })
})

describe('bounded memory', () => {
  it('a frame beyond the limit ends the WebSocket and is counted', async () => {
    const venue = await startVenue(cleanups)
    const source = connectSource(cleanups, replayOf(venue))
    await venue.subscribed(1)
    venue.clients[0]?.send(Buffer.from([0, 1, 2]))
    venue.clients[0]?.send('x'.repeat(2 << 20))
    await venue.subscribed(2)
    expect(source.status().rejected).toEqual({ malformed: 1, too_large: 1 })
    venue.clients[1]?.send(replayTick('200', 1))
    await priced(source, 200n * WAD)
  })

  it.each([2, 101])(
    'a frame of %i MiB ends the Price Service, whose client takes all up to 100 MiB',
    async (megabytes) => {
      const venue = await startVenue(cleanups)
      const url = `http://${venue.host}/`
      const source = connectSource(cleanups, { adapter: 'price-service', url, markets: pythMarkets })
      await venue.subscribed(1)
      venue.clients[0]?.send('x'.repeat(megabytes << 20))
      await venue.subscribed(2)
      expect(source.status().rejected).toEqual({ too_large: 1 })
    },
  )

  it('an event beyond the limit ends the Hermes stream, as many bytes of comments do not', async () => {
    const venue = await startVenue(cleanups)
    const url = `http://${venue.host}`
    const source = connectSource(cleanups, { adapter: 'hermes', url, markets: pythMarkets })
    await venue.subscribed(1)
    const [stream] = venue.responses
    for (let i = 0; i < 40; i++) stream?.write(`:${'x'.repeat(50_000)}\n\n`)
    stream?.write(`data: ${hermesEvent([pythPrice(200n)])}\n\n`)
    await priced(source, 200n * WAD)
    expect(source.status().connects).toBe(1)
    const other = hermesEvent([{ ...pythPrice(201n), publishTime: Math.floor(Date.now() / 1000) + 1 }])
    stream?.write(`data: ${'x'.repeat(2 << 20)}\n\ndata: ${other}\n\n`)
    await venue.subscribed(2)
    expect(source.status()).toMatchObject({ quotes: 1, rejected: { too_large: 1 } })
  })

  it('an event without an end is no sign of life: silence ends the Hermes stream', async () => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const url = `http://${venue.host}`
    connectSource(cleanups, {
      adapter: 'hermes',
      url,
      markets: pythMarkets,
      realClock,
      timings: defaultTimings,
    })
    await venue.subscribed(1)
    const [stream] = venue.responses
    for (let ms = 0; ms < defaultTimings.maxSilenceMs; ms += 1_000) {
      expect(stream?.destroyed).toBe(false)
      await new Promise((sent) => stream?.write(`data: ${'x'.repeat(50_000)}\n`, sent))
      realClock.advance(1_000)
    }
    await vi.waitFor(() => expect(stream?.destroyed).toBe(true))
    realClock.advance(defaultTimings.minBackoffMs)
    await venue.subscribed(2)
  })
})

describe('Pyth services', () => {
  it('hermes: comes back after the error event of the 24th hour, and after an end', async () => {
    const venue = await startVenue(cleanups)
    const source = connectSource(cleanups, {
      adapter: 'hermes',
      url: `http://${venue.host}`,
      markets: pythMarkets,
    })
    await venue.subscribed(1)
    venue.responses[0]?.write('event: error\ndata: closed after 24 hours\n\n')
    await venue.subscribed(2)
    venue.responses[1]?.end()
    await venue.subscribed(3)
    venue.clients[2]?.send(hermesEvent([pythPrice(201n)]))
    await priced(source, 201n * WAD)
    expect(source.status().rejected).toEqual({})
  })

  it('hermes: sends its access token, and none when there is none', async () => {
    const venue = await startVenue(cleanups)
    const parameters = { adapter: 'hermes', url: `http://${venue.host}`, markets: pythMarkets } as const
    connectSource(cleanups, { ...parameters, accessToken: 's3cret' })
    await venue.subscribed(1)
    expect(venue.clients[0]?.headers.authorization).toBe('Bearer s3cret')
    connectSource(cleanups, parameters)
    await venue.subscribed(2)
    expect(venue.clients[1]?.headers.authorization).toBeUndefined()
  })

  it('price-service: refuses an access token, which its client would leave unsent', () => {
    const parameters = { adapter: 'price-service', url: 'http://127.0.0.1:9', accessToken: 's3cret' } as const
    expect(() => connectSource(cleanups, parameters)).toThrow(UserError)
  })

  it('price-service: pings are signs of life', async () => {
    const venue = await startVenue(cleanups)
    const realClock = manualClock()
    const parameters = {
      adapter: 'price-service',
      url: `http://${venue.host}`,
      markets: pythMarkets,
    } as const
    const source = connectSource(cleanups, { ...parameters, realClock, timings: defaultTimings })
    await venue.subscribed(1)
    for (let ms = 0; ms < 2 * defaultTimings.maxSilenceMs; ms += 20_000) {
      const pong = new Promise((resolve) => venue.sockets[0]?.once('pong', resolve))
      venue.sockets[0]?.ping()
      await pong
      realClock.advance(20_000)
    }
    expect(source.status().connected).toBe(true)
    realClock.advance(10_000)
    await vi.waitFor(() => expect(source.status().connected).toBe(false))
  })

  it.each(['hermes', 'price-service'] as const)(
    '%s: its client leaves nothing open, and never connects by itself',
    async (adapter) => {
      const venue = await startVenue(cleanups)
      const realClock = manualClock()
      const parameters = { adapter, url: `http://${venue.host}`, markets: pythMarkets }
      const source = connectSource(cleanups, { ...parameters, realClock, timings: defaultTimings })
      await venue.subscribed(1)
      // The stream is told to reconnect at once.
      venue.responses[0]?.write('retry: 1\n\n')
      venue.clients[0]?.send(
        adapter === 'hermes' ? hermesEvent([pythPrice(200n)]) : priceUpdate(pythPrice(200n)),
      )
      await priced(source, 200n * WAD)
      venue.clients[0]?.end()
      await vi.waitFor(() => expect(source.status().connected).toBe(false))
      // Longer than either client waits before it reconnects.
      await delay(500)
      expect(venue.received).toHaveLength(1)
      expect(venue.open.connections).toBe(0)
      realClock.advance(defaultTimings.minBackoffMs)
      await venue.subscribed(2)
      await source.stop()
      // Node's fetch opens a spare connection after an abort, and closes it when it is unused for some seconds.
      await vi.waitFor(() => expect(venue.open.connections).toBe(0), { timeout: 10_000 })
      await delay(500)
      expect(venue.received).toHaveLength(2)
    },
  )

  it('hermes: a redirect carries no token elsewhere and no price back; other content is no stream', async () => {
    const elsewhere = await startVenue(cleanups)
    let asked = 0
    const http = createServer((_, response) => {
      asked += 1
      if (asked % 2 === 1) response.writeHead(302, { location: `http://${elsewhere.host}/` }).end()
      else response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')
    })
    await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
    cleanups.add(() => new Promise((done) => http.close(done).closeAllConnections()))
    const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`
    const source = connectSource(cleanups, {
      adapter: 'hermes',
      url,
      markets: pythMarkets,
      accessToken: 's3cret',
    })
    for (let nth = 1; nth <= 2; nth++) {
      await elsewhere.subscribed(nth)
      elsewhere.clients[nth - 1]?.send(hermesEvent([pythPrice(200n)]))
    }
    await vi.waitFor(() => expect(asked).toBeGreaterThanOrEqual(4), { timeout: 10_000 })
    for (const { headers } of elsewhere.clients) expect(headers.authorization).toBeUndefined()
    expect(source.status()).toMatchObject({ quotes: 0, rejected: {} })
    expect(source.status().connects).toBe(elsewhere.clients.length)
  })

  it.each(['hermes', 'price-service'] as const)(
    '%s: forged updates end the connection and cost no more than one each',
    async (adapter) => {
      const venue = await startVenue(cleanups)
      const exit = vi.spyOn(process, 'exit').mockImplementation(() => {
        throw new Error('the process would have ended')
      })
      cleanups.add(() => exit.mockRestore())
      const source = connectSource(cleanups, { adapter, url: `http://${venue.host}`, markets: pythMarkets })
      const frame = (guardians: number[]) =>
        adapter === 'hermes'
          ? hermesEvent([pythPrice(150n)], { guardians })
          : priceUpdate(pythPrice(150n), { guardians })
      for (const [nth, guardians] of [
        [0, 1, 1],
        [0, 1],
        [2, 1, 0],
      ].entries()) {
        await venue.subscribed(nth + 1)
        venue.clients[nth]?.send(frame(guardians))
      }
      await venue.subscribed(4)
      expect(source.status().rejected).toEqual({ bad_signature: 2, no_quorum: 1 })
      expect(source.quotes()).toEqual([])
      venue.clients[3]?.send('{"type":"response","status":"error","error":"unknown id"}')
      venue.clients[3]?.send(
        adapter === 'hermes' ? hermesEvent([pythPrice(200n)]) : priceUpdate(pythPrice(200n)),
      )
      await priced(source, 200n * WAD)
      expect(exit).not.toHaveBeenCalled()
    },
  )
})
