import { composeGas, type DeliveryLimits, stepGas } from './batch.js'
import { executionValue } from './options.js'
import type { SentPacket } from './sent.js'

/** Why a packet is left to others, as a whole or its execution alone. */
export type Refusal =
  /** Neither our DVN nor our executor was paid for it. */
  | 'unpaid'
  /** It is not of this network's gateways, and only theirs are carried. */
  | 'foreign'
  /** As many packets of others wait as may. */
  | 'too-many'
  /** It asks for a read, something unknown, or what can't be read. */
  | 'unsupported-options'
  /** Its options pay for no lzReceive. */
  | 'no-gas'
  /** Alone it asks for more than one transaction of ours may use. */
  | 'gas-above-limit'
  /** It asks for more native value than we lay out. */
  | 'value-above-limit'

export interface Admission {
  verify: boolean
  attest: boolean
  execute: boolean
  refusal: Refusal | undefined
}

/**
 * What of a packet our workers do. One whose execution is refused is still verified and committed, if that was paid for: a nonce can't be
 * executed before the ones below it are committed.
 */
export function admit(
  sent: SentPacket,
  { isOwn, carriesForeign, limits }: { isOwn: boolean; carriesForeign: boolean; limits: DeliveryLimits },
): Admission {
  const { verify, attest, execute } = sent
  const nothing = { verify: false, attest: false, execute: false }
  if (!verify && !attest && !execute) return { ...nothing, refusal: 'unpaid' }
  if (!isOwn && !carriesForeign) return { ...nothing, refusal: 'foreign' }
  const refusal = execute ? executionRefusal(sent, limits) : undefined
  return { verify, attest, execute: execute && refusal === undefined, refusal }
}

function executionRefusal({ packet, options }: SentPacket, limits: DeliveryLimits): Refusal | undefined {
  if (options.other) return 'unsupported-options'
  if (options.gas === 0n) return 'no-gas'
  const composed = options.composes.reduce((sum, { value }) => sum + value, 0n)
  if (executionValue(options, false) + composed > limits.value) return 'value-above-limit'
  const dearest = options.composes.reduce((most, { gas }) => (gas > most ? gas : most), 0n)
  const step = stepGas({ packet, options }, 0)
  return step > limits.gas || composeGas(dearest, packet) > limits.gas ? 'gas-above-limit' : undefined
}
