import { attestorAbi } from '@clearspan/contracts'
import { type Chain, type ChainClient, type Network, PermanentError, RetryableError } from '@clearspan/shared'
import type { Address, Hex, LocalAccount } from 'viem'
import { agreedAnswer } from '../chains/agreed.js'
import type { Quarantine } from '../chains/quarantine.js'
import { readAll } from '../chains/read.js'
import { dvnAbi, ulnConfigAbi } from '../layerzero/abi.js'
import { wordToAddress } from '../layerzero/batch.js'
import { atDepth, type DepthPolicy, requiredDepths } from '../layerzero/depth.js'
import { decodePacket, type Packet, packetHeader, pathOf, payloadHash } from '../layerzero/packet.js'
import { confirmedPackets } from '../layerzero/witness.js'
import { attestationDigest, type Claim, claimTree, dvnDigest, verifyCall } from './attestation.js'
import type { AttestAnswer, AttestKind, AttestRequest, RefusalReason } from './wire.js'

/** One chain as an operator sees it: by its own nodes. */
export interface OperatorChain {
  chain: Chain
  client: ChainClient
  /** One client per RPC URL, each asked by itself. */
  witnesses: readonly ChainClient[]
  /** Of the witnesses. */
  quarantine: Quarantine
  /** How deep packets from there must lie by their value. */
  depth?: DepthPolicy | undefined
}

export interface OperatorOptions {
  network: Pick<Network, 'networkId'>
  chains: readonly OperatorChain[]
  account: LocalAccount
  /** Furthest expiry that it signs, seconds of the destination's time. */
  maxLifetimeSeconds: number
}

/** Signs that packets were sent, once its own nodes show them under enough blocks. It keeps no state: a question is answered from the chains. */
export interface Operator {
  address: Address
  /** @throws PermanentError for a request that can't be right, RetryableError when a node fails. */
  answer(kind: AttestKind, request: AttestRequest): Promise<AttestAnswer>
}

/** A packet asked for: what of it must hold, or why it can't. */
type Judged =
  | { packet: Packet; source: OperatorChain; claim: Claim; blockNumber: bigint; blockHash: Hex }
  | RefusalReason

export function createOperator({ network, chains, account, maxLifetimeSeconds }: OperatorOptions): Operator {
  const byEid = new Map(chains.map((one) => [one.chain.eid, one]))

  async function answer(kind: AttestKind, request: AttestRequest): Promise<AttestAnswer> {
    const destination = byEid.get(request.dstEid)
    if (destination === undefined) throw new PermanentError(`no chain has the endpoint id ${request.dstEid}`)
    const sign = await signerFor(kind, destination, request)
    const judged = await judge(destination, request)
    const refused = judged.flatMap((one, index) => (typeof one === 'string' ? [{ index, reason: one }] : []))
    if (refused.length > 0) return { refused }
    return { signatures: await sign(judged.flatMap((one) => (typeof one === 'string' ? [] : [one.claim]))) }
  }

  /** Checks what a request says beside its packets. */
  async function signerFor(kind: AttestKind, destination: OperatorChain, request: AttestRequest) {
    const { chain, client } = destination
    const { attestor, receiveUln, dvn } = chain.layerzero
    const { expiry, operatorSet } = request
    const { timestamp } = await client.getBlock()
    if (expiry <= timestamp || expiry > timestamp + BigInt(maxLifetimeSeconds))
      throw new PermanentError(`an expiry at ${expiry} is not within ${maxLifetimeSeconds} s of ${timestamp}`)
    if (kind === 'dvn') {
      const [vid] = await readAll(client, [{ address: dvn, abi: dvnAbi, functionName: 'vid' }])
      return (claims: readonly Claim[]) =>
        Promise.all(
          claims.map((claim) =>
            account.signMessage({ message: { raw: dvnDigest(vid, receiveUln, expiry, verifyCall(claim)) } }),
          ),
        )
    }
    if (attestor === undefined) throw new PermanentError(`${chain.name} has no Attestor`)
    const contract = { address: attestor, abi: attestorAbi } as const
    const [set, isOperator] = await agreedAnswer(destination, (node) =>
      readAll(node, [
        { ...contract, functionName: 'operatorSet' },
        { ...contract, functionName: 'isOperator', args: [account.address] },
      ]),
    )
    // A set to come would make the signature outlive what the present one knows.
    if (set !== operatorSet || !isOperator)
      throw new PermanentError(`${account.address} is not of set ${operatorSet} on ${chain.name}`)
    const domain = { networkId: network.networkId, chainId: chain.chainId, attestor }
    return async (claims: readonly Claim[]) => {
      const root = claimTree(claims).root as Hex
      const hash = attestationDigest(domain, { root, receiveLibrary: receiveUln, expiry, operatorSet })
      if (account.sign === undefined) throw new PermanentError('the key of an operator must sign digests')
      return [await account.sign({ hash })]
    }
  }

  async function judge(destination: OperatorChain, { packets }: AttestRequest): Promise<Judged[]> {
    const required = createRequirements(destination)
    const claimed = await Promise.all(
      packets.map(async ({ encoded, blockNumber, blockHash, confirmations }): Promise<Judged> => {
        const packet = tryDecode(encoded)
        if (packet === undefined || packet.dstEid !== destination.chain.eid) return 'malformed'
        const source = byEid.get(packet.srcEid)
        if (source === undefined || source === destination) return 'foreign'
        const needed = await required(packet, source)
        if (needed === undefined || confirmations < needed) return 'too-few-confirmations'
        const claim = { header: packetHeader(packet), payloadHash: payloadHash(packet), confirmations }
        return { packet, source, claim, blockNumber, blockHash }
      }),
    )
    const confirmed = new Map(
      await Promise.all(
        chains.map(async (source) => {
          const own = claimed.filter((one) => typeof one !== 'string' && one.source === source)
          const asked = own.map((one) => one as Exclude<Judged, string>)
          const depths = await requiredDepths(
            source,
            asked.map(({ packet }) => packet),
          )
          const found = await confirmedPackets(
            source.witnesses,
            source.chain.layerzero,
            asked.map((one, i) => atDepth(one, one.claim.confirmations, depths[i])),
            source.quarantine,
          )
          return [source, found] as const
        }),
      ),
    )
    return claimed.map((one) =>
      typeof one === 'string' || confirmed.get(one.source)?.has(one.packet.guid) ? one : 'unconfirmed',
    )
  }

  return { address: account.address, answer }
}

function tryDecode(encoded: Hex): Packet | undefined {
  try {
    return decodePacket(encoded)
  } catch (error) {
    if (error instanceof PermanentError) return undefined
    throw error
  }
}

/**
 * The confirmations that a packet needs: the most of what its source, its sender's and its receiver's configuration ask for, by more than half
 * of the nodes of each. The receive side's number binds on chain; undefined where one can't be read.
 */
function createRequirements(destination: OperatorChain) {
  const known = new Map<string, Promise<bigint | undefined>>()
  return (packet: Packet, source: OperatorChain): Promise<bigint | undefined> => {
    const path = pathOf(packet)
    const found = known.get(path) ?? readRequirement(packet, source, destination)
    known.set(path, found)
    return found
  }
}

async function readRequirement(packet: Packet, source: OperatorChain, destination: OperatorChain) {
  const { sender, receiver, srcEid, dstEid } = packet
  const common = { abi: ulnConfigAbi, functionName: 'getUlnConfig' } as const
  try {
    const [[sent], [received]] = await Promise.all([
      agreedAnswer(source, (client) =>
        readAll(client, [
          { ...common, address: source.chain.layerzero.sendUln, args: [wordToAddress(sender), dstEid] },
        ]),
      ),
      agreedAnswer(destination, (client) =>
        readAll(client, [
          {
            ...common,
            address: destination.chain.layerzero.receiveUln,
            args: [wordToAddress(receiver), srcEid],
          },
        ]),
      ),
    ])
    const asked = [BigInt(source.chain.confirmations), sent.confirmations, received.confirmations]
    return asked.reduce((most, next) => (next > most ? next : most))
  } catch (error) {
    if (error instanceof RetryableError) return undefined
    throw error
  }
}
