import type { Hex } from 'viem'
import type { SentPacket } from './sent.js'

/** A packet on its way to one destination. */
export interface Pending extends SentPacket {
  /** Its `pathOf`: made once, since rounds sort thousands by it. */
  path: string
  header: Hex
  payloadHash: Hex
  /** Of this network's own gateways. */
  own: boolean
  /** Real ms at which its block had been read. */
  observedAt: number
  /** Our DVN's verification is on the destination chain. */
  verified: boolean
  /** Its native drops have been made: they stay even when its execution fails. */
  dropped: boolean
  /** How often it was settled and was not done after all, or the other way round: that node is not asked first again. */
  reopened: number
  /** The destination has been asked what it knows of it. */
  asked: boolean
  attempts: number
  /** Why it was put off last. */
  waitsFor: string | undefined
  /** Executions that failed: the next gets more gas. */
  failures: number
  failure: Failure | undefined
  /** Real ms before which it is not tried again. */
  notBefore: number
}

/** How an execution failed. */
export interface Failure {
  /**
   * `reverted`: the receiver refused, and said why. `out-of-gas`: it takes more gas than its sender paid for. `silent`: it failed without a
   * reason, and more gas was not seen to help.
   */
  kind: 'reverted' | 'out-of-gas' | 'silent'
  /** Revert data, its beginning only. */
  reason: Hex
}

/** Of what failed on the chain, and never where it could be looked into. */
export const UNEXPLAINED: Failure = { kind: 'silent', reason: '0x' }
