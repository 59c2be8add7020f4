import { concatHex, type Hex, keccak256, numberToHex, sliceHex } from 'viem'

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

/**
 * An accumulator update as the `binary` part of both Pyth services carries it: `PNAU`, a Wormhole VAA over the Merkle root, and one
 * message with its proof for each price. It is framed and proven as on Pythnet, but no guardian's key exists here: the VAA carries no
 * signature, so no Pyth contract accepts it.
 */
export function encodeAccumulatorUpdate(prices: readonly PythPrice[]): Hex {
  const messages = prices.map(encodeMessage)
  const { root, proofs } = merkleTree(messages)
  const slot = Math.max(...prices.map((price) => price.slot))
  const timestamp = Math.max(...prices.map((price) => price.publishTime))
  const payload = concatHex(['0x41555756', '0x00', uint(slot, 8), uint(RING_SIZE, 4), root])
  const vaa = concatHex([
    uint(1, 1), // VAA version
    uint(0, 4), // guardian set
    uint(0, 1), // signatures
    uint(timestamp, 4),
    uint(0, 4), // nonce
    uint(EMITTER_CHAIN, 2),
    EMITTER,
    uint(slot, 8), // Wormhole sequence
    uint(1, 1), // consistency level
    payload,
  ])
  return concatHex([
    '0x504e4155',
    uint(1, 1), // major version
    uint(0, 1), // minor version
    uint(0, 1), // trailing header bytes
    uint(0, 1), // update type: Wormhole Merkle
    uint((vaa.length - 2) / 2, 2),
    vaa,
    uint(messages.length, 1),
    ...messages.flatMap((message, i) => {
      const proof = proofs[i]!
      return [uint((message.length - 2) / 2, 2), message, uint(proof.length, 1), ...proof]
    }),
  ])
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
