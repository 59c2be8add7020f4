import { setImmediate } from 'node:timers/promises'
import { isDeepStrictEqual } from 'node:util'
import { faultyNodes, type Logger, type OracleNetwork, quorumOf, reportDigest } from '@clearspan/shared'
import type { Hex } from 'viem'
import { z } from 'zod'
import type { OracleNodeConfig } from '../config.js'
import { recoverNode } from '../observation/message.js'
import { type Decision, type Rules, rulesSchema } from '../rules.js'
import { completeLines, createLineReader } from './lines.js'
import { segmentPaths, withSegment } from './segments.js'

export interface RecallParameters {
  config: Pick<OracleNodeConfig, 'dataDir' | 'recording' | 'oracle' | 'networkId'>
  /** Epochs whose signers are known. */
  known: readonly OracleNetwork[]
  /** The slot of now. */
  seq: number
  rules: Pick<Rules, 'reported'>
  past: Decision['past']
  take: Decision['onReport']
  logger: Logger
}

/** Lines carry a check, but no check tells who wrote them. */
const signedSchema = z.object({
  since: z.number().int().nonnegative().optional(),
  report: z.object({
    epoch: z.number().int(),
    seq: z.bigint(),
    prices: z.array(z.object({ price: z.bigint(), confidence: z.number().int() })),
  }),
  signatures: z
    .array(z.object({ signer: z.number().int(), signature: z.custom<Hex>((it) => typeof it === 'string') }))
    .default([]),
})
type Signed = z.output<typeof signedSchema>

const headerSchema = z.object({ type: z.literal('header'), rules: rulesSchema.pick({ reported: true }) })
const WANTED = /^\{"type":"(header|history|report)"/

/**
 * Reads back the reports that a node's feeds rest on from its own segments, the newest first and only as far as needed, so that a start
 * costs these feeds nothing but the slots that it took. A report is taken with a quorum's signatures of its epoch, where its signers are
 * known; of another epoch with those of f + 1 of the present nodes, of which one is honest. What can't be read or believed is logged and
 * left out: a start never fails here.
 */
export async function recall(parameters: RecallParameters): Promise<void> {
  const { config, past, seq, logger } = parameters
  if (past.slots === 0) return
  warnOfRetention(parameters)
  const found = new Map<bigint, Signed>()
  const paths = await segmentPaths(config.dataDir)
  for (const segment of paths) {
    try {
      if (await withSegment(segment, (chunks) => read(chunks, segment, parameters, found))) break
    } catch (err) {
      logger.warn({ err, segment }, 'segment not read back any further: it is damaged')
    }
  }
  const sorted = [...found.values()].sort((a, b) => (a.report.seq < b.report.seq ? -1 : 1))
  const signed = sorted.filter(isSigned)
  const deciding = new Set(past.deciding(signed, seq))
  const taken: bigint[] = []
  let invalid = 0
  for (const [place, one] of signed.entries()) {
    // The oldest one says since when this node knows.
    if (place > 0 && !deciding.has(one)) continue
    // A signature takes a millisecond or so to check, and a node may have a thousand reports to check.
    await setImmediate()
    const { report, signatures, since = Number(report.seq) } = one
    if (isGenuine(one, parameters)) {
      parameters.take(report, { since, heard: null, signatures })
      taken.push(report.seq)
    } else invalid += 1
  }
  const skipped = { unsigned: sorted.length - signed.length, invalid }
  const reach = { reports: taken.length, fromSeq: taken[0]?.toString() ?? null, windowSlots: past.slots }
  if (paths.length > 0) logger.info({ ...reach, skipped }, 'reports read back')
}

const isSigned = ({ signatures }: Signed) => signatures.length > 0

/** Answers whether the segment begins with all that older ones could add. */
async function read(
  chunks: AsyncIterable<string>,
  where: string,
  { past, seq, rules }: RecallParameters,
  found: Map<bigint, Signed>,
): Promise<boolean> {
  const readLine = createLineReader((json) => WANTED.test(json))
  let sameFeeds = false
  const carried = { signed: 0, unsigned: 0 }
  for await (const text of completeLines(chunks, where, () => {})) {
    const value = readLine(text)
    const header = headerSchema.safeParse(value)
    if (header.success)
      sameFeeds = rules.reported.every((feed) =>
        header.data.rules.reported.some((other) => isDeepStrictEqual(feed, other)),
      )
    const { data: one } = signedSchema.safeParse(value)
    if (!one) continue
    if (one.since !== undefined) carried[isSigned(one) ? 'signed' : 'unsigned'] += 1
    const at = Number(one.report.seq)
    if (at < seq - past.slots || at > seq) continue
    const before = found.get(one.report.seq)
    if (!before || (!isSigned(before) && isSigned(one))) found.set(one.report.seq, one)
  }
  return sameFeeds && carried.signed > 0 && carried.unsigned === 0
}

function isGenuine({ report, signatures }: Signed, { known, config }: RecallParameters): boolean {
  const { oracle, networkId } = config
  const epoch = known.find((one) => one.epoch === report.epoch)
  // A feed keeps its place, so an older epoch's are the first of these.
  const { nodes, feeds } = epoch ?? {
    nodes: oracle.nodes,
    feeds: oracle.feeds.slice(0, report.prices.length),
  }
  if (feeds.length !== report.prices.length) return false
  const needed = epoch ? quorumOf(nodes.length) : faultyNodes(nodes.length) + 1
  try {
    const digest = reportDigest(report, feeds, networkId)
    const signers = new Set<number>()
    for (const { signature } of signatures) {
      const signer = recoverNode(digest, signature, epoch ?? oracle)
      if (signer !== null) signers.add(signer)
      if (signers.size >= needed) return true
    }
  } catch {
    // Numbers or signatures that none of ours could be.
  }
  return false
}

/** JSON of a report's envelope, of a feed's value and of a signature. */
const LINE_BYTES = { report: 150, feed: 45, signature: 165 }

/** Each segment begins with all the reports that count, so the newest whole one is enough, if it can hold them. */
function warnOfRetention({ config, past, logger }: RecallParameters) {
  const { feeds, nodes } = config.oracle
  const line =
    LINE_BYTES.report + feeds.length * LINE_BYTES.feed + quorumOf(nodes.length) * LINE_BYTES.signature
  const bytes = past.slots * line
  const { maxSegments, maxSegmentBytes } = config.recording
  if (maxSegments < 2 || bytes > maxSegmentBytes)
    logger.warn(
      { maxSegments, maxSegmentBytes, windowSlots: past.slots, windowBytes: bytes },
      'segments are too few or too small for the reports that feeds rest on: a restart may hold these feeds',
    )
}
