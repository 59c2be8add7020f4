import {
  concatHex,
  type Hex,
  hashDomain,
  hashStruct,
  keccak256,
  numberToHex,
  sliceHex,
  stringToHex,
} from 'viem'
import type { Feed } from './network.js'

/** Confidence that marks a price as unusable on chain. */
export const UNUSABLE_CONFIDENCE = 0xffff

/** One feed's value in a report. */
export interface ReportPrice {
  /** Signed 64-bit, in units of 10^exponent of the feed. 0 when held. */
  price: bigint
  /** Half width of the interval in basis points of the price; UNUSABLE_CONFIDENCE when held. */
  confidence: number
}

/** The canonical report: one value for every feed of the epoch, in feed order. */
export interface Report {
  epoch: number
  /** Time slot; observedAt = seq * slotMs. */
  seq: bigint
  prices: ReportPrice[]
}

/** EIP-712 type of the domain of everything that oracle nodes sign. */
export const signingDomainTypes = {
  EIP712Domain: [
    { name: 'name', type: 'string' },
    { name: 'version', type: 'string' },
    { name: 'salt', type: 'bytes32' },
  ],
} as const

/** EIP-712 domain of everything that oracle nodes sign; the type names keep one kind of message from passing for another. */
export function signingDomain(networkId: Hex) {
  return { name: 'Clearspan', version: '1', salt: networkId } as const
}

/** Domain separator of every price signature: name, version and networkId; no chain and no address, so that one report is valid on every chain. */
export function reportDomainSeparator(networkId: Hex): Hex {
  const known = separators.get(networkId)
  if (known) return known
  const separator = hashDomain({ domain: signingDomain(networkId), types: signingDomainTypes })
  // A process knows one network; whoever asks for more must not fill the memory.
  if (separators.size > 8) separators.clear()
  separators.set(networkId, separator)
  return separator
}

/** Hashed once each: a node asks for the same ones with every message. */
const separators = new Map<Hex, Hex>()
const feedsHashes = new WeakMap<readonly Feed[], Hex>()

/** Binds a report to its feed list, which must not change afterwards: keccak256 of `name(32, left-aligned) | exponent(int8, the sign bit inverted for a signed feed)` for each feed in order. */
export function feedsHash(feeds: readonly Feed[]): Hex {
  const known = feedsHashes.get(feeds)
  if (known) return known
  const hash = keccak256(
    concatHex(
      feeds.flatMap((feed) => [
        stringToHex(feed.name, { size: 32 }),
        numberToHex(feed.signed ? feed.exponent ^ -128 : feed.exponent, { size: 1, signed: true }),
      ]),
    ),
  )
  feedsHashes.set(feeds, hash)
  return hash
}

/** Packs prices three to a word: `int64 price | uint16 confidence` at bits 176, 96 and 16; the low 16 bits are zero. Missing places of the last word are zero. */
export function packPrices(prices: readonly ReportPrice[]): Hex[] {
  return Array.from({ length: Math.ceil(prices.length / 3) }, (_, word) => {
    const lanes = [0, 1, 2].map((lane) => hexOfPrice(prices[3 * word + lane]))
    return `0x${lanes.join('')}0000` as const
  })
}

function hexOfPrice({ price, confidence }: ReportPrice = { price: 0n, confidence: 0 }): string {
  if (BigInt.asIntN(64, price) !== price || !(confidence >= 0 && confidence <= UNUSABLE_CONFIDENCE))
    throw new RangeError(`${price} ± ${confidence} is no 64-bit price with a 16-bit confidence`)
  return BigInt.asUintN(64, price).toString(16).padStart(16, '0') + confidence.toString(16).padStart(4, '0')
}

/** Inverse of packPrices for `count` feeds. */
export function unpackPrices(words: readonly Hex[], count: number): ReportPrice[] {
  return Array.from({ length: count }, (_, i) => {
    const word = words[Math.floor(i / 3)]
    if (word === undefined)
      throw new RangeError(`report holds ${words.length} words, too few for ${count} feeds`)
    const at = (i % 3) * 10
    return {
      price: BigInt.asIntN(64, BigInt(sliceHex(word, at, at + 8))),
      confidence: Number(sliceHex(word, at + 8, at + 10)),
    }
  })
}

/** The EIP-712 digest that oracle nodes sign. */
export function reportDigest(report: Report, feeds: readonly Feed[], networkId: Hex): Hex {
  return keccak256(reportPreimage(report, feeds, networkId))
}

/** What `reportDigest` is the hash of: for signers that hash by themselves. */
export function reportPreimage(report: Report, feeds: readonly Feed[], networkId: Hex): Hex {
  return pricesPreimage('Report', report, feeds, networkId)
}

/**
 * EIP-712 preimage of prices as a finished `Report` or as one node's `Observation`: a struct `(uint32 epoch, uint64 seq, bytes32
 * feeds, bytes32[] slots)`. Encoded here because a node hashes dozens a slot, and the general way costs several times as much.
 */
export function pricesPreimage(
  kind: keyof typeof priceTypeHashes,
  { epoch, seq, prices }: Report,
  feeds: readonly Feed[],
  networkId: Hex,
): Hex {
  const [feedList, slots] = [feedsHash(feeds), keccak256(concatHex(packPrices(prices)))]
  const struct = [
    priceTypeHashes[kind],
    numberToHex(epoch, { size: 32 }),
    numberToHex(seq, { size: 32 }),
    feedList,
    slots,
  ]
  return concatHex(['0x1901', reportDomainSeparator(networkId), keccak256(concatHex(struct))])
}

const PRICE_FIELDS = '(uint32 epoch,uint64 seq,bytes32 feeds,bytes32[] slots)'
const priceTypeHashes = {
  Report: keccak256(stringToHex(`Report${PRICE_FIELDS}`)),
  Observation: keccak256(stringToHex(`Observation${PRICE_FIELDS}`)),
} as const

/** EIP-712 preimage of a message in this network's domain: `0x1901 | domain separator | hash of the struct`. */
export function signingPreimage(
  networkId: Hex,
  types: Record<string, readonly { name: string; type: string }[]>,
  primaryType: string,
  data: Record<string, unknown>,
): Hex {
  return concatHex(['0x1901', reportDomainSeparator(networkId), hashStruct({ data, primaryType, types })])
}

/** A node's signature on a report: index in the epoch's signer list and the 64-byte EIP-2098 compact signature `r | yParityAndS`. */
export interface ReportSignature {
  signer: number
  signature: Hex
}

/** `signerBitmap u32 | signatures in ascending signer order`: how a quorum's word is delivered. */
export function encodeQuorum(signatures: readonly ReportSignature[]): Hex {
  const sorted = [...signatures].sort((a, b) => a.signer - b.signer)
  const bitmap = sorted.reduce((bits, { signer }) => bits | (1 << signer), 0) >>> 0
  return concatHex([numberToHex(bitmap, { size: 4 }), ...sorted.map(({ signature }) => signature)])
}

/**
 * Calldata of `PriceOracle.update(bytes)`: `epoch u32 | seq u64 | wordCount u8 | words | signerBitmap u32 | signatures in ascending signer order`.
 */
export function encodeReport(report: Report, signatures: readonly ReportSignature[]): Hex {
  const words = packPrices(report.prices)
  return concatHex([
    numberToHex(report.epoch, { size: 4 }),
    numberToHex(report.seq, { size: 8 }),
    numberToHex(words.length, { size: 1 }),
    ...words,
    encodeQuorum(signatures),
  ])
}
