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
