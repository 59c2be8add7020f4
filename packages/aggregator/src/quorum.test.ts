import { createServer } from 'node:http'
import { quorumOf, systemClock } from '@clearspan/shared'
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { OracleNodeConfigInput } from './config.js'
import {
  cleanUp,
  collect,
  isPriced,
  keys,
  later,
  listen,
  makeNode,
  postAs,
  setUp,
  startVenues,
  verify,
} from './network.test-util.js'
import { verifyEvidence } from './observation/evidence.js'
import { observationPreimage, preimageOf, proposalPreimage } from './observation/message.js'
import { createSigner } from './observation/signer.js'
import { toWire, wireSchemas } from './observation/wire.js'
import type { FinishedReport } from './report/board.js'

afterEach(cleanUp)
// Real time passes in slots, more of them on a busy machine.
vi.setConfig({ testTimeout: 180_000 })

type Setting = Awaited<ReturnType<typeof setUp>>

/** Accepts connections and never answers. */
async function silent({ configs }: Setting, index: number) {
  const server = createServer(() => {})
  await listen(server, configs[index]?.listen.port)
  later(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
}

/** Says everything half a slot late. */
async function slow({ configs, clock }: Setting, index: number) {
  const late: typeof fetch = async (url, init) => {
    await clock.sleep(3_000, init?.signal ?? undefined)
    return fetch(url, init)
  }
  await makeNode(of(configs, index), clock, { fetch: late }).start()
}

/** Believes venues that quote everything but USDT at a hundred times its price, and signs that. */
async function lying({ configs, clock }: Setting, index: number) {
  const liars = await startVenues(clock, 100)
  const config = of(configs, index)
  const sources = config.sources.map((source) => ({
    ...source,
    url: source.url.replace(/127\.0\.0\.1:\d+/, liars),
  }))
  await makeNode({ ...config, sources }, clock).start()
}

/**
 * Tells every receiver one thing, and different ones different things, all properly signed: its observation to the leader and another to
 * somebody else; its report signature, and as leader its proposal, to the even nodes and others to the odd ones.
 */
async function equivocating({ configs, clock }: Setting, index: number) {
  const config = of(configs, index)
  const protocol = { networkId: config.networkId, oracle: config.oracle }
  const signer = createSigner(keys[index] ?? '0x')
  const schemas = wireSchemas(2, configs.length)
  /** Another message for the same slot. */
  async function twist(path: string, body: unknown) {
    if (path === '/proposals') {
      const message = schemas.proposal.parse(body)
      // Nodes that see the same prices make one report of any quorum of observations; of too few they make none.
      const fewer = { ...message, observations: message.observations.slice(0, quorumOf(configs.length) - 1) }
      return toWire({ ...fewer, signature: await signer.sign(proposalPreimage(fewer, protocol)) })
    }
    const message = schemas.signature.parse(body)
    const prices = message.prices.map(({ price }) => ({ price: price + 7n, confidence: 1 }))
    const lie = { ...message, prices }
    const preimage = path === '/observations' ? observationPreimage(lie, protocol) : preimageOf(lie, protocol)
    return toWire({ ...lie, signature: await signer.sign(preimage) })
  }
  const split: typeof fetch = async (url, init) => {
    const { port, pathname } = new URL(String(url))
    const target = configs.find(({ listen: { port: own } }) => String(own) === port)
    if (!target || !['/observations', '/proposals', '/signatures'].includes(pathname)) return fetch(url, init)
    const other = await twist(pathname, JSON.parse(String(init?.body)))
    if (pathname !== '/observations')
      return target.index % 2 === 0 ? fetch(url, init) : postAs(index, target, pathname, other)
    const somebody = configs.find((one) => one !== target && one !== config)
    const send = async () => void (await postAs(index, somebody ?? target, pathname, other)).arrayBuffer()
    void send().catch(() => {})
    return fetch(url, init)
  }
  await makeNode(config, clock, { fetch: split }).start()
}

function of(configs: readonly OracleNodeConfigInput[], index: number): OracleNodeConfigInput {
  const config = configs[index]
  if (!config) throw new Error(`no configuration ${index}`)
  return config
}

/** Priced reports of slots that each of these nodes led. */
const ledBy = (leaders: readonly number[], nodes: number) => (reports: FinishedReport[]) =>
  leaders.every((leader) => reports.some((one) => isPriced(one) && Number(one.seq) % nodes === leader))

/** Proofs against a node that others have kept, of these kinds at least, checked from their content alone. */
async function proofsAgainst(culprit: number, urls: readonly string[], kinds: readonly string[]) {
  const read = async (path: string) => {
    const response = await fetch(path)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path} answers ${response.status}: ${text}`)
    return JSON.parse(text) as unknown
  }
  return vi.waitFor(
    async () => {
      const lists = await Promise.all(
        urls.map(async (url) =>
          ((await read(`${url}/evidence`)) as string[]).map((name) => `${url}/evidence/${name}`),
        ),
      )
      const against = lists.flat().filter((path) => path.includes(`/node-${culprit}-`))
      const proofs = await Promise.all(against.map(async (path) => verifyEvidence(await read(path), path)))
      expect(proofs.map(({ kind }) => kind)).toEqual(expect.arrayContaining([...kinds]))
      return proofs
    },
    { timeout: 20_000, interval: 200 },
  )
}

type Case = [string, Record<number, (setting: Setting, index: number) => Promise<void>>, number]
/** Each fault alone, and two at once, is in every run; another pair in long ones. */
const more: Case[] =
  process.env.CLEARSPAN_TEST_FULL === '1'
    ? [['a slow and a lying one of seven', { 0: slow, 5: lying }, 7]]
    : []

describe('f faulty nodes of 3f + 1, over HTTP', () => {
  it.each<Case>([
    ['a silent one of four', { 3: silent }, 4],
    ['a slow one of four', { 3: slow }, 4],
    ['a lying one of four', { 3: lying }, 4],
    ['an equivocating one of four', { 3: equivocating }, 4],
    ['a silent and an equivocating one of seven', { 2: silent, 6: equivocating }, 7],
    ...more,
  ])('%s: neither stop nor bend the report, which every honest node publishes', async (_, faulty, count) => {
    const setting = await setUp(count)
    const { configs, clock } = setting
    for (const [index, start] of Object.entries(faulty)) await start(setting, Number(index))
    const honest = configs.filter(({ index }) => !(index in faulty))
    const urls = await Promise.all(honest.map(async (config) => (await makeNode(config, clock).start()).url))
    const leaders = honest.map(({ index }) => index)
    const published = await Promise.all(urls.map((url) => collect(url, ledBy(leaders, count))))

    const bySeq = new Map<string, string>()
    for (const report of published.flat().filter(isPriced)) {
      const [eth, usdt] = report.report.prices
      expect(Number(eth?.price)).toBeGreaterThanOrEqual(200.4e8)
      expect(Number(eth?.price)).toBeLessThanOrEqual(200.6e8)
      expect(usdt?.price).toBe('100000000')
      // Nodes may finish a report with different signatures; what it says is one and the same.
      const said = JSON.stringify(report.report)
      expect(bySeq.get(report.seq) ?? said).toBe(said)
      bySeq.set(report.seq, said)
      expect((await verify(report, of(configs, 0))).length).toBe(quorumOf(count))
    }
    for (const [index, behaviour] of Object.entries(faulty)) {
      if (behaviour !== equivocating) continue
      // Seven leaders' slots, until it leads one, would take a test too long.
      const kinds = ['observation', 'signature', ...(count > 4 ? [] : ['proposal'])]
      for (const culprit of await proofsAgainst(Number(index), urls, kinds)) {
        expect(culprit).toMatchObject({
          node: Number(index),
          signer: of(configs, Number(index)).oracle.nodes[Number(index)]?.signer,
        })
      }
    }
  })

  it('a node whose clock is wrong is seen by all, and knows it', async () => {
    const { configs, clock } = await setUp()
    // Five real seconds fast: with a clock three times as fast far beyond the skew allowed.
    const fast = { ...systemClock, now: () => Date.now() + 5_000 }
    const urls = await Promise.all(
      configs.map(async (config) => {
        const change = config.index === 3 ? { realClock: fast } : {}
        return (await makeNode(config, clock, change).start()).url
      }),
    )
    type Health = { status: string; clock: { offsetMs: number | null; peersMs: (number | null)[] } }
    const healthOf = async (index: number) => {
      const response = await fetch(`${urls[index]}/health`)
      return { code: response.status, ...((await response.json()) as Health) }
    }
    await vi.waitFor(
      async () => {
        const own = await healthOf(3)
        expect(own.code).toBe(503)
        expect(own.clock.offsetMs).toBeGreaterThan(4_000)
        const other = await healthOf(0)
        expect(other).toMatchObject({ code: 200, status: 'ok' })
        expect(other.clock.peersMs[3]).toBeGreaterThan(4_000)
      },
      { timeout: 20_000, interval: 100 },
    )
  })
})
