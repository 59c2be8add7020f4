import { secp256k1 } from '@noble/curves/secp256k1'
import { bytesToHex, concatHex, type Hex, keccak256, numberToHex, sliceHex, stringToHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'

/** Wormhole's id of Pythnet, and the program account there that emits accumulator roots. */
const EMITTER_CHAIN = 26
const EMITTER = '0xe101faedac5851e32b9b23b5f9411a8c2bac4aae3ed4dd7b811dd1a72ea4aa71'

/** Slots whose accumulators Pythnet keeps. */
const RING_SIZE = 10_000

/** Price and confidences are integers in units of 10^expo; times are unix seconds. */
export interface PythPrice {
  /** 64 hex digits without 0x. */
  id: string
  price: bigint
  conf: bigint
  expo: number
  publishTime: number
  prevPublishTime: number
  emaPrice: bigint
  emaConf: bigint
  /** Pythnet slot of the price. */
  slot: number
}

/** Pythnet's accumulator of one moment: all prices in one Merkle tree, whose root the guardians signed once. */
export interface Accumulator {
  /** An update as the `binary` part of both Pyth services carries it: the signed root, and each price asked for with its proof. */
  update(ids: readonly string[]): Hex
}

/**
 * Accumulates prices: `PNAU`, a Wormhole VAA over the Merkle root, and one message with its proof for each price. It is framed, proven
 * and signed as on Pythnet, but by the guardians of the local network: no Pyth contract accepts it, and no node that isn't local.
 */
export function createAccumulator(prices: readonly PythPrice[]): Accumulator {
  const messages = prices.map(encodeMessage)
  const { root, proofs } = merkleTree(messages)
  const places = new Map(prices.map(({ id }, place) => [id, place]))
  const slot = Math.max(...prices.map((price) => price.slot))
  const vaa = signVaa(
    concatHex([
      uint(Math.max(...prices.map((price) => price.publishTime)), 4),
      uint(0, 4), // nonce
      uint(EMITTER_CHAIN, 2),
      EMITTER,
      uint(slot, 8), // Wormhole sequence
      uint(1, 1), // consistency level
      ...['0x41555756' as const, '0x00' as const, uint(slot, 8), uint(RING_SIZE, 4), root],
    ]),
  )
  return {
    update(ids) {
      const chosen = ids.map((id) => places.get(id)).filter((place) => place !== undefined)
      return concatHex([
        '0x504e4155',
        uint(1, 1), // major version
        uint(0, 1), // minor version
        uint(0, 1), // trailing header bytes
        uint(0, 1), // update type: Wormhole Merkle
        uint((vaa.length - 2) / 2, 2),
        vaa,
        uint(chosen.length, 1),
        ...chosen.flatMap((place) => {
          const [message, proof] = [messages[place]!, proofs[place]!]
          return [uint((message.length - 2) / 2, 2), message, uint(proof.length, 1), ...proof]
        }),
      ])
    },
  }
}

/** A VAA: version 1, guardian set, signatures by place, body. All local guardians sign the body's double hash. */
function signVaa(body: Hex): Hex {
  const digest = keccak256(keccak256(body), 'bytes')
  const signatures = guardianKeys.map((key, place) => {
    const signature = secp256k1.sign(digest, key)
    return concatHex([uint(place, 1), `0x${signature.toCompactHex()}`, uint(signature.recovery, 1)])
  })
  return concatHex([
    uint(1, 1),
    uint(localGuardianSet.index, 4),
    uint(LOCAL_GUARDIANS, 1),
    ...signatures,
    body,
  ])
}

/** Two guardians, of whom Wormhole's rule asks both: every node of the network checks every signature on this machine. */
const LOCAL_GUARDIANS = 2

/** Public by design: whoever configures their addresses trusts simulated prices. */
const guardianKeys = Array.from({ length: LOCAL_GUARDIANS }, (_, place) =>
  keccak256(stringToHex(`clearspan local guardian ${place}`), 'bytes'),
)

/** What a local oracle node accepts in place of Wormhole's guardians. */
export const localGuardianSet = {
  index: 0,
  addresses: guardianKeys.map((key) => privateKeyToAddress(bytesToHex(key))),
}

function uint(value: number | bigint, size: number): Hex {
  return numberToHex(value, { size })
}

function int(value: number | bigint, size: number): Hex {
  return numberToHex(value, { size, signed: true })
}

/** Price feed message, type 0. */
function encodeMessage(price: PythPrice): Hex {
  return concatHex([
    '0x00',
    `0x${price.id}`,
    int(price.price, 8),
    uint(price.conf, 8),
    int(price.expo, 4),
    int(price.publishTime, 8),
    int(price.prevPublishTime, 8),
    int(price.emaPrice, 8),
    uint(price.emaConf, 8),
  ])
}

/** 20-byte keccak with a domain byte for leaves (0), nodes (1, children in order of value) and padding (2). */
function hash(data: Hex): Hex {
  return sliceHex(keccak256(data), 0, 20)
}

function merkleTree(messages: readonly Hex[]): { root: Hex; proofs: Hex[][] } {
  const width = 2 ** Math.ceil(Math.log2(messages.length))
  let level = Array.from({ length: width }, (_, i) =>
    i < messages.length ? hash(concatHex(['0x00', messages[i]!])) : hash('0x02'),
  )
  const proofs: Hex[][] = messages.map(() => [])
  for (let depth = 0; level.length > 1; depth++) {
    for (const [i, proof] of proofs.entries()) proof.push(level[(i >> depth) ^ 1]!)
    level = Array.from({ length: level.length / 2 }, (_, i) => {
      const pair = [level[2 * i]!, level[2 * i + 1]!].sort()
      return hash(concatHex(['0x01', ...pair]))
    })
  }
  return { root: level[0]!, proofs }
}
