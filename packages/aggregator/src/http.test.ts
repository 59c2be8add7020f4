import { type Clock, systemClock } from '@clearspan/shared'
import { afterEach, describe, expect, it } from 'vitest'
import { createHttp, type FinishedJson, type HttpParameters } from './http.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (let end = cleanups.pop(); end; end = cleanups.pop()) await end()
})

async function serve(change: Partial<HttpParameters> = {}): Promise<string> {
  const server = createHttp({
    feeds: 1,
    nodes: 4,
    realClock: systemClock,
    auth: { checkRequest: async () => ({ failure: 'missing_header' }), signResponse: async () => ({}) },
    onUnauthenticated: () => {},
    onRefused: () => {},
    receive: async () => ({ status: 'accepted' }),
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
