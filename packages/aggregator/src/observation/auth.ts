import { type Clock, recoverCompact, signingPreimage } from '@clearspan/shared'
import { type Hex, keccak256 } from 'viem'
import { z } from 'zod'
import type { Protocol } from './message.js'
import {
  createEphemeral,
  createWindow,
  deriveSession,
  type HeaderBag,
  isMac,
  readHex,
  readNumber,
  type SessionKeys,
  sessionHeaders,
} from './session.js'
import type { Signer } from './signer.js'

const offerTypes = {
  SessionOffer: [
    { name: 'to', type: 'address' },
    { name: 'epoch', type: 'uint32' },
    { name: 'key', type: 'bytes32' },
    { name: 'time', type: 'uint64' },
  ],
} as const

const answerTypes = {
  SessionAnswer: [
    { name: 'offer', type: 'bytes32' },
    { name: 'key', type: 'bytes32' },
    { name: 'time', type: 'uint64' },
  ],
} as const

/** Where a node takes offers of sessions. */
export const SESSION_PATH = '/sessions'

/** How far an offer's time may differ from the receiver's, real ms: a recorded offer is worthless after it. */
const MAX_AGE_MS = 30_000
/** Offers of a peer remembered so long; an honest one makes one an hour. */
const MAX_OFFERS = 1_000
/** A session is left for a new one after this, real ms, and taken twice as long. */
const SESSION_MS = 3_600_000
/** Sessions kept of a peer, the newest: it has one, and more only as it restarts. */
const MAX_SESSIONS = 8

/** Why a request was refused with 401. */
export type AuthFailure =
  | 'malformed_offer'
  | 'unknown_epoch'
  | 'unknown_node'
  | 'wrong_time'
  | 'wrong_signature'
  | 'too_many'
  | 'missing_header'
  | 'malformed_header'
  | 'unknown_session'
  | 'wrong_mac'
  | 'replayed'

export interface AuthParameters {
  protocol: Protocol
  /** This node's place in the network. */
  index: number
  /** The key that speaks for this node to its peers. */
  signer: Signer
  realClock: Clock
}

/** A session that this node opened: its own requests, the peer's answers. */
export interface Session {
  /** False when it is time to open another. */
  fresh(): boolean
  sign(
    method: string,
    path: string,
    body: string,
  ): {
    headers: Record<string, string>
    /** The peer's time, unix ms, from its answer to this request; null when the answer isn't the peer's. */
    check(status: number, headers: HeaderBag, body: string): number | null
  }
}

/** A peer, by its place in an epoch's nodes. */
export interface Sender {
  epoch: number
  node: number
}

/** The sender of a request; its answer must carry the headers that `sign` makes. */
interface Caller {
  from: Sender
  sign(status: number, body: string): Record<string, string>
}

/**
 * Mutual authentication between operators without certificates. A session is opened by a signed key exchange (X25519; each side's
 * EIP-712 signature with its peer key covers the other's address and both ephemeral keys); inside it every request and every answer carries an
 * HMAC-SHA256 and a number that is taken once. Keys of a session are only in the memory of two processes: whatever was recorded
 * before one of them ended is worth nothing to what follows it.
 */
export interface PeerAuth {
  /** What to post to a peer's `SESSION_PATH`, and the session once it has answered (null when the answer isn't the peer's). Throws what the signer throws. */
  offer(peer: number): Promise<{ body: string; accept(answer: string): Session | null }>
  answer(body: Uint8Array): Promise<{ body: string } | { failure: AuthFailure }>
  /** Who sent a request that is meant for this node, once. */
  checkRequest(
    headers: HeaderBag,
    method: string,
    path: string,
    body: Uint8Array,
  ): Caller | { failure: AuthFailure }
}

const key = z.string().regex(/^[0-9a-f]{64}$/)
const time = z.number().int().nonnegative()
const signature = z.custom<Hex>((value) => typeof value === 'string' && /^0x[0-9a-f]{128}$/.test(value))
const offerSchema = z.strictObject({
  epoch: z.number().int().positive(),
  node: z.number().int().nonnegative(),
  key,
  time,
  signature,
})
const answerSchema = z.strictObject({ key, time, signature })

export function createPeerAuth({ protocol, index, signer, realClock }: AuthParameters): PeerAuth {
  const { networkId } = protocol
  const { epoch } = protocol.oracle
  const addresses = protocol.oracle.nodes.map((node) => (node.peer ?? node.signer).toLowerCase() as Hex)
  const ledger = createLedger(addresses.length)

  const offerPreimage = (to: Hex, ephemeral: string, at: number) =>
    signingPreimage(networkId, offerTypes, 'SessionOffer', {
      to,
      epoch,
      key: `0x${ephemeral}`,
      time: BigInt(at),
    })
  const answerPreimage = (offer: Hex, ephemeral: string, at: number) =>
    signingPreimage(networkId, answerTypes, 'SessionAnswer', {
      offer,
      key: `0x${ephemeral}`,
      time: BigInt(at),
    })

  return {
    async offer(peer) {
      const to = addresses[peer]
      if (to === undefined) throw new RangeError(`there is no node ${peer}`)
      const ephemeral = createEphemeral()
      const openedAt = Math.floor(realClock.now())
      const preimage = offerPreimage(to, ephemeral.publicKey, openedAt)
      const body = {
        epoch,
        node: index,
        key: ephemeral.publicKey,
        time: openedAt,
        signature: await signer.sign(preimage),
      }
      return {
        body: JSON.stringify(body),
        accept(text) {
          const answer = answerSchema.safeParse(parseJson(text))
          if (!answer.success) return null
          const digest = keccak256(answerPreimage(keccak256(preimage), answer.data.key, answer.data.time))
          if (recoverCompact(digest, answer.data.signature) !== to) return null
          const secret = ephemeral.agree(answer.data.key)
          return secret && createSession(deriveSession(secret, digest.slice(2)), openedAt, realClock)
        },
      }
    },

    async answer(body) {
      const offer = offerSchema.safeParse(parseJson(body))
      if (!offer.success) return { failure: 'malformed_offer' }
      if (offer.data.epoch !== epoch) return { failure: 'unknown_epoch' }
      const { node, key: other, time: madeAt, signature: signed } = offer.data
      const from = addresses[node]
      if (from === undefined || node === index) return { failure: 'unknown_node' }
      // What costs nothing is checked first: a stranger can make this node recover a signature only within the window.
      const now = realClock.now()
      if (Math.abs(now - madeAt) > MAX_AGE_MS) return { failure: 'wrong_time' }
      const digest = keccak256(offerPreimage(signer.address, other, madeAt))
      if (recoverCompact(digest, signed) !== from) return { failure: 'wrong_signature' }
      const refused = ledger.takeOffer(node, other, madeAt + MAX_AGE_MS, now)
      if (refused) return { failure: refused }
      const ephemeral = createEphemeral()
      const secret = ephemeral.agree(other)
      if (!secret) return { failure: 'malformed_offer' }
      const answeredAt = Math.floor(now)
      const preimage = answerPreimage(digest, ephemeral.publicKey, answeredAt)
      const answer = { key: ephemeral.publicKey, time: answeredAt, signature: await signer.sign(preimage) }
      ledger.open(node, deriveSession(secret, keccak256(preimage).slice(2)), now + 2 * SESSION_MS)
      return { body: JSON.stringify(answer) }
    },

    checkRequest(headers, method, path, body) {
      const claim = readHeaders(headers)
      if (typeof claim === 'string') return { failure: claim }
      const session = ledger.find(claim.session, realClock.now())
      if (!session) return { failure: 'unknown_session' }
      const { from, keys, take } = session
      if (!isMac(claim.mac, keys.requestMac(claim.count, method, path, body))) return { failure: 'wrong_mac' }
      if (!take(claim.count)) return { failure: 'replayed' }
      return {
        from: { epoch, node: from },
        sign(status, text) {
          const now = Math.floor(realClock.now())
          return {
            [sessionHeaders.time]: `${now}`,
            [sessionHeaders.mac]: keys.answerMac(claim.count, status, now, text).toString('hex'),
          }
        },
      }
    },
  }
}

function createSession(keys: SessionKeys, openedAt: number, realClock: Clock): Session {
  let sent = 0
  return {
    fresh: () => realClock.now() - openedAt < SESSION_MS,
    sign(method, path, body) {
      sent += 1
      const count = sent
      return {
        headers: {
          [sessionHeaders.session]: keys.id,
          [sessionHeaders.count]: `${count}`,
          [sessionHeaders.mac]: keys.requestMac(count, method, path, body).toString('hex'),
        },
        check(status, headers, answer) {
          const at = readNumber(headers[sessionHeaders.time])
          if (at === null) return null
          return isMac(headers[sessionHeaders.mac], keys.answerMac(count, status, at, answer)) ? at : null
        },
      }
    },
  }
}

/** What this node remembers of offers and sessions made to it; bounded per peer, so that none can fill the memory or cost another one anything. */
function createLedger(nodes: number) {
  const sessions = new Map<
    string,
    { from: number; keys: SessionKeys; take(count: number): boolean; until: number }
  >()
  const byPeer = Array.from({ length: nodes }, () => ({
    offers: new Map<string, number>(),
    open: [] as string[],
  }))
  return {
    takeOffer(from: number, offered: string, until: number, now: number): AuthFailure | null {
      const { offers } = byPeer[from] ?? { offers: new Map<string, number>() }
      if (offers.has(offered)) return 'replayed'
      for (const [old, end] of offers) if (end < now) offers.delete(old)
      if (offers.size >= MAX_OFFERS) return 'too_many'
      offers.set(offered, until)
      return null
    },
    open(from: number, keys: SessionKeys, until: number) {
      sessions.set(keys.id, { from, keys, take: createWindow(), until })
      const open = byPeer[from]?.open ?? []
      open.push(keys.id)
      for (const old of open.splice(0, open.length - MAX_SESSIONS)) sessions.delete(old)
    },
    find(id: string, now: number) {
      const session = sessions.get(id)
      return session && session.until >= now ? session : null
    },
  }
}

function readHeaders(headers: HeaderBag) {
  const values = [sessionHeaders.session, sessionHeaders.count, sessionHeaders.mac].map(
    (name) => headers[name],
  )
  if (values.some((value) => value === undefined)) return 'missing_header' as const
  const [sessionText, countText, macText] = values
  const session = readHex(sessionText, 32)
  const count = readNumber(countText)
  const mac = readHex(macText, 32)
  if (session === null || count === null || mac === null) return 'malformed_header' as const
  return { session, count, mac }
}

function parseJson(body: string | Uint8Array): unknown {
  try {
    return JSON.parse(
      typeof body === 'string' ? body : new TextDecoder('utf-8', { fatal: true }).decode(body),
    )
  } catch {
    return undefined
  }
}
