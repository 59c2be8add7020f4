import { SimpleMerkleTree } from '@openzeppelin/merkle-tree'
import {
  type Address,
  concatHex,
  encodeFunctionData,
  encodePacked,
  type Hex,
  hashTypedData,
  keccak256,
  numberToHex,
} from 'viem'
import { receiveUlnAbi } from '../layerzero/abi.js'

/** What is attested of one packet: that it was sent, under so many blocks. */
export interface Claim {
  header: Hex
  payloadHash: Hex
  confirmations: bigint
}

/** What operators sign (`AttestorOperators.Attestation`). */
export interface Attestation {
  root: Hex
  receiveLibrary: Address
  /** Seconds of the destination's time; the contract refuses one further ahead than a day. */
  expiry: bigint
  /** Number of the operators' set. */
  operatorSet: number
}

/** Whose signature it is: equal numbers on another chain or network are another attestation. */
export interface AttestorDomain {
  networkId: Hex
  chainId: number
  attestor: Address
}

const types = {
  Attestation: [
    { name: 'networkId', type: 'bytes32' },
    { name: 'root', type: 'bytes32' },
    { name: 'receiveLibrary', type: 'address' },
    { name: 'expiry', type: 'uint64' },
    { name: 'operatorSet', type: 'uint32' },
  ],
} as const

/** Tree of claims in the order given, by the contract's leaves: `keccak256(keccak256(abi.encode(keccak256(header), payloadHash, confirmations)))`. */
export function claimTree(claims: readonly Claim[]) {
  return SimpleMerkleTree.of(
    // Three static words are their own encoding; a library's general one takes longer than all the hashing.
    claims.map(({ header, payloadHash, confirmations }) =>
      keccak256(
        keccak256(concatHex([keccak256(header), payloadHash, numberToHex(confirmations, { size: 32 })])),
      ),
    ),
    // The contract takes packets in the order of their leaves, and delivers them in it: nonce order.
    { sortLeaves: false },
  )
}

export type ClaimTree = ReturnType<typeof claimTree>

/** EIP-712 digest as `Attestor.attestationDigest` computes it. */
export function attestationDigest(
  { networkId, chainId, attestor }: AttestorDomain,
  attestation: Attestation,
) {
  return hashTypedData({
    domain: { name: 'Clearspan Attestor', version: '1', chainId, verifyingContract: attestor },
    types,
    primaryType: 'Attestation',
    message: { networkId, ...attestation },
  })
}

/** What LayerZero's stock DVN executes for one packet. */
export function verifyCall({ header, payloadHash, confirmations }: Claim): Hex {
  return encodeFunctionData({
    abi: receiveUlnAbi,
    functionName: 'verify',
    args: [header, payloadHash, confirmations],
  })
}

/** What a signer of the stock DVN signs, as a message (EIP-191): `keccak256(vid | target | expiration | callData)`. */
export function dvnDigest(vid: number, target: Address, expiration: bigint, callData: Hex): Hex {
  return keccak256(
    encodePacked(['uint32', 'address', 'uint256', 'bytes'], [vid, target, expiration, callData]),
  )
}

/** Signatures as both contracts want them: ascending by signer, exactly `count`. Undefined when there are fewer. */
export function joinSignatures(bySigner: ReadonlyMap<Address, Hex>, count: number): Hex | undefined {
  const sorted = [...bySigner].sort(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  return sorted.length < count
    ? undefined
    : concatHex(sorted.slice(0, count).map(([, signature]) => signature))
}
