import { attestorAbi } from '@clearspan/contracts'
import { type Clock, type Logger, type Network, PermanentError } from '@clearspan/shared'
import { type Abi, type Address, type Hex, hashMessage } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { dvnAbi } from '../layerzero/abi.js'
import type { Attested, Step } from '../layerzero/batch.js'
import { encodePacket } from '../layerzero/packet.js'
import {
  attestationDigest,
  type Claim,
  claimTree,
  dvnDigest,
  joinSignatures,
  verifyCall,
} from './attestation.js'
import { type AskedOperator, type Collected, collect } from './collect.js'
import { type AttestRequest, MAX_PACKETS } from './wire.js'

export interface PosterOptions {
  network: Pick<Network, 'networkId' | 'clock'>
  destination: Pick<ChainContext, 'chain' | 'client'>
  /** Operators of the Attestor. */
  operators: readonly AskedOperator[]
  /** Signers of the stock DVN that run elsewhere. */
  dvnOperators: readonly AskedOperator[]
  /** How long what they sign holds, seconds of the destination's time. */
  lifetimeSeconds: number
  /** Longest that they are waited for, real ms. */
  timeoutMs: number
  clock: Clock
  logger: Logger
}

/** Asks operators for what a destination's contracts want signed. */
export function createPoster(options: PosterOptions) {
  const { network, destination, operators, dvnOperators, lifetimeSeconds, clock, timeoutMs, logger } = options
  const { chain, client } = destination
  const { attestor, receiveUln } = chain.layerzero

  const expiryAt = (timestamp: bigint) => timestamp + BigInt(lifetimeSeconds)
  const onFailure = (operator: Address, err: unknown) =>
    logger.warn({ err, operator }, 'operator did not sign')
  const asking = (claims: readonly Step[], expiry: bigint, operatorSet: number): AttestRequest => ({
    dstEid: chain.eid,
    expiry,
    operatorSet,
    packets: claims.map(({ entry: { packet, blockNumber, blockHash }, confirmations }) => ({
      encoded: encodePacket(packet),
      blockNumber,
      blockHash,
      confirmations,
    })),
  })

  /** Those that the contract counts: the signature of one that it has replaced would make it refuse all. */
  async function membersOf(
    asked: readonly AskedOperator[],
    call: { address: Address; abi: Abi; functionName: string },
  ): Promise<AskedOperator[]> {
    const counts = await readAll(
      client,
      asked.map(({ address }) => ({ ...call, args: [address] })),
    )
    return asked.filter((_, i) => counts[i])
  }

  return {
    /** The steps that a threshold of operators attests, or undefined for none. @throws PermanentError outside a local network when one operator's word is enough. */
    async attest(wanted: readonly Step[]): Promise<Attested | undefined> {
      const steps = wanted.slice(0, MAX_PACKETS)
      if (attestor === undefined || steps.length === 0) return undefined
      const contract = { address: attestor, abi: attestorAbi } as const
      const [[operatorSet, threshold], present, { timestamp }] = await Promise.all([
        readAll(client, [
          { ...contract, functionName: 'operatorSet' },
          { ...contract, functionName: 'threshold' },
        ]),
        membersOf(operators, { ...contract, functionName: 'isOperator' }),
        client.getBlock(),
      ])
      if (network.clock === null && threshold < 2)
        throw new PermanentError(
          `the Attestor of ${chain.name} takes one operator's word: it needs two or more`,
        )
      const expiry = expiryAt(timestamp)
      const domain = { networkId: network.networkId, chainId: chain.chainId, attestor }
      const attestationOf = (tree: { root: string }) => ({
        root: tree.root as Hex,
        receiveLibrary: receiveUln,
        expiry,
        operatorSet,
      })
      const treeOf = (places: readonly number[]) =>
        claimTree(places.flatMap((place) => claimOf(steps[place])))
      const collected = await collect({
        operators: present,
        threshold,
        request: asking(steps, expiry, operatorSet),
        digests: (places) => [attestationDigest(domain, attestationOf(treeOf(places)))],
        timeoutMs,
        clock,
        onFailure,
      })
      const signatures = collected && joinSignatures(firstOf(collected), threshold)
      if (collected === undefined || signatures === undefined) return undefined
      const tree = treeOf(collected.places)
      const guids = collected.places.flatMap((place) => steps[place]?.entry.packet.guid ?? [])
      return {
        attestation: attestationOf(tree),
        signatures,
        tree,
        indexOf: new Map(guids.map((guid, index) => [guid, index])),
      }
    },

    /** By guid, signatures that signers elsewhere gave for the stock DVN: `needed` for each packet that so many agree on. */
    async verify(
      steps: readonly Step[],
      { vid, needed, expiry }: { vid: number; needed: number; expiry: bigint },
    ): Promise<Map<Hex, Map<Address, Hex>>> {
      const asked = steps.slice(0, MAX_PACKETS)
      const found = new Map<Hex, Map<Address, Hex>>()
      if (needed === 0 || asked.length === 0) return found
      const contract = { address: chain.layerzero.dvn, abi: dvnAbi } as const
      const collected = await collect({
        operators: await membersOf(dvnOperators, { ...contract, functionName: 'isSigner' }),
        threshold: needed,
        request: asking(asked, expiry, 0),
        digests: (places) =>
          places
            .flatMap((place) => claimOf(asked[place]))
            .map((claim) => hashMessage({ raw: dvnDigest(vid, receiveUln, expiry, verifyCall(claim)) })),
        timeoutMs,
        clock,
        onFailure,
      })
      for (const [index, place] of (collected?.places ?? []).entries()) {
        const guid = asked[place]?.entry.packet.guid
        const own = [...(collected?.signatures ?? [])].flatMap(([signer, list]) => {
          const signature = list[index]
          return signature === undefined ? [] : [[signer, signature] as const]
        })
        if (guid !== undefined) found.set(guid, new Map(own))
      }
      return found
    },
    expiryAt,
  }
}

function claimOf(step: Step | undefined): Claim[] {
  if (step === undefined) return []
  const { header, payloadHash } = step.entry
  return [{ header, payloadHash, confirmations: step.confirmations }]
}

/** One signature an operator: that on the root. */
function firstOf({ signatures }: Collected): Map<Address, Hex> {
  return new Map(
    [...signatures].flatMap(([signer, [first]]) => (first === undefined ? [] : [[signer, first]])),
  )
}
