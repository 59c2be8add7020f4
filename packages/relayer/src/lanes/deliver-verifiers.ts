import { attestorAbi } from '@clearspan/contracts'
import { type Network, UserError } from '@clearspan/shared'
import { type Address, isAddressEqual } from 'viem'
import { agreedAnswer } from '../chains/agreed.js'
import { readAll } from '../chains/read.js'
import { dvnAbi, ulnConfigAbi } from '../layerzero/abi.js'
import { wordToAddress } from '../layerzero/batch.js'
import { endsOf } from '../layerzero/packet.js'
import type { Configured } from '../layerzero/state.js'

/** Verifiers that must agree on a message of this network's own gateways outside local networks, and signers of each of ours. */
const LEAST = 2

/**
 * Refuses a production network where one verifier's word, or one signer's, moves money: whoever takes over that one, or its nodes, forges deposits.
 * What it rests on more than half of the destination's nodes must say.
 * @throws UserError naming the direction or the verifier, RetryableError when no majority of nodes answers.
 */
export async function checkVerifiers(
  { clock }: Pick<Network, 'clock'>,
  destination: Configured,
  paths: readonly string[],
): Promise<void> {
  if (clock !== null || paths.length === 0) return
  const { name, layerzero } = destination.chain
  const ends = paths.map(endsOf)
  const configs = await agreedAnswer(destination, (client) =>
    readAll(
      client,
      ends.map(({ receiver, srcEid }) => ({
        address: layerzero.receiveUln,
        abi: ulnConfigAbi,
        functionName: 'getUlnConfig',
        args: [wordToAddress(receiver), srcEid],
      })),
    ),
  )
  for (const [i, config] of configs.entries()) {
    const needed = distinctVerifiers(config)
    if (needed < LEAST)
      throw new UserError(
        `${name}, messages from endpoint ${ends[i]?.srcEid}`,
        `are taken on the word of ${needed} verifier: whoever has it, or its nodes, forges them; require ${LEAST} or more in the receiver's LayerZero configuration`,
      )
  }
  const named = configs.flatMap(({ requiredDVNs, optionalDVNs }) => [...requiredDVNs, ...optionalDVNs])
  const counts = (one: Address | undefined) =>
    one !== undefined && named.some((verifier) => isAddressEqual(verifier, one))
  await Promise.all([
    counts(layerzero.dvn) && checkDvn(destination),
    counts(layerzero.attestor) && checkAttestor(destination),
  ])
}

async function checkDvn(destination: Configured): Promise<void> {
  const { name, layerzero } = destination.chain
  const [quorum] = await agreedAnswer(destination, (client) =>
    readAll(client, [{ address: layerzero.dvn, abi: dvnAbi, functionName: 'quorum' }]),
  )
  if (quorum < LEAST)
    throw new UserError(
      `${name}, LayerZero's DVN ${layerzero.dvn}`,
      `verifies by ${quorum} signature: whoever has that key makes up messages; raise its quorum to ${LEAST} or more`,
    )
}

async function checkAttestor(destination: Configured): Promise<void> {
  const { name, layerzero } = destination.chain
  const address = layerzero.attestor!
  const [threshold] = await agreedAnswer(destination, (client) =>
    readAll(client, [{ address, abi: attestorAbi, functionName: 'threshold' }]),
  )
  if (threshold < LEAST)
    throw new UserError(
      `${name}, the Attestor ${address}`,
      `takes the word of ${threshold} operator: whoever has that key makes up messages; have its owner set operators with a threshold of ${LEAST} or more`,
    )
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
