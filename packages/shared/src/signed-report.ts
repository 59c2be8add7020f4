import { type Hex, size, sliceHex } from 'viem'
import { z } from 'zod'
import { PermanentError } from './errors.js'
import type { Network, OracleNetwork } from './network.js'
import { checkQuorum, decodeQuorum, MAX_QUORUM_CHARS } from './quorum.js'
import { encodeReport, type Report, type ReportSignature, reportDigest, unpackPrices } from './report.js'

const HEAD_BYTES = 13
const WORD_BYTES = 32
/** 48 feeds in 16 words, and a quorum. */
const MAX_ENCODED_CHARS = 2 * (HEAD_BYTES + 16 * WORD_BYTES) + MAX_QUORUM_CHARS

/** A finished report as an oracle node serves it; what else it says is of no use here. */
export const servedReportSchema = z.object({
  seq: z.string().regex(/^\d{1,19}$/),
  observedAt: z.number().int().positive(),
  encoded: z
    .string()
    .max(MAX_ENCODED_CHARS)
    .regex(/^0x(?:[0-9a-f]{2})+$/i),
})

/** Signer epoch of a served report. */
export function reportEpoch({ encoded }: z.infer<typeof servedReportSchema>): number {
  return size(encoded as Hex) < 4 ? 0 : Number(sliceHex(encoded as Hex, 0, 4))
}

/** A report that a quorum of the network's nodes has signed. */
export interface SignedReport {
  epoch: number
  seq: bigint
  /** Unix ms of network time. */
  observedAt: number
  /** Argument of `PriceOracle.update(bytes)`. */
  encoded: Hex
}

/** Inverse of `encodeReport` for the network's feeds. @throws PermanentError when the lengths don't fit. */
export function decodeReport(
  encoded: Hex,
  { feeds, nodes }: OracleNetwork,
): { report: Report; signatures: ReportSignature[] } {
  const words = Math.ceil(feeds.length / 3)
  const quorumAt = HEAD_BYTES + words * WORD_BYTES
  if (size(encoded) <= quorumAt || Number(sliceHex(encoded, 12, 13)) !== words)
    throw new PermanentError(`a report of ${feeds.length} feeds has ${words} words`)
  const slice = (at: number, bytes: number) => sliceHex(encoded, at, at + bytes)
  return {
    report: {
      epoch: Number(slice(0, 4)),
      seq: BigInt(slice(4, 8)),
      prices: unpackPrices(
        Array.from({ length: words }, (_, i) => slice(HEAD_BYTES + i * WORD_BYTES, WORD_BYTES)),
        feeds.length,
      ),
    },
    signatures: decodeQuorum(sliceHex(encoded, quorumAt), nodes.length),
  }
}

/**
 * Checks a served report as the chain will: epoch, slot, every byte, quorum and signatures. So a lying node can't make us spend gas, nor displace an
 * honest node's report. `networkNow` in unix ms of network time.
 * @throws PermanentError saying what is wrong with it.
 */
export async function verifyReport(
  served: z.infer<typeof servedReportSchema>,
  { oracle, networkId }: Pick<Network, 'oracle' | 'networkId'>,
  networkNow: number,
): Promise<SignedReport> {
  const encoded = served.encoded.toLowerCase() as Hex
  const { report, signatures } = decodeReport(encoded, oracle)
  const observedAt = Number(report.seq) * oracle.slotMs
  if (report.epoch !== oracle.epoch || report.seq !== BigInt(served.seq) || observedAt !== served.observedAt)
    throw new PermanentError('epoch, seq or time of a report is not what it should be')
  // Clocks of two machines differ; a slot that has not begun can have no report.
  if (observedAt > networkNow + oracle.slotMs)
    throw new PermanentError(`report ${report.seq} is of the future`)
  // The digest is of the prices, the chain's of the bytes they came in: only bytes that follow from the prices are what was signed.
  if (encodeReport(report, signatures) !== encoded)
    throw new PermanentError(`report ${report.seq} is not canonical`)
  const hash = reportDigest(report, oracle.feeds, networkId)
  await checkQuorum(
    hash,
    signatures,
    oracle.nodes.map(({ signer }) => signer),
  )
  return { epoch: report.epoch, seq: report.seq, observedAt, encoded }
}
