import { PermanentError } from '@clearspan/shared'
import { concatHex, type Hex, hexToNumber, isHex, keccak256, numberToHex, size, sliceHex } from 'viem'

/** Bytes before the guid: `version u8 | nonce u64 | srcEid u32 | sender b32 | dstEid u32 | receiver b32`. */
const HEADER_BYTES = 81
const GUID_END = HEADER_BYTES + 32
const VERSION = 1

/** A LayerZero V2 packet (PacketV1Codec). Addresses are left-padded 32-byte words; all hex is lower case. */
export interface Packet {
  nonce: bigint
  srcEid: number
  sender: Hex
  dstEid: number
  receiver: Hex
  guid: Hex
  message: Hex
}

/** `keccak256(nonce u64 | srcEid u32 | sender b32 | dstEid u32 | receiver b32)`: it doesn't cover the message. */
export function packetGuid({
  nonce,
  srcEid,
  sender,
  dstEid,
  receiver,
}: Omit<Packet, 'guid' | 'message'>): Hex {
  return keccak256(
    concatHex([
      numberToHex(nonce, { size: 8 }),
      numberToHex(srcEid, { size: 4 }),
      sender,
      numberToHex(dstEid, { size: 4 }),
      receiver,
    ]),
  )
}

/** The first 81 bytes, which a DVN verifies together with the payload's hash. */
export function packetHeader({ nonce, srcEid, sender, dstEid, receiver }: Packet): Hex {
  return concatHex([
    numberToHex(VERSION, { size: 1 }),
    numberToHex(nonce, { size: 8 }),
    numberToHex(srcEid, { size: 4 }),
    sender,
    numberToHex(dstEid, { size: 4 }),
    receiver,
  ]).toLowerCase() as Hex
}

/** `keccak256(guid | message)`. */
export function payloadHash({ guid, message }: Pick<Packet, 'guid' | 'message'>): Hex {
  return keccak256(concatHex([guid, message]))
}

/** Packet as PacketSent carries it. */
export function encodePacket(packet: Packet): Hex {
  return concatHex([packetHeader(packet), packet.guid, packet.message])
}

/**
 * Reads PacketSent's `encodedPayload`.
 * @throws PermanentError when it is too short, of another version, or its guid is not that of its header.
 */
export function decodePacket(encoded: Hex): Packet {
  const bytes = encoded.toLowerCase() as Hex
  if (!isHex(bytes) || size(bytes) < GUID_END)
    throw new PermanentError(`a packet has at least ${GUID_END} bytes, this one ${size(bytes)}`)
  const version = hexToNumber(sliceHex(bytes, 0, 1))
  if (version !== VERSION) throw new PermanentError(`packet version ${version} is unknown`)
  const packet: Packet = {
    nonce: BigInt(sliceHex(bytes, 1, 9)),
    srcEid: hexToNumber(sliceHex(bytes, 9, 13)),
    sender: sliceHex(bytes, 13, 45),
    dstEid: hexToNumber(sliceHex(bytes, 45, 49)),
    receiver: sliceHex(bytes, 49, HEADER_BYTES),
    guid: sliceHex(bytes, HEADER_BYTES, GUID_END),
    message: size(bytes) === GUID_END ? '0x' : sliceHex(bytes, GUID_END),
  }
  if (packetGuid(packet) !== packet.guid) throw new PermanentError(`packet ${packet.guid} has a foreign guid`)
  return packet
}

/** One direction between two contracts: nonces count along it. */
export function pathOf({
  srcEid,
  sender,
  dstEid,
  receiver,
}: Pick<Packet, 'srcEid' | 'sender' | 'dstEid' | 'receiver'>): string {
  return `${srcEid}:${sender}:${dstEid}:${receiver}`
}

/** The ends of a path, by its `pathOf`. */
export function endsOf(path: string): Pick<Packet, 'srcEid' | 'sender' | 'dstEid' | 'receiver'> {
  const [srcEid, sender, dstEid, receiver] = path.split(':') as [string, Hex, string, Hex]
  return { srcEid: Number(srcEid), sender, dstEid: Number(dstEid), receiver }
}
