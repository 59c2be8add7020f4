import {
  encodeReport,
  type Network,
  type OracleNetwork,
  PermanentError,
  quorumOf,
  type Report,
  reportDigest,
  unpackPrices,
} from '@clearspan/shared'
import {
  compactSignatureToSignature,
  type Hex,
  isAddressEqual,
  numberToHex,
  parseCompactSignature,
  recoverAddress,
  serializeSignature,
  size,
  sliceHex,
} from 'viem'
import { z } from 'zod'

const HEAD_BYTES = 13
const WORD_BYTES = 32
const SIGNATURE_BYTES = 64
/** 48 feeds in 16 words and 32 signatures. */
const MAX_ENCODED_CHARS = 2 + 2 * (HEAD_BYTES + 16 * WORD_BYTES + 4 + 32 * SIGNATURE_BYTES)
/** Half the order of secp256k1: a larger s is the other form of a signature, which the chain refuses. */
const MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

/** A finished report as an oracle node serves it; what else it says is of no use here. */
export const servedReportSchema = z.object({
  seq: z.string().regex(/^\d{1,19}$/),
  observedAt: z.number().int().positive(),
  encoded: z
    .string()
    .max(MAX_ENCODED_CHARS)
    .regex(/^0x(?:[0-9a-f]{2})+$/i),
})

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
): { report: Report; signers: number[]; signatures: Hex[] } {
  const words = Math.ceil(feeds.length / 3)
  const signaturesAt = HEAD_BYTES + words * WORD_BYTES + 4
  const length = size(encoded)
  if (length < signaturesAt || Number(sliceHex(encoded, 12, 13)) !== words)
    throw new PermanentError(`a report of ${feeds.length} feeds has ${words} words`)
  const bitmap = Number(sliceHex(encoded, signaturesAt - 4, signaturesAt))
  const signers = nodes.map((_, i) => i).filter((i) => Math.floor(bitmap / 2 ** i) % 2 === 1)
  if (bitmap >= 2 ** nodes.length || length !== signaturesAt + signers.length * SIGNATURE_BYTES)
    throw new PermanentError("a report's signatures don't fit its bitmap")
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
    signers,
    signatures: signers.map((_, i) => slice(signaturesAt + i * SIGNATURE_BYTES, SIGNATURE_BYTES)),
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
  const { report, signers, signatures } = decodeReport(encoded, oracle)
  const observedAt = Number(report.seq) * oracle.slotMs
  if (report.epoch !== oracle.epoch || report.seq !== BigInt(served.seq) || observedAt !== served.observedAt)
    throw new PermanentError('epoch, seq or time of a report is not what it should be')
  // Clocks of two machines differ; a slot that has not begun can have no report.
  if (observedAt > networkNow + oracle.slotMs)
    throw new PermanentError(`report ${report.seq} is of the future`)
  const quorum = quorumOf(oracle.nodes.length)
  if (signers.length !== quorum)
    throw new PermanentError(`report ${report.seq} has ${signers.length} signatures, not ${quorum}`)
  // The digest is of the prices, the chain's of the bytes they came in: only bytes that follow from the prices are what was signed.
  const list = signers.map((signer, i) => ({ signer, signature: signatures[i] ?? '0x' }))
  if (encodeReport(report, list) !== encoded)
    throw new PermanentError(`report ${report.seq} is not canonical`)
  const hash = reportDigest(report, oracle.feeds, networkId)
  for (const [i, signer] of signers.entries()) {
    const signature = compactSignatureToSignature(
      parseCompactSignature(signatures[i] ?? numberToHex(0, { size: 64 })),
    )
    const address = await recoverAddress({ hash, signature: serializeSignature(signature) }).catch(
      () => undefined,
    )
    const expected = oracle.nodes[signer]?.signer
    const isLow = BigInt(signature.s) <= MAX_S
    if (!isLow || address === undefined || expected === undefined || !isAddressEqual(address, expected))
      throw new PermanentError(`report ${report.seq} has a wrong signature of node ${signer}`)
  }
  return { epoch: report.epoch, seq: report.seq, observedAt, encoded }
}
