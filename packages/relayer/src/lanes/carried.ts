import { type Chain, RetryableError } from '@clearspan/shared'
import { type Address, isAddressEqual, type Log, pad, parseEventLogs, zeroHash } from 'viem'
import { agreedAnswer } from '../chains/agreed.js'
import { endpointAbi } from '../layerzero/abi.js'
import { decodePacket, endsOf, pathOf } from '../layerzero/packet.js'
import { type Configured, packetStates } from '../layerzero/state.js'

/** The path from a contract of one chain to one of another, as `pathOf` has it. */
export function pathBetween(source: Chain, sender: Address, destination: Chain, receiver: Address): string {
  const word = (address: Address) => pad(address.toLowerCase() as Address)
  return `${source.eid}:${word(sender)}:${destination.eid}:${word(receiver)}`
}

/** Nonce of the packet that a transaction of ours sent on a path; undefined where none was needed. */
export function nonceSent(logs: readonly Log[], { layerzero }: Chain, path: string): bigint | undefined {
  return parseEventLogs({ abi: endpointAbi, eventName: 'PacketSent', logs: [...logs] })
    .filter(({ address }) => isAddressEqual(address, layerzero.endpoint))
    .map(({ args }) => decodePacket(args.encodedPayload))
    .find((packet) => pathOf(packet) === path)?.nonce
}

/**
 * Which nonces of a path are used up on its destination, by more than half of its nodes: what such a packet carried has arrived, or never will.
 * A source that reorged deeper than anybody waits gives nonces again that its destination has executed. None without such a majority: then what
 * was sent is sent again after a while.
 */
export async function usedUp(
  destination: Configured,
  path: string,
  nonces: readonly bigint[],
): Promise<ReadonlySet<bigint>> {
  const asked = [...new Set(nonces)]
  if (asked.length === 0) return new Set()
  const packets = asked.map((nonce) => ({ packet: { ...endsOf(path), nonce }, payloadHash: zeroHash }))
  try {
    const states = await agreedAnswer(destination, async (client) =>
      (await packetStates({ client, chain: destination.chain }, packets)).map(({ state }) => state),
    )
    return new Set(asked.filter((_, i) => states[i] === 'delivered'))
  } catch (error) {
    if (error instanceof RetryableError) return new Set()
    throw error
  }
}
