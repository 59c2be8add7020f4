// Messages between two chains over LayerZero's own contracts: operators of the Attestor sign each packet, and anybody delivers it.
import {
  type Address,
  concatHex,
  type Hex,
  keccak256,
  parseAbi,
  parseEther,
  parseEventLogs,
  sliceHex,
} from 'viem'
import { roles } from '../deployed.test-util.js'
import { type Place, read, send } from './calls.test-util.js'

/** Enough for any message; the endpoint gives the rest back. */
export const FEE = parseEther('0.1')
const HEADER_BYTES = 81
const GUID_END = HEADER_BYTES + 32
/** Of any lzReceive here. */
const RECEIVE_GAS = 1_000_000n
const THRESHOLD = 2

const endpointAbi = parseAbi([
  'event PacketSent(bytes encodedPayload, bytes options, address sendLibrary)',
  'event PacketDelivered((uint32 srcEid, bytes32 sender, uint64 nonce) origin, address receiver)',
])

export function createCarrier(
  places: readonly [Place, Place],
  { endpoint, receiveUln }: { endpoint: Address; receiveUln: Address },
) {
  const [first, second] = places
  const ways = [
    { from: first, to: second, read: 0n },
    { from: second, to: first, read: 0n },
  ]

  async function attest(to: Place, header: Hex, payloadHash: Hex) {
    const { number, timestamp } = await to.chain.client.getBlock()
    if (number === null) throw new RangeError('a block without a number')
    const attestation = {
      root: await read(to, to.attestor, 'leafOf', [header, payloadHash, 1n]),
      receiveLibrary: receiveUln,
      expiry: timestamp + 3_600n,
      operatorSet: await read(to, to.attestor, 'operatorSet'),
    }
    const hash = (await read(to, to.attestor, 'attestationDigest', [attestation])) as Hex
    const signers = roles.attestors
      .map(({ account }) => account)
      .sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1))
      .slice(0, THRESHOLD)
    const signatures = await Promise.all(signers.map((account) => account.sign({ hash })))
    return [attestation, concatHex(signatures)]
  }

  async function deliver(to: Place, packet: Hex): Promise<number> {
    const header = sliceHex(packet, 0, HEADER_BYTES)
    const message = sliceHex(packet, GUID_END)
    const attested = await attest(to, header, keccak256(sliceHex(packet, HEADER_BYTES)))
    const packets = [{ header, message, confirmations: 1n, gas: RECEIVE_GAS }]
    const { logs } = await send(to, roles.operator, to.attestor, 'deliver', [...attested, packets, [], []])
    return parseEventLogs({ abi: endpointAbi, logs, eventName: 'PacketDelivered' }).length
  }

  return {
    /** Delivers what either chain has sent since the last time. Answers how many packets arrived. */
    async carry(): Promise<number> {
      let count = 0
      for (const way of ways) {
        const { client } = way.from.chain
        const toBlock = await client.getBlockNumber()
        const range = { fromBlock: way.read + 1n, toBlock }
        const logs = await client.getLogs({ address: endpoint, event: endpointAbi[0], ...range })
        way.read = toBlock
        for (const { args } of logs) count += await deliver(way.to, args.encodedPayload!)
      }
      return count
    },
    /** After a chain was set back: nothing that was sent so far is delivered any more. */
    async forget(): Promise<void> {
      for (const way of ways) way.read = await way.from.chain.client.getBlockNumber()
    },
  }
}
