import { createServer } from 'node:http'
import { systemClock } from '@clearspan/shared'
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
import { observationPreimage, preimageOf } from './observation/message.js'
import { createSigner } from './observation/signer.js'
import { toWire, wireSchemas } from './observation/wire.js'
import type { FinishedReport } from './report/board.js'

afterEach(cleanUp)
// Real time passes in slots, more of them on a busy machine.
vi.setConfig({ testTimeout: 180_000 })

const FAULTY = 3
type Setting = Awaited<ReturnType<typeof setUp>>

/** Accepts connections and never answers. */
async function silent({ configs }: Setting) {
  const server = createServer(() => {})
  await listen(server, configs[FAULTY]?.listen.port)
  later(() => {
    server.closeAllConnections()
    return new Promise((done) => server.close(done))
  })
}

/** Says everything half a slot late. */
async function slow({ configs, clock }: Setting) {
  const late: typeof fetch = async (url, init) => {
    await clock.sleep(3_000, init?.signal ?? undefined)
    return fetch(url, init)
  }
  await makeNode(of(configs, FAULTY), clock, { fetch: late }).start()
}

/** Believes venues that quote everything but USDT at a hundred times its price, and signs that. */
async function lying({ configs, clock }: Setting) {
  const liars = await startVenues(clock, 100)
  const config = of(configs, FAULTY)
  const sources = config.sources.map((source) => ({
    ...source,
    url: source.url.replace(/127\.0\.0\.1:\d+/, liars),
  }))
  await makeNode({ ...config, sources }, clock).start()
}

/** Follows every message with another of the same slot, properly signed, that says something else. */
async function equivocating({ configs, clock }: Setting) {
  const config = of(configs, FAULTY)
  const protocol = { networkId: config.networkId, oracle: config.oracle }
  const signer = createSigner(keys[FAULTY] ?? '0x')
  const schemas = wireSchemas(2, 4)
  const twice: typeof fetch = async (url, init) => {
    const { port, pathname } = new URL(String(url))
    const kind =
      pathname === '/observations' ? 'observation' : pathname === '/signatures' ? 'signature' : null
    const target = configs.find(({ listen: { port: own } }) => String(own) === port)
    if (kind && target) {
      const message = schemas[kind].parse(JSON.parse(String(init?.body)))
      const lie = {
        ...message,
        prices: message.prices.map(({ price }) => ({ price: price + 7n, confidence: 1 })),
      }
      const preimage = kind === 'observation' ? observationPreimage(lie, protocol) : preimageOf(lie, protocol)
      const wire = toWire({ ...lie, signature: await signer.sign(preimage) })
      const send = async () => void (await postAs(FAULTY, target, pathname, wire)).arrayBuffer()
      if (kind === 'observation') await send().catch(() => {})
      else void send().catch(() => {})
    }
    return fetch(url, init)
  }
  await makeNode(config, clock, { fetch: twice }).start()
}

function of(configs: readonly OracleNodeConfigInput[], index: number): OracleNodeConfigInput {
  const config = configs[index]
  if (!config) throw new Error(`no configuration ${index}`)
  return config
}

/** Priced reports of slots that an honest node led, until there is one of each. */
const enough = (reports: FinishedReport[]) =>
  [0, 1, 2].every((leader) => reports.some((one) => isPriced(one) && Number(one.seq) % 4 === leader))

describe('one faulty node of four, over HTTP', () => {
  it.each([
    ['silent', silent],
    ['slow', slow],
    ['lying', lying],
    ['equivocating', equivocating],
  ])('%s: neither stops nor bends the report, which every honest node publishes', async (name, start) => {
    const setting = await setUp()
    const { configs, clock } = setting
    await start(setting)
    const nodes = configs.slice(0, 3).map((config) => makeNode(config, clock))
    const urls = await Promise.all(nodes.map(async (node) => (await node.start()).url))
    const published = await Promise.all(urls.map((url) => collect(url, enough)))

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
      expect((await verify(report, of(configs, 0))).length).toBe(3)
    }
    if (name === 'equivocating') {
      const [url] = urls
      const proofs = await vi.waitFor(
        async () => {
          const names = (await (await fetch(`${url}/evidence`)).json()) as string[]
          expect(names.length).toBeGreaterThan(0)
          return names
        },
        { timeout: 20_000, interval: 200 },
      )
      const proof: unknown = await (await fetch(`${url}/evidence/${proofs[0]}`)).json()
      expect(await verifyEvidence(proof, 'proof')).toMatchObject({ node: FAULTY })
    }
  })

  it('a node whose clock is wrong is seen by all, and knows it', async () => {
    const { configs, clock } = await setUp()
    // Five real seconds fast: with a clock three times as fast far beyond the skew allowed.
    const fast = { ...systemClock, now: () => Date.now() + 5_000 }
    const urls = await Promise.all(
      configs.map(async (config) => {
        const change = config.index === FAULTY ? { realClock: fast } : {}
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
        const own = await healthOf(FAULTY)
        expect(own.code).toBe(503)
        expect(own.clock.offsetMs).toBeGreaterThan(4_000)
        const other = await healthOf(0)
        expect(other).toMatchObject({ code: 200, status: 'ok' })
        expect(other.clock.peersMs[FAULTY]).toBeGreaterThan(4_000)
      },
      { timeout: 20_000, interval: 100 },
    )
  })
})
