import {
  type ChainClient,
  createChainClient,
  type Network,
  RetryableError,
  UserError,
} from '@clearspan/shared'
import {
  type Address,
  encodeFunctionData,
  type Hex,
  isAddressEqual,
  parseAbi,
  parseEventLogs,
  TransactionReceiptNotFoundError,
  zeroHash,
} from 'viem'
import { readAll } from '../chains/read.js'
import { endpointAbi } from './abi.js'
import { wordToAddress } from './batch.js'
import { decodePacket, type Packet, payloadHash } from './packet.js'

/** What a receiver, or its delegate, may do about a packet that isn't executed. */
export const recoveryActions = ['skip', 'clear', 'nilify'] as const
export type RecoveryAction = (typeof recoveryActions)[number]

/** What each does, for the person who signs it. */
const EFFECTS: Record<RecoveryAction, string> = {
  skip: 'passes over a packet that nobody has verified; it can never be delivered, and this cannot be undone',
  clear: 'takes a verified packet for executed, without the receiver seeing it; this cannot be undone',
  nilify: 'takes the verification back; the packet is executed only once it is verified and committed again',
}

const recoveryAbi = parseAbi([
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'function delegates(address oapp) view returns (address)',
  'function lazyInboundNonce(address receiver, uint32 srcEid, bytes32 sender) view returns (uint64)',
  'function skip(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce)',
  'function clear(address oapp, Origin origin, bytes32 guid, bytes message)',
  'function nilify(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce, bytes32 payloadHash)',
])

/** A transaction for the receiver or its delegate to send. Nothing of ours ever sends it. */
export interface PreparedRecovery {
  action: RecoveryAction
  effect: string
  chain: string
  chainId: number
  /** Who may send it: the receiver itself, and its delegate if it has one. */
  from: Address[]
  to: Address
  value: '0'
  data: Hex
  guid: Hex
  nonce: string
}

export interface RecoveryOptions {
  network: Network
  action: RecoveryAction
  /** Chain that sent the packet, by name. */
  source: string
  /** Transaction that sent it. */
  transaction: Hex
  /** Which of the transaction's packets; only needed where it sent several. */
  guid: Hex | undefined
}

/**
 * Prepares a recovery as calldata, after checking that the endpoint would take it now.
 * @throws UserError for what can't be found or would be refused, RetryableError when a node fails.
 */
export async function prepareRecovery(options: RecoveryOptions): Promise<PreparedRecovery> {
  const { network, action } = options
  const packet = await findPacket(options)
  const chain = network.chains.find(({ eid }) => eid === packet.dstEid)
  if (chain === undefined)
    throw new UserError('--tx', `goes to endpoint ${packet.dstEid}, which the network doesn't have`)
  const { chainId, name, rpcUrls, layerzero } = chain
  const client = createChainClient({ chainId, name, rpcUrls, blockMs: 1_000 })
  const state = await readState(client, layerzero.endpoint, packet).catch((error: unknown) => {
    throw new RetryableError(`no node of ${name} says what it knows of the packet`, { cause: error })
  })
  const problem = problemOf(action, packet, state)
  if (problem !== undefined) throw new UserError(action, problem)
  const receiver = wordToAddress(packet.receiver)
  const hasDelegate = BigInt(state.delegate) !== 0n && !isAddressEqual(state.delegate, receiver)
  return {
    action,
    effect: EFFECTS[action],
    chain: name,
    chainId,
    from: [receiver, ...(hasDelegate ? [state.delegate] : [])],
    to: layerzero.endpoint,
    value: '0',
    data: recoveryCall(action, packet, state.stored),
    guid: packet.guid,
    nonce: String(packet.nonce),
  }
}

async function findPacket({ network, source, transaction, guid }: RecoveryOptions): Promise<Packet> {
  const chain = network.chains.find(({ name }) => name === source)
  if (chain === undefined)
    throw new UserError('--source', `must be one of ${network.chains.map(({ name }) => name).join(', ')}`)
  const { chainId, name, rpcUrls, layerzero } = chain
  const client = createChainClient({ chainId, name, rpcUrls, blockMs: 1_000 })
  const receipt = await client.getTransactionReceipt({ hash: transaction }).catch((error: unknown) => {
    if (error instanceof TransactionReceiptNotFoundError)
      throw new UserError('--tx', `is not a mined transaction of ${source}`)
    throw new RetryableError(`no node of ${source} answers`, { cause: error })
  })
  const packets = parseEventLogs({ abi: endpointAbi, eventName: 'PacketSent', logs: receipt.logs })
    .filter(({ address }) => isAddressEqual(address, layerzero.endpoint))
    .map(({ args }) => decodePacket(args.encodedPayload))
  const found = guid === undefined ? packets : packets.filter((packet) => packet.guid === guid.toLowerCase())
  const [packet, ...others] = found
  if (packet === undefined) throw new UserError('--tx', 'sent no such packet')
  if (others.length > 0)
    throw new UserError('--guid', `must say which: ${found.map((one) => one.guid).join(', ')}`)
  return packet
}

/** What the destination's endpoint says of a packet. */
interface EndpointState {
  stored: Hex
  /** Highest nonce below which all are verified or skipped. */
  inbound: bigint
  lazy: bigint
  delegate: Address
}

async function readState(
  client: ChainClient,
  address: Address,
  { receiver, srcEid, sender, nonce }: Packet,
): Promise<EndpointState> {
  const to = wordToAddress(receiver)
  const [stored, inbound, lazy, delegate] = await readAll(client, [
    { address, abi: endpointAbi, functionName: 'inboundPayloadHash', args: [to, srcEid, sender, nonce] },
    { address, abi: endpointAbi, functionName: 'inboundNonce', args: [to, srcEid, sender] },
    { address, abi: recoveryAbi, functionName: 'lazyInboundNonce', args: [to, srcEid, sender] },
    { address, abi: recoveryAbi, functionName: 'delegates', args: [to] },
  ])
  return { stored, inbound, lazy, delegate }
}

/** Why the endpoint would refuse; undefined when it would not. */
function problemOf(
  action: RecoveryAction,
  packet: Packet,
  { stored, inbound, lazy }: EndpointState,
): string | undefined {
  const { nonce } = packet
  if (stored === zeroHash && nonce <= lazy)
    return `nonce ${nonce} is executed, cleared or skipped already: nothing is left to do`
  if (action === 'skip')
    return nonce === inbound + 1n
      ? undefined
      : `takes only the first nonce that is not verified, ${inbound + 1n}; this one is ${nonce}`
  if (action === 'clear') {
    if (stored !== payloadHash(packet)) return 'needs the packet to be verified and committed first'
    return nonce <= inbound ? undefined : `needs every nonce below ${nonce} first: ${inbound + 1n} is missing`
  }
  return undefined
}

function recoveryCall(action: RecoveryAction, packet: Packet, stored: Hex): Hex {
  const { srcEid, sender, nonce, guid, message } = packet
  const receiver = wordToAddress(packet.receiver)
  const abi = recoveryAbi
  if (action === 'skip')
    return encodeFunctionData({ abi, functionName: action, args: [receiver, srcEid, sender, nonce] })
  if (action === 'nilify')
    return encodeFunctionData({ abi, functionName: action, args: [receiver, srcEid, sender, nonce, stored] })
  const origin = { srcEid, sender, nonce }
  return encodeFunctionData({ abi, functionName: action, args: [receiver, origin, guid, message] })
}
