import { secp256k1 } from '@noble/curves/secp256k1'
import { keccak256, toBytes } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import type { GuardianSet } from './accumulator.js'

/** Signed accumulator updates, written byte by byte from Pyth's and Wormhole's formats, and as broken as a test wants them. */
export interface TestPrice {
  id: string
  price: bigint
  conf?: bigint
  expo?: number
  publishTime: number
}

export interface Twist {
  guardians?: number[]
  set?: number
  emitterChain?: number
  slot?: bigint
  messageType?: number
}

const keys = Array.from({ length: 4 }, (_, at) => keccak256(toBytes(`test guardian ${at}`)))
export const testGuardians: GuardianSet = { index: 7, addresses: keys.map((key) => privateKeyToAddress(key)) }

const uint = (value: number | bigint, bytes: number) =>
  Buffer.from(
    BigInt.asUintN(bytes * 8, BigInt(value))
      .toString(16)
      .padStart(bytes * 2, '0'),
    'hex',
  )
const keccak = (...parts: Uint8Array[]) => Buffer.from(keccak256(Buffer.concat(parts), 'bytes'))
const hash = (...parts: Uint8Array[]) => keccak(...parts).subarray(0, 20)

/** Two leaves at most: the root of one message is its leaf, that of two their pair. */
export function signedUpdate(prices: readonly TestPrice[], twist: Twist = {}): Buffer {
  if (prices.length < 1 || prices.length > 2) throw new RangeError('one or two prices')
  const { guardians = [0, 1, 2], set = testGuardians.index, emitterChain = 26 } = twist
  const messages = prices.map(({ id, price, conf = 1n, expo = -8, publishTime }) =>
    Buffer.concat([
      uint(twist.messageType ?? 0, 1),
      Buffer.from(id, 'hex'),
      ...[uint(price, 8), uint(conf, 8), uint(expo, 4), uint(publishTime, 8), uint(publishTime - 1, 8)],
      ...[uint(price, 8), uint(conf, 8)],
    ]),
  )
  const leaves = messages.map((message) => hash(uint(0, 1), message))
  const root = leaves.length === 1 ? leaves[0]! : hash(uint(1, 1), ...[...leaves].sort(Buffer.compare))
  const slot = twist.slot ?? BigInt(prices[0]!.publishTime) * 2n
  const body = Buffer.concat([
    ...[uint(prices[0]!.publishTime, 4), uint(0, 4), uint(emitterChain, 2)],
    Buffer.from('e101faedac5851e32b9b23b5f9411a8c2bac4aae3ed4dd7b811dd1a72ea4aa71', 'hex'),
    ...[uint(slot, 8), uint(1, 1), Buffer.from('AUWV'), uint(0, 1), uint(slot, 8), uint(10_000, 4), root],
  ])
  const digest = keccak(keccak(body))
  const signatures = guardians.map((place) => {
    const signature = secp256k1.sign(digest, keys[place]!.slice(2))
    return Buffer.concat([uint(place, 1), signature.toCompactRawBytes(), uint(signature.recovery, 1)])
  })
  const vaa = Buffer.concat([uint(1, 1), uint(set, 4), uint(signatures.length, 1), ...signatures, body])
  return Buffer.concat([
    ...[Buffer.from('PNAU'), uint(1, 1), uint(0, 1), uint(0, 1), uint(0, 1)],
    ...[uint(vaa.length, 2), vaa, uint(messages.length, 1)],
    ...messages.flatMap((message, at) => [
      ...[uint(message.length, 2), message],
      ...(leaves.length === 1 ? [uint(0, 1)] : [uint(1, 1), leaves[1 - at]!]),
    ]),
  ])
}

/** What Hermes v2 streams. */
export function hermesEvent(prices: readonly TestPrice[], twist?: Twist): string {
  const data = [signedUpdate(prices, twist).toString('hex')]
  return JSON.stringify({ binary: { encoding: 'hex', data } })
}

/** What Price Service v1 pushes for a feed: its client asks for prices beside the signed update, which here are other ones. */
export function feedUpdate(id: string, update: Buffer) {
  const unsigned = { price: '1', conf: '1', expo: 0, publish_time: 1 }
  const price_feed = { id, price: unsigned, ema_price: unsigned, vaa: update.toString('base64') }
  return { type: 'price_update', price_feed }
}

/** The same as text, with an update of this price. */
export function priceUpdate(price: TestPrice, twist?: Twist): string {
  return JSON.stringify(feedUpdate(price.id, signedUpdate([price], twist)))
}
