import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import {
  reportDigest,
  type SignedHandover,
  signedHandoverSchema,
  UserError,
  verifyHandover,
} from '@clearspan/shared'
import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { type OracleNodeConfigInput, parseOracleNodeConfig } from './config.js'
import {
  cleanUp,
  collect,
  freePorts,
  keys,
  makeNode,
  networkId,
  SLOT_MS,
  setUp,
} from './network.test-util.js'
import { recoverNode } from './observation/message.js'
import { createSigner } from './observation/signer.js'
import type { FinishedReport } from './report/board.js'
import { replayFiles } from './report/replay.js'

afterEach(cleanUp)
// Real time passes in slots, more of them on a busy machine.
vi.setConfig({ testTimeout: 300_000 })

const newKey = keccak256(toHex('observer 5'))

/** An epoch in which node 0 makes room for a new one at the last place, and a feed made of reports is added. */
async function nextOf(configs: readonly OracleNodeConfigInput[], firstSeq: number) {
  const { oracle } = configs[0]!
  const [port] = await freePorts(1)
  const newcomer = { url: `http://127.0.0.1:${port}`, signer: privateKeyToAddress(newKey) }
  return {
    oracle: {
      ...oracle,
      epoch: 2,
      feeds: [...oracle.feeds, { name: 'ETHVOL/ANNUAL', exponent: -8 }],
      nodes: [...oracle.nodes.slice(1), newcomer],
    },
    firstSeq,
    lastSeq: firstSeq + 1_000_000,
    useAges: [120, 120, 600],
    derived: [
      {
        kind: 'realisedVolatility' as const,
        feed: 'ETHVOL/ANNUAL',
        of: 'ETH/USD',
        sampleSlots: 1,
        samples: 2,
      },
    ],
    port: port ?? 0,
  }
}

/** The configuration of the node that comes with the next epoch, and has no part in the present one. */
function newcomer(
  present: OracleNodeConfigInput,
  next: Awaited<ReturnType<typeof nextOf>>,
): OracleNodeConfigInput {
  const { oracle, firstSeq, lastSeq, derived, port } = next
  const listen = { host: '127.0.0.1', port }
  const dataDir = `${present.dataDir}-new`
  return { ...present, index: 3, oracle, firstSeq, lastSeq, derived, listen, dataDir }
}

const handoverAt = async (url: string): Promise<SignedHandover | null> => {
  const response = await fetch(`${url}/handover/latest`)
  return response.ok ? signedHandoverSchema.parse(await response.json()) : null
}

describe('a change of epochs, over HTTP', () => {
  it('four nodes hand over to three of them and a new one while reports flow', async () => {
    const { configs, clock } = await setUp()
    const firstSeq = Math.floor(clock.now() / SLOT_MS) + 10
    const { port, ...next } = await nextOf(configs, firstSeq)
    const old = configs.map((config) => makeNode({ ...config, next }, clock))
    const urls = (await Promise.all(old.map((node) => node.start()))).map(({ url }) => url)
    const fresh = newcomer(configs[0]!, { ...next, port })
    const { url: newUrl } = await makeNode(fresh, clock, { signer: createSigner(newKey) }).start()

    // Every node of the outgoing epoch publishes the handover before its first slot.
    const [handover, own] = await vi.waitFor(
      async () => {
        const all = await Promise.all(urls.map(handoverAt))
        expect(all.every((one) => one !== null)).toBe(true)
        return all
      },
      { timeout: 60_000, interval: 200 },
    )
    const outgoing = configs[0]!.oracle
    await verifyHandover(handover!, outgoing, networkId)
    expect(handover).toMatchObject({ firstSeq, lastSeq: next.lastSeq, useAges: next.useAges })
    const missing = await fetch(`${urls[0]}/handover/3`)
    expect(missing.status).toBe(404)

    const isAfter = (slots: number) => (all: FinishedReport[]) =>
      all.some(({ seq, reasons }) => Number(seq) >= firstSeq + slots && !reasons['ETHVOL/ANNUAL'])
    const [stayed, joined] = await Promise.all([collect(urls[1]!, isAfter(4)), collect(newUrl, isAfter(4))])
    const bySeq = new Map<string, string>()
    for (const { seq, report, encoded } of [...stayed, ...joined]) {
      const isNew = Number(seq) >= firstSeq
      expect(report.epoch).toBe(isNew ? 2 : 1)
      expect(report.prices).toHaveLength(isNew ? 3 : 2)
      const said = JSON.stringify(report)
      expect(bySeq.get(seq) ?? said).toBe(said)
      bySeq.set(seq, said)
      await signersOf(report, encoded, isNew ? next.oracle : outgoing)
    }
    const seqs = stayed.map(({ seq }) => Number(seq))
    const last = Math.max(...seqs.filter((seq) => seq < firstSeq))
    const first = Math.min(...seqs.filter((seq) => seq >= firstSeq))
    // No more than one slot is lost at the change, or what this machine loses anyway.
    const gaps = seqs.slice(1).flatMap((seq, at) => (seq === first ? [] : seq - (seqs[at] ?? seq)))
    expect(first - last).toBeLessThanOrEqual(Math.max(2, ...gaps))

    const health = await (await fetch(`${urls[0]}/health`)).json()
    expect(health).toMatchObject({ status: 'has left the network', handover: { state: 'finished' } })
    expect(await (await fetch(`${urls[1]}/health`)).json()).toMatchObject({ status: 'ok', epoch: 2 })

    expect(await (await fetch(`${urls[1]}/metrics`)).text()).toMatch(/oracle_epoch 2\n/)

    // Restarted with the same file it is in the new epoch at once; promoted to it too, and it serves the handover still.
    await old[1]!.stop()
    const revived = makeNode({ ...configs[1]!, next }, clock)
    const { url } = await revived.start()
    const again = await collect(url, (all) => all.length >= 2)
    expect(again.map(({ report }) => report.epoch)).toEqual([2, 2])
    await revived.stop()
    const { oracle, derived } = next
    const promoted = makeNode({ ...configs[1]!, index: 0, oracle, derived }, clock, {
      signer: createSigner(keys[1]!),
    })
    expect(await handoverAt((await promoted.start()).url)).toEqual(own)
    expect(await collect(url, (all) => all.length >= 1)).toMatchObject([{ report: { epoch: 2 } }])

    await Promise.all([...old, promoted].map((node) => node.stop()))
    for (const { dataDir } of configs) {
      const names = await readdir(join(dataDir, 'segments'))
      for await (const summary of replayFiles(names.map((name) => join(dataDir, 'segments', name)))) {
        expect(summary).toMatchObject({ closed: true })
      }
    }
  })

  it('too few operators have configured it: nobody signs, and the epoch goes on', async () => {
    const { configs, clock } = await setUp()
    const firstSeq = Math.floor(clock.now() / SLOT_MS) + 7
    const { port: _, ...next } = await nextOf(configs, firstSeq)
    // Two operators of four have configured the change: too few, so nobody signs, and the epoch goes on.
    const nodes = configs.map((config, at) => makeNode(at < 2 ? { ...config, next } : config, clock))
    const [first, second] = (await Promise.all(nodes.map((node) => node.start()))).map(({ url }) => url)
    const reports = await collect(first!, (all) => all.some(({ seq }) => Number(seq) > firstSeq + 1))
    expect(new Set(reports.map(({ report }) => report.epoch))).toEqual(new Set([1]))
    const health = await (await fetch(`${second}/health`)).json()
    expect(health).toMatchObject({
      status: 'ok',
      epoch: 1,
      handover: { state: 'announced', agreeing: expect.arrayContaining([0, 1]) },
    })
    expect(await handoverAt(first!)).toBeNull()
  })
})

/** Recovers who signed a report from its encoding alone; fails unless it is a quorum of these nodes. */
async function signersOf(
  { epoch, seq, prices }: FinishedReport['report'],
  encoded: Hex,
  oracle: OracleNodeConfigInput['oracle'],
) {
  const values = prices.map(({ price, confidence }) => ({ price: BigInt(price), confidence }))
  const digest = reportDigest({ epoch, seq: BigInt(seq), prices: values }, oracle.feeds, networkId)
  for (const at of [1, 2, 3]) {
    const from = encoded.length - at * 128
    expect(await recoverNode(digest, `0x${encoded.slice(from, from + 128)}`, oracle)).not.toBeNull()
  }
}

describe('the configuration of a next epoch', () => {
  it('is refused for what a chain would refuse', async () => {
    const { configs } = await setUp()
    const [config] = configs
    const { port: _, ...next } = await nextOf(configs, 100)
    const { oracle } = next
    const parse = (change: object, own: object = {}) =>
      parseOracleNodeConfig({ ...config, ...own, next: { ...next, ...change } })
    expect(parse({})).toMatchObject({ next: { by: 'handover' } })
    const signed = [...oracle.feeds.slice(0, 2), { ...oracle.feeds[2]!, signed: true }]
    const swapped = [oracle.feeds[1]!, oracle.feeds[0]!, oracle.feeds[2]!]
    const bad: [object, string, object?][] = [
      [{ oracle: { ...oracle, epoch: 3 } }, 'oracle next.oracle.epoch'],
      [{ oracle: { ...oracle, epoch: 1 }, by: 'timelock' }, 'oracle next.oracle.epoch'],
      [{ oracle: { ...oracle, slotMs: 1_000 } }, 'oracle next.oracle.slotMs'],
      [{ oracle: { ...oracle, feeds: swapped } }, 'oracle next.oracle.feeds[0]'],
      [{ oracle: { ...oracle, feeds: signed } }, 'oracle next.oracle.feeds[2].signed'],
      [{ oracle: { ...oracle, feeds: oracle.feeds.slice(0, 1) } }, 'oracle next.oracle.feeds[1]'],
      [{ useAges: [1, 2] }, 'oracle next.useAges'],
      [{ lastSeq: 99 }, 'oracle next.lastSeq'],
      [{}, 'oracle next.firstSeq', { firstSeq: 100 }],
      [{}, 'oracle next.firstSeq', { lastSeq: 98 }],
      [{ firstSeq: 2 ** 48 }, 'oracle next.firstSeq'],
    ]
    for (const [change, field, own] of bad)
      expect(() => parse(change, own), field).toThrow(expect.objectContaining({ field }))
    expect(parse({ oracle: { ...oracle, epoch: 3 }, by: 'timelock' })).toMatchObject({
      next: { by: 'timelock' },
    })
  })

  it('is refused with nodes, sources or keys that do not fit', async () => {
    const { configs, clock } = await setUp()
    const { port: _, ...next } = await nextOf(configs, 100)
    const make = (change: object) => () => makeNode({ ...configs[1]!, next: { ...next, ...change } }, clock)
    const five = { ...next.oracle, nodes: [...next.oracle.nodes, next.oracle.nodes[0]!] }
    expect(make({ oracle: five })).toThrow(expect.objectContaining({ field: 'oracle next oracle.nodes' }))
    expect(make({ derived: [] })).toThrow(UserError)
    const peered = next.oracle.nodes.map((node) => ({ ...node, peer: privateKeyToAddress(newKey) }))
    expect(make({ oracle: { ...next.oracle, nodes: peered } })).toThrow(UserError)
  })
})
