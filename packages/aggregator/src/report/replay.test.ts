import { mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'
import { oracleConfigHash, PermanentError, type Report } from '@clearspan/shared'
import fc from 'fast-check'
import { type Hex, keccak256 } from 'viem'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Observation, observationPreimage } from '../observation/message.js'
import { type Rules, rulesHash, rulesSchema } from '../rules.js'
import { createLineReader, createLineWriter } from './lines.js'
import {
  type Changes,
  type Json,
  type Move,
  observationsOf,
  record as recordIn,
  rewritten,
  rules,
  START,
  signers,
  steady,
} from './recording.test-util.js'
import { type Known, type ReplaySummary, replayFiles, replaySegment } from './replay.js'

const protocol = { networkId: rules.networkId, oracle: rules.oracle }

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'clearspan-replay-'))
})
afterEach(() => rm(dataDir, { recursive: true, force: true }))

const record = (slots: Move[][], changes?: Changes) => recordIn(dataDir, slots, changes)

async function* chunksOf(text: string) {
  for (let at = 0; at < text.length; at += 1_000) yield text.slice(at, at + 1_000)
}
const replay = async (bytes: Buffer | string, known = {}) =>
  (await replaySegment(chunksOf(bytes.toString()), 'segment', known)).summary

/** One after the other: each goes on from the one before it. */
async function replayAll(segments: readonly (Buffer | string)[]) {
  const summaries: ReplaySummary[] = []
  let before: Known['before']
  for (const bytes of segments) {
    const { summary, left } = await replaySegment(chunksOf(bytes.toString()), 'segment', { before })
    before = left
    summaries.push(summary)
  }
  return summaries
}

/** A row of an events line: source, market, receive time, event time, price, confidence, sequence, reason. */
const rowsOf = (line: Json) => line.rows as unknown[][]
const rowOf = (line: Json, reason: string | null) => rowsOf(line).find((row) => row[7] === reason)!

describe('replaying a recorded segment', () => {
  it('recomputes what became of every tick, every observation and report of any run, bit for bit', async () => {
    const move = fc.record(
      {
        source: fc.integer({ min: 0, max: 2 }),
        price: fc.oneof(fc.integer({ min: 19_000, max: 21_000 }), fc.integer({ min: 1, max: 10_000_000 })),
        age: fc.integer({ min: -5_000, max: 90_000 }),
        symbol: fc.oneof({ weight: 9, arbitrary: fc.constant('ETH-USD') }, fc.string({ maxLength: 80 })),
        sequence: fc.bigInt({ min: 0n, max: 4n }),
        contiguous: fc.constant<true>(true),
        first: fc.constantFrom<NonNullable<Move['first']>>(
          'reconnected',
          { kind: 'spread', symbol: 'ETH-USD', halfSpread: 10n ** 17n },
          { kind: 'spread', symbol: 'ETH-EUR', halfSpread: 1n },
          { kind: 'heartbeat', symbol: 'ETH-USD', sequence: 4n },
          { kind: 'heartbeat', symbol: 'ETH-USD', sequence: 1n },
          { kind: 'rejected', reason: 'malformed' },
          { kind: 'rejected', reason: 'stale', symbol: 'ETH-USD' },
          { kind: 'control' },
        ),
        confidence: fc.constant(null),
      },
      { requiredKeys: ['source', 'price', 'age'] },
    )
    const run = fc.array(fc.array(move, { maxLength: 8 }), { minLength: 1, maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(run, fc.boolean(), async (slots, rotates) => {
        await rm(join(dataDir, 'segments'), { recursive: true, force: true })
        const segments = await record(slots, rotates ? { maxSegmentBytes: 1 } : {})
        expect(segments).toHaveLength(rotates ? slots.length + 1 : 1)
        const summaries = await replayAll(segments)
        const sum = (field: 'ticks' | 'observations' | 'reports') =>
          summaries.reduce((total, summary) => total + summary[field], 0)
        expect(sum('ticks')).toBe(slots.flat().length)
        expect(sum('observations')).toBe(slots.length)
        expect(sum('reports')).toBe(slots.length)
        for (const [at, summary] of summaries.entries())
          expect(summary).toMatchObject({
            follows: at > 0,
            epoch: 1,
            configHash: oracleConfigHash(rules.oracle),
            rulesHash: rulesHash(rules),
            unproposed: 0,
            contradicted: 0,
            closed: true,
            torn: 0,
          })
        expect(summaries.at(-1)?.lastSeq).toBe(`${START + slots.length - 1}`)
      }),
      { numRuns: 10, endOnFailure: true },
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

  it('names line, slot, feed, what was recorded and what comes out', async () => {
    const [bytes] = await record(steady)
    // Every line of a first segment: the header, three empty books, then for each slot its events, observation, proposal and report.
    const price = rewritten(bytes!, 'events', (line) => {
      rowOf(line, null)[4] = '201'
    })
    await expect(replay(price)).rejects.toThrow(
      /^segment:6: seq 1700000000, feed ETH\/USD: recorded \{"price":"20001000000".*\}, recomputed \{"price":"20002000000"/,
    )
    const report = rewritten(bytes!, 'report', (line) => {
      ;(line.report as Report).prices[0]!.price = 5n
    })
    await expect(replay(report)).rejects.toThrow(
      /^segment:8: seq 1700000000, feed ETH\/USD: recorded \{"price":"5".*\}, recomputed \{"price":"20001000000"/,
    )
    const observation = rewritten(
      bytes!,
      'observation',
      (line) => {
        line.observed = [{ hold: 'no_quotes' }]
      },
      1,
    )
    await expect(replay(observation)).rejects.toThrow(
      /^segment:10: seq 1700000001, feed ETH\/USD: recorded \{"hold":"no_quotes"\}, recomputed \{"price":"20008000000"/,
    )
    const signer = rewritten(bytes!, 'report', (line) => {
      ;(line.signatures as { signer: number }[])[0]!.signer = 0
    })
    await expect(replay(signer)).rejects.toThrow(/^segment:8: seq 1700000000: the signature of node 0/)
    await expect(replay('')).rejects.toThrow('holds no segment')
    async function* endless() {
      for (;;) yield 'x'.repeat(1 << 20)
    }
    await expect(replaySegment(endless(), 'segment')).rejects.toThrow('segment: holds no segment')
  })

  it('names the tick that the book would not have taken, or refused, for another reason', async () => {
    const slots: Move[][] = [
      [0, 1, 2].map((source) => ({ source, price: 20_000, age: 100 })),
      [
        { source: 1, price: 20_001, age: 5_000 },
        { source: 2, price: 200_010, age: 100 },
        { source: 0, price: 20_003, age: 100 },
      ],
    ]
    const [bytes] = await record(slots)
    const falsified = (reason: string | null, change: (row: unknown[]) => void) =>
      replay(rewritten(bytes!, 'events', (line) => change(rowOf(line, reason)), 1))
    await expect(
      falsified('out_of_order', (row) => {
        row[7] = null
      }),
    ).rejects.toThrow(
      'segment:9: seq 1699999996, feed ETH/USD: tick of b ETH-USD at 1699999996000: recorded taken, recomputed out_of_order',
    )
    await expect(
      falsified('decimal_slip', (row) => {
        row[7] = 'duplicate'
      }),
    ).rejects.toThrow(/^segment:9: seq .* tick of c .* recorded duplicate, recomputed decimal_slip$/)
    await expect(
      falsified('decimal_slip', (row) => {
        row[4] = '200.02'
      }),
    ).rejects.toThrow(/recorded decimal_slip, recomputed taken$/)
    await expect(
      falsified(null, (row) => {
        row[4] = 'x'
      }),
    ).rejects.toThrow(/^segment:9: is no row of a segment$/)
    await expect(
      falsified(null, (row) => {
        row[0] = 7
      }),
    ).rejects.toThrow(/^segment:9: source 7 isn't there$/)
  })

  it("refuses a header of another version, and one whose rules or network don't have its hashes", async () => {
    const [bytes] = await record(steady)
    const configHash = oracleConfigHash(rules.oracle)
    const expecting = (hash: Hex) => replay(bytes!, { configHash: hash })
    expect(await expecting(configHash)).toMatchObject({ reports: 3 })
    await expect(expecting(keccak256('0x'))).rejects.toThrow(
      `segment:1: the network has the hash ${configHash}, not ${keccak256('0x')}`,
    )
    const headed = (change: (line: Json, header: Rules) => void) =>
      replay(rewritten(bytes!, 'header', (line) => change(line, line.rules as Rules)))
    await expect(
      headed((line) => {
        line.version = 1
      }),
    ).rejects.toThrow(/^segment:1: the segment has version 1, and this program replays 2$/)
    await expect(
      headed((_, header) => {
        header.maxDispersionBps = 1
      }),
    ).rejects.toThrow(/^segment:1: the rules don't have the hash/)
    await expect(
      headed((_, header) => {
        header.oracle.nodes[3]!.signer = `0x${'11'.repeat(20)}`
      }),
    ).rejects.toThrow(/^segment:1: the network doesn't have the hash/)
    // A recording of a node that didn't go by its network's rules proves nothing about the network.
    await expect(
      headed((line, { oracle }) => {
        oracle.rulesHash = keccak256('0x')
        line.configHash = oracleConfigHash(oracle)
      }),
    ).rejects.toThrow(/^segment:1: oracle.rulesHash/)
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

  it('packs what is whole, beside the writing, and replays it as it is', async () => {
    const segments = join(dataDir, 'segments')
    const packed = () => readdir(segments).then((names) => names.filter((name) => /^segment.*gz$/.test(name)))
    const slots = Array.from({ length: 12 }, (_, slot) => steady[slot % 3]!)
    await record(slots, {
      maxSegmentBytes: 5_000,
      afterSlot: (slot) => vi.waitFor(async () => expect((await packed()).length).toBeGreaterThan(slot - 3)),
    })
    const [name = ''] = (await packed()).sort()
    expect(await readdir(segments)).not.toContain(name.replace('.gz', ''))
    const path = join(segments, name)
    const replayFile = async () => (await replayFiles([path]).next()).value
    expect(await replayFile()).toMatchObject({ closed: true, torn: 0 })
    const bytes = await readFile(path)
    const difference = rewritten(gunzipSync(bytes), 'observation', (line) => {
      line.observed = [{ hold: 'no_quotes' }]
    })
    await writeFile(path, gzipSync(difference))
    await expect(replayFile()).rejects.toThrow('recorded {"hold":"no_quotes"}, recomputed')
    await writeFile(path, bytes.subarray(0, bytes.length - 20))
    await expect(replayFile()).rejects.toThrow(`${path}: is damaged: it can't be unpacked`)
    bytes[bytes.length >> 1]! ^= 1
    await writeFile(path, bytes)
    await expect(replayFile()).rejects.toThrow(PermanentError)
  })

  it('knows in each segment the reports that a feed made of them still rests on', async () => {
    const volatility = {
      kind: 'realisedVolatility',
      feed: 'ETH.RV/VOL',
      of: 'ETH/USD',
      sampleSlots: 1,
      samples: 2,
    }
    const { networkId: _, ...others } = rules
    const derived = rulesSchema.parse({
      networkId: rules.networkId,
      ...others,
      oracle: { ...rules.oracle, feeds: [...rules.oracle.feeds, { name: volatility.feed, exponent: -8 }] },
      reported: [volatility],
    })
    const slots = Array.from({ length: 12 }, (_slot, slot) => steady[slot % 3]!)
    const segments = await record(slots, { rules: derived, maxSegmentBytes: 1 })
    for (const bytes of segments) expect(await replay(bytes)).toMatchObject({ follows: false })
    expect((await replayAll(segments)).every(({ follows }, at) => follows === at > 0)).toBe(true)
    const last = segments.at(-1)!
    expect(last.toString()).toMatch(/"observed":\[\{"price":"\d+n".*?\},\{"price":"\d+n"/)
    const forgotten = rewritten(
      last,
      'history',
      (line) => {
        line.report = { epoch: 1, seq: 1n, prices: [] }
      },
      4,
    )
    await expect(replay(forgotten)).rejects.toThrow(
      /^segment:\d+: seq 1700000011, feed ETH.RV\/VOL: recorded \{"price".*, recomputed /,
    )
  })

  it('names what a segment begins with that the one before has not left', async () => {
    const [first, second] = await record([...steady, ...steady], { maxSegmentBytes: 1 })
    const book = (change: (state: { quotes: { price: bigint }[] }) => void) =>
      rewritten(second!, 'book', (line) => change(line.state as never), 2)
    const dearer = book(({ quotes }) => {
      quotes[0]!.price += 1n
    })
    // By itself it holds: what another segment left stands as it is.
    expect(await replay(dearer)).toMatchObject({ follows: false })
    await expect(replayAll([first!, dearer])).rejects.toThrow(
      /^segment:4: book of c: recorded .*"price":"200020000000000000001".*, recomputed .*"price":"200020000000000000000"/,
    )
    const lines = second!.toString().split('\n')
    const write = createLineWriter()
    const read = createLineReader()
    const fewer = lines.slice(0, -1).map((line) => read(line) as Json)
    fewer.splice(2, 1)
    await expect(replayAll([first!, fewer.map(write).join('')])).rejects.toThrow(
      /^segment:4: 1 books that the segment before has left are missing$/,
    )
    expect(await replayAll([second!, first!])).toMatchObject([{ follows: false }, { follows: false }])
  })

  it('begins a new segment where the disk failed, and writes nothing behind half a line', async () => {
    const file = await open(join(dataDir, 'any'), 'w')
    const handles: { appendFile(data: string): Promise<void> } = Object.getPrototypeOf(file)
    await file.close()
    const appendFile = handles.appendFile
    let appends = 0
    const spy = vi.spyOn(handles, 'appendFile').mockImplementation(async function (this: object, data) {
      appends += 1
      if (appends !== 4) return appendFile.call(this, data)
      await appendFile.call(this, data.slice(0, 100))
      throw new Error('no space left')
    })
    let failures = 0
    try {
      const [torn, whole] = await record([...steady, ...steady], {
        onFailure: () => failures++,
        afterSlot: async (slot) => {
          if (slot === 1) await vi.waitFor(() => expect(failures).toBe(1))
        },
      })
      expect(failures).toBe(1)
      expect(await replay(torn!)).toMatchObject({ closed: false, torn: 100 })
      expect(await replay(whole!)).toMatchObject({ closed: true, torn: 0, lastSeq: `${START + 5}` })
    } finally {
      spy.mockRestore()
    }
  })

  it('rotates and keeps little in memory while no slot is observed', async () => {
    const busy = Array.from({ length: 5_000 }, (_, tick) => ({
      source: 0,
      price: 20_000 + tick,
      age: 5_000 - tick,
    }))
    const segments = await record([busy], { maxSegmentBytes: 65_536 })
    expect(segments.length).toBeGreaterThan(2)
    const summaries = await Promise.all(segments.map(replay))
    expect(summaries.reduce((ticks, summary) => ticks + summary.ticks, 0)).toBe(5_000)
    expect(summaries.filter(({ observations }) => observations === 0).length).toBeGreaterThan(1)
  })

  it('says nothing of an observation that a restart kept from being signed', async () => {
    // What was signed before the restart is in the proposal, what is observed after it in the segment.
    const proposed = async (own: Observation[]) => {
      const before = { epoch: 1, seq: own[0]!.seq, prices: [{ price: 19_999_000_000n, confidence: 1 }] }
      const signature = await signers[0]!.sign(observationPreimage(before, protocol))
      return { observations: [{ ...before, signature }, ...own.slice(1)], signers: [0, 1, 2] }
    }
    const [bytes] = await record(steady, {
      beforeProposal: (recording, seq) => recording.unsigned(seq),
      proposed,
    })
    expect(await replay(bytes!)).toMatchObject({ reports: 3, contradicted: 0, unproposed: 0 })
    await rm(join(dataDir, 'segments'), { recursive: true })
    const [lying] = await record(steady, { proposed })
    await expect(replay(lying!)).rejects.toThrow(
      /^segment:7: seq 1700000000, feed ETH\/USD: recorded \{"price":"20001000000",.* recomputed \{"price":"19999000000"/,
    )
  })

  it("counts the report that a leader's second proposal led to, unless this node signed it", async () => {
    const proposedTo = (from: number[]) => async (own: Observation[]) => {
      const other = await observationsOf({ ...own[0]!, prices: [{ price: 30_000_000_000n, confidence: 1 }] })
      return { observations: [own[0]!, ...other.slice(1)], signers: from }
    }
    const [bytes] = await record(steady, { proposed: proposedTo([1, 2, 3]) })
    expect(await replay(bytes!)).toMatchObject({ reports: 3, contradicted: 3, unproposed: 0 })
    await rm(join(dataDir, 'segments'), { recursive: true })
    const [signed] = await record(steady, { proposed: proposedTo([0, 1, 2]) })
    await expect(replay(signed!)).rejects.toThrow(
      /^segment:8: seq 1700000000, feed ETH\/USD: recorded \{"price":"20001000000",.* recomputed \{"price":"30000000000"/,
    )
  })

  it('recomputes a report whose proposal came after it', async () => {
    const [bytes] = await record(steady)
    const lines = bytes!.toString().trimEnd().split('\n')
    const read = createLineReader()
    const write = createLineWriter()
    const values = lines.map((line) => read(line) as Json)
    const reorder = (change: (line: Json) => Json[]) => values.flatMap(change).map(write).join('')
    const held: Json[] = []
    const late = reorder((line) => {
      if (line.type === 'proposal') held.push(line)
      return line.type === 'proposal' ? [] : line.type === 'report' ? [line, held.pop()!] : [line]
    })
    expect(await replay(late)).toMatchObject({ reports: 3, unproposed: 0 })
    const never = values.filter(({ type }) => type !== 'proposal')
    const again = createLineWriter()
    expect(await replay(never.map(again).join(''))).toMatchObject({ reports: 3, unproposed: 3 })
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
      await record(steady, { afterSlot: (slot) => vi.waitFor(() => expect(kept.length).toBe(slot + 1)) })
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
