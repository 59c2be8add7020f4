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
import { checkRules, createDecision, type Rules, rulesHash, rulesSchema, toReportPrice } from '../rules.js'
import type { Quote } from '../sources/types.js'
import { combine } from './combine.js'
import { createLineReader } from './lines.js'
import { keyOf } from './recording.js'

/** What a replay found equal. */
export interface ReplaySummary {
  epoch: number
  /** What `PriceOracle.configHash(epoch)` must be on every chain, if these were the network's nodes and rules. */
  configHash: Hex
  rulesHash: Hex
  quotes: number
  /** Own observations, each recomputed from the quotes before it. */
  observations: number
  /** Finished reports, each recomputed from the proposal's observations, with their signatures. */
  reports: number
  /** Finished reports whose proposal this node never saw: signatures checked, prices not recomputed. */
  unproposed: number
  firstSeq: string | null
  lastSeq: string | null
  /** False for a segment that is still being written, or whose writer was killed: its last lines may be missing. */
  closed: boolean
  /** Characters behind the last whole line: a line that was cut off as it was written. */
  torn: number
}

const headerSchema = z.object({
  type: z.literal('header'),
  version: z.literal(1),
  configHash: z.string(),
  rulesHash: z.string(),
  rules: rulesSchema,
})
/** Lines carry a check, so what they hold is what a node wrote; the schema only tells them apart. */
const lineSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('quote'), quote: z.custom<Quote>() }),
  z.object({ type: z.literal('gone'), key: z.string() }),
  z.object({ type: z.literal('history'), since: z.number(), report: z.custom<Report>() }),
  z.object({
    type: z.literal('observation'),
    seq: z.bigint(),
    at: z.number(),
    observed: z.array(z.custom<ObservedPrice>()),
    carried: z.boolean().optional(),
  }),
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
 * Recomputes a segment line by line: every own observation from the raw quotes, every report from its proposal's signed observations,
 * every signature. Throws PermanentError at the first difference, naming the line, slot, feed, what was recorded and what comes out.
 */
export async function replaySegment(chunks: AsyncIterable<string>, where: string): Promise<ReplaySummary> {
  const read = createLineReader(where)
  let replayer: ReturnType<typeof createReplayer> | null = null
  let number = 0
  let torn = 0
  const onRest = (rest: string) => {
    torn = rest.length
  }
  for await (const text of completeLines(chunks, onRest)) {
    number += 1
    const at = `${where}:${number}`
    const value = read(text)
    if (replayer) await replayer.take(readLine(value, at), at)
    else replayer = createReplayer(readHeader(value, at))
  }
  if (replayer === null) throw new PermanentError(`${where}: holds no segment`)
  return { ...replayer.summary(), torn }
}

/** What follows the last line end was cut off by a crash: it was never a line. */
async function* completeLines(
  chunks: AsyncIterable<string>,
  onRest: (rest: string) => void,
): AsyncGenerator<string> {
  let rest = ''
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
  }
  onRest(rest)
}

function readHeader(value: unknown, at: string): Rules {
  const header = headerSchema.safeParse(value)
  if (!header.success) throw new PermanentError(`${at}: is no header of a segment`)
  const { rules, ...hashes } = header.data
  if (rulesHash(rules) !== hashes.rulesHash)
    throw new PermanentError(`${at}: the rules don't have the hash ${hashes.rulesHash}`)
  if (oracleConfigHash(rules.oracle) !== hashes.configHash)
    throw new PermanentError(`${at}: the network doesn't have the hash ${hashes.configHash}`)
  checkRules(rules)
  return rules
}

function readLine(value: unknown, at: string): Line {
  const line = lineSchema.safeParse(value)
  if (!line.success) throw new PermanentError(`${at}: is no line of a segment`)
  return line.data
}

function createReplayer(rules: Rules) {
  const { oracle, networkId, index } = rules
  const protocol = { networkId, oracle }
  const quorum = quorumOf(oracle.nodes.length)
  const { decide, onReport } = createDecision(rules)
  const observationSchema = wireSchemas(oracle.feeds.length, oracle.nodes.length).observation
  const quotes = new Map<string, Quote>()
  const own = new Map<bigint, readonly ObservedPrice[]>()
  const proposals = new Map<bigint, Observation[]>()
  const seqs: bigint[] = []
  let closed = false
  const counts = { quotes: 0, observations: 0, reports: 0, unproposed: 0 }

  function compare(at: string, seq: bigint, recorded: readonly unknown[], computed: readonly unknown[]) {
    for (const [feed, { name }] of oracle.feeds.entries()) {
      const [expected, got] = [textOf(recorded[feed]), textOf(computed[feed])]
      if (expected !== got) {
        throw new PermanentError(`${at}: seq ${seq}, feed ${name}: expected ${expected}, got ${got}`)
      }
    }
  }

  function takeObservation({ seq, at: time, observed, carried }: Line & { type: 'observation' }, at: string) {
    own.set(seq, observed)
    // The quotes of then are in the segment before.
    if (carried) return
    compare(at, seq, observed, decide([...quotes.values()], time))
    counts.observations += 1
  }

  async function takeProposal({ seq, observations }: Line & { type: 'proposal' }, at: string) {
    const parsed = observations.map((one) => observationSchema.parse(one))
    for (const message of parsed) {
      const authenticated = authenticate({ kind: 'observation', message }, protocol)
      if (!authenticated) throw new PermanentError(`${at}: seq ${seq}: an observation is signed by no node`)
      const recorded = own.get(seq)
      if (authenticated.from === index && recorded)
        compare(at, seq, recorded.map(toReportPrice), message.prices)
    }
    proposals.set(seq, parsed)
  }

  async function takeReport({ report, signatures }: Line & { type: 'report' }, at: string) {
    const { seq, prices } = report
    const observations = proposals.get(seq)
    if (observations) compare(at, seq, prices, combine(observations, oracle.feeds.length, quorum))
    else counts.unproposed += 1
    const digest = reportDigest(report, oracle.feeds, networkId)
    const signers = new Set<number>()
    for (const { signer, signature } of signatures) {
      if (recoverNode(digest, signature, oracle) !== signer) {
        throw new PermanentError(`${at}: seq ${seq}: the signature of node ${signer} is not its own`)
      }
      signers.add(signer)
    }
    if (signers.size < quorum)
      throw new PermanentError(`${at}: seq ${seq}: ${signers.size} signatures, not ${quorum}`)
    onReport(report)
    counts.reports += 1
    seqs.push(seq)
  }

  return {
    async take(line: Line, at: string) {
      if (closed) throw new PermanentError(`${at}: follows the end of the segment`)
      switch (line.type) {
        case 'quote':
          quotes.set(keyOf(line.quote), line.quote)
          counts.quotes += 1
          return
        case 'gone':
          quotes.delete(line.key)
          return
        case 'history':
          onReport(line.report, line.since)
          return
        case 'observation':
          return takeObservation(line, at)
        case 'proposal':
          return takeProposal(line, at)
        case 'report':
          return takeReport(line, at)
        case 'end':
          closed = true
      }
    },
    summary: (): Omit<ReplaySummary, 'torn'> => ({
      epoch: oracle.epoch,
      configHash: oracleConfigHash(oracle),
      rulesHash: rulesHash(rules),
      ...counts,
      firstSeq: seqs[0]?.toString() ?? null,
      lastSeq: seqs.at(-1)?.toString() ?? null,
      closed,
    }),
  }
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item))
}
