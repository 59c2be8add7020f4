import { mkdtemp, open, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, oracleConfigHash, type Report } from '@clearspan/shared'
import fc from 'fast-check'
import { keccak256, toHex } from 'viem'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { parameters } from '../aggregation/scene.test-util.js'
import { observationPreimage, preimageOf } from '../observation/message.js'
import { createSigner } from '../observation/signer.js'
import { createDecision, type Rules, rulesHash, rulesSchema, toReportPrice } from '../rules.js'
import type { Quote } from '../sources/types.js'
import { combine } from './combine.js'
import { createLineReader, createLineWriter } from './lines.js'
import { openRecording } from './recording.js'
import { replaySegment } from './replay.js'

const signers = [1, 2, 3, 4].map((n) => createSigner(keccak256(toHex(`replay ${n}`))))
const SLOT_MS = 1_000
const START = 1_700_000_000
const rules: Rules = rulesSchema.parse({
  networkId: keccak256(toHex('replay')),
  index: 0,
  faultySources: 1,
  capped: [],
  ...parameters,
  oracle: {
    epoch: 1,
    slotMs: SLOT_MS,
    feeds: [{ name: 'ETH/USD', exponent: -8 }],
    nodes: signers.map(({ address }) => ({ url: 'http://127.0.0.1:1', signer: address })),
  },
  sources: ['a', 'b', 'c'].map((id) => ({
    id,
    tags: [id],
    markets: [{ symbol: 'ETH-USD', base: 'ETH', quote: 'USD' }],
  })),
})
const protocol = { networkId: rules.networkId, oracle: rules.oracle }
const logger = createLogger({ name: 'test', level: 'silent' })

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'clearspan-replay-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

interface Move {
  source: number
  /** Cents. */
  price: number
  /** ms before the slot's start. */
  age: number
}

/** Records a node that sees these quotes, one list a slot, in a network whose other nodes see the same. */
async function record(
  slots: readonly (readonly Move[])[],
  change: object = {},
  afterSlot: (index: number) => Promise<unknown> = async () => {},
) {
  const limits = { maxSegmentBytes: 1 << 20, maxSegments: 100, ...change }
  const recording = await openRecording({
    dataDir,
    rules,
    ...limits,
    history: () => null,
    logger,
    onFailure: () => {},
  })
  const { decide } = createDecision(rules)
  const newest = new Map<number, Quote>()
  for (const [index, moves] of slots.entries()) {
    const seq = BigInt(START + index)
    const at = Number(seq) * SLOT_MS
    for (const { source, price, age } of moves) {
      const { id, markets } = rules.sources[source]!
      const quote: Quote = {
        source: id,
        kind: 'price',
        market: markets[0]!,
        price: BigInt(price) * 10n ** 16n,
        confidence: 10n ** 15n,
        eventTime: at - age,
        receiveTime: at - age,
        expiresAt: null,
        sequence: null,
      }
      newest.set(source, quote)
      recording.quote(quote)
    }
    const observed = decide([...newest.values()], at)
    recording.observation(seq, at, [...newest.values()], observed)
    const own: Report = { epoch: 1, seq, prices: observed.map(toReportPrice) }
    const observations = await Promise.all(
      signers.slice(0, 3).map(async (signer) => ({
        ...own,
        signature: await signer.sign(observationPreimage(own, protocol)),
      })),
    )
    recording.proposal(seq, observations)
    const report = { epoch: 1, seq, prices: combine(observations, 1, 3) }
    const signatures = await Promise.all(
      [1, 2, 3].map(async (signer) => ({
        signer,
        signature: await signers[signer]!.sign(preimageOf(report, protocol)),
      })),
    )
    recording.finished(report, signatures)
    await afterSlot(index)
  }
  await recording.close()
  const names = (await readdir(join(dataDir, 'segments'))).sort()
  return Promise.all(names.map((name) => readFile(join(dataDir, 'segments', name))))
}

async function* chunksOf(text: string) {
  for (let at = 0; at < text.length; at += 1_000) yield text.slice(at, at + 1_000)
}
const replay = (bytes: Buffer | string) => replaySegment(chunksOf(bytes.toString()), 'segment')

const steady: Move[][] = Array.from({ length: 3 }, (_, slot) =>
  [0, 1, 2].map((source) => ({ source, price: 20_000 + slot * 7 + source, age: 100 })),
)

/** The segment with one line changed and every check right: a liar's record rather than a disk's mistake. */
function rewritten(bytes: Buffer, change: (line: Record<string, unknown>) => void): string {
  const read = createLineReader('segment')
  const write = createLineWriter()
  return bytes
    .toString()
    .trimEnd()
    .split('\n')
    .map((text) => {
      const line = read(text) as Record<string, unknown>
      change(line)
      return write(line)
    })
    .join('')
}

describe('replaying a recorded segment', () => {
  it('recomputes every observation and report of any run, bit for bit', async () => {
    const move = fc.record({
      source: fc.integer({ min: 0, max: 2 }),
      price: fc.oneof(fc.integer({ min: 19_000, max: 21_000 }), fc.integer({ min: 1, max: 10_000_000 })),
      age: fc.integer({ min: -1_000, max: 90_000 }),
    })
    const run = fc.array(fc.array(move, { maxLength: 6 }), { minLength: 1, maxLength: 6 })
    await fc.assert(
      fc.asyncProperty(run, async (slots) => {
        await rm(join(dataDir, 'segments'), { recursive: true, force: true })
        const [bytes] = await record(slots)
        expect(await replay(bytes!)).toEqual({
          epoch: 1,
          configHash: oracleConfigHash(rules.oracle),
          rulesHash: rulesHash(rules),
          quotes: slots.flat().length,
          observations: slots.length,
          reports: slots.length,
          unproposed: 0,
          firstSeq: `${START}`,
          lastSeq: `${START + slots.length - 1}`,
          closed: true,
          torn: 0,
        })
      }),
      { numRuns: 10 },
    )
  })

  it('fails when any byte was flipped', async () => {
    const [bytes] = await record(steady)
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes!.length - 1), fc.integer({ min: 0, max: 6 }), async (at, bit) => {
        const damaged = Buffer.from(bytes!)
        damaged[at] = damaged[at]! ^ (1 << bit)
        const outcome = await replay(damaged).catch((error: Error) => error.message)
        // Without its last line end a segment is one that was cut off, and says so.
        expect(typeof outcome === 'string' || !outcome.closed).toBe(true)
      }),
      { numRuns: 60 },
    )
  })

  it('names slot and feed, what was recorded and what comes out', async () => {
    const [bytes] = await record(steady)
    const otherQuote = rewritten(bytes!, (line) => {
      if (line.type === 'quote') (line.quote as Quote).price += 10n ** 18n
    })
    await expect(replay(otherQuote)).rejects.toThrow(
      /^segment:5: seq 1700000000, feed ETH\/USD: expected \{"price":"20001000000".*\}, got \{"price":"20101000000"/,
    )
    const otherReport = rewritten(bytes!, (line) => {
      if (line.type === 'report') (line.report as Report).prices[0]!.price = 5n
    })
    await expect(replay(otherReport)).rejects.toThrow(
      /^segment:7: seq 1700000000, feed ETH\/USD: expected \{"price":"5".*\}, got \{"price":"20001000000"/,
    )
    const otherRules = rewritten(bytes!, (line) => {
      if (line.type === 'header') (line.rules as Rules).maxDispersionBps = 1
    })
    await expect(replay(otherRules)).rejects.toThrow(/^segment:1: the rules don't have the hash/)
    const otherNetwork = rewritten(bytes!, (line) => {
      if (line.type === 'header') (line.rules as Rules).oracle.nodes[3]!.signer = `0x${'11'.repeat(20)}`
    })
    await expect(replay(otherNetwork)).rejects.toThrow(/^segment:1: the network doesn't have the hash/)
    // A recording of a node that didn't go by its network's rules proves nothing about the network.
    const disagreed = rewritten(bytes!, (line) => {
      if (line.type !== 'header') return
      const { oracle } = line.rules as Rules
      oracle.rulesHash = keccak256('0x')
      line.configHash = oracleConfigHash(oracle)
    })
    await expect(replay(disagreed)).rejects.toThrow(/oracle.rulesHash/)
    const otherSigner = rewritten(bytes!, (line) => {
      if (line.type === 'report') (line.signatures as { signer: number }[])[0]!.signer = 0
    })
    await expect(replay(otherSigner)).rejects.toThrow(/^segment:7: seq 1700000000: the signature of node 0/)
    await expect(replay('')).rejects.toThrow('holds no segment')
  })

  it('rotates, keeps so many, and each segment replays alone', async () => {
    const slots = Array.from({ length: 60 }, (_, slot) => steady[slot % 3]!)
    const all = await record(slots, { maxSegmentBytes: 20_000, maxSegments: 3 })
    expect(all).toHaveLength(3)
    const summaries = await Promise.all(all.map(replay))
    for (const { closed, unproposed, reports } of summaries) {
      expect({ closed, unproposed }).toEqual({ closed: true, unproposed: 0 })
      expect(reports).toBeGreaterThan(0)
    }
    expect(summaries.at(-1)?.lastSeq).toBe(`${START + 59}`)
    for (const [at, { firstSeq }] of summaries.entries()) {
      if (at > 0) expect(Number(firstSeq)).toBe(Number(summaries[at - 1]?.lastSeq) + 1)
    }
  })

  it('has made a slot durable when the next one begins', async () => {
    const file = await open(join(dataDir, 'any'), 'w')
    const handles: { datasync(): Promise<void> } = Object.getPrototypeOf(file)
    await file.close()
    /** Slots whose report is in the file whenever the disk is told to keep it. */
    const kept: number[] = []
    const datasync = handles.datasync
    const spy = vi.spyOn(handles, 'datasync').mockImplementation(async function (this: object) {
      const [name] = await readdir(join(dataDir, 'segments'))
      const text = await readFile(join(dataDir, 'segments', name ?? ''), 'utf8')
      kept.push(text.split('"type":"report"').length - 1)
      return datasync.call(this)
    })
    try {
      await record(steady, {}, (slot) => vi.waitFor(() => expect(kept.length).toBe(slot + 1)))
    } finally {
      spy.mockRestore()
    }
    // One at each slot's observation, one more as the segment is closed.
    expect(kept).toEqual([...steady.keys(), steady.length])
  })

  it('takes a segment that a crash cut off for what is whole of it', async () => {
    const [bytes] = await record(steady)
    const cut = bytes!.subarray(0, bytes!.length - 100)
    expect(await replay(cut)).toMatchObject({ closed: false, reports: 2, torn: expect.any(Number) })
    const whole = bytes!.subarray(0, cut.lastIndexOf('\n') + 1)
    const { torn } = await replay(cut)
    expect(torn).toBe(cut.length - whole.length)
    expect(torn).toBeGreaterThan(0)
    expect(await replay(whole)).toMatchObject({ closed: false, reports: 2, torn: 0 })
  })
})
