import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { reportPreimage, UserError } from '@clearspan/shared'
import type { Hex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, describe, expect, it, vi } from 'vitest'
import {
  cleanUp,
  collect,
  consecutive,
  isPriced,
  keys,
  makeNode,
  networkId,
  postAs,
  SLOT_MS,
  setUp,
  verify,
} from './network.test-util.js'
import { verifyEvidence } from './observation/evidence.js'
import { createSigner } from './observation/signer.js'
import { toWire } from './observation/wire.js'
import { replayFiles } from './report/replay.js'

afterEach(cleanUp)
// Real time passes in slots, more of them on a busy machine.
vi.setConfig({ testTimeout: 180_000 })

describe('a network of four oracle nodes over loopback', () => {
  it('finishes consecutive reports that verify, and goes on when a node dies', async () => {
    const { clock, configs } = await setUp()
    const nodes = configs.map((config) => makeNode(config, clock))
    const urls = (await Promise.all(nodes.map((node) => node.start()))).map(({ url }) => url)
    const [first = '', second = ''] = urls

    const reports = await collect(first, (all) => consecutive(all.filter(isPriced)))
    for (const report of reports.filter(isPriced)) {
      const [eth, usdt] = report.report.prices
      expect(Number(eth?.price)).toBeGreaterThanOrEqual(200.4e8)
      expect(Number(eth?.price)).toBeLessThanOrEqual(200.6e8)
      expect(usdt?.price).toBe('100000000')
      expect(report.observedAt).toBe(Number(report.seq) * SLOT_MS)
      const [config] = configs
      if (config) expect((await verify(report, config)).length).toBeGreaterThanOrEqual(3)
    }
    const health = await fetch(`${first}/health`)
    expect(health.status).toBe(200)
    const body = (await health.json()) as { sources: { id: string; connected: boolean; stale: boolean }[] }
    expect(body.sources.map(({ connected, stale }) => connected && !stale)).toEqual(Array(6).fill(true))
    const metrics = await (await fetch(`${first}/metrics`)).text()
    expect(metrics).toMatch(/oracle_source_rejected\{source="binance",reason="malformed"\} [1-9]/)

    await nodes[3]?.stop()
    const killedAt = Math.floor(clock.now() / SLOT_MS)
    // Three of every four slots have a live leader.
    const after = await collect(
      second,
      (all) => all.filter(({ seq }) => Number(seq) > killedAt + 1).length >= 3,
    )
    for (const report of after.filter(({ seq }) => Number(seq) > killedAt + 1)) {
      const [config] = configs
      if (config) expect(await verify(report, config)).toEqual([0, 1, 2])
      expect(Number(report.seq) % 4).not.toBe(3)
    }
    // Back from the dead it takes part again, and leads its slots.
    const [, , , last] = configs
    if (!last) throw new Error('no configuration')
    const revived = makeNode(last, clock)
    await revived.start()
    const back = await collect(second, (all) => all.some(({ seq }) => Number(seq) % 4 === 3))
    expect(back.length).toBeGreaterThan(0)

    // Every node's record replays bit for bit, of the one that was stopped in two segments.
    await Promise.all([...nodes, revived].map((node) => node.stop()))
    for (const { dataDir } of configs) {
      const names = await readdir(join(dataDir, 'segments'))
      for await (const summary of replayFiles(names.map((name) => join(dataDir, 'segments', name)))) {
        expect(summary).toMatchObject({ closed: true })
        expect(summary.observations).toBeGreaterThan(0)
        expect(summary.reports - summary.unproposed).toBeGreaterThan(0)
        expect(summary.ticks - summary.refused).toBeGreaterThan(10)
      }
    }

    const journal = await readFile(join(configs[0]?.dataDir ?? '', 'signed.jsonl'), 'utf8')
    const entries = journal
      .trim()
      .split('\n')
      .slice(1)
      .map((line) => JSON.parse(line) as { kind: string; seq: string })
    const slots = entries.filter(({ kind }) => kind === 'report').map(({ seq }) => seq)
    expect(new Set(slots).size).toBe(slots.length)
    expect(slots).toEqual(expect.arrayContaining(reports.map(({ seq }) => seq)))
  })

  it('refuses strangers and malformed bodies, and says that it has no report', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const { url } = await makeNode(config, clock).start()
    const post = (body: unknown) => postAs(1, config, '/signatures', body)
    const seq = String(Math.floor(clock.now() / SLOT_MS))
    const prices = [
      ['20050000000', 5],
      ['100000000', 5],
    ]
    const signature = `0x${'11'.repeat(64)}`
    expect((await post({ epoch: 1, seq, prices, signature })).status).toBe(403)
    expect((await post({ epoch: 1, seq, prices: prices.slice(1), signature })).status).toBe(400)
    expect((await post({ epoch: 1, seq, prices, signature, extra: 1 })).status).toBe(400)
    const late = await post({ epoch: 1, seq: '1', prices, signature })
    expect(await late.json()).toEqual({ status: 'ignored', reason: 'too_late' })
    expect((await fetch(`${url}/reports/latest`)).status).toBe(404)
    expect((await fetch(`${url}/health`)).status).toBe(503)
    const metrics = await (await fetch(`${url}/metrics`)).text()
    expect(metrics).toContain('oracle_messages_total{kind="signature",outcome="unknown_signer"} 1')
    expect(metrics).toContain('oracle_messages_total{kind="signature",outcome="invalid_body"} 2')
  })

  it('keeps the proof when a node signs two reports for a slot', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const { url } = await makeNode(config, clock).start()
    const seq = BigInt(Math.floor(clock.now() / SLOT_MS))
    const signer = createSigner(keys[1] ?? '0x')
    const send = async (price: bigint) => {
      const prices = [price, 100_000_000n].map((value) => ({ price: value, confidence: 5 }))
      const report = { epoch: 1, seq, prices }
      const preimage = reportPreimage(report, config.oracle.feeds, networkId)
      const message = toWire({ ...report, signature: await signer.sign(preimage) })
      return (await postAs(2, config, '/signatures', message)).json()
    }
    expect(await send(20_000_000_000n)).toEqual({ status: 'accepted' })
    expect(await send(20_000_000_000n)).toEqual({ status: 'ignored', reason: 'duplicate' })
    for (const price of [1n, 2n])
      expect(await send(price)).toEqual({ status: 'ignored', reason: 'equivocation' })
    const names = await vi.waitFor(async () => {
      const list = (await (await fetch(`${url}/evidence`)).json()) as string[]
      expect(list).toHaveLength(1)
      return list
    })
    const proof: unknown = await (await fetch(`${url}/evidence/${names[0]}`)).json()
    expect(await verifyEvidence(proof, 'proof')).toMatchObject({
      node: 1,
      signer: privateKeyToAddress(keys[1] ?? '0x'),
      kind: 'signature',
      seq: `${seq}`,
    })
    expect((await fetch(`${url}/evidence/..%2Fsigned.jsonl`)).status).toBe(404)
  })

  it('names the field of a bad configuration, a foreign key and an occupied port', async () => {
    const { clock, configs } = await setUp()
    const [config] = configs
    if (!config) throw new Error('no configuration')
    const make = (change: object, key?: Hex) => () =>
      makeNode({ ...config, ...change }, clock, key ? { signer: createSigner(key) } : {})
    expect(make({ index: 4 })).toThrow(expect.objectContaining({ field: 'oracle index' }))
    expect(make({ surprise: 1 })).toThrow(expect.objectContaining({ field: 'oracle surprise' }))
    expect(make({ faultySources: 3 })).toThrow(expect.objectContaining({ field: 'sources (feed ETH/USD)' }))
    expect(make({}, keys[1])).toThrow(expect.objectContaining({ field: 'key' }))
    await makeNode(config, clock).start()
    const second = makeNode({ ...config, dataDir: join(config.dataDir, 'second') }, clock)
    await expect(second.start()).rejects.toThrow(UserError)
  })
})
