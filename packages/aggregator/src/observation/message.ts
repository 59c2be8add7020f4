import {
  type OracleNetwork,
  pricesPreimage,
  type Report,
  type ReportPrice,
  recoverCompact,
  reportPreimage,
  signingPreimage,
  UNUSABLE_CONFIDENCE,
} from '@clearspan/shared'
import { concatHex, type Hex, keccak256 } from 'viem'

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

const proposalTypes = {
  Proposal: [
    { name: 'epoch', type: 'uint32' },
    { name: 'seq', type: 'uint64' },
    { name: 'observations', type: 'bytes32' },
  ],
} as const

/** What an observing node signs; the digest is its hash. */
export function observationPreimage(observation: Report, { networkId, oracle }: Protocol): Hex {
  return pricesPreimage('Observation', observation, oracle.feeds, networkId)
}

/** Digest of an observation, which belongs to one network. Kept with it, for a proposal is checked by it as a whole and one by one. */
export function observationDigest(observation: Observation, protocol: Protocol): Hex {
  const known = digests.get(observation)
  if (known) return known
  const digest = keccak256(observationPreimage(observation, protocol))
  digests.set(observation, digest)
  return digest
}

const digests = new WeakMap<Observation, Hex>()

/** What a slot's leader signs: the observations by hash of their digests and signatures, in order. */
export function proposalPreimage(proposal: Omit<Proposal, 'signature'>, protocol: Protocol): Hex {
  const parts = proposal.observations.flatMap((item) => [observationDigest(item, protocol), item.signature])
  return signingPreimage(protocol.networkId, proposalTypes, 'Proposal', {
    epoch: proposal.epoch,
    seq: proposal.seq,
    observations: keccak256(concatHex(parts)),
  })
}

/** What a node signs of a report in this network. */
export function preimageOf(report: Report, { networkId, oracle }: Protocol): Hex {
  return reportPreimage(report, oracle.feeds, networkId)
}

/** Index of the node that signed `digest` with a compact signature, or null when it is none of the network's. */
export function recoverNode(digest: Hex, signature: Hex, oracle: OracleNetwork): number | null {
  const signer = recoverCompact(digest, signature)
  const index = oracle.nodes.findIndex((node) => node.signer.toLowerCase() === signer)
  return index < 0 ? null : index
}

export function isHeld({ confidence }: ReportPrice): boolean {
  return confidence === UNUSABLE_CONFIDENCE
}
