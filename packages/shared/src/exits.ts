import { SimpleMerkleTree } from '@openzeppelin/merkle-tree'
import { type Address, encodeAbiParameters, type Hex, keccak256 } from 'viem'
import { signingPreimage } from './report.js'

/** One payout in the last word of a dead hub: `SpokeGateway.exit` of its chain takes it with its proof. */
export interface Exit {
  /** LayerZero's id of the vault's chain. */
  eid: number
  vaultEpoch: number
  account: Hex
  token: Address
  recipient: Address
  /** All that the hub has released for it, ever, with what the account is still owed there. Token decimals. */
  released: bigint
}

/** What the oracle's quorum signs of a dead hub, and `SpokeGateway.openExits` takes with `encodeQuorum` of the signatures. */
export interface LastWord {
  hubEpoch: number
  /** Counts up from 1: a later one replaces it. */
  version: number
  /** Seconds; block time of the hub's state that it was made from. */
  hubTime: bigint
  /** Of `exitTree`. */
  root: Hex
}

const leafTypes = [
  { type: 'uint32' },
  { type: 'uint32' },
  { type: 'bytes32' },
  { type: 'address' },
  { type: 'address' },
  { type: 'uint128' },
] as const

const types = {
  Exits: [
    { name: 'hubEpoch', type: 'uint32' },
    { name: 'version', type: 'uint32' },
    { name: 'hubTime', type: 'uint64' },
    { name: 'root', type: 'bytes32' },
  ],
} as const

/** The tree of all payouts of all chains: `getProof(i)` is the proof of `exits[i]`. Throws RangeError for none. */
export function exitTree(exits: readonly Exit[]) {
  if (exits.length === 0) throw new RangeError('a last word without a payout')
  return SimpleMerkleTree.of(
    exits.map(({ eid, vaultEpoch, account, token, recipient, released }) =>
      // Twice: no leaf passes for an inner node.
      keccak256(
        keccak256(encodeAbiParameters(leafTypes, [eid, vaultEpoch, account, token, recipient, released])),
      ),
    ),
  )
}

/** What nodes sign of a last word, in the domain of everything that they sign; the digest is its hash. */
export function lastWordPreimage(lastWord: LastWord, networkId: Hex): Hex {
  return signingPreimage(networkId, types, 'Exits', { ...lastWord })
}

/** The EIP-712 digest that nodes sign of a last word. */
export function lastWordDigest(lastWord: LastWord, networkId: Hex): Hex {
  return keccak256(lastWordPreimage(lastWord, networkId))
}
