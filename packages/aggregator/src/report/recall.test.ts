import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLogger, type Report } from '@clearspan/shared'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { preimageOf } from '../observation/message.js'
import { createDecision, rulesSchema } from '../rules.js'
import { createQuoteBook } from '../sources/book.js'
import { recall } from './recall.js'
import { openRecording } from './recording.js'
import { type Json, rules as plain, rewritten, START, signers } from './recording.test-util.js'
import { replayFiles } from './replay.js'
import { segmentPaths } from './segments.js'

const SLOT_MS = plain.oracle.slotMs
/** An expiry each 20 slots, `START` among them; six returns over two slots each. */
const rules = rulesSchema.parse({
  ...plain,
  oracle: {
    ...plain.oracle,
    feeds: ['ETH/USD', 'ETH.RV/VOL', 'ETH.FIX/USD'].map((name) => ({ name, exponent: -8 })),
  },
  reported: [
    { kind: 'realisedVolatility', feed: 'ETH.RV/VOL', of: 'ETH/USD', sampleSlots: 2, samples: 6 },
    {
      kind: 'fixing',
      feed: 'ETH.FIX/USD',
      of: 'ETH/USD',
      periodMs: 20 * SLOT_MS,
      windowMs: 8 * SLOT_MS,
    },
  ],
})
const held = { price: 0n, confidence: 0xffff }
/** Moves each slot, but not after 14 while a node restarts here. */
const priceAt = (slot: number) =>
  2_000_000_000n + BigInt([15, 16].includes(slot) ? 8 : (slot * 7) % 15) * 1_000_000n
const reportAt = (slot: number, epoch = 1): Report => ({
  epoch,
  seq: BigInt(START + slot),
  prices: [{ price: priceAt(slot), confidence: 5 }, held, held],
})
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, at) => from + at)

let dataDir: string
const logger = createLogger({ name: 'test', level: 'silent' })
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'clearspan-recall-'))
})
afterEach(async () => {
  vi.restoreAllMocks()
  await rm(dataDir, { recursive: true, force: true })
})

const signed = async (report: Report, by = [0, 1, 2]) => ({
  report,
  signatures: await Promise.all(
    by.map(async (signer) => ({
      signer,
      signature: await signers[signer]!.sign(preimageOf(report, rules)),
    })),
  ),
})

/** A node as it starts at a slot. */
async function startAt(slot: number, { maxSegmentBytes = 1 << 20, known = [rules.oracle] } = {}) {
  const decision = createDecision(rules)
  await recall({
    config: {
      dataDir,
      recording: { maxSegments: 100, maxSegmentBytes },
      oracle: rules.oracle,
      networkId: rules.networkId,
    },
    known,
    seq: START + slot,
    rules,
    past: decision.past,
    take: decision.onReport,
    logger,
  })
  return decision
}

/** Its life over some slots, recorded. */
async function live(
  { history, onReport, decide }: ReturnType<typeof createDecision>,
  slots: readonly number[],
  { by = [0, 1, 2], epoch = 1, maxSegmentBytes = 1 << 20 } = {},
) {
  const { sources, maxClockSkewMs } = rules
  const books = sources.map(({ id, markets }) =>
    createQuoteBook({ source: id, kind: 'price', markets, maxClockSkewMs, onEvent() {} }),
  )
  const recording = await openRecording({
    dataDir,
    rules,
    maxSegmentBytes,
    maxSegments: 100,
    history,
    books: () => books.map((book) => [book.status().id, book.state()]),
    logger,
    onFailure() {},
  })
  for (const slot of slots) {
    const at = (START + slot) * SLOT_MS
    recording.observation(BigInt(START + slot), at, decide([], at))
    const { report, signatures } = await signed(reportAt(slot, epoch), by)
    onReport(report, { signatures })
    if (epoch === 1) recording.finished(report, signatures)
    else recording.foreign(report, signatures)
  }
  await recording.close()
}

/** What a node that heard all these says in a slot; and what another does. */
function peerAt(slot: number, slots: readonly number[]) {
  const peer = createDecision(rules)
  for (const one of slots) peer.onReport(reportAt(one))
  return peer.decide([], (START + slot) * SLOT_MS)
}
const says = ({ decide }: ReturnType<typeof createDecision>, slot: number) =>
  decide([], (START + slot) * SLOT_MS)
const paths = async () => (await segmentPaths(dataDir)).reverse()

it('a restarted node says what its peers say, and its segments replay', async () => {
  await live(await startAt(-10), range(-10, 15), { maxSegmentBytes: 3_000 })
  // Down for two slots in the window of a fixing.
  const again = await startAt(17)
  const expected = peerAt(17, range(-10, 17))
  expect(expected[1]).toHaveProperty('price')
  expect(says(again, 17)).toEqual(peerAt(17, range(-10, 15)))
  await live(again, range(17, 24), { maxSegmentBytes: 3_000 })
  expect(says(again, 24)[2]).toEqual(peerAt(24, range(-10, 24))[2])
  expect(says(again, 24)[2]).toHaveProperty('price')
  // The newest segment has all that counts, also after another start.
  for (const path of (await paths()).slice(0, -1)) await rm(path)
  expect(says(await startAt(24), 24)).toEqual(says(again, 24))
  let observations = 0
  for await (const summary of replayFiles(await paths())) observations += summary.observations
  expect(observations).toBeGreaterThan(0)
})

it('replays each segment and one after the other, with reports read back at their beginning', async () => {
  for (const from of [-10, 0, 10])
    await live(await startAt(from), range(from, from + 10), { maxSegmentBytes: 1 })
  let observations = 0
  for await (const summary of replayFiles(await paths())) observations += summary.observations
  expect(observations).toBe(30)
})

it('without its directory it holds', async () => {
  expect(says(await startAt(17), 17).slice(1)).toEqual([{ hold: 'too_few_reports' }, { hold: 'no_fixing' }])
})

it('a node that was down for most of a window, or as it began, does not say another fixing', async () => {
  await live(await startAt(-10), range(-10, 13))
  const most = await startAt(18)
  for (const slot of range(18, 26)) most.onReport(reportAt(slot))
  expect(says(most, 26)[2]).toEqual({ hold: 'no_fixing' })
  await rm(dataDir, { recursive: true })
  await live(await startAt(-10), range(-10, 11))
  const began = await startAt(14)
  for (const slot of range(14, 26)) began.onReport(reportAt(slot))
  expect(says(began, 26)[2]).toEqual({ hold: 'no_fixing' })
})

it('takes no report that a quorum has not signed', async () => {
  await live(await startAt(-10), range(-10, 15))
  const honest = says(await startAt(17), 17)
  const [path = ''] = await paths()
  const text = await readFile(path)
  // The last sample of a stretch, ten times as high; or with too few signatures, which leave a gap; or with none.
  const gap = peerAt(17, [...range(-10, 6), ...range(8, 15)])
  const earlier = peerAt(
    17,
    range(-10, 15).filter((slot) => slot !== 7),
  )
  const cases: [(line: Json) => unknown, typeof gap, object][] = [
    [({ report }) => ((report as Report).prices[0]!.price *= 10n), gap, { unsigned: 0, invalid: 1 }],
    [({ signatures }) => (signatures as unknown[]).splice(2), gap, { unsigned: 0, invalid: 1 }],
    [
      ({ signatures }) => (signatures as unknown[]).fill((signatures as unknown[])[0]),
      gap,
      { unsigned: 0, invalid: 1 },
    ],
    [({ signatures }) => (signatures as unknown[]).splice(0), earlier, { unsigned: 1, invalid: 0 }],
  ]
  const info = vi.spyOn(logger, 'info')
  for (const [change, expected, skipped] of cases) {
    await writeFile(path, rewritten(text, 'report', change, 17))
    expect(says(await startAt(17), 17)).toEqual(expected)
    expect(info.mock.lastCall?.[0]).toMatchObject({ skipped })
  }
  expect(honest).not.toEqual(gap)
})

it('of another epoch it takes what one honest node of the present must have signed', async () => {
  await live(await startAt(-10), range(-10, 15), { epoch: 0, by: [2, 3] })
  expect(says(await startAt(17), 17)[1]).toHaveProperty('price')
  await rm(dataDir, { recursive: true })
  await live(await startAt(-10), range(-10, 15), { epoch: 0, by: [3] })
  expect(says(await startAt(17), 17)[1]).toEqual({ hold: 'too_few_reports' })
})

it('names a damaged segment and goes on with the one before; says when segments are too small', async () => {
  await live(await startAt(-10), range(-10, 15))
  await live(await startAt(15), [15])
  const all = await paths()
  const newest = all.at(-1) ?? ''
  const bytes = await readFile(newest)
  bytes[40]! ^= 1
  await writeFile(newest, bytes)
  const warn = vi.spyOn(logger, 'warn')
  const node = await startAt(17, { maxSegmentBytes: 1_000 })
  expect(says(node, 17)).toEqual(peerAt(17, range(-10, 15)))
  expect(warn.mock.calls.map(([facts]) => facts)).toMatchObject([{ windowSlots: 36 }, { segment: newest }])
})
