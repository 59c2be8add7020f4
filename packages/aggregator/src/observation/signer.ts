import {
  type Clock,
  CURVE_ORDER,
  compactSignature,
  PermanentError,
  RetryableError,
  readAnswer,
  signCompact,
} from '@clearspan/shared'
import { type Hex, hexToBytes, isAddressEqual, keccak256, recoverAddress } from 'viem'
import { privateKeyToAddress, publicKeyToAddress } from 'viem/accounts'
import { z } from 'zod'
import { withDeadline } from '../deadline.js'

/** Signs with one key, wherever that lies. */
export interface Signer {
  address: Hex
  /** Signs keccak256 of `preimage`: the 64-byte EIP-2098 compact form. Throws RetryableError when a remote signer doesn't answer. */
  sign(preimage: Hex): Promise<Hex>
}

/** Signs with a key in memory; the signature is deterministic (RFC 6979). Throws PermanentError for text that is no private key. */
export function createSigner(key: Hex): Signer {
  // Before a library sees it: their errors repeat what they were given.
  if (!/^0x[0-9a-fA-F]{64}$/.test(key) || BigInt(key) === 0n || BigInt(key) >= CURVE_ORDER)
    throw new PermanentError(
      'a private key must be 32 bytes of hex, of a number below the order of the curve',
    )
  const bytes = hexToBytes(key)
  return {
    address: privateKeyToAddress(key),
    sign: async (preimage) => signCompact(keccak256(preimage, 'bytes'), bytes),
  }
}

/** Where a key lies that never leaves its signer. */
export const remoteSignerSchema = z.strictObject({
  /** Base URL of a service with Web3Signer's interface: `POST /api/v1/eth1/sign/{public key}` of `{data}`, which hashes by itself. */
  url: z.url(),
  /** Uncompressed public key, 64 bytes (or 65 with its leading 04) as hex: the service's name for the key. */
  publicKey: z
    .string()
    .regex(/^(0x)?(04)?[0-9a-fA-F]{128}$/, 'must be an uncompressed public key: 64 bytes of hex'),
  /** Longest wait for an answer, real ms. */
  timeoutMs: z.number().int().positive().default(1_000),
})

/** A 65-byte signature is 132 characters; nothing longer is read as one. */
const MAX_ANSWER_BYTES = 1_024
const signatureSchema = z.string().regex(/^0x[0-9a-fA-F]{130}$/)

/** Signs by a remote service, and hands on only what the configured key has signed. */
export function createRemoteSigner(
  { url, publicKey, timeoutMs }: z.output<typeof remoteSignerSchema>,
  { realClock, ...io }: { realClock: Clock; fetch: typeof globalThis.fetch },
): Signer {
  const identifier = `0x${publicKey.replace(/^0x/, '').slice(-128).toLowerCase()}` as const
  const address = publicKeyToAddress(`0x04${identifier.slice(2)}`)
  const endpoint = `${url.replace(/\/$/, '')}/api/v1/eth1/sign/${identifier}`

  async function ask(preimage: Hex): Promise<string> {
    const body = JSON.stringify({ data: preimage })
    const headers = { 'content-type': 'application/json', accept: 'text/plain' }
    try {
      return await withDeadline({ clock: realClock, ms: timeoutMs }, async (signal) => {
        const response = await io.fetch(endpoint, {
          method: 'POST',
          body,
          headers,
          signal,
          redirect: 'error',
        })
        const text = await readAnswer(response, MAX_ANSWER_BYTES, signal)
        if (response.ok) return text ?? ''
        throw new RetryableError(`remote signer answered ${response.status}`)
      })
    } catch (error) {
      if (error instanceof RetryableError) throw error
      throw new RetryableError('remote signer does not answer', { cause: error })
    }
  }

  return {
    address,
    async sign(preimage) {
      const text = await ask(preimage)
      const parsed = signatureSchema.safeParse(text.trim().replace(/^"|"$/g, ''))
      if (!parsed.success) throw new PermanentError('remote signer answered with no signature')
      const signature = parsed.data as Hex
      const signer = await recoverAddress({ hash: keccak256(preimage), signature }).catch(() => null)
      if (signer === null || !isAddressEqual(signer, address)) {
        throw new PermanentError(`remote signer signed with another key than ${address}`)
      }
      return compactSignature(signature)
    },
  }
}
