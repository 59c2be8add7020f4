import { keccak256 } from 'viem'
import type { Authenticated } from '../report/machine.js'
import {
  type MessageKind,
  type Observation,
  observationDigest,
  type Proposal,
  type Protocol,
  preimageOf,
  proposalPreimage,
  recoverNode,
  type SignedReport,
} from './message.js'

/** A message as it came from a peer: its shape is checked, its signature not. */
export type Unverified =
  | { kind: 'observation'; message: Observation }
  | { kind: 'proposal'; message: Proposal }
  | { kind: 'signature'; message: SignedReport }

/** Finds who signed a message and everything in it; null when any signature is of none of the network's nodes. */
export function authenticate(input: Unverified, protocol: Protocol): Authenticated | null {
  const { oracle } = protocol
  switch (input.kind) {
    case 'observation': {
      const digest = observationDigest(input.message, protocol)
      const from = recoverNode(digest, input.message.signature, oracle)
      return from === null ? null : { ...input, digest, from }
    }
    case 'signature': {
      const digest = keccak256(preimageOf(input.message, protocol))
      const from = recoverNode(digest, input.message.signature, oracle)
      return from === null ? null : { ...input, digest, from }
    }
    case 'proposal': {
      const digest = keccak256(proposalPreimage(input.message, protocol))
      const from = recoverNode(digest, input.message.signature, oracle)
      if (from === null) return null
      const observers: number[] = []
      for (const observation of input.message.observations) {
        const signed = observationDigest(observation, protocol)
        const observer = recoverNode(signed, observation.signature, oracle)
        if (observer === null) return null
        observers.push(observer)
      }
      return { ...input, digest, from, observers }
    }
  }
}

/** Path of each kind of message on a node's HTTP interface. */
export const messagePaths = {
  observation: '/observations',
  proposal: '/proposals',
  signature: '/signatures',
} as const satisfies Record<MessageKind, string>
