import { randomBytes } from 'node:crypto'
import { type Clock, signingPreimage } from '@clearspan/shared'
import { type Hex, isAddressEqual, keccak256, toHex } from 'viem'
import { type Protocol, recoverSigner } from './message.js'
import type { Signer } from './signer.js'

const requestTypes = {
  Request: [
    { name: 'to', type: 'address' },
    { name: 'method', type: 'string' },
    { name: 'path', type: 'string' },
    { name: 'body', type: 'bytes32' },
    { name: 'time', type: 'uint64' },
    { name: 'nonce', type: 'bytes16' },
  ],
} as const

const responseTypes = {
  Response: [
    { name: 'request', type: 'bytes32' },
    { name: 'status', type: 'uint16' },
    { name: 'body', type: 'bytes32' },
    { name: 'time', type: 'uint64' },
  ],
} as const

/** Names of the headers; values are decimal text and lower-case hex. */
export const authHeaders = {
  node: 'clearspan-node',
  time: 'clearspan-time',
  nonce: 'clearspan-nonce',
  signature: 'clearspan-signature',
} as const

/** How far a request's time may differ from the receiver's, real ms: a recorded request is worthless after it. */
const MAX_AGE_MS = 30_000
/** Nonces remembered of a peer; an honest one sends a handful a slot. */
const MAX_NONCES = 20_000

/** Why a request was refused with 401. */
export type AuthFailure =
  | 'missing_header'
  | 'malformed_header'
  | 'unknown_node'
  | 'wrong_time'
  | 'wrong_signature'
  | 'replayed'
  | 'too_many'

export interface AuthParameters {
  protocol: Protocol
  /** This node's place in the network. */
  index: number
  /** The key that speaks for this node to its peers. */
  signer: Signer
  realClock: Clock
}

type HeaderBag = Readonly<Record<string, unknown>>

/** A request as it is signed, before it is sent. */
export interface SignedRequest {
  headers: Record<string, string>
  /** Binds the answer to this request. */
  digest: Hex
}

/**
 * Mutual authentication between operators without certificates: every request carries its sender's EIP-712 signature over recipient,
 * method, path, body, time and nonce; every answer to such a request carries the recipient's over the request and what it says.
 */
export interface PeerAuth {
  signRequest(peer: number, method: string, path: string, body: string): Promise<SignedRequest>
  /** Who sent a request that is meant for this node, once. */
  checkRequest(
    headers: HeaderBag,
    method: string,
    path: string,
    body: Uint8Array,
  ): Promise<{ from: number; digest: Hex } | { failure: AuthFailure }>
  signResponse(request: Hex, status: number, body: string): Promise<Record<string, string>>
  /** The answering node's time, unix ms; null when the answer isn't the peer's. */
  checkResponse(
    peer: number,
    request: Hex,
    status: number,
    headers: HeaderBag,
    body: string,
  ): Promise<number | null>
}

export function createPeerAuth({ protocol, index, signer, realClock }: AuthParameters): PeerAuth {
  const { networkId } = protocol
  const keys = protocol.oracle.nodes.map((node) => node.peer ?? node.signer)
  const seen = keys.map(() => new Map<string, number>())

  /** Remembers a nonce as long as its request could be repeated. */
  function remember(from: number, nonce: string, time: number, now: number): AuthFailure | null {
    const nonces = seen[from]
    if (!nonces || nonces.has(nonce)) return 'replayed'
    if (nonces.size >= MAX_NONCES) {
      for (const [old, until] of nonces) if (until < now) nonces.delete(old)
      if (nonces.size >= MAX_NONCES) return 'too_many'
    }
    nonces.set(nonce, time + MAX_AGE_MS)
    return null
  }

  const requestPreimage = (to: Hex, method: string, path: string, body: Hex, time: number, nonce: Hex) =>
    signingPreimage(networkId, requestTypes, 'Request', { to, method, path, body, time: BigInt(time), nonce })
  const responsePreimage = (request: Hex, status: number, body: string, time: number) =>
    signingPreimage(networkId, responseTypes, 'Response', {
      request,
      status,
      body: keccak256(toHex(body)),
      time: BigInt(time),
    })

  return {
    async signRequest(peer, method, path, body) {
      const to = keys[peer]
      if (to === undefined) throw new RangeError(`there is no node ${peer}`)
      const time = Math.floor(realClock.now())
      const nonce = toHex(randomBytes(16))
      const preimage = requestPreimage(to, method, path, keccak256(toHex(body)), time, nonce)
      const headers = {
        [authHeaders.node]: `${index}`,
        [authHeaders.time]: `${time}`,
        [authHeaders.nonce]: nonce,
        [authHeaders.signature]: await signer.sign(preimage),
      }
      return { headers, digest: keccak256(preimage) }
    },
    async checkRequest(headers, method, path, body) {
      const claim = readHeaders(headers)
      if (typeof claim === 'string') return { failure: claim }
      const { node, time, nonce, signature } = claim
      const key = keys[node]
      if (key === undefined || node === index) return { failure: 'unknown_node' }
      const now = realClock.now()
      // What costs nothing is checked first: a stranger can make this node recover a signature only within the window.
      if (Math.abs(now - time) > MAX_AGE_MS) return { failure: 'wrong_time' }
      if (seen[node]?.has(nonce)) return { failure: 'replayed' }
      const digest = keccak256(requestPreimage(signer.address, method, path, keccak256(body), time, nonce))
      const sender = await recoverSigner(digest, signature)
      if (sender === null || !isAddressEqual(sender, key)) return { failure: 'wrong_signature' }
      const failure = remember(node, nonce, time, now)
      return failure ? { failure } : { from: node, digest }
    },
    async signResponse(request, status, body) {
      const time = Math.floor(realClock.now())
      const signature = await signer.sign(responsePreimage(request, status, body, time))
      return { [authHeaders.time]: `${time}`, [authHeaders.signature]: signature }
    },
    async checkResponse(peer, request, status, headers, body) {
      const time = readTime(headers[authHeaders.time])
      const signature = readHex(headers[authHeaders.signature], 64)
      const key = keys[peer]
      if (time === null || signature === null || key === undefined) return null
      const sender = await recoverSigner(keccak256(responsePreimage(request, status, body, time)), signature)
      return sender !== null && isAddressEqual(sender, key) ? time : null
    },
  }
}

function readHeaders(headers: HeaderBag) {
  const values = [authHeaders.node, authHeaders.time, authHeaders.nonce, authHeaders.signature].map(
    (name) => headers[name],
  )
  if (values.some((value) => value === undefined)) return 'missing_header' as const
  const [nodeText, timeText, nonceText, signatureText] = values
  const node = typeof nodeText === 'string' && /^\d{1,2}$/.test(nodeText) ? Number(nodeText) : null
  const time = readTime(timeText)
  const nonce = readHex(nonceText, 16)
  const signature = readHex(signatureText, 64)
  if (node === null || time === null || nonce === null || signature === null)
    return 'malformed_header' as const
  return { node, time, nonce, signature }
}

function readTime(value: unknown): number | null {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : null
}

/** Lower-case hex of exactly so many bytes, so that one value has one spelling. */
function readHex(value: unknown, bytes: number): Hex | null {
  return typeof value === 'string' && value.length === 2 + 2 * bytes && /^0x[0-9a-f]+$/.test(value)
    ? (value as Hex)
    : null
}
