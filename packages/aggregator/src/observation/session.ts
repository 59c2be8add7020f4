import {
  createHmac,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto'

/** Names of the headers; values are lower-case hex and decimal text. */
export const sessionHeaders = {
  session: 'clearspan-session',
  count: 'clearspan-count',
  time: 'clearspan-time',
  mac: 'clearspan-mac',
} as const

export type HeaderBag = Readonly<Record<string, unknown>>

/** An X25519 key pair made for one session. Random is no source for it: a seeded one would be known to whoever knows the seed. */
export interface Ephemeral {
  /** 64 hex digits. */
  publicKey: string
  /** The shared secret with the other side's public key; null when that is no honest key. */
  agree(publicKey: string): Buffer | null
}

export function createEphemeral(): Ephemeral {
  const pair = generateKeyPairSync('x25519')
  const { x } = pair.publicKey.export({ format: 'jwk' })
  return {
    publicKey: Buffer.from(x ?? '', 'base64url').toString('hex'),
    agree(publicKey) {
      const encoded = Buffer.from(publicKey, 'hex').toString('base64url')
      try {
        const other = createPublicKey({ key: { kty: 'OKP', crv: 'X25519', x: encoded }, format: 'jwk' })
        return diffieHellman({ privateKey: pair.privateKey, publicKey: other })
      } catch {
        // A point of small order: OpenSSL refuses the all-zero secret that anybody could compute.
        return null
      }
    },
  }
}

/** Requests of one side and the other's answers, each direction under a key of its own. */
export interface SessionKeys {
  /** 64 hex digits, known to whoever listens. */
  id: string
  requestMac(count: number, method: string, path: string, body: string | Uint8Array): Buffer
  answerMac(count: number, status: number, time: number, body: string): Buffer
}

/** HKDF-SHA256 of the shared secret; `transcript` (64 hex digits) binds the keys to both signatures of the handshake. */
export function deriveSession(secret: Buffer, transcript: string): SessionKeys {
  const derived = Buffer.from(
    hkdfSync('sha256', secret, Buffer.from(transcript, 'hex'), 'clearspan session', 64),
  )
  const [requestKey, answerKey] = [derived.subarray(0, 32), derived.subarray(32)]
  return {
    id: transcript,
    requestMac: (count, method, path, body) =>
      createHmac('sha256', requestKey).update(`${count}\n${method}\n${path}\n`).update(body).digest(),
    answerMac: (count, status, time, body) =>
      createHmac('sha256', answerKey).update(`${count}\n${status}\n${time}\n`).update(body).digest(),
  }
}

/** Whether a header is exactly this MAC. */
export function isMac(value: unknown, mac: Buffer): boolean {
  const claimed = readHex(value, mac.length)
  return claimed !== null && timingSafeEqual(Buffer.from(claimed, 'hex'), mac)
}

/** Numbers may overtake one another by so many: requests travel on several connections. */
const WINDOW = 1_024

/** Takes every number once, as IPsec's window does: what is too old to be remembered is refused. */
export function createWindow(): (count: number) => boolean {
  const seen = new Set<number>()
  let newest = 0
  return (count) => {
    if (count <= newest - WINDOW || seen.has(count)) return false
    seen.add(count)
    newest = Math.max(newest, count)
    for (const old of seen) {
      if (old > newest - WINDOW) break
      seen.delete(old)
    }
    return true
  }
}

export function readNumber(value: unknown): number | null {
  return typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : null
}

/** Lower-case hex of exactly so many bytes, so that one value has one spelling. */
export function readHex(value: unknown, bytes: number): string | null {
  return typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]+$/.test(value) ? value : null
}
