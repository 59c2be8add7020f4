import { type Hex, hashTypedData, stringToHex } from 'viem'
import type { Feed } from './network.js'
import { signingDomain, signingDomainTypes } from './report.js'

/** Next epoch of signers, as the outgoing quorum signs it: valid on every chain of the network. `PriceOracle.handOver` takes it with `encodeQuorum` of the signatures. */
export interface Handover {
  epoch: number
  /** Slots: the first and last that its signers may sign. */
  firstSeq: bigint
  lastSeq: bigint
  /** Hash of the configuration that its nodes aggregate by. */
  configHash: Hex
  signers: readonly Hex[]
  /** All feeds in order. `useAge` in seconds, less than 2^23; it counts for a feed that is new. */
  feeds: readonly (Feed & { useAge: number })[]
}

const handoverTypes = {
  Handover: [
    { name: 'epoch', type: 'uint32' },
    { name: 'firstSeq', type: 'uint64' },
    { name: 'lastSeq', type: 'uint64' },
    { name: 'configHash', type: 'bytes32' },
    { name: 'signers', type: 'address[]' },
    { name: 'feeds', type: 'Feed[]' },
  ],
  Feed: [
    { name: 'name', type: 'bytes32' },
    { name: 'exponent', type: 'int8' },
    { name: 'isSigned', type: 'bool' },
    { name: 'useAge', type: 'uint24' },
  ],
} as const

/** A handover as `PriceOracle` takes it. */
export function handoverArgument({ feeds, ...rest }: Handover) {
  return {
    ...rest,
    feeds: feeds.map(({ name, exponent, signed, useAge }) => ({
      name: stringToHex(name, { size: 32 }),
      exponent,
      isSigned: signed ?? false,
      useAge,
    })),
  }
}

/** The EIP-712 digest that the outgoing epoch's nodes sign. */
export function handoverDigest(handover: Handover, networkId: Hex): Hex {
  return hashTypedData({
    domain: signingDomain(networkId),
    types: { ...signingDomainTypes, ...handoverTypes },
    primaryType: 'Handover',
    message: handoverArgument(handover),
  })
}
