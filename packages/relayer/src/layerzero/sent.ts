import { PermanentError } from '@clearspan/shared'
import { type Address, type Hex, isAddressEqual, type Log, parseEventLogs } from 'viem'
import { endpointAbi, sendUlnAbi } from './abi.js'
import { decodeOptions, type ExecutorOptions, NO_OPTIONS } from './options.js'
import { decodePacket, type Packet } from './packet.js'

export interface Workers {
  endpoint: Address
  sendUln: Address
  dvn: Address
  attestor?: Address | undefined
  executor: Address
}

/** A packet that a source chain sent, and what of it our workers were paid for. */
export interface SentPacket {
  packet: Packet
  options: ExecutorOptions
  /** LayerZero's stock DVN, whose multisig is ours, is among those paid: we verify by it. */
  verify: boolean
  /** So is the Attestor. */
  attest: boolean
  /** Our executor is paid: we execute. */
  execute: boolean
  blockNumber: bigint
  blockHash: Hex
}

const UNPAID = { verify: false, attest: false, execute: false }

/**
 * Packets in the logs of a range (in log order, of the endpoint and its send library, perhaps others). Within a transaction the fee events of
 * a packet come before its PacketSent and after the one before; each event counts only from the contract that may emit it, and a packet only
 * if it went through our send library. A packet that can't be decoded is left out; one whose options
 * can't is not: the packets above it can't be executed before it is committed.
 */
export function sentPackets(
  logs: readonly Log<bigint, number, false>[],
  workers: Workers,
  onInvalid: (error: unknown) => void,
): SentPacket[] {
  const events = parseEventLogs({ abi: [...endpointAbi, ...sendUlnAbi], logs: [...logs], strict: true })
  const packets: SentPacket[] = []
  let paid = { transaction: '', ...UNPAID }
  for (const event of events) {
    if (paid.transaction !== event.transactionHash) paid = { transaction: event.transactionHash, ...UNPAID }
    const fromLibrary = isAddressEqual(event.address, workers.sendUln)
    if (event.eventName === 'DVNFeePaid' && fromLibrary) {
      const { requiredDVNs, optionalDVNs } = event.args
      const isPaid = (worker: Address | undefined) =>
        worker !== undefined && [...requiredDVNs, ...optionalDVNs].some((dvn) => isAddressEqual(dvn, worker))
      paid.verify = isPaid(workers.dvn)
      paid.attest = isPaid(workers.attestor)
    } else if (event.eventName === 'ExecutorFeePaid' && fromLibrary) {
      paid.execute = isAddressEqual(event.args.executor, workers.executor)
    } else if (event.eventName === 'PacketSent' && isAddressEqual(event.address, workers.endpoint)) {
      const { transaction, ...work } = paid
      paid = { transaction, ...UNPAID }
      if (!isAddressEqual(event.args.sendLibrary, workers.sendUln)) continue
      try {
        const packet = decodePacket(event.args.encodedPayload)
        const options = optionsOf(event.args.options)
        const { blockNumber, blockHash } = event
        packets.push({ packet, options, ...work, blockNumber, blockHash })
      } catch (error) {
        onInvalid(error)
      }
    }
  }
  return packets
}

/** Our executor leaves what it can't read. */
function optionsOf(options: Hex): ExecutorOptions {
  try {
    return decodeOptions(options)
  } catch (error) {
    if (error instanceof PermanentError) return { ...NO_OPTIONS, other: true }
    throw error
  }
}
