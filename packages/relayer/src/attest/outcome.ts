import { attestorAbi } from '@clearspan/contracts'
import { decodeFunctionResult, type Hex } from 'viem'
import type { Delivery } from '../layerzero/batch.js'

/** `Attestor.Outcome`, in its order. */
const OUTCOMES = [
  'not-reached',
  'executed',
  'committed',
  'already-done',
  'nilified',
  'verify-failed',
  'execute-failed',
] as const
/** What became of one packet; `rejected` when the Attestor took none, because the attestation doesn't hold (any more). */
export type Outcome = (typeof OUTCOMES)[number] | 'rejected'

export function outcomeOf(value: number): Outcome {
  return OUTCOMES[value] ?? 'not-reached'
}

/** By guid, what a simulated batch's Attestor call says of its packets. */
export function attestedOutcomes(
  { attested }: Delivery,
  successes: readonly boolean[],
  results: readonly Hex[],
): Map<Hex, Outcome> {
  if (attested === undefined) return new Map()
  const { steps, call } = attested
  const data = results[call]
  const values =
    successes[call] && data !== undefined
      ? decodeFunctionResult({ abi: attestorAbi, functionName: 'deliver', data })
      : []
  return new Map(
    steps.map(({ entry }, i) => {
      const value = values[i]
      return [entry.packet.guid, value === undefined ? 'rejected' : outcomeOf(value)] as const
    }),
  )
}
