import fc from 'fast-check'
import {
  type Hex,
  hexToBytes,
  keccak256,
  recoverAddress,
  serializeCompactSignature,
  signatureToCompactSignature,
  toHex,
} from 'viem'
import { privateKeyToAddress, sign } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { recoverCompact, recoverSigner, signCompact } from './signature.js'

const word = fc.uint8Array({ minLength: 32, maxLength: 32 })
const ORDER = 'fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141'

describe('the signer of a digest', () => {
  it('is who signed it', async () => {
    await fc.assert(
      fc.asyncProperty(word, word, async (seed, digest) => {
        const privateKey = keccak256(seed)
        const signature = await sign({ hash: toHex(digest), privateKey })
        const compact = serializeCompactSignature(signatureToCompactSignature(signature))
        expect(signCompact(digest, hexToBytes(privateKey))).toBe(compact)
        expect(recoverCompact(toHex(digest), compact)).toBe(privateKeyToAddress(privateKey).toLowerCase())
      }),
      { numRuns: 30 },
    )
  })

  it.each([`0x${'0'.repeat(64)}`, `0x${ORDER}`] as const)('is nobody with %s for a key', (key) => {
    expect(() => signCompact(new Uint8Array(32), hexToBytes(key))).toThrow(RangeError)
  })

  it('is what another implementation finds, for any bytes', async () => {
    const bytes = fc.oneof(
      word,
      fc.constantFrom(...[ORDER, '0'.repeat(64)].map((hex) => hexToBytes(`0x${hex}`))),
    )
    await fc.assert(
      fc.asyncProperty(
        bytes,
        bytes,
        word,
        fc.constantFrom(0 as const, 1 as const),
        async (r, s, hash, yParity) => {
          const other = await recoverAddress({
            hash,
            signature: { r: toHex(r), s: toHex(s), yParity },
          }).catch(() => null)
          expect(recoverSigner(hash, new Uint8Array([...r, ...s]), yParity)).toBe(
            other?.toLowerCase() ?? null,
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  it.each(['0x', '0x11', `0x${'zz'.repeat(64)}`, `0x${'11'.repeat(65)}`])('is nobody for %s', (text) => {
    expect(recoverCompact(keccak256('0x'), text as Hex)).toBeNull()
  })
})
