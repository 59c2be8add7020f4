import {
  oracleConfigHash,
  PermanentError,
  quorumOf,
  type Report,
  type ReportSignature,
  reportDigest,
} from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import type { ObservedPrice } from '../aggregation/aggregate.js'
import { type Observation, recoverNode } from '../observation/message.js'
import { authenticate } from '../observation/verify.js'
import { wireSchemas } from '../observation/wire.js'
import { checkRules, createDecision, rulesHash, rulesSchema, toReportPrice } from '../rules.js'
import type { BookState } from '../sources/book.js'
import { combine } from './combine.js'
import { checkOf, completeLines, createLineReader } from './lines.js'
import { SEGMENT_VERSION } from './recording.js'
import { createBooks } from './replayBooks.js'
import { withSegment } from './segments.js'

/** What a replay found equal. */
export interface ReplaySummary {
  epoch: number
  /** What `PriceOracle.configHash(epoch)` must be on every chain, if these were the network's nodes and rules. */
  configHash: Hex
  rulesHash: Hex
  /** Ticks, each taken or refused as recorded. */
  ticks: number
  /** Of them, those refused. */
  refused: number
  /** Own observations, each recomputed from the ticks before it. */
  observations: number
  /** Finished reports, each recomputed from the observations in its proposal, with their signatures. */
  reports: number
  /** Finished reports whose proposal never reached this node: signatures checked, prices not recomputed. */
  unproposed: number
  /** Finished reports that aren't what this node was proposed, and that it didn't sign: their leader had proposed two. */
  contradicted: number
  firstSeq: string | null
  lastSeq: string | null
  /** False for a segment that is still being written, or whose writer was killed: its last lines may be missing. */
  closed: boolean
  /** Whether it goes on from the segment that was replayed before it: then what it begins with was computed too, and not taken as it stands. */
  follows: boolean
  /** Whole lines. */
  lines: number
  /** Characters behind the last whole line: a line that was cut off as it was written. */
  torn: number
}

/** What whoever asks for a replay knows already. */
export interface Known {
  /** Of the epoch, by a chain. */
  configHash?: Hex | undefined
  /** What the segment before has left. */
  before?: Left | undefined
}

/** What a segment leaves to the one that goes on from it. */
interface Left {
  /** Of its last line. */
  check: string
  /** Each source's book and each report that still counts, as text. */
  books: ReadonlyMap<string, string>
  history: ReadonlySet<string>
}

const headerSchema = z.object({
  type: z.literal('header'),
  version: z.literal(SEGMENT_VERSION),
  configHash: z.string(),
  rulesHash: z.string(),
  rules: rulesSchema,
  after: z.string().nullable(),
})
/** Lines carry a check, so what they hold is what a node wrote; the schema only tells them apart. */
const lineSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('book'), source: z.string(), state: z.custom<BookState>() }),
  z.object({ type: z.literal('events'), at: z.number(), rows: z.array(z.unknown()) }),
  z.object({
    type: z.literal('history'),
    since: z.number(),
    heard: z.number().nullable().optional(),
    report: z.custom<Report>(),
    signatures: z.array(z.custom<ReportSignature>()).optional(),
  }),
  z.object({
    type: z.literal('observation'),
    seq: z.bigint(),
    at: z.number(),
    observed: z.array(z.custom<ObservedPrice>()),
    carried: z.boolean().optional(),
  }),
  z.object({ type: z.literal('unsigned'), seq: z.bigint() }),
  z.object({ type: z.literal('proposal'), seq: z.bigint(), observations: z.array(z.unknown()) }),
  z.object({
    type: z.literal('report'),
    report: z.custom<Report>(),
    signatures: z.array(z.custom<ReportSignature>()),
  }),
  z.object({ type: z.literal('end') }),
])
type Line = z.output<typeof lineSchema>

/**
 * Recomputes a segment line by line: whether each tick was taken, every own observation from the ticks, every report from its proposal's
 * signed observations, every signature. Throws PermanentError at the first difference, naming the line, slot, feed, what was recorded and
 * what comes out.
 */
export async function replaySegment(
  chunks: AsyncIterable<string>,
  where: string,
  known: Known = {},
): Promise<{ summary: ReplaySummary; left: Left }> {
  const read = createLineReader()
  let replayer: ReturnType<typeof createReplayer> | null = null
  let number = 0
  let torn = 0
  let check = ''
  const onRest = (rest: string) => {
    torn = rest.length
  }
  for await (const text of completeLines(chunks, where, onRest)) {
    number += 1
    try {
      const value = read(text)
      if (replayer) replayer.take(readLine(value))
      else replayer = createReplayer(readHeader(value, known.configHash), known.before)
      check = checkOf(text)
    } catch (error) {
      // What a segment holds may be anything: whatever it is, it makes one line.
      const message = error instanceof Error ? error.message : String(error)
      throw new PermanentError(`${where}:${number}: ${message.replace(/[\p{Cc}\s]+/gu, ' ')}`)
    }
  }
  if (replayer === null) throw new PermanentError(`${where}: holds no segment`)
  return {
    summary: { ...replayer.summary(), lines: number, torn },
    left: { check, ...replayer.left() },
  }
}

/** The same of files, packed or not, one after the other: where one goes on from the one before it, what it begins with is computed too. */
export async function* replayFiles(
  paths: readonly string[],
  { configHash }: Pick<Known, 'configHash'> = {},
): AsyncGenerator<ReplaySummary & { segment: string }> {
  let before: Left | undefined
  for (const segment of paths) {
    const { summary, left } = await withSegment(segment, (chunks) =>
      replaySegment(chunks, segment, { configHash, before }),
    )
    before = left
    yield { segment, ...summary }
  }
}

function readHeader(value: unknown, expected: Hex | undefined) {
  const { version } = z.object({ version: z.number() }).safeParse(value).data ?? {}
  if (version !== undefined && version !== SEGMENT_VERSION)
    throw new PermanentError(
      `the segment has version ${version}, and this program replays ${SEGMENT_VERSION}`,
    )
  const header = headerSchema.safeParse(value)
  if (!header.success) throw new PermanentError('is no header of a segment')
  const { rules, after, ...hashes } = header.data
  if (rulesHash(rules) !== hashes.rulesHash)
    throw new PermanentError(`the rules don't have the hash ${hashes.rulesHash}`)
  if (oracleConfigHash(rules.oracle) !== hashes.configHash)
    throw new PermanentError(`the network doesn't have the hash ${hashes.configHash}`)
  if (expected !== undefined && expected.toLowerCase() !== hashes.configHash)
    throw new PermanentError(`the network has the hash ${hashes.configHash}, not ${expected}`)
  checkRules(rules)
  return { rules, after }
}

function readLine(value: unknown): Line {
  const line = lineSchema.safeParse(value)
  if (!line.success) throw new PermanentError('is no line of a segment')
  return line.data
}

function createReplayer({ rules, after }: ReturnType<typeof readHeader>, before: Left | undefined) {
  const { oracle, networkId, index } = rules
  const protocol = { networkId, oracle }
  const quorum = quorumOf(oracle.nodes.length)
  const { decide, onReport, history } = createDecision(rules)
  const books = createBooks(rules)
  const observationSchema = wireSchemas(oracle.feeds.length, oracle.nodes.length).observation
  const own = new Map<bigint, readonly ObservedPrice[]>()
  const proposals = new Map<bigint, Observation[]>()
  /** Without a proposal so far; and who signed them. */
  const unproposed = new Map<bigint, { prices: Report['prices']; signers: ReadonlySet<number> }>()
  const seqs: bigint[] = []
  const start = after !== null && after === before?.check ? createStart(before) : null
  let closed = false
  const counts = { observations: 0, reports: 0, contradicted: 0 }

  /** The first feed of which the two say different things; null where there is none. */
  function differenceOf(seq: bigint, recorded: readonly unknown[], recomputed: readonly unknown[]) {
    for (const [feed, { name }] of oracle.feeds.entries()) {
      const [before, now] = [textOf(recorded[feed]), textOf(recomputed[feed])]
      if (before !== now) return `seq ${seq}, feed ${name}: recorded ${before}, recomputed ${now}`
    }
    return null
  }

  function compare(...values: Parameters<typeof differenceOf>) {
    const difference = differenceOf(...values)
    if (difference !== null) throw new PermanentError(difference)
  }

  function takeObservation({ seq, at, observed, carried }: Line & { type: 'observation' }) {
    own.set(seq, observed)
    // The ticks before it are in the segment before.
    if (carried) return
    compare(seq, observed, decide(books.quotes(), at))
    counts.observations += 1
  }

  function takeProposal({ seq, observations }: Line & { type: 'proposal' }) {
    const parsed: Observation[] = []
    for (const one of observations) {
      const { data: message } = observationSchema.safeParse(one)
      if (!message) throw new PermanentError(`seq ${seq}: an observation isn't one`)
      parsed.push(message)
      const authenticated = authenticate({ kind: 'observation', message }, protocol)
      if (!authenticated) throw new PermanentError(`seq ${seq}: an observation is signed by no node`)
      const recorded = own.get(seq)
      if (authenticated.from === index && recorded) compare(seq, recorded.map(toReportPrice), message.prices)
    }
    proposals.set(seq, parsed)
    const waiting = unproposed.get(seq)
    if (waiting && unproposed.delete(seq)) recompute(seq, waiting.prices, parsed, waiting.signers)
  }

  function recompute(
    seq: bigint,
    prices: Report['prices'],
    observations: readonly Observation[],
    signers: ReadonlySet<number>,
  ) {
    const difference = differenceOf(seq, prices, combine(observations, oracle.feeds.length, quorum))
    // A faulty leader can propose one thing to this node and another to a quorum: then this node hasn't signed what the quorum did.
    if (difference === null) return
    if (signers.has(index)) throw new PermanentError(difference)
    counts.contradicted += 1
  }

  function takeReport({ report, signatures }: Line & { type: 'report' }) {
    const { seq, prices } = report
    const observations = proposals.get(seq)
    const { signers, problem } = checkSignatures(report, signatures)
    if (problem !== null && observations)
      compare(seq, prices, combine(observations, oracle.feeds.length, quorum))
    if (problem !== null) throw new PermanentError(`seq ${seq}: ${problem}`)
    if (observations) recompute(seq, prices, observations, signers)
    else unproposed.set(seq, { prices, signers })
    onReport(report)
    counts.reports += 1
    seqs.push(seq)
  }

  function checkSignatures(report: Report, signatures: readonly ReportSignature[]) {
    const digest = reportDigest(report, oracle.feeds, networkId)
    const signers = new Set(signatures.map(({ signer }) => signer))
    const foreign = signatures.find(
      ({ signer, signature }) => recoverNode(digest, signature, oracle) !== signer,
    )
    if (foreign) return { signers, problem: `the signature of node ${foreign.signer} is not its own` }
    const tooFew = signers.size < quorum ? `${signers.size} signatures, not ${quorum}` : null
    return { signers, problem: tooFew }
  }

  return {
    take(line: Line) {
      if (closed) throw new PermanentError('follows the end of the segment')
      start?.take(line)
      switch (line.type) {
        case 'book':
          return books.restore(line.source, line.state)
        case 'events':
          return books.take(line.at, line.rows)
        case 'history':
          return onReport(line.report, { ...line, heard: line.heard === undefined ? line.since : line.heard })
        case 'observation':
          return takeObservation(line)
        case 'unsigned':
          return void own.delete(line.seq)
        case 'proposal':
          return takeProposal(line)
        case 'report':
          return takeReport(line)
        case 'end':
          closed = true
      }
    },
    summary: (): Omit<ReplaySummary, 'lines' | 'torn'> => ({
      epoch: oracle.epoch,
      configHash: oracleConfigHash(oracle),
      rulesHash: rulesHash(rules),
      ...books.counts,
      ...counts,
      unproposed: unproposed.size,
      firstSeq: seqs[0]?.toString() ?? null,
      lastSeq: seqs.at(-1)?.toString() ?? null,
      closed,
      follows: start !== null,
    }),
    left: () => ({
      books: new Map(books.states().map(([source, state]) => [source, textOf(state)])),
      history: new Set(history()?.reports.map(({ report }) => textOf(report))),
    }),
  }
}

/** Wants of a segment's first lines, reports and then books, that they say what the segment before has left: no less, and nothing else. */
function createStart(before: Left) {
  const history = new Set(before.history)
  const books = new Map(before.books)
  let place: 'history' | 'books' | 'over' = 'history'
  const refuse = (why: string) => {
    throw new PermanentError(why)
  }
  return {
    take(line: Line) {
      if (place === 'over') return
      if (line.type === 'history' && place === 'history') {
        if (!history.delete(textOf(line.report)))
          refuse(`seq ${line.report.seq}: the report is none that the segment before has left`)
        return
      }
      if (history.size > 0) refuse(`${history.size} reports that the segment before has left are missing`)
      place = line.type === 'book' ? 'books' : 'over'
      if (line.type === 'book') {
        const [recorded, left] = [textOf(line.state), books.get(line.source)]
        if (recorded !== left) refuse(`book of ${line.source}: recorded ${recorded}, recomputed ${left}`)
        books.delete(line.source)
      } else if (books.size > 0) refuse(`${books.size} books that the segment before has left are missing`)
    },
  }
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item))
}
