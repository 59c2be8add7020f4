import { recoverSigner } from '@clearspan/shared'
import { bytesToHex, type Hex, keccak256 } from 'viem'
import type { RejectReason } from './types.js'

/** Those who sign Pyth's Merkle roots: Wormhole's guardians, by the network's own number of their set. */
export interface GuardianSet {
  index: number
  /** In the set's order: a signature names its guardian by place. */
  addresses: readonly string[]
  /** Signatures needed; ⌊2n/3⌋ + 1 as in Wormhole's contracts (13 of 19) when absent. */
  quorum?: number | undefined
}

/** A price feed message that was in a signed Merkle root. Integers in units of 10^expo; times in unix seconds. */
export interface PriceMessage {
  /** 64 hex digits without 0x. */
  id: string
  price: bigint
  confidence: bigint
  expo: number
  publishTime: bigint
  /** Pythnet slot of the root. */
  slot: bigint
}

export type VerifyUpdate = (update: Uint8Array) => PriceMessage[] | RejectReason

/** Pythnet in Wormhole's numbering, and the program account there that emits accumulator roots. */
const EMITTER_CHAIN = 26
const EMITTER = 'e101faedac5851e32b9b23b5f9411a8c2bac4aae3ed4dd7b811dd1a72ea4aa71'

const MAGIC = 'PNAU'
const ROOT_MAGIC = 'AUWV'
const PRICE_MESSAGE = 0
const PRICE_MESSAGE_BYTES = 85
const HASH_BYTES = 20
const SIGNATURE_BYTES = 66

/** Roots whose signatures were checked: a Price Service repeats one beside every feed of a slot. */
const REMEMBERED_ROOTS = 64

interface SignedRoot {
  slot: bigint
  root: string
}

/**
 * Checks accumulator updates (`PNAU`), as the binary part of both Pyth services carries them, the way Pyth's contracts do: a quorum of
 * one configured guardian set signed the VAA, Pythnet's accumulator emitted it, and every message's Merkle proof leads to its root.
 * Total: any bytes give messages or the reason why not. At most one signature more than is valid is ever computed for an update.
 */
export function createUpdateVerifier(sets: readonly GuardianSet[]): VerifyUpdate {
  const byIndex = new Map(
    sets.map((set) => [set.index, { ...set, addresses: set.addresses.map((one) => one.toLowerCase()) }]),
  )
  const roots = new Map<Hex, SignedRoot>()

  function signedRoot(vaa: Uint8Array): SignedRoot | RejectReason {
    const key = keccak256(vaa)
    const known = roots.get(key)
    if (known) return known
    const root = verifyVaa(createReader(vaa), byIndex)
    if (typeof root === 'string') return root
    roots.set(key, root)
    const [oldest] = roots.keys()
    if (roots.size > REMEMBERED_ROOTS && oldest) roots.delete(oldest)
    return root
  }

  return (update) => {
    try {
      return readUpdate(createReader(update), signedRoot)
    } catch (error) {
      // Bytes that end too early; anything else is a bug and must show.
      if (error instanceof RangeError) return 'malformed'
      throw error
    }
  }
}

function readUpdate(
  reader: Reader,
  signedRoot: (vaa: Uint8Array) => SignedRoot | RejectReason,
): PriceMessage[] | RejectReason {
  if (reader.text(4) !== MAGIC || reader.uint(1) !== 1) return 'malformed'
  reader.uint(1) // a minor version only adds to the trailing header
  reader.take(reader.uint(1))
  if (reader.uint(1) !== 0) return 'unexpected_shape'
  const signed = signedRoot(reader.take(reader.uint(2)))
  if (typeof signed === 'string') return signed
  const messages: PriceMessage[] = []
  for (let left = reader.uint(1); left > 0; left--) {
    const message = reader.take(reader.uint(2))
    const proof = Array.from({ length: reader.uint(1) }, () => hexOf(reader.take(HASH_BYTES)))
    if (climb(message, proof) !== signed.root) return 'bad_proof'
    if (message[0] !== PRICE_MESSAGE) return 'unexpected_shape'
    messages.push(readMessage(message, signed.slot))
  }
  return reader.left() === 0 ? messages : 'malformed'
}

function verifyVaa(
  reader: Reader,
  sets: ReadonlyMap<number, { addresses: string[]; quorum?: number | undefined }>,
): SignedRoot | RejectReason {
  if (reader.uint(1) !== 1) return 'malformed'
  const set = sets.get(reader.uint(4))
  if (!set) return 'unknown_guardians'
  const count = reader.uint(1)
  if (count < (set.quorum ?? defaultQuorum(set.addresses.length))) return 'no_quorum'
  if (count > set.addresses.length) return 'bad_signature'
  const signatures = createReader(reader.take(count * SIGNATURE_BYTES))
  const digest = keccak256(keccak256(reader.rest(), 'bytes'), 'bytes')
  // Strictly rising places: nobody counts twice.
  for (let last = -1; signatures.left() > 0; ) {
    const guardian = signatures.uint(1)
    const [signature, parity] = [signatures.take(64), signatures.uint(1)]
    const signer = parity === 0 || parity === 1 ? recoverSigner(digest, signature, parity) : null
    if (guardian <= last || signer === null || signer !== set.addresses[guardian]) return 'bad_signature'
    last = guardian
  }
  reader.take(8) // timestamp and nonce
  if (reader.uint(2) !== EMITTER_CHAIN || hexOf(reader.take(32)) !== EMITTER) return 'bad_emitter'
  reader.take(9) // Wormhole's sequence and consistency level
  if (reader.text(4) !== ROOT_MAGIC || reader.uint(1) !== 0) return 'unexpected_shape'
  const slot = reader.big(8)
  reader.take(4) // slots whose roots Pythnet keeps
  return { slot, root: hexOf(reader.take(HASH_BYTES)) }
}

/** Signatures that Wormhole's contracts ask of a set of n guardians. */
function defaultQuorum(guardians: number): number {
  return Math.floor((guardians * 2) / 3) + 1
}

function readMessage(bytes: Uint8Array, slot: bigint): PriceMessage {
  if (bytes.length < PRICE_MESSAGE_BYTES) throw new RangeError('price message too short')
  const message = createReader(bytes)
  message.take(1)
  const id = hexOf(message.take(32))
  const price = BigInt.asIntN(64, message.big(8))
  const confidence = message.big(8)
  const expo = message.uint(4) | 0
  return { id, price, confidence, expo, publishTime: BigInt.asIntN(64, message.big(8)), slot }
}

/** The root that a message and its proof lead to: 20-byte keccak, leaves under a 0 byte, pairs in order of value under a 1. */
function climb(message: Uint8Array, proof: readonly string[]): string {
  const hash = (data: Hex) => keccak256(data).slice(2, 2 + 2 * HASH_BYTES)
  return proof.reduce(
    (node, other) => hash(node < other ? `0x01${node}${other}` : `0x01${other}${node}`),
    hash(`0x00${hexOf(message)}`),
  )
}

function hexOf(bytes: Uint8Array): string {
  return bytesToHex(bytes).slice(2)
}

type Reader = ReturnType<typeof createReader>

/** Reads bytes from front to back, big-endian. Throws RangeError at the end. */
function createReader(bytes: Uint8Array) {
  let at = 0
  const take = (size: number): Uint8Array => {
    if (at + size > bytes.length) throw new RangeError('bytes end too early')
    at += size
    return bytes.subarray(at - size, at)
  }
  const big = (size: number): bigint => take(size).reduce((value, byte) => value * 256n + BigInt(byte), 0n)
  return {
    take,
    big,
    uint: (size: number) => Number(big(size)),
    text: (size: number) => String.fromCharCode(...take(size)),
    rest: () => bytes.subarray(at),
    left: () => bytes.length - at,
  }
}
