import { type Clock, createLogger, seededRandom, UserError } from '@clearspan/shared'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { WAD } from '../sources/decimal.js'
import type { Source } from '../sources/index.js'
import { checkDerived, derivedFeedSchema, isPolled } from './config.js'
import { createPolledSources, polledSpecs } from './polled.js'
import { depthOf, levels, polledVenues } from './venues.test-util.js'

const NOW = 1_700_000_000_000
/** Real ms, by default. */
const POLL_MS = 5_000
const logger = createLogger({ name: 'test', level: 'silent' })

const running: Source[] = []
afterEach(async () => {
  for (const source of running.splice(0)) await source.stop()
})

const rpc = {
  kind: 'liveness',
  feed: 'ALPHA.TIME/S',
  sources: [{ id: 'rpc', url: 'https://rpc.test/key/', tags: ['rpc'] }],
}

/** Asks a source, a chain without another, once for each answer. A pause is a turn of the event loop, a deadline never comes, and a question takes `stepMs`. */
function poll(
  answers: readonly ((signal: AbortSignal) => Response | Promise<Response>)[],
  feed: object = rpc,
  stepMs = 0,
) {
  const asked: { url: string; body: unknown }[] = []
  const clock: Clock = {
    now: () => NOW + Math.max(asked.length - 1, 0) * stepMs,
    sleep: async (ms, signal) => {
      await new Promise((resolve) => setImmediate(resolve))
      if ((ms !== POLL_MS && asked.length < answers.length) || signal?.aborted) return
      await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
    },
  }
  const fetch: typeof globalThis.fetch = async (url, init) => {
    const answer = answers[asked.length]
    asked.push({ url: String(url), body: JSON.parse(String(init?.body ?? 'null')) })
    if (!answer) throw new TypeError('network down')
    return answer(init?.signal ?? new AbortController().signal)
  }
  const config = derivedFeedSchema.parse(feed)
  if (!isPolled(config)) throw new Error('not polled')
  const parameters = {
    maxClockSkewMs: 2_000,
    networkClock: clock,
    realClock: clock,
    random: seededRandom(1),
    logger,
  }
  const [made] = createPolledSources(config, { ...parameters, fetch })
  if (!made) throw new Error('no source')
  running.push(made)
  made.start()
  return { source: made, specs: polledSpecs(config), asked }
}

const block = (timestamp: unknown) => () => Response.json({ jsonrpc: '2.0', id: 1, result: { timestamp } })

describe('a polled source', () => {
  it('asks again and again, and gives the newest answer as a quote of the feed', async () => {
    const { source, specs, asked } = poll([block('0x6553f100'), block('0x6553f101')])
    await vi.waitFor(() => expect(source.status().quotes).toBe(2))
    expect(source.quotes()).toMatchObject([
      { source: 'rpc', kind: 'price', price: 1_700_000_001n * WAD, eventTime: NOW, receiveTime: NOW },
    ])
    expect(specs).toEqual([
      { id: 'rpc', tags: ['rpc'], markets: [{ symbol: 'rpc', base: 'ALPHA.TIME', quote: 'S' }] },
    ])
    expect(asked[0]).toMatchObject({ url: 'https://rpc.test/key/', body: { method: 'eth_getBlockByNumber' } })
  })

  it('counts what it can’t use, names it, and goes on', async () => {
    const huge = () =>
      new Response(
        new ReadableStream({
          pull: (controller) => controller.enqueue(new Uint8Array(1024 * 1024).fill(32)),
        }),
      )
    const { source } = poll([
      () => new Response('<html>'),
      () => new Response('[]'),
      huge,
      block('0x'),
      block(5),
      () => Response.json({ error: { code: -32005, message: 'limit' } }),
      () => new Response(null, { status: 503 }),
      () => Promise.reject(new TypeError('network down')),
      block('0x6553f100'),
    ])
    await vi.waitFor(() => expect(source.status().quotes).toBe(1))
    expect(source.status().rejected).toEqual({
      malformed: 2,
      too_large: 1,
      unexpected_shape: 2,
      venue_error: 1,
    })
    // Down at the 503, and up again.
    expect(source.status()).toMatchObject({ connected: true, connects: 2 })
  })

  it('ends while an answer is awaited', async () => {
    const { source, asked } = poll([
      (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    ])
    await vi.waitFor(() => expect(asked).toHaveLength(1))
    await source.stop()
    expect(source.status()).toMatchObject({ connected: false, quotes: 0 })
  })
})

describe.each(Object.entries(polledVenues))('a venue that is polled, %s,', (_, { feed, body }) => {
  /** An answer a second, of these states. */
  const follow = (states: readonly number[]) =>
    poll(
      states.map((nth, second) => () => Response.json(body(nth, NOW + second * 1_000))),
      feed,
      1_000,
    ).source

  it('has the age of what it tells, however often it answers', async () => {
    const states = [1, 1, 1, 2, 2]
    const source = follow(states)
    await vi.waitFor(() => {
      const { quotes, rejected } = source.status()
      expect(quotes + Object.values(rejected).reduce((sum, count) => sum + count, 0)).toBe(states.length)
    })
    // The second state came with the fourth answer.
    expect(source.quotes()).toMatchObject([{ eventTime: NOW + 3_000 }])
    expect(source.status()).toMatchObject({ lastEventTime: NOW + 3_000, lastFrameTime: NOW + 4_000 })
  })

  it('stays as old as it is when it is frozen from the first', async () => {
    const source = follow([1, 1, 1, 1])
    await vi.waitFor(() => expect(source.status().lastFrameTime).toBe(NOW + 3_000))
    expect(source.quotes()).toMatchObject([{ eventTime: NOW }])
  })
})

describe('a book that is numbered but bears no time', () => {
  const book = (nth: number) => () => Response.json({ lastUpdateId: nth, ...levels(nth) })

  it('is old when an older number comes from another cache', async () => {
    const { source } = poll([101, 100, 101, 100].map(book), depthOf('binance'), 1_000)
    await vi.waitFor(() => expect(source.status().rejected).toEqual({ out_of_order: 2, duplicate: 1 }))
    expect(source.quotes()).toMatchObject([{ eventTime: NOW, sequence: 101n }])
  })

  it('is followed when the venue was down and counts anew', async () => {
    const down = () => new Response(null, { status: 503 })
    const { source } = poll([book(101), down, book(101), down, book(3)], depthOf('binance'), 1_000)
    await vi.waitFor(() => expect(source.quotes()).toMatchObject([{ eventTime: NOW + 4_000, sequence: 3n }]))
    expect(source.status()).toMatchObject({ quotes: 2, rejected: { duplicate: 1 }, connects: 3 })
  })
})

it('the block of a chain that stands still is a new answer each time: how old it is is what is told', async () => {
  const { source } = poll([block('0x6553f100'), block('0x6553f100')], rpc, 1_000)
  await vi.waitFor(() => expect(source.status().quotes).toBe(2))
  expect(source.quotes()).toMatchObject([{ price: 1_700_000_000n * WAD, eventTime: NOW + 1_000 }])
})

describe('configuration of derived feeds', () => {
  const context = {
    feeds: [
      { name: 'ETH/USD', exponent: -8 },
      { name: 'ETH.RV/VOL', exponent: -6 },
      { name: 'ETH.FIX/USD', exponent: -8 },
      { name: 'BETA.TIME/S', exponent: 0 },
    ],
    slotMs: 2_000,
    sources: [{ id: 'kraken' }],
  }
  const check = (...values: object[]) =>
    checkDerived(
      values.map((value) => derivedFeedSchema.parse(value)),
      context,
      'derived',
    )
  const rv = { kind: 'realisedVolatility', feed: 'ETH.RV/VOL', of: 'ETH/USD', sampleSlots: 1, samples: 10 }
  const fixing = { kind: 'fixing', feed: 'ETH.FIX/USD', of: 'ETH/USD', periodMs: 20_000, windowMs: 4_000 }
  const liveness = (id: string) => ({
    kind: 'liveness',
    feed: 'BETA.TIME/S',
    sources: [{ id, url: 'http://rpc.test', tags: ['x'] }],
  })

  it('takes what fits', () => expect(check(rv, fixing, liveness('rpc'))).toBeUndefined())

  it.each([
    ['derived[0].feed', [{ ...rv, feed: 'BTC.RV/VOL' }]],
    ['derived[0].of', [{ ...rv, of: 'BTC/USD' }]],
    ['derived[0].of', [{ ...rv, of: 'ETH.RV/VOL' }]],
    ['derived[1].feed', [rv, rv]],
    ['derived[0].periodMs', [{ ...fixing, periodMs: 20_001 }]],
    ['derived[0].windowMs', [{ ...fixing, windowMs: 22_000 }]],
    ['derived[0].feed', [{ ...fixing, feed: 'ETH.RV/VOL' }]],
    ['derived[0].sources[0].id', [liveness('kraken')]],
  ] as [string, object[]][])('names %s', (field, values) => {
    let error: unknown
    try {
      check(...values)
    } catch (thrown) {
      error = thrown
    }
    expect(error).toBeInstanceOf(UserError)
    expect(error).toMatchObject({ field })
  })

  it.each([
    { ...rv, samples: 1 },
    { ...rv, surprise: 1 },
    { ...rv, kind: 'vibes' },
    { ...liveness('a'), sources: [] },
    { ...liveness('a'), sources: [{ id: 'a', url: 'ftp://rpc.test', tags: ['x'] }] },
    {
      kind: 'depth',
      feed: 'ETH.DEPTH/USD',
      sources: [{ id: 'a', url: 'http://x.test', tags: ['x'], venue: 'x', symbol: 'a', quote: 'USD' }],
    },
  ])('refuses %j', (value) => expect(derivedFeedSchema.safeParse(value).success).toBe(false))
})
