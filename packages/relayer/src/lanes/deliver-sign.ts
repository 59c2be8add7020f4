import type { Hex } from 'viem'
import { createPoster } from '../attest/poster.js'
import { createRemoteOperator } from '../attest/remote.js'
import type { AttestKind } from '../attest/wire.js'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { dvnAbi } from '../layerzero/abi.js'
import { type Attested, type Step, signVerification, type Verification } from '../layerzero/batch.js'
import type { LaneContext } from './context.js'

/** What the verifying contracts of a destination get to see, and the steps that it is good for. */
export interface Signed {
  steps: Step[]
  /** For LayerZero's stock DVN, by guid. */
  verifications: ReadonlyMap<Hex, Verification>
  attested: Attested | undefined
  /** What too few of our signers vouch for. */
  unsigned: Step[]
}

/** Collects signatures for one destination: our own keys' for the stock DVN, those of operators elsewhere for both. */
export function createSigning(
  { network, config, keys, clock, fetch, logger }: LaneContext,
  destination: Pick<ChainContext, 'chain' | 'client'>,
): (steps: readonly Step[]) => Promise<Signed> {
  const { chain, client } = destination
  const { dvn, receiveUln } = chain.layerzero
  const signers = keys.dvnSigners
  const remote = (kind: AttestKind, operators: typeof config.operators) => {
    const account = keys.peer
    if (account === undefined) return []
    const options = { kind, networkId: network.networkId, account, clock, fetch }
    return operators.map((operator) => createRemoteOperator(operator, options))
  }
  const poster = createPoster({
    network,
    destination,
    operators: remote('attestor', config.operators),
    dvnOperators: remote('dvn', config.dvnOperators),
    lifetimeSeconds: config.attestationSeconds,
    timeoutMs: config.operatorTimeoutMs,
    clock,
    logger,
  })
  let contract: Promise<{ vid: number; quorum: number }> | undefined

  function readDvn() {
    contract ??= readAll(client, [
      { address: dvn, abi: dvnAbi, functionName: 'vid' },
      { address: dvn, abi: dvnAbi, functionName: 'quorum' },
    ])
      .then(([vid, quorum]) => ({ vid, quorum: Number(quorum) }))
      .catch((error: unknown) => {
        contract = undefined
        throw error
      })
    return contract
  }

  async function verify(steps: readonly Step[]): Promise<Map<Hex, Verification>> {
    if (steps.length === 0) return new Map()
    const [{ vid, quorum }, { timestamp }] = await Promise.all([readDvn(), client.getBlock()])
    const expiry = poster.expiryAt(timestamp)
    const needed = Math.max(0, quorum - signers.length)
    const others = await poster.verify(steps, { vid, needed, expiry })
    const signed = await Promise.all(
      steps.map(async (step) => {
        const { guid } = step.entry.packet
        const own = { vid, quorum, signers, receiveUln }
        return [guid, await signVerification(step, own, expiry, others.get(guid))] as const
      }),
    )
    return new Map(signed.flatMap(([guid, one]) => (one === undefined ? [] : [[guid, one] as const])))
  }

  return async (steps) => {
    const [verifications, attested] = await Promise.all([
      verify(steps.filter((step) => step.verify)),
      poster.attest(steps.filter((step) => step.attest)),
    ])
    const isSigned = ({ entry: { packet }, ...step }: Step) =>
      (!step.verify || verifications.has(packet.guid)) &&
      (!step.attest || attested?.indexOf.has(packet.guid) === true)
    return {
      steps: steps.filter(isSigned),
      verifications,
      attested,
      unsigned: steps.filter((step) => !isSigned(step)),
    }
  }
}
