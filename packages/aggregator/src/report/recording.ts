import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type Logger, oracleConfigHash, type Report, type ReportSignature } from '@clearspan/shared'
import type { ObservedPrice } from '../aggregation/aggregate.js'
import type { Observation } from '../observation/message.js'
import { toWire } from '../observation/wire.js'
import { type Rules, rulesHash } from '../rules.js'
import type { Quote } from '../sources/types.js'
import { createLineWriter } from './lines.js'

export interface RecordingParameters {
  dataDir: string
  rules: Rules
  /** A segment is closed at the first slot after it has grown so large. */
  maxSegmentBytes: number
  /** Segments kept, the open one included. */
  maxSegments: number
  /** Reports from before a segment that decide in it. */
  history(): { since: number; reports: Report[] } | null
  logger: Logger
  /** Counts what could not be recorded. */
  onFailure(): void
}

/**
 * What a node needs to prove its decisions later: raw quotes, what it made of them, proposals, finished reports; append-only, in
 * segments that each replay alone. Nothing here waits for the disk: a full or slow one costs records, never a slot. Each slot's observation
 * makes what was recorded before it durable, one sync at a time: a power cut costs the records of a slot, or as many as the disk is behind.
 */
export interface Recording {
  /** A quote as its source handed it on. */
  quote(quote: Quote): void
  /** Own observation of a slot, from exactly these quotes. */
  observation(seq: bigint, at: number, quotes: readonly Quote[], observed: readonly ObservedPrice[]): void
  /** The leader's proposal that this node has signed the median of. */
  proposal(seq: bigint, observations: readonly Observation[]): void
  finished(report: Report, signatures: readonly ReportSignature[]): void
  /** A report of an older epoch, which decides in this one. */
  past(report: Report): void
  close(): Promise<void>
}

/** Lines waiting for the disk beyond which new ones are dropped. */
const MAX_WAITING_BYTES = 32 << 20
/** A report may finish so many slots after its proposal: a new segment begins with the observations and proposals of these. */
const CARRIED_SLOTS = 8n
const NAME = /^segment-(\d{8})\.jsonl$/

/** Recording in `segments/` of the data directory. Throws when it can't be written at all. */
export async function openRecording(parameters: RecordingParameters): Promise<Recording> {
  const { rules, maxSegmentBytes, maxSegments, history, logger, onFailure } = parameters
  const directory = join(parameters.dataDir, 'segments')
  await mkdir(directory, { recursive: true })
  const existing = (await readdir(directory)).flatMap((name) => NAME.exec(name)?.[1] ?? []).map(Number)
  let number = Math.max(0, ...existing)
  const newest = new Map<string, Quote>()
  const carried = new Map<bigint, object[]>()
  let lineOf = createLineWriter()
  let size = 0
  let waiting = ''
  /** Characters handed to the disk and not yet written. */
  let queued = 0
  let file: FileHandle | null = null
  let tail: Promise<void> = Promise.resolve()
  /** Set when a line was lost: the segment can't go on, for later lines rest on it. */
  let torn = false
  let syncing = false

  function write(value: object) {
    if (torn) return
    if (waiting.length + queued > MAX_WAITING_BYTES) return tear(new Error('the disk is too slow'))
    const line = lineOf(value)
    size += line.length
    waiting += line
  }

  function tear(err: unknown) {
    if (!torn) logger.error({ err }, 'recording failed, trying a new segment with the next slot')
    torn = true
    waiting = ''
    onFailure()
  }

  /** A file is opened in order behind the writes of the one before. */
  function begin() {
    end()
    torn = false
    size = 0
    lineOf = createLineWriter()
    enqueue(async () => {
      await file?.datasync()
      await file?.close()
      file = null
      file = await openNext()
      await dropOldest()
    })
    write({
      type: 'header',
      version: 1,
      configHash: oracleConfigHash(rules.oracle),
      rulesHash: rulesHash(rules),
      rules,
    })
    const past = history()
    for (const report of past?.reports ?? []) write({ type: 'history', since: past?.since, report })
    for (const quote of newest.values()) write({ type: 'quote', quote })
    for (const lines of carried.values()) for (const line of lines) write({ ...line, carried: true })
    flush()
  }

  /** Around a change of epochs two recordings share the directory: a number that the other has taken is passed over. */
  async function openNext(): Promise<FileHandle> {
    number += 1
    try {
      return await open(join(directory, `segment-${String(number).padStart(8, '0')}.jsonl`), 'ax')
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return openNext()
      throw error
    }
  }

  /** The last line says that nothing is missing behind it. */
  function end() {
    if (size > 0) write({ type: 'end' })
    flush()
  }

  async function dropOldest() {
    const names = (await readdir(directory)).filter((name) => NAME.test(name)).sort()
    for (const name of names.slice(0, Math.max(0, names.length - maxSegments))) {
      await rm(join(directory, name), { force: true })
    }
  }

  function enqueue(work: () => Promise<void>) {
    tail = tail.then(work).catch(tear)
  }

  function flush() {
    const text = waiting
    waiting = ''
    if (text === '') return
    queued += text.length
    enqueue(async () => {
      queued -= text.length
      await file?.appendFile(text)
    })
  }

  /** Makes durable what has been handed to the disk; a disk that is still at the last one isn't asked for more. */
  function sync() {
    if (syncing) return
    syncing = true
    enqueue(async () => {
      syncing = false
      await file?.datasync()
    })
  }

  function carry(seq: bigint, line: object) {
    carried.set(seq, [...(carried.get(seq) ?? []), line])
    for (const old of carried.keys()) if (old < seq - CARRIED_SLOTS) carried.delete(old)
    write(line)
  }

  function take(quote: Quote) {
    const key = keyOf(quote)
    if (newest.get(key) === quote) return
    newest.set(key, quote)
    write({ type: 'quote', quote })
  }

  begin()
  return {
    quote: take,
    observation(seq, at, quotes, observed) {
      if (torn || size > maxSegmentBytes) begin()
      // Most were recorded as they came; what a source took back is gone.
      for (const quote of quotes) take(quote)
      const live = new Set(quotes.map(keyOf))
      for (const key of newest.keys()) {
        if (live.has(key)) continue
        newest.delete(key)
        write({ type: 'gone', key })
      }
      carry(seq, { type: 'observation', seq, at, observed })
      flush()
      sync()
    },
    proposal(seq, observations) {
      carry(seq, { type: 'proposal', seq, observations: observations.map(toWire) })
    },
    finished(report, signatures) {
      write({ type: 'report', report, signatures })
      flush()
    },
    past(report) {
      const since = history()?.since
      if (since !== undefined) write({ type: 'history', since, report })
    },
    async close() {
      end()
      await tail
      await file?.datasync()
      await file?.close()
      file = null
    },
  }
}

/** A market of a source: one newest quote each. */
export function keyOf({ source, market }: Quote): string {
  return `${source} ${market.symbol}`
}
