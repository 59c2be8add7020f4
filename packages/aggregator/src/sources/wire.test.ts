import { afterEach, describe, expect, it, vi } from 'vitest'
import { WAD } from './decimal.js'
import { connectSource, createCleanups, priced, startVenue } from './venue.test-util.js'
import { type StreamName, type Wire, wires } from './wires.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

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

describe.each(['binance', 'coinbase', 'bybit'] as const)('%s pushes a price anew', (adapter) => {
  it('and it is as old as it was, whatever time the push bears', async () => {
    const { tick, again } = wires[adapter]
    const { source, send } = await subscribed(adapter)
    send(tick(200, at(1), 11))
    await priced(source, wad(200))
    const [first] = source.quotes()
    for (const seconds of [2, 3, 4]) send(again?.(200, at(1), 11, at(seconds)) ?? '')
    await vi.waitFor(() => expect(source.status().rejected).toEqual({ duplicate: 3 }))
    expect(source.quotes()).toEqual([first])
    expect(source.status()).toMatchObject({ lastEventTime: at(1), connected: true })
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
