import {
  feedsHash,
  type OracleNetwork,
  packPrices,
  type Report,
  type ReportPrice,
  reportDigest,
  signingDomain,
  signingDomainTypes,
  UNUSABLE_CONFIDENCE,
} from '@clearspan/shared'
import {
  concatHex,
  type Hex,
  hashTypedData,
  isAddressEqual,
  keccak256,
  parseCompactSignature,
  parseSignature,
  recoverAddress,
  serializeCompactSignature,
  signatureToCompactSignature,
} from 'viem'
import { type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'

/** One node's prices for a slot, in feed order, like a report: held feeds have price 0 and UNUSABLE_CONFIDENCE. */
export interface Observation extends Report {
  signature: Hex
}

/** A slot's leader asks the others to sign the median of these observations. */
export interface Proposal {
  epoch: number
  seq: bigint
  observations: Observation[]
  signature: Hex
}

/** A node's signature on the report it computed, with the report, so that a node that missed the proposal still gets it. */
export interface SignedReport extends Report {
  signature: Hex
}

export type MessageKind = 'observation' | 'proposal' | 'signature'

/** What signing and checking need to know of the network. */
export interface Protocol {
  networkId: Hex
  oracle: OracleNetwork
}

const observationTypes = {
  Observation: [
    { name: 'epoch', type: 'uint32' },
    { name: 'seq', type: 'uint64' },
    { name: 'feeds', type: 'bytes32' },
    { name: 'slots', type: 'bytes32[]' },
  ],
} as const

const proposalTypes = {
  Proposal: [
    { name: 'epoch', type: 'uint32' },
    { name: 'seq', type: 'uint64' },
    { name: 'observations', type: 'bytes32' },
  ],
} as const

/** EIP-712 digest that an observing node signs. */
export function observationDigest(observation: Report, { networkId, oracle }: Protocol): Hex {
  return hashTypedData({
    domain: signingDomain(networkId),
    types: { ...signingDomainTypes, ...observationTypes },
    primaryType: 'Observation',
    message: {
      epoch: observation.epoch,
      seq: observation.seq,
      feeds: feedsHash(oracle.feeds),
      slots: packPrices(observation.prices),
    },
  })
}

/** EIP-712 digest that a slot's leader signs: the observations by hash of their digests and signatures, in order. */
export function proposalDigest(proposal: Omit<Proposal, 'signature'>, protocol: Protocol): Hex {
  const parts = proposal.observations.flatMap((item) => [observationDigest(item, protocol), item.signature])
  return hashTypedData({
    domain: signingDomain(protocol.networkId),
    types: { ...signingDomainTypes, ...proposalTypes },
    primaryType: 'Proposal',
    message: { epoch: proposal.epoch, seq: proposal.seq, observations: keccak256(concatHex(parts)) },
  })
}

/** Digest of a report in this network. */
export function digestOf(report: Report, { networkId, oracle }: Protocol): Hex {
  return reportDigest(report, oracle.feeds, networkId)
}

/** Signs digests with one node's key; the signature is deterministic (RFC 6979) and EIP-2098 compact. */
export interface Signer {
  address: Hex
  sign(digest: Hex): Promise<Hex>
}

export function createSigner(key: Hex): Signer {
  const account: PrivateKeyAccount = privateKeyToAccount(key)
  return {
    address: account.address,
    async sign(digest) {
      return serializeCompactSignature(
        signatureToCompactSignature(parseSignature(await account.sign({ hash: digest }))),
      )
    },
  }
}

/** Index of the node that signed `digest`, or null when it is none of the network's. */
export async function recoverNode(
  digest: Hex,
  signature: Hex,
  oracle: OracleNetwork,
): Promise<number | null> {
  try {
    const { r, yParityAndS } = parseCompactSignature(signature)
    const word = BigInt(yParityAndS)
    const s = `0x${(word & ((1n << 255n) - 1n)).toString(16).padStart(64, '0')}` as const
    const signer = await recoverAddress({
      hash: digest,
      signature: { r, s, yParity: word >> 255n ? 1 : 0 },
    })
    const index = oracle.nodes.findIndex((node) => isAddressEqual(node.signer, signer))
    return index < 0 ? null : index
  } catch {
    // Not a point of the curve: nobody signed that.
    return null
  }
}

export function isHeld({ confidence }: ReportPrice): boolean {
  return confidence === UNUSABLE_CONFIDENCE
}
