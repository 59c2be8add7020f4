import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { gzipSync } from 'node:zlib'
import { type Clock, createLogger, seededRandom, systemClock } from '@clearspan/shared'
import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { heavy, hostile, spoil } from '../sources/hostile.test-util.js'
import type { Source, SourceStatus } from '../sources/index.js'
import { createCleanups } from '../sources/venue.test-util.js'
import { derivedFeedSchema, isPolled } from './config.js'
import { createPolledSources } from './polled.js'
import { polledVenues } from './venues.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

const NOW = 1_700_000_000_000
/** Real ms, by default. */
const POLL_MS = 5_000
const logger = createLogger({ name: 'test', level: 'silent' })

function start(
  feed: object,
  { fetch = globalThis.fetch, clock }: { fetch?: typeof globalThis.fetch; clock: Clock },
) {
  const config = derivedFeedSchema.parse(feed)
  if (!isPolled(config)) throw new Error('not polled')
  const [source] = createPolledSources(config, {
    ...{ maxClockSkewMs: 2_000, random: seededRandom(1), logger, fetch },
    ...{ networkClock: clock, realClock: clock },
  })
  if (!source) throw new Error('no source')
  cleanups.add(() => source.stop())
  source.start()
  return source
}

const counted = ({ rejected, quotes }: SourceStatus) =>
  Object.values(rejected).reduce((sum, count) => sum + count, quotes)

describe.each(Object.entries(polledVenues))('any answer of %s', (_, { feed, body }) => {
  it('is a sound value or a named refusal, and the next good one counts', async () => {
    const many = [...fc.sample(hostile, 30), ...heavy.slice(0, 4)]
    // Every other answer is spoilt, the first and the last are good.
    const last = 2 * many.length + 1
    /** As the source was after each answer. */
    const after: { status: SourceStatus; values: (readonly [bigint, number])[] }[] = []
    let source: Source | undefined
    let asked = 0
    // An hour apart, so that nothing makes the next doubtful.
    const now = () => NOW + asked * 3_600_000
    const clock: Clock = {
      now,
      // A pause is a turn of the event loop, a deadline never comes.
      sleep: async (ms, signal) => {
        await new Promise((resolve) => setImmediate(resolve))
        if ((ms !== POLL_MS && asked <= last) || signal?.aborted) return
        await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
      },
    }
    source = start(feed, {
      clock,
      fetch: async () => {
        if (source) {
          const values = source.quotes().map(({ price, eventTime }) => [price, eventTime] as const)
          after.push({ status: source.status(), values })
        }
        asked += 1
        const good = JSON.stringify(body(asked, now()))
        const how = asked % 2 === 0 ? many[asked / 2 - 1] : undefined
        return new Response(how ? spoil(good, how) : good)
      },
    })
    await vi.waitFor(() => expect(after).toHaveLength(last), { timeout: 10_000 })
    for (const [at, { status, values }] of after.entries()) {
      const nth = at + 1
      // One more, under its name where it gave no value.
      expect(counted(status)).toBe(nth)
      for (const [value, eventTime] of values) {
        expect(value > 0n && Number.isSafeInteger(eventTime) && eventTime > 0).toBe(true)
      }
      if (nth % 2 === 1) expect(values).toEqual([[expect.any(BigInt), NOW + nth * 3_600_000]])
    }
  })
})

/** An answer of HTTP, with its length unless it has one. */
const http = (head: string, body: string | Buffer = '') =>
  Buffer.concat([Buffer.from(`HTTP/1.1 ${head}\r\n\r\n`), Buffer.from(body)])
/** For what never ends: the runtime's fetch waits for a body that can't be unpacked. */
const DEADLINE_MS = 1_500
const gzip = 'content-encoding: gzip'
const end = 'connection: close'

/** What comes in place of an answer, and its name; without one the venue was not reached. */
const answers: Record<string, [Buffer, name: string | null]> = {
  'no HTTP': [Buffer.from('SSH-2.0-OpenSSH_9.6\r\n'), null],
  'a header without end': [http(`200 OK\r\nx: ${'x'.repeat(1 << 20)}`), null],
  'headers without end': [http(`200 OK${'\r\nx: y'.repeat(100_000)}`), null],
  'two lengths': [http('200 OK\r\ncontent-length: 2\r\ncontent-length: 3', '{} '), null],
  'a negative length': [http('200 OK\r\ncontent-length: -2', '{}'), null],
  'less than its length': [http('200 OK\r\ncontent-length: 1000', '{"code"'), null],
  'more than its length': [
    http(`200 OK\r\n${end}\r\ncontent-length: 7`, '{"code":"0","data":[]}'),
    'malformed',
  ],
  'chunks of no size': [http('200 OK\r\ntransfer-encoding: chunked', 'zz\r\n{}\r\n0\r\n\r\n'), null],
  'no gzip': [http(`200 OK\r\n${end}\r\n${gzip}`, '{"code":"0"}'), null],
  'a status and no gzip': [http(`500 Oops\r\n${end}\r\n${gzip}`, '{}'), null],
  'a gzip bomb': [http(`200 OK\r\n${end}\r\n${gzip}`, gzipSync(Buffer.alloc(16 << 20, ' '))), 'too_large'],
  'no content': [http(`204 No Content\r\n${end}`), 'malformed'],
  'nothing at all': [http(`200 OK\r\n${end}\r\ncontent-length: 0`), 'malformed'],
  'no UTF-8': [http(`200 OK\r\n${end}`, Buffer.from([0xff, 0xfe, 0x7b, 0x7d, 0xc0])), 'malformed'],
  'another protocol': [http('101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade'), null],
  'a limit': [http('429 Too Many Requests\r\nretry-after: 1e9\r\ncontent-length: 2', '{}'), null],
}

it('any HTTP is refused, under its name where the venue was reached, and the next good answer counts', async () => {
  const [kinds, okx] = [Object.keys(answers), polledVenues.okx ?? expect.fail('okx')]
  let asked = 0
  let elsewhere = 0
  const serve = async (answer: (socket: Socket) => void) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => answer(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanups.add(() => new Promise((done) => server.close(done)))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const other = await serve((socket) => {
    elsewhere += 1
    socket.end()
  })
  const redirect = http(`307 Temporary Redirect\r\nlocation: ${other}/\r\ncontent-length: 0`)
  const venue = await serve((socket) => {
    const [spoilt] = answers[kinds[asked - 1] ?? ''] ?? [asked === kinds.length + 1 ? redirect : null]
    socket.end(spoilt ?? http(`200 OK\r\n${end}`, JSON.stringify(okx.body(asked, NOW))))
  })
  const statuses: SourceStatus[] = []
  const clock: Clock = {
    now: () => NOW,
    // A deadline is what it is, a pause nothing until all was asked for.
    sleep: (ms, signal) => systemClock.sleep(ms === DEADLINE_MS || asked > kinds.length + 1 ? ms : 0, signal),
  }
  const source: Source = start(
    {
      ...okx.feed,
      pollMs: DEADLINE_MS,
      sources: [{ id: 'venue', url: venue, tags: ['venue'], venue: 'okx', symbol: 'ETH-USD', quote: 'USD' }],
    },
    {
      clock,
      fetch: (url, init) => {
        if (asked > 0) statuses.push(source.status())
        asked += 1
        return fetch(url, init)
      },
    },
  )
  await vi.waitFor(() => expect(source.status().quotes).toBe(1), { timeout: 10_000 })
  const names = Object.values(answers).map(([, name]) => name)
  for (const [at, name] of [...names, null].entries()) {
    const [before, after] = [statuses[at - 1]?.rejected ?? {}, statuses[at]?.rejected ?? {}]
    const expected = name
      ? { ...before, [name]: ((before as Record<string, number>)[name] ?? 0) + 1 }
      : before
    expect(after, kinds[at]).toEqual(expected)
  }
  expect(elsewhere).toBe(0)
  expect(source.quotes()).toMatchObject([{ eventTime: NOW }])
})
