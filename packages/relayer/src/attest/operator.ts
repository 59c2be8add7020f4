import { attestorAbi } from '@clearspan/contracts'
import {
  type Chain,
  type ChainClient,
  type Clock,
  type Network,
  PermanentError,
  RetryableError,
} from '@clearspan/shared'
import type { Address, Hex, LocalAccount } from 'viem'
import { agreedAnswer, SilentError } from '../chains/agreed.js'
import type { Quarantine } from '../chains/quarantine.js'
import { readAll } from '../chains/read.js'
import { createSilence, type Silence } from '../chains/silence.js'
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
  /** Real time. */
  clock: Clock
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

export function createOperator(options: OperatorOptions): Operator {
  const { network, chains, account, maxLifetimeSeconds, clock } = options
  const silence = createSilence(clock)
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
    const decoded = packets.map(({ encoded }): Asked | RefusalReason => {
      const packet = tryDecode(encoded)
      if (packet === undefined || packet.dstEid !== destination.chain.eid) return 'malformed'
      const source = byEid.get(packet.srcEid)
      if (source === undefined || source === destination) return 'foreign'
      // Packets of other sources don't wait for one whose nodes don't answer.
      return silence.has(source.chain.eid) ? 'unconfirmed' : { packet, source }
    })
    const required = await requiredConfirmations(
      decoded.filter((one) => typeof one !== 'string'),
      destination,
      silence,
    )
    const claimed = packets.map(({ blockNumber, blockHash, confirmations }, i): Judged => {
      const one = decoded[i] ?? 'malformed'
      if (typeof one === 'string') return one
      const needed = required.get(pathOf(one.packet))
      if (needed === undefined || confirmations < needed) return 'too-few-confirmations'
      const claim = { header: packetHeader(one.packet), payloadHash: payloadHash(one.packet), confirmations }
      return { ...one, claim, blockNumber, blockHash }
    })
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

interface Asked {
  packet: Packet
  source: OperatorChain
}

/**
 * The confirmations that packets need, by path: the most of what source, sender's and receiver's configuration ask for, by more than half of the
 * nodes of each end. The receive side's number binds on chain; none where one can't be read, and that of one path keeps back no other's.
 */
async function requiredConfirmations(
  packets: readonly Asked[],
  destination: OperatorChain,
  silence: Silence,
): Promise<ReadonlyMap<string, bigint>> {
  const paths = new Map(packets.map((one) => [pathOf(one.packet), one]))
  const read = (some: readonly Asked[]) => readRequirements(some, destination, silence)
  const all = [...paths.values()]
  const found = await orNothing(read(all))
  const alone = all.length > 1 ? () => Promise.all(all.map((one) => orNothing(read([one])))) : async () => []
  const needed = found ?? (await alone()).map((one) => one?.[0])
  return new Map([...paths.keys()].flatMap((path, i) => (needed[i] === undefined ? [] : [[path, needed[i]]])))
}

async function orNothing<R>(reading: Promise<R>): Promise<R | undefined> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof RetryableError) return undefined
    throw error
  }
}

/** In the order given; all or none, but for those of a source that is silent. @throws RetryableError */
async function readRequirements(
  asked: readonly Asked[],
  destination: OperatorChain,
  silence: Silence,
): Promise<(bigint | undefined)[]> {
  const common = { abi: ulnConfigAbi, functionName: 'getUlnConfig' } as const
  const receiving = agreedAnswer(destination, (client) =>
    readAll(
      client,
      asked.map(({ packet: { receiver, srcEid } }) => {
        const address = destination.chain.layerzero.receiveUln
        return { ...common, address, args: [wordToAddress(receiver), srcEid] } as const
      }),
    ),
  )
  const most = new Map(asked.map((one) => [one, BigInt(one.source.chain.confirmations)]))
  const raise = (one: Asked | undefined, confirmations: bigint | undefined = 0n) => {
    const known = one && most.get(one)
    if (one !== undefined && known !== undefined && confirmations > known) most.set(one, confirmations)
  }
  const sending = [...new Set(asked.map(({ source }) => source))].map(async (source) => {
    const own = asked.filter((one) => one.source === source)
    const sent = await agreedAnswer(source, (client) =>
      readAll(
        client,
        own.map(({ packet: { sender, dstEid } }) => {
          const address = source.chain.layerzero.sendUln
          return { ...common, address, args: [wordToAddress(sender), dstEid] } as const
        }),
      ),
    ).catch((error: unknown) => {
      if (!(error instanceof SilentError)) throw error
      return undefined
    })
    silence.note(source.chain.eid, sent !== undefined)
    if (sent === undefined) for (const one of own) most.delete(one)
    else for (const [i, { confirmations }] of sent.entries()) raise(own[i], confirmations)
  })
  const [received] = await Promise.all([receiving, ...sending])
  for (const [i, { confirmations }] of received.entries()) raise(asked[i], confirmations)
  return asked.map((one) => most.get(one))
}
