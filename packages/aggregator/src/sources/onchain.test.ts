import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { connectSource, createCleanups } from './venue.test-util.js'

const cleanups = createCleanups()
afterEach(() => cleanups.run())

const FEED = '0x00000000000000000000000000000000000000fe'
const chain = { chainId: 31_337, pollMs: 10 }
const markets = [
  { symbol: FEED, base: 'ETH', quote: 'USD', chainlink: { heartbeatSeconds: 3_600, deviationBps: 50 } },
]

/** An RPC that answers every request as the test likes. */
async function startRpc(answer: (method: string, response: ServerResponse, id: number) => void) {
  const requests: { method: string; headers: IncomingHttpHeaders }[] = []
  const http = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { method, id } = JSON.parse(body || '{"method":"none","id":0}')
      requests.push({ method, headers: request.headers })
      answer(method, response, id)
    })
  })
  await new Promise<void>((done) => http.listen(0, '127.0.0.1', done))
  cleanups.add(
    () =>
      new Promise((done) => {
        http.close(done)
        http.closeAllConnections()
      }),
  )
  return { url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`, requests }
}

const result = (response: ServerResponse, id: number, value: unknown) =>
  response
    .writeHead(200, { 'content-type': 'application/json' })
    .end(JSON.stringify({ jsonrpc: '2.0', id, result: value }))

describe('a hostile RPC', () => {
  it.each<[string, (response: ServerResponse, id: number) => void]>([
    ['garbage', (response) => void response.end('<html>')],
    ['an error', (response) => void response.writeHead(500).end('no')],
    ['a broken connection', (response) => void response.destroy()],
    ['two megabytes', (response) => void response.end(`{"result":"0x${'0'.repeat(2 << 20)}"}`)],
    ['another type', (response, id) => void result(response, id, { a: [] })],
    ['a redirect', (response) => void response.writeHead(302, { location: 'http://127.0.0.1:9/' }).end()],
  ])('that answers with %s gives no price and is asked again', async (_, misbehave) => {
    const { url, requests } = await startRpc((_method, response, id) => misbehave(response, id))
    const source = connectSource(cleanups, { adapter: 'chainlink', url, markets, chain })
    await vi.waitFor(() => expect(requests.length).toBeGreaterThanOrEqual(2), { timeout: 10_000 })
    expect(source.quotes()).toEqual([])
    expect(source.status()).toMatchObject({ connected: false, quotes: 0 })
  })

  it('of another chain is named; what it says is not asked for', async () => {
    const { url, requests } = await startRpc((_, response, id) => result(response, id, '0x1'))
    const source = connectSource(cleanups, {
      adapter: 'chainlink',
      url,
      markets,
      chain,
      accessToken: 's3cret',
    })
    await vi.waitFor(() => expect(source.status().rejected.wrong_chain).toBeGreaterThanOrEqual(2))
    expect(new Set(requests.map(({ method }) => method))).toEqual(new Set(['eth_chainId']))
    expect(requests[0]?.headers.authorization).toBe('Bearer s3cret')
  })

  it('that is silent is left', async () => {
    const { url, requests } = await startRpc(() => {})
    const timings = {
      minBackoffMs: 10,
      maxBackoffMs: 50,
      maxSilenceMs: 100,
      maxQuietMs: 1e6,
      maxLifetimeMs: 1e6,
    }
    connectSource(cleanups, { adapter: 'chainlink', url, markets, chain, timings })
    await vi.waitFor(() => expect(requests.length).toBeGreaterThanOrEqual(2), { timeout: 10_000 })
  })
})
