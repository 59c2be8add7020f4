import { type Network, UserError } from '@clearspan/shared'
import type { Address } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { ulnConfigAbi } from '../layerzero/abi.js'
import { wordToAddress } from '../layerzero/batch.js'
import { endsOf } from '../layerzero/packet.js'

/** Verifiers that must agree on a message of this network's own gateways, outside local networks. */
const MIN_VERIFIERS = 2

/**
 * Refuses a production network where one verifier's word moves money: whoever takes over that one, or its nodes, forges deposits.
 * @throws UserError naming the direction, RetryableError when the node fails.
 */
export async function checkVerifiers(
  { clock }: Pick<Network, 'clock'>,
  { chain, client }: Pick<ChainContext, 'chain' | 'client'>,
  paths: readonly string[],
): Promise<void> {
  if (clock !== null || paths.length === 0) return
  const ends = paths.map(endsOf)
  const configs = await readAll(
    client,
    ends.map(({ receiver, srcEid }) => ({
      address: chain.layerzero.receiveUln,
      abi: ulnConfigAbi,
      functionName: 'getUlnConfig',
      args: [wordToAddress(receiver), srcEid],
    })),
  )
  for (const [i, config] of configs.entries()) {
    const needed = distinctVerifiers(config)
    if (needed < MIN_VERIFIERS)
      throw new UserError(
        `${chain.name}, messages from endpoint ${ends[i]?.srcEid}`,
        `are taken on the word of ${needed} verifier: whoever has it, or its nodes, forges them; require ${MIN_VERIFIERS} or more in the receiver's LayerZero configuration`,
      )
  }
}

/** How many different verifiers a message needs at least: one that is required counts among the optional ones too. */
function distinctVerifiers(config: {
  requiredDVNs: readonly Address[]
  optionalDVNs: readonly Address[]
  optionalDVNThreshold: number
}): number {
  const required = new Set(config.requiredDVNs.map((verifier) => verifier.toLowerCase()))
  const both = config.optionalDVNs.filter((verifier) => required.has(verifier.toLowerCase())).length
  return required.size + Math.max(0, config.optionalDVNThreshold - both)
}
