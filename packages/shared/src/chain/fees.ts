/** EIP-1559 fees in wei per gas. */
export interface Fees {
  maxFeePerGas: bigint
  maxPriorityFeePerGas: bigint
}

/** Nodes refuse a replacement below +10 %; 12.5 % is what they recommend. */
const BUMP_NUMERATOR = 9n
const BUMP_DENOMINATOR = 8n

/** Replacements that fees at their caps still leave room for. */
export const REPLACEMENTS = 4

const min = (a: bigint, b: bigint) => (a < b ? a : b)
const max = (a: bigint, b: bigint) => (a > b ? a : b)

/** The most from which REPLACEMENTS bumps stay within the cap. */
function withRoom(cap: bigint): bigint {
  let fee = cap
  for (let i = 0; i < REPLACEMENTS; i++) fee = (fee * BUMP_DENOMINATOR) / BUMP_NUMERATOR
  return fee
}

/**
 * Fees for a base fee and a tip: room for the base fee to double, which takes six full blocks, and below the caps room for replacements; only a
 * base fee may take that. Undefined when the base fee alone is above its cap: then nothing can be sent.
 */
export function quoteFees(baseFee: bigint, tip: bigint, caps: Fees): Fees | undefined {
  if (baseFee > caps.maxFeePerGas) return undefined
  const priority = min(tip, withRoom(caps.maxPriorityFeePerGas))
  const wanted = min(2n * baseFee + priority, withRoom(caps.maxFeePerGas))
  const maxFeePerGas = min(max(wanted, baseFee + priority), caps.maxFeePerGas)
  return { maxFeePerGas, maxPriorityFeePerGas: min(priority, maxFeePerGas) }
}

/**
 * Fees that a node accepts as a replacement of `old`: both fields raised by an eighth at least, and to what `current` asks. Undefined when the
 * caps leave no room for such a step.
 */
export function bumpFees(old: Fees, current: Fees | undefined, caps: Fees): Fees | undefined {
  const raised = (fee: bigint) =>
    max((fee * BUMP_NUMERATOR + BUMP_DENOMINATOR - 1n) / BUMP_DENOMINATOR, fee + 1n)
  const leastFee = raised(old.maxFeePerGas)
  const leastTip = raised(old.maxPriorityFeePerGas)
  if (leastFee > caps.maxFeePerGas || leastTip > caps.maxPriorityFeePerGas) return undefined
  const maxFeePerGas = max(leastFee, current?.maxFeePerGas ?? 0n)
  const maxPriorityFeePerGas = min(max(leastTip, current?.maxPriorityFeePerGas ?? 0n), maxFeePerGas)
  return { maxFeePerGas, maxPriorityFeePerGas }
}
