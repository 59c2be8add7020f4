import { type Hex, size, zeroHash } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { endpointAbi, receiveUlnAbi, receiveUlnViewAbi } from './abi.js'
import { wordToAddress } from './batch.js'
import type { Pending } from './outbox.js'
import { pathOf } from './packet.js'

/** ReceiveUln302View: enough DVNs have verified, and nobody has committed. */
const VERIFIABLE = 1
/** The receiver doesn't accept the path: usually its peer isn't set. */
const NOT_INITIALIZABLE = 3
/** What `nilify` leaves: the receiver has withdrawn the packet, and reviving it isn't ours to decide. */
const NIL_HASH: Hex = `0x${'f'.repeat(64)}`

export type PacketState = 'delivered' | 'committed' | 'withdrawn' | 'open'

/** What the destination's endpoint says of packets; `inbound`: the highest nonce of the path up to which all are committed. */
export async function packetStates(
  { client, chain }: Pick<ChainContext, 'client' | 'chain'>,
  entries: readonly Pending[],
): Promise<{ state: PacketState; inbound: bigint }[]> {
  const address = chain.layerzero.endpoint
  const results = await readAll(
    client,
    entries.flatMap(({ packet: { receiver, srcEid, sender, nonce } }) => {
      const [to, common] = [wordToAddress(receiver), { address, abi: endpointAbi }]
      return [
        { ...common, functionName: 'inboundPayloadHash', args: [to, srcEid, sender, nonce] } as const,
        { ...common, functionName: 'inboundNonce', args: [to, srcEid, sender] } as const,
      ]
    }),
  )
  return entries.map(({ packet, payloadHash }, i) => {
    const inbound = BigInt(results[2 * i + 1] ?? 0)
    return { state: packetState(packet.nonce, payloadHash, String(results[2 * i]), inbound), inbound }
  })
}

/** A nonce up to the inbound one without a hash has been executed (or cleared, or burned); above it, it has not been committed. */
export function packetState(nonce: bigint, payloadHash: Hex, stored: string, inbound: bigint): PacketState {
  if (stored === zeroHash || size(stored as Hex) === 0) return nonce <= inbound ? 'delivered' : 'open'
  if (stored === NIL_HASH) return 'withdrawn'
  // Another payload under this nonce: the source's reorg has replaced what was committed, and verifying anew mends it.
  return stored === payloadHash ? 'committed' : 'open'
}

/** Whether open packets have been verified already, and whether their path accepts any. */
export async function verificationStates(
  { client, chain }: Pick<ChainContext, 'client' | 'chain'>,
  entries: readonly Pending[],
): Promise<('verifiable' | 'not-initializable' | 'unverified')[]> {
  const results = await readAll(
    client,
    entries.map(
      ({ header, payloadHash }) =>
        ({
          address: chain.layerzero.receiveUlnView,
          abi: receiveUlnViewAbi,
          functionName: 'verifiable',
          args: [header, payloadHash],
        }) as const,
    ),
  )
  return results.map((state) =>
    state === VERIFIABLE ? 'verifiable' : state === NOT_INITIALIZABLE ? 'not-initializable' : 'unverified',
  )
}

/** Confirmations that the destination asks for, by path: the receive side's number binds. */
export async function requiredConfirmations(
  { client, chain }: Pick<ChainContext, 'client' | 'chain'>,
  entries: readonly Pending[],
): Promise<Map<string, bigint>> {
  const paths = new Map(entries.map((entry) => [pathOf(entry.packet), entry.packet]))
  const configs = await readAll(
    client,
    [...paths.values()].map(
      ({ receiver, srcEid }) =>
        ({
          address: chain.layerzero.receiveUln,
          abi: receiveUlnAbi,
          functionName: 'getUlnConfig',
          args: [wordToAddress(receiver), srcEid],
        }) as const,
    ),
  )
  return new Map([...paths.keys()].map((path, i) => [path, configs[i]?.confirmations ?? 0n]))
}
