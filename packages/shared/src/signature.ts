import { secp256k1 } from '@bitauth/libauth'
import {
  bytesToHex,
  type Hex,
  hexToBytes,
  keccak256,
  numberToHex,
  parseSignature,
  serializeCompactSignature,
  signatureToCompactSignature,
} from 'viem'

/** Signs `digest` (32 bytes) in EIP-2098 compact form, `r | yParityAndS`: s low, nonce by RFC 6979. Throws RangeError for what is no private key. */
export function signCompact(digest: Uint8Array, privateKey: Uint8Array): Hex {
  const signed = secp256k1.signMessageHashRecoverableCompact(privateKey, digest)
  if (typeof signed === 'string') throw new RangeError('the private key is no key of the curve')
  const { signature, recoveryId } = signed
  if (recoveryId % 2 === 1) signature[32] = (signature[32] ?? 0) | 0x80
  return bytesToHex(signature)
}

/**
 * Address that signed `digest` (32 bytes) with `rs` (`r | s`, 64 bytes) and the parity of r's point, in lower case; null when nobody
 * did: a value of zero or beyond the curve's order, or no point of the curve. By libsecp256k1, a tenth of what JavaScript needs.
 */
export function recoverSigner(digest: Uint8Array, rs: Uint8Array, yParity: 0 | 1): Hex | null {
  const key = secp256k1.recoverPublicKeyUncompressed(rs, yParity, digest)
  if (typeof key === 'string') return null
  return `0x${keccak256(key.subarray(1)).slice(-40)}`
}

/** The same for an EIP-2098 compact signature, `r | yParityAndS`. Any text gives an address or null. */
export function recoverCompact(digest: Hex, signature: Hex): Hex | null {
  if (!/^0x[0-9a-fA-F]{128}$/.test(signature)) return null
  const rs = hexToBytes(signature)
  const yParity = (rs[32] ?? 0) >= 0x80 ? 1 : 0
  rs[32] = (rs[32] ?? 0) & 0x7f
  return recoverSigner(hexToBytes(digest), rs, yParity)
}

/** Order of secp256k1. */
export const CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

/** EIP-2098 compact form of a 65-byte signature, with a low s, as the chain demands: some key stores answer with either of the two that are valid. */
export function compactSignature(text: Hex): Hex {
  const { r, s, yParity } = parseSignature(text)
  const low = BigInt(s) <= CURVE_ORDER / 2n
  const signature = low
    ? { r, s, yParity }
    : { r, s: numberToHex(CURVE_ORDER - BigInt(s), { size: 32 }), yParity: 1 - yParity }
  return serializeCompactSignature(signatureToCompactSignature(signature))
}
