import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type Clock, systemClock } from '@clearspan/shared'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { createHttp, type FinishedJson, type HttpParameters } from './http.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
})

async function serve(change: Partial<HttpParameters> = {}): Promise<string> {
  const server = createHttp({
    maxConnections: 1_024,
    epochs: () => [{ epoch: 1, feeds: 1, nodes: 4 }],
    realClock: systemClock,
    auth: {
      answer: async () => ({ failure: 'malformed_offer' }),
      checkRequest: () => ({ failure: 'missing_header' }),
    },
    onUnauthenticated: () => {},
    onRefused: () => {},
    receive: async () => ({ status: 'accepted' }),
    receiveHandover: async () => ({ status: 'accepted' }),
    handover: () => null,
    onInvalid: () => {},
    latest: () => null,
    subscribe: () => () => {},
    evidence: { names: () => [], read: async () => null },
    health: () => ({ healthy: true, body: {} }),
    metrics: async () => '',
    ...change,
  })
  cleanups.push(() => server.close())
  return server.listen({ host: '127.0.0.1', port: 0 })
}

describe('the report stream', () => {
  it('beats while there is no report, and lets go of a reader that has left', async () => {
    let beat = () => {}
    let sleeps = 0
    const realClock: Clock = {
      now: () => 0,
      sleep: (_, signal) =>
        new Promise((resolve, reject) => {
          sleeps += 1
          beat = resolve
          signal?.addEventListener('abort', () => reject(signal.reason))
        }),
    }
    const listeners = new Set<(report: FinishedJson) => void>()
    let left = () => {}
    const gone = new Promise<void>((resolve) => {
      left = resolve
    })
    const subscribe = (listener: (report: FinishedJson) => void) => {
      listeners.add(listener)
      return () => {
        listeners.delete(listener)
        left()
      }
    }
    const url = await serve({ realClock, subscribe, latest: () => ({ seq: '1', json: '{}' }) })
    const response = await fetch(`${url}/reports/stream`)
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    expect((await reader?.read())?.value).toBe('id: 1\ndata: {}\n\n')
    beat()
    expect((await reader?.read())?.value).toBe(': alive\n\n')
    expect(listeners.size).toBe(1)
    await reader?.cancel()
    await gone
    expect(listeners.size).toBe(0)
    // Its timer ended with it.
    const slept = sleeps
    beat()
    await new Promise(setImmediate)
    expect(sleeps).toBe(slept)
  })
})

describe('hostile input', () => {
  /** A server whose peers are authenticated, or not, as the test says. */
  async function hostile(known: boolean) {
    const counts = { received: 0, invalid: 0, unauthenticated: 0, refused: new Map<string, number>() }
    const url = await serve({
      auth: {
        answer: async () => ({ failure: 'malformed_offer' }),
        checkRequest: () =>
          known ? { from: { epoch: 1, node: 1 }, sign: () => ({}) } : { failure: 'wrong_mac' },
      },
      receive: async () => {
        counts.received += 1
        return { status: 'accepted' }
      },
      onInvalid: () => {
        counts.invalid += 1
      },
      onUnauthenticated: () => {
        counts.unauthenticated += 1
      },
      onRefused: (code) => void counts.refused.set(code, (counts.refused.get(code) ?? 0) + 1),
    })
    const post = (path: string, body: string | Uint8Array, type = 'application/json') =>
      fetch(`${url}${path}`, { method: 'POST', body, headers: { 'content-type': type } })
    return { url, counts, post }
  }
  const paths = ['/observations', '/proposals', '/signatures'] as const
  const price = ['20050000000', 5] as const
  const signed = { epoch: 1, seq: '1', prices: [price], signature: `0x${'11'.repeat(64)}` }

  it.each([
    ['no JSON', '{'],
    ['no text', new Uint8Array([0xff, 0xfe])],
    ['nothing', ''],
    ['a list', '[]'],
    ['a field too many', JSON.stringify({ ...signed, extra: 1 })],
    ['a prototype', `{"__proto__":{"epoch":1},"epoch":1}`],
    ['a price too few', JSON.stringify({ ...signed, prices: [] })],
    ['a negative price', JSON.stringify({ ...signed, prices: [['-1', 5]] })],
    ['a price beyond 64 bits', JSON.stringify({ ...signed, prices: [['9223372036854775808', 5]] })],
    ['a slot beyond 64 bits', JSON.stringify({ ...signed, seq: '18446744073709551616' })],
    ['a slot of a million digits', JSON.stringify({ ...signed, seq: '9'.repeat(200_000) })],
    ['a confidence that is no number', JSON.stringify({ ...signed, prices: [['1', null]] })],
    ['an upper-case signature', JSON.stringify({ ...signed, signature: `0x${'AA'.repeat(64)}` })],
    ['brackets without end', '['.repeat(100_000)],
  ])('a message with %s is answered with 400, counted, and the next good one taken', async (_, body) => {
    const { counts, post } = await hostile(true)
    expect((await post('/signatures', body)).status).toBe(400)
    expect(counts).toMatchObject({ received: 0, invalid: 1 })
    expect((await post('/signatures', JSON.stringify(signed))).status).toBe(202)
    expect(counts.received).toBe(1)
  })

  it('refuses by name what HTTP itself refuses', async () => {
    const { counts, post } = await hostile(true)
    expect((await post('/signatures', 'x'.repeat(300_000))).status).toBe(413)
    expect((await post('/signatures', 'a=b', 'application/x-www-form-urlencoded')).status).toBe(415)
    expect([...counts.refused]).toEqual([
      ['FST_ERR_CTP_BODY_TOO_LARGE', 1],
      ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 1],
    ])
  })

  it('reads nothing that a stranger sends', async () => {
    const { counts, post } = await hostile(false)
    for (const path of paths) expect((await post(path, JSON.stringify(signed))).status).toBe(401)
    expect(counts).toMatchObject({ received: 0, invalid: 0, unauthenticated: 3 })
  })

  it('goes on after any JSON and any bytes', async () => {
    const { counts, post, url } = await hostile(true)
    const body = fc.oneof(
      fc.json(),
      fc.uint8Array({ maxLength: 2_000 }),
      fc
        .record({ ...Object.fromEntries(Object.keys(signed).map((key) => [key, fc.jsonValue()])) })
        .map((value) => JSON.stringify(value)),
    )
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), body, async (path, sent) => {
        const { invalid, received } = counts
        const { status } = await post(path, sent)
        expect([202, 400]).toContain(status)
        expect(counts.invalid + counts.received).toBe(invalid + received + 1)
      }),
      { numRuns: 150 },
    )
    expect((await fetch(`${url}/health`)).status).toBe(200)
  })
})

describe('hostile clients', () => {
  const report = (seq: number, bytes = 2): FinishedJson => ({
    seq: `${seq}`,
    json: `"${'x'.repeat(bytes - 2)}"`,
  })

  /** A server with reports, what it has refused by name, and whoever listens to it. */
  async function withReports(change: Partial<HttpParameters> = {}) {
    const refused = new Map<string, number>()
    const listeners = new Set<(report: FinishedJson) => void>()
    const url = await serve({
      latest: () => report(7),
      subscribe(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      onRefused: (code) => void refused.set(code, (refused.get(code) ?? 0) + 1),
      ...change,
    })
    return { url, refused, listeners, healthy: async () => (await fetch(`${url}/health`)).ok }
  }

  /** A connection that has sent these bytes; `localAddress` is who it comes from. */
  async function raw(url: string, bytes: string, localAddress = '127.0.0.1'): Promise<Socket> {
    const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port), localAddress })
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.write(bytes)
    return socket
  }

  /** All that the server says before it closes. */
  async function heard(socket: Socket): Promise<string> {
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    await once(socket, 'close')
    return text
  }

  const STREAM = 'GET /reports/stream HTTP/1.1\r\nHost: a\r\n\r\n'

  it('a reader of the stream that stops reading is let go, and what waits for it is bounded', async () => {
    const { url, listeners, healthy } = await withReports()
    const reader = await raw(url, STREAM)
    await once(reader, 'readable')
    // Not read from: the system's buffers fill, then the server's.
    const most = 64 * 1024 * 1024
    let sent = 0
    for (; listeners.size > 0 && sent < most; sent += 65_536) {
      for (const send of [...listeners]) send(report(sent, 65_536))
      await new Promise(setImmediate)
    }
    expect(listeners.size).toBe(0)
    expect(await healthy()).toBe(true)
  })

  it('who opens many streams displaces himself, and nobody else', async () => {
    const { url, refused, listeners } = await withReports({ maxConnections: 20 })
    const honest = await raw(url, STREAM)
    await once(honest, 'data')
    const crowd: Socket[] = []
    for (let n = 0; n < 60; n += 1) crowd.push((await raw(url, STREAM, '127.0.0.2')).resume())
    await Promise.all(crowd.slice(0, 41).map((one) => one.destroyed || once(one, 'close')))
    expect(refused).toEqual(new Map([['too_many_connections', 41]]))
    // Others still come in, and the first has been served all along.
    const late = await raw(url, STREAM, '127.0.0.3')
    await once(late, 'data')
    expect(listeners.size).toBeLessThanOrEqual(20)
    const next = once(honest, 'data')
    for (const send of listeners) send(report(8))
    expect(String((await next)[0])).toContain('id: 8\n')
  })

  it.each([
    ['none', undefined, true],
    ['a number that is no slot', '-1', true],
    ['a slot to come', '99999999999999999999999', true],
    ['lines of its own', 'data: forged', true],
    ['1 kB of noise', '\u00ff'.repeat(1_000), true],
    ['the newest', '7', false],
  ])('a Last-Event-ID of %s', async (_, id, repeats) => {
    const { url, listeners } = await withReports()
    const response = await fetch(`${url}/reports/stream`, { headers: id ? { 'last-event-id': id } : {} })
    expect(response.status).toBe(200)
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
    const first = repeats ? (await reader?.read())?.value : ''
    expect(first).toBe(repeats ? 'id: 7\ndata: ""\n\n' : '')
    for (const send of listeners) send(report(8))
    expect((await reader?.read())?.value).toBe('id: 8\ndata: ""\n\n')
    await reader?.cancel()
  })

  it.each([
    ['headers of 100 kB', `GET /reports/latest HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(100_000)}`, '431'],
    ['a header without end', `GET /reports/latest HTTP/1.1\r\nHost: a\r\n${'x'.repeat(100_000)}`, '431'],
    ['no HTTP', '\u0016\u0003\u0001 hello\r\n\r\n', '400'],
    [
      'two lengths',
      'POST /signatures HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n',
      '400',
    ],
    [
      'a length and chunks',
      'POST /signatures HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      '400',
    ],
    ['a request that never ends', 'GET /reports/latest HTTP/1.1\r\nHost: a\r\n', '408'],
    [
      'a body that never ends',
      'POST /signatures HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{',
      '408',
    ],
    ['nothing at all', '', '408'],
  ])('a connection with %s is answered, closed and counted by name', async (_, bytes, status) => {
    const { url, refused, healthy } = await withReports({ requestTimeoutMs: 100 })
    expect(await heard(await raw(url, bytes))).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
    const [[code, times] = []] = refused
    expect(code).toMatch(/^(HPE|ERR_HTTP)_[A-Z_]+$/)
    expect(times).toBe(1)
    expect(await healthy()).toBe(true)
  })

  it('methods and paths that are none of it', async () => {
    const { url, refused, listeners, healthy } = await withReports()
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS'])
      expect((await fetch(`${url}/reports/stream`, { method })).status).toBe(404)
    expect((await fetch(`${url}/reports/latest`, { method: 'POST', body: '{}' })).status).toBeGreaterThan(400)
    for (const path of [
      '/reports',
      '/reports/stream/',
      `/handover/${'9'.repeat(400)}`,
      '/evidence/..%2f..%2fkey',
    ])
      expect([404, 414]).toContain((await fetch(`${url}${path}`)).status)
    expect(listeners.size).toBe(0)
    expect(refused.get('not_found')).toBeGreaterThanOrEqual(8)
    expect(await healthy()).toBe(true)
  })

  it('any web page may read reports', async () => {
    const { url } = await withReports()
    const latest = await fetch(`${url}/reports/latest`)
    const stream = await fetch(`${url}/reports/stream`)
    for (const { headers } of [latest, stream]) expect(headers.get('access-control-allow-origin')).toBe('*')
    await stream.body?.cancel()
  })
})
