import { createLogger, createMetrics } from '@clearspan/shared'
import { expect, it } from 'vitest'
import { type HealthView, judgeHealth } from './health.js'
import { createHttp } from './http.js'

const limits = { headMs: 60_000, reportSlots: 10 }
const view: HealthView = {
  chains: [
    { name: 'hub', readAt: 1_000_000 },
    { name: 'spoke', readAt: 1_000_000 },
  ],
  newest: { seq: 100n, observedAt: 400_000 },
  now: 1_060_000,
  networkNow: 443_999,
  slotMs: 4_000,
}
const [hub, spoke] = view.chains as [HealthView['chains'][number], HealthView['chains'][number]]

const serverOf = (change: Partial<Parameters<typeof createHttp>[0]>) =>
  createHttp({
    metrics: createMetrics(),
    status: async () => ({}),
    health: () => judgeHealth(view, limits),
    packets: () => ({}),
    replay: () => false,
    logger: createLogger({ name: 'test', level: 'silent' }),
    ...change,
  })

it.each<[string, Partial<HealthView>, string[]]>([
  ['heads and a report at their bounds', {}, []],
  [
    'a chain silent beyond the bound',
    { chains: [hub, { ...spoke, readAt: 999_400 }] },
    ['spoke: no new block read for 61 s'],
  ],
  ['a chain never read', { chains: [{ ...hub, readAt: undefined }, spoke] }, ['hub: no block read yet']],
  ['a report beyond the bound', { networkNow: 444_000 }, ['prices: the newest report is 11 slots old']],
  ['a part that waits', { problems: ['spoke: waits'] }, ['spoke: waits']],
  ['no report', { newest: undefined }, ['prices: no report received yet']],
  ['no report where none is followed', { newest: null }, []],
  [
    'nothing for long',
    { now: 2_000_000, networkNow: 4_000_000 },
    [
      'hub: no new block read for 1000 s',
      'spoke: no new block read for 1000 s',
      'prices: the newest report is 900 slots old',
    ],
  ],
])('judges %s', async (_, change, problems) => {
  const health = judgeHealth({ ...view, ...change }, limits)
  expect(health.body.problems).toEqual(problems)
  const server = serverOf({ health: () => health })
  const answer = await server.inject('/health')
  await server.close()
  expect(answer.statusCode).toBe(problems.length === 0 ? 200 : 503)
  expect(answer.json()).toMatchObject({ status: problems.length === 0 ? 'ok' : 'unhealthy', problems })
})

it('shows what is stuck, and tries a packet again only by its guid', async () => {
  const guid = `0x${'ab'.repeat(32)}`
  const replayed: string[] = []
  const packets = () => ({ hub: [{ guid }] })
  const server = serverOf({ packets, replay: (one) => one === guid && replayed.push(one) > 0 })
  expect((await server.inject('/packets')).json()).toEqual({ hub: [{ guid }] })
  const post = async (path: string) => (await server.inject({ method: 'POST', url: path })).statusCode
  expect(await post(`/packets/${guid.toUpperCase().replace('0X', '0x')}/replay`)).toBe(202)
  expect(await post(`/packets/0x${'cd'.repeat(32)}/replay`)).toBe(404)
  expect(await post('/packets/..%2f/replay')).toBe(400)
  await server.close()
  expect(replayed).toEqual([guid])
})

it('bad requests change nothing, and are told no more than that they are bad', async () => {
  const guid = `0x${'ab'.repeat(32)}`
  const replayed: string[] = []
  const server = serverOf({ replay: (one) => replayed.push(one) > 0 })
  const post = async (url: string, payload?: string | Buffer, type?: string) => {
    const headers = type === undefined ? {} : { 'content-type': type }
    const { statusCode, body } = await server.inject({
      method: 'POST',
      url,
      headers,
      ...(payload && { payload }),
    })
    expect(body.length).toBeLessThan(200)
    return statusCode
  }
  const replay = `/packets/${guid}/replay`
  for (const bad of [
    '',
    '0x',
    '0x12',
    guid.slice(2),
    `${guid}00`,
    `${guid.slice(0, -1)}g`,
    '%00',
    '0x%F0%9F%92%A5',
  ])
    expect([bad, await post(`/packets/${bad}/replay`)]).toEqual([bad, 400])
  expect(await post('/packets/%zz/replay')).toBe(400)
  expect(await post(`/packets/${'a'.repeat(10_000)}/replay`)).toBeGreaterThanOrEqual(400)
  for (const type of ['application/json', 'text/plain', 'application/octet-stream', undefined])
    for (const size of [2_000, 2_000_000])
      expect([type, await post(replay, 'x'.repeat(size), type)]).toEqual([type, 413])
  for (const method of ['GET', 'PUT', 'DELETE'] as const)
    expect((await server.inject({ method, url: replay })).statusCode).toBe(404)
  expect(replayed).toEqual([])
  // A body has nothing to say, whatever it is.
  expect(await post(replay, undefined, 'application/json')).toBe(202)
  expect(await post(replay, '{"__proto__": [', 'application/json')).toBe(202)
  expect(replayed).toEqual([guid, guid])
  await server.close()
})

it('what a failing node says stays out of answers', async () => {
  const status = () => Promise.reject(new Error('https://node.example/SECRET refused'))
  const server = serverOf({ status })
  const answer = await server.inject('/status')
  expect([answer.statusCode, answer.json()]).toEqual([500, { error: 'internal' }])
  await server.close()
})
