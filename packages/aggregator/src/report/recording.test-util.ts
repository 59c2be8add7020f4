import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createLogger, type Report } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { parameters } from '../aggregation/scene.test-util.js'
import { type Observation, observationPreimage, preimageOf } from '../observation/message.js'
import { createSigner } from '../observation/signer.js'
import { createDecision, type Rules, rulesSchema, toReportPrice } from '../rules.js'
import { createQuoteBook } from '../sources/book.js'
import type { Decoded } from '../sources/types.js'
import { combine } from './combine.js'
import { createLineReader, createLineWriter } from './lines.js'
import { openRecording, type Recording } from './recording.js'
import { withSegment } from './segments.js'

export const signers = [1, 2, 3, 4].map((n) => createSigner(keccak256(toHex(`replay ${n}`))))
const SLOT_MS = 1_000
export const START = 1_700_000_000
/** Three sources of one feed, four nodes, of which this is the first. */
export const rules: Rules = rulesSchema.parse({
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
const logger = createLogger({ name: 'test', level: 'silent' })

export interface Move {
  source: number
  /** Cents. */
  price: number
  /** ms before the slot's start. */
  age: number
  symbol?: string
  sequence?: bigint
  contiguous?: true
  /** What the book is told before the tick. */
  first?: 'reconnected' | Decoded
  confidence?: null
}

type Slots = readonly (readonly Move[])[]

export interface Changes {
  rules?: Rules
  maxSegmentBytes?: number
  maxSegments?: number
  /** What happens between the observation and the proposal. */
  beforeProposal?(recording: Recording, seq: bigint): void
  /** What this node was proposed and which nodes signed what was finished; without it what the leader makes of all, and by all but this. */
  proposed?(observations: Observation[]): Promise<{ observations: Observation[]; signers: number[] }>
  afterSlot?(index: number): Promise<unknown>
  onFailure?(): void
}

/** Tells a node's books what its sources say, in a network whose other nodes see the same, and answers the segments that it recorded. */
export async function record(
  dataDir: string,
  slots: Slots,
  { rules: own = rules, ...changes }: Changes = {},
) {
  const { oracle, sources, maxClockSkewMs } = own
  const { decide, onReport, history } = createDecision(own)
  const books = sources.map(({ id, markets }) =>
    createQuoteBook({
      source: id,
      kind: 'price',
      markets,
      maxClockSkewMs,
      onEvent: (event) => recording.event(id, event),
    }),
  )
  const recording = await openRecording({
    dataDir,
    rules: own,
    maxSegmentBytes: 1 << 20,
    maxSegments: 100,
    onFailure() {},
    ...changes,
    history,
    books: () => books.map((book) => [book.status().id, book.state()]),
    logger,
  })
  for (const book of books) book.setConnected(true)
  for (const [index, moves] of slots.entries()) {
    const seq = BigInt(START + index)
    const at = Number(seq) * SLOT_MS
    for (const { source, price, age, first, ...tick } of moves) {
      const book = books[source]!
      if (first === 'reconnected') for (const connected of [false, true]) book.setConnected(connected)
      else if (first) book.take(first, at - Math.max(age, 0))
      const symbol = 'ETH-USD'
      const told = {
        symbol,
        price: BigInt(price) * 10n ** 16n,
        confidence: 10n ** 15n,
        sequence: null,
        ...tick,
      }
      book.take({ kind: 'ticks', ticks: [{ ...told, eventTime: at - age }] }, at - Math.max(age, 0))
    }
    const observed = decide(
      books.flatMap((book) => book.quotes()),
      at,
    )
    recording.observation(seq, at, observed)
    changes.beforeProposal?.(recording, seq)
    const all = await observationsOf({ epoch: 1, seq, prices: observed.map(toReportPrice) }, own)
    const { observations, signers: from } = (await changes.proposed?.(all)) ?? {
      observations: all,
      signers: [1, 2, 3],
    }
    const report = { epoch: 1, seq, prices: combine(all, oracle.feeds.length, 3) }
    const signatures = await Promise.all(
      from.map(async (signer) => ({
        signer,
        signature: await signers[signer]!.sign(preimageOf(report, { networkId: own.networkId, oracle })),
      })),
    )
    recording.proposal(seq, observations)
    recording.finished(report, signatures)
    onReport(report, { signatures })
    await changes.afterSlot?.(index)
  }
  await recording.close()
  const names = (await readdir(join(dataDir, 'segments'))).sort()
  return Promise.all(names.map((name) => withSegment(join(dataDir, 'segments', name), bytesOf)))
}

async function bytesOf(chunks: AsyncIterable<string>): Promise<Buffer> {
  let text = ''
  for await (const chunk of chunks) text += chunk
  return Buffer.from(text)
}

/** What the first three nodes sign, this one among them. */
export const observationsOf = (report: Report, { networkId, oracle }: Rules = rules) =>
  Promise.all(
    signers.slice(0, 3).map(async (signer) => ({
      ...report,
      signature: await signer.sign(observationPreimage(report, { networkId, oracle })),
    })),
  )

/** Three slots in which every source ticks. */
export const steady: Move[][] = Array.from({ length: 3 }, (_, slot) =>
  [0, 1, 2].map((source) => ({ source, price: 20_000 + slot * 7 + source, age: 100 })),
)

export type Json = Record<string, unknown>

/** The segment with one line changed and every check right: a liar's record rather than a disk's mistake. */
export function rewritten(bytes: Buffer, type: string, change: (line: Json) => void, nth = 0): string {
  const read = createLineReader()
  const write = createLineWriter()
  let found = 0
  return bytes
    .toString()
    .trimEnd()
    .split('\n')
    .map((text) => {
      const line = read(text) as Json
      if (line.type === type && found++ === nth) change(line)
      return write(line)
    })
    .join('')
}
