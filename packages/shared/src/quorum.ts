import { type Hex, size, sliceHex } from 'viem'
import { PermanentError } from './errors.js'
import type { ReportSignature } from './report.js'
import { recoverCompact } from './signature.js'

const BITMAP_BYTES = 4
const SIGNATURE_BYTES = 64
/** A bitmap and 32 signatures as hex. */
export const MAX_QUORUM_CHARS = 2 + 2 * (BITMAP_BYTES + 32 * SIGNATURE_BYTES)
/** Half the order of secp256k1: a larger s is the other form of a signature, which the chain refuses. */
const MAX_S = 0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0n

/** n = 3f + 1: how many of `nodes` may lie or be silent. */
export function faultyNodes(nodes: number): number {
  return Math.floor((nodes - 1) / 3)
}

/** 2f + 1 of `nodes` = 3f + 1: values a feed needs, observations a proposal needs, signatures a report needs. Any two quorums share an honest node. */
export function quorumOf(nodes: number): number {
  return 2 * faultyNodes(nodes) + 1
}

/** Inverse of `encodeQuorum` among `nodes` signers. @throws PermanentError when the signatures don't fit the bitmap. */
export function decodeQuorum(encoded: Hex, nodes: number): ReportSignature[] {
  const length = size(encoded)
  const bitmap = length < BITMAP_BYTES ? Number.NaN : Number(sliceHex(encoded, 0, BITMAP_BYTES))
  const signers = Array.from({ length: nodes }, (_, i) => i).filter(
    (i) => Math.floor(bitmap / 2 ** i) % 2 === 1,
  )
  if (!(bitmap < 2 ** nodes) || length !== BITMAP_BYTES + signers.length * SIGNATURE_BYTES)
    throw new PermanentError("signatures don't fit their bitmap")
  return signers.map((signer, i) => {
    const from = BITMAP_BYTES + i * SIGNATURE_BYTES
    return { signer, signature: sliceHex(encoded, from, from + SIGNATURE_BYTES) }
  })
}

/**
 * Checks, as the chain does, that `hash` carries the signatures of exactly 2f + 1 of `signers`, in the form that it takes.
 * @throws PermanentError saying what is wrong with them.
 */
export async function checkQuorum(
  hash: Hex,
  signatures: readonly ReportSignature[],
  signers: readonly Hex[],
): Promise<void> {
  const quorum = quorumOf(signers.length)
  if (signatures.length !== quorum)
    throw new PermanentError(`there are ${signatures.length} signatures, not ${quorum}`)
  for (const { signer, signature } of signatures) {
    const address = recoverCompact(hash, signature)
    const isLow = address !== null && BigInt(sliceHex(signature, 32)) % 2n ** 255n <= MAX_S
    if (!isLow || address !== signers[signer]?.toLowerCase())
      throw new PermanentError(`there is a wrong signature of node ${signer}`)
  }
}
