import { type Logger, oracleConfigHash, type Report, type ReportSignature } from '@clearspan/shared'
import type { ObservedPrice } from '../aggregation/aggregate.js'
import type { Past } from '../derived/history.js'
import type { Observation } from '../observation/message.js'
import { toWire } from '../observation/wire.js'
import { type Rules, rulesHash } from '../rules.js'
import type { BookEvent, BookState } from '../sources/book.js'
import { checkOf, createLineWriter } from './lines.js'
import { createRows, type Row } from './rows.js'
import { openSegments, type Segments } from './segments.js'

export interface RecordingParameters {
  dataDir: string
  rules: Rules
  /** A segment is closed at the first slot after it has grown so large. */
  maxSegmentBytes: number
  /** Segments kept, the open one included. */
  maxSegments: number
  /** Reports from before a segment that decide in it. */
  history(): Past | null
  /** Where each source's book is, by id: what the events before a segment decide in it. */
  books(): [string, BookState][]
  logger: Logger
  /** Counts what could not be recorded. */
  onFailure(): void
}

/**
 * What a node needs to prove its decisions later: every tick that a source handed on, taken or refused, what the node made of them,
 * proposals, finished reports; append-only, in segments that each replay alone. Nothing here waits for the disk: a full or slow one costs
 * records, never a slot. Each slot's observation makes what was recorded before it durable, one sync at a time: a power cut costs the
 * records of a slot, or as many as the disk is behind.
 */
export interface Recording {
  /** What happened to a source's book. */
  event(source: string, event: BookEvent): void
  /** Own observation of a slot, by the books as they are now. */
  observation(seq: bigint, at: number, observed: readonly ObservedPrice[]): void
  /** The slot's observation was not signed: a restart had left another one behind. */
  unsigned(seq: bigint): void
  /** The leader's proposal that this node has signed the median of. */
  proposal(seq: bigint, observations: readonly Observation[]): void
  finished(report: Report, signatures: readonly ReportSignature[]): void
  /** A report of another epoch, which decides in this one too. */
  foreign(report: Report, signatures: readonly ReportSignature[]): void
  close(): Promise<void>
}

/** Raised whenever a line changes what it means: a replay refuses what it wasn't made for. */
export const SEGMENT_VERSION = 2
/** Lines waiting for the disk beyond which new ones are dropped. */
const MAX_WAITING_BYTES = 32 << 20
/** Lines kept in memory until the slot's observation hands them to the disk. */
const MAX_BUFFERED_BYTES = 1 << 20
/** A report may finish so many slots after its proposal: a new segment begins with the observations and proposals of these. */
const CARRIED_SLOTS = 8n
/** Events of books in a line: one check for all of them, and still a line that can be read. */
const MAX_ROWS = 500

/** Recording in `segments/` of the data directory. Throws when it can't be written at all. */
export async function openRecording(parameters: RecordingParameters): Promise<Recording> {
  const { rules, maxSegmentBytes, maxSegments, history, books, logger, onFailure } = parameters
  const segments = await openSegments(parameters.dataDir, maxSegments, logger)
  const { encode } = createRows(rules)
  let events: { at: number; rows: Row[] } | null = null
  const carried = new Map<bigint, object[]>()
  let lineOf = createLineWriter()
  let lastLine = ''
  let size = 0
  let waiting = ''
  /** Characters handed to the disk and not yet written. */
  let queued = 0
  let segment: Awaited<ReturnType<Segments['next']>> | null = null
  let tail: Promise<void> = Promise.resolve()
  /** Set when a line was lost: the segment can't go on, for later lines rest on it. */
  let torn = false
  let syncing = false

  function writeEvents() {
    const line = events
    events = null
    if (line) write({ type: 'events', ...line })
  }

  /** What comes behind events in time comes behind them in the segment. */
  function write(value: object) {
    writeEvents()
    if (torn) return
    if (waiting.length + queued > MAX_WAITING_BYTES) return tear(new Error('the disk is too slow'))
    const line = lineOf(value)
    size += line.length
    waiting += line
    lastLine = line
  }

  function tear(err: unknown) {
    if (!torn) logger.error({ err }, 'recording failed, trying a new segment with the next slot')
    torn = true
    waiting = ''
    events = null
    onFailure()
  }

  /** A file is opened in order behind the writes of the one before. */
  function begin() {
    end()
    const after = torn || size === 0 ? null : checkOf(lastLine.trimEnd())
    torn = false
    size = 0
    lineOf = createLineWriter()
    enqueue(async () => {
      const closed = await closeFile()
      if (closed) segments.pack(closed.path)
      segment = await segments.next()
    })
    write({
      type: 'header',
      version: SEGMENT_VERSION,
      configHash: oracleConfigHash(rules.oracle),
      rulesHash: rulesHash(rules),
      rules,
      after,
    })
    const { reports = [], ...known } = history() ?? {}
    // With signatures: whoever reads them back after a start must be able to check them.
    for (const one of reports) write({ type: 'history', ...known, ...one })
    for (const [source, state] of books()) write({ type: 'book', source, state })
    for (const lines of carried.values()) for (const line of lines) write({ ...line, carried: true })
    flush()
  }

  async function closeFile() {
    const closed = segment
    segment = null
    try {
      await closed?.file.datasync()
    } finally {
      await closed?.file.close()
    }
    return closed
  }

  /** The last line says that nothing is missing behind it. */
  function end() {
    if (size > 0) write({ type: 'end' })
    flush()
  }

  function enqueue(work: () => Promise<void>) {
    tail = tail.then(work).catch(async (err: unknown) => {
      tear(err)
      // Nothing is put behind a line that may be half there.
      await closeFile().catch(() => {})
    })
  }

  function flush() {
    const text = waiting
    waiting = ''
    if (text === '') return
    queued += text.length
    enqueue(async () => {
      queued -= text.length
      await segment?.file.appendFile(text)
    })
  }

  /** Makes durable what has been handed to the disk; a disk that is still at the last one isn't asked for more. */
  function sync() {
    if (syncing) return
    syncing = true
    enqueue(async () => {
      syncing = false
      await segment?.file.datasync()
    })
  }

  function carry(seq: bigint, line: object) {
    carried.set(seq, [...(carried.get(seq) ?? []), line])
    for (const old of carried.keys()) if (old < seq - CARRIED_SLOTS) carried.delete(old)
    write(line)
  }

  begin()
  return {
    event(source, event) {
      if (torn) return
      events ??= { at: event.kind === 'connection' ? 0 : event.now, rows: [] }
      events.rows.push(encode(source, event, events.at))
      if (events.rows.length < MAX_ROWS) return
      writeEvents()
      // Before an epoch's first slot there may be events for days.
      if (size > maxSegmentBytes) begin()
      else if (waiting.length > MAX_BUFFERED_BYTES) flush()
    },
    observation(seq, at, observed) {
      if (torn || size > maxSegmentBytes) begin()
      carry(seq, { type: 'observation', seq, at, observed })
      flush()
      sync()
    },
    unsigned(seq) {
      carry(seq, { type: 'unsigned', seq })
    },
    proposal(seq, observations) {
      carry(seq, { type: 'proposal', seq, observations: observations.map(toWire) })
    },
    finished(report, signatures) {
      write({ type: 'report', report, signatures })
      flush()
    },
    foreign(report, signatures) {
      const past = history()
      if (past) write({ type: 'history', since: past.since, heard: past.heard, report, signatures })
    },
    async close() {
      end()
      await tail
      await closeFile()
      await segments.close()
    },
  }
}
