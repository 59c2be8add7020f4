import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import {
  type AbiEvent,
  type Address,
  concatHex,
  decodeEventLog,
  encodeAbiParameters,
  getAddress,
  type Hex,
  hexToBigInt,
  keccak256,
  numberToHex,
  pad,
  sliceHex,
  toEventSelector,
  toHex,
} from 'viem'
import { expect, it } from 'vitest'
import type { ChainLog } from '../chains/feed.js'
import { endpointAbi, sendUlnAbi } from './abi.js'
import { admit } from './admission.js'
import { decodePacket, encodePacket, packetGuid, packetHeader } from './packet.js'
import { sentPackets } from './sent.js'

const address = (n: number) => pad(numberToHex(n), { size: 20 })
const workers = {
  endpoint: address(1),
  sendUln: address(2),
  dvn: address(3),
  executor: address(4),
  attestor: address(5),
}
const stranger = address(9)

let logIndex = 0
function log(from: Address, event: AbiEvent, values: readonly unknown[], transaction: number): ChainLog {
  return {
    address: from,
    topics: [toEventSelector(event)],
    data: encodeAbiParameters(event.inputs, values),
    blockNumber: 7n,
    blockHash: pad('0x7'),
    blockTimestamp: 0n,
    transactionHash: pad(numberToHex(transaction)),
    transactionIndex: transaction,
    logIndex: logIndex++,
    removed: false,
  }
}
const event = (name: string) =>
  [...endpointAbi, ...sendUlnAbi].find((item) => 'name' in item && item.name === name) as AbiEvent
const options: Hex = '0x0003010011010000000000000000000000000000c350'

function packet(nonce: bigint) {
  const key = { nonce, srcEid: 1, sender: pad(address(5)), dstEid: 2, receiver: pad(address(6)) }
  return { ...key, guid: packetGuid(key), message: '0xc0ffee' as const }
}
const dvnPaid = (from: Address, dvn: Address, tx: number) =>
  log(from, event('DVNFeePaid'), [[dvn], [], [1n]], tx)
const executorPaid = (from: Address, executor: Address, tx: number) =>
  log(from, event('ExecutorFeePaid'), [executor, 1n], tx)
const sent = (from: Address, library: Address, nonce: bigint, tx: number, given = options) =>
  log(from, event('PacketSent'), [encodePacket(packet(nonce)), given, library], tx)

function outcome(logs: ChainLog[]) {
  const errors: unknown[] = []
  const packets = sentPackets(logs, workers, (error) => errors.push(error))
  expect(errors).toEqual([])
  return packets.map(({ packet: { nonce }, verify, execute }) => ({ nonce, verify, execute }))
}
const { endpoint, sendUln, dvn, executor } = workers

it('segments the fee events of several packets in one transaction', () => {
  const logs = [
    executorPaid(sendUln, executor, 1),
    dvnPaid(sendUln, dvn, 1),
    sent(endpoint, sendUln, 1n, 1),
    executorPaid(sendUln, stranger, 1),
    dvnPaid(sendUln, stranger, 1),
    sent(endpoint, sendUln, 2n, 1),
    dvnPaid(sendUln, dvn, 1),
    sent(endpoint, sendUln, 3n, 1),
  ]
  expect(outcome(logs)).toEqual([
    { nonce: 1n, verify: true, execute: true },
    { nonce: 2n, verify: false, execute: false },
    { nonce: 3n, verify: true, execute: false },
  ])
})

it('believes fee events of the send library alone, and lets none leak into the next transaction', () => {
  const logs = [
    executorPaid(stranger, executor, 1),
    dvnPaid(stranger, dvn, 1),
    sent(endpoint, sendUln, 1n, 1),
    dvnPaid(sendUln, dvn, 2),
    sent(endpoint, sendUln, 2n, 3),
  ]
  expect(outcome(logs)).toEqual([
    { nonce: 1n, verify: false, execute: false },
    { nonce: 2n, verify: false, execute: false },
  ])
})

it("leaves out a stranger's PacketSent, another library's packet, and one that can't be decoded", () => {
  const errors: unknown[] = []
  const bad = log(endpoint, event('PacketSent'), ['0x0102', options, sendUln], 3)
  const logs = [
    sent(stranger, sendUln, 1n, 1),
    dvnPaid(sendUln, dvn, 2),
    sent(endpoint, stranger, 2n, 2),
    bad,
    sent(endpoint, sendUln, 4n, 4),
  ]
  const packets = sentPackets(logs, workers, (error) => errors.push(error))
  expect(packets.map(({ packet: { nonce } }) => nonce)).toEqual([4n])
  expect(errors).toHaveLength(1)
})

it('whatever a packet has for options, it is verified where that is paid for, and executed only if they can be read', () => {
  const anyOptions = fc.uint8Array({ maxLength: 100 }).map((bytes) => toHex(bytes))
  const legacy = concatHex(['0x0001', numberToHex(50_000, { size: 32 })])
  const limits = { gas: 15_000_000n, value: 0n }
  const admitted = (given: Hex) => {
    const logs = [
      executorPaid(sendUln, executor, 1),
      dvnPaid(sendUln, dvn, 1),
      sent(endpoint, sendUln, 1n, 1, given),
    ]
    const [found] = sentPackets(logs, workers, (error) => expect.unreachable(String(error)))
    return admit(found!, { isOwn: false, carriesForeign: true, limits })
  }
  expect(admitted(legacy)).toMatchObject({ verify: true, execute: true, refusal: undefined })
  expect(admitted('0x0009')).toMatchObject({
    verify: true,
    execute: false,
    refusal: 'unsupported-options',
  })
  fc.assert(
    fc.property(anyOptions, (given) => {
      const { verify, execute, refusal } = admitted(given)
      expect([verify, execute]).toEqual([true, refusal === undefined])
    }),
  )
})

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const fixtures = join(process.env.CLEARSPAN_SHARED ?? join(root, '../shared'), 'fixtures')
const present = existsSync(fixtures)
if (!present) {
  if (process.env.CI === 'true') throw new Error(`no fixtures at ${fixtures}: set CLEARSPAN_SHARED`)
  console.warn(`skipped: recorded logs, because ${fixtures} is absent (set CLEARSPAN_SHARED)`)
}

interface RecordedLog {
  event: string
  data?: Hex
  log?: Omit<ChainLog, 'blockNumber'> & { blockNumber: Hex }
}
const recorded = <T>(name: string): T => JSON.parse(readFileSync(join(fixtures, name), 'utf8'))
const logsOf = (name: string) =>
  recorded<{ logs: RecordedLog[] }>('layerzero_v2_logs.json').logs.filter(({ event }) => event === name)
const { vectors } = present
  ? recorded<{ vectors: { encodedPacket: Hex; options?: Hex; sendLibrary?: Address }[] }>(
      'layerzero_v2_packets.json',
    )
  : { vectors: [] }

it.skipIf(!present)('reads a recorded PacketSent log', () => {
  const raw = logsOf('PacketSent')[0]!.log!
  const whole: ChainLog = {
    ...raw,
    blockNumber: hexToBigInt(raw.blockNumber),
    logIndex: Number(raw.logIndex),
    transactionIndex: Number(raw.transactionIndex),
  }
  const library: Address = '0xC39161c743D0307EB9BCc9FEF03eeb9Dc4802de7'
  const [found] = sentPackets([whole], { ...workers, endpoint: raw.address, sendUln: library }, () => {})
  expect(found).toMatchObject({
    packet: { nonce: 3244n, srcEid: 30327, dstEid: 30111 },
    options: { gas: 105_000n, value: 0n, other: false },
    blockNumber: 0x1d74c5n,
  })
})

it.skipIf(!present)('decodes every recorded event of the endpoint to the last field', () => {
  const decode = ({ event: name, data, log: raw }: RecordedLog) => {
    const topics: [Hex] = [toEventSelector(event(name))]
    // A log whose topics were kept shows that the signature is the real one.
    if (raw) expect(raw.topics).toEqual(topics)
    return decodeEventLog({ abi: endpointAbi, topics, data: raw?.data ?? data ?? '0x' }).args
  }
  const sentArgs = (at: number) => {
    const { encodedPacket: encodedPayload, options, sendLibrary } = vectors[at]!
    return { encodedPayload, options, sendLibrary }
  }
  expect(logsOf('PacketSent').map(decode)).toEqual([sentArgs(0), sentArgs(1)])
  expect(logsOf('PacketDelivered').map(decode)).toEqual([
    {
      origin: {
        srcEid: 30_184,
        sender: pad('0x5634c4a5fed09819e3c46d86a965dd9447d86e47'),
        nonce: 13_024n,
      },
      receiver: getAddress('0x06eb48763f117c7be887296cdcdfad2e4092739c'),
    },
    {
      origin: {
        srcEid: 30_110,
        sender: pad('0x19cfce47ed54a88614648dc3f19a5980097007dd'),
        nonce: 607_540n,
      },
      receiver: getAddress('0x5634c4a5fed09819e3c46d86a965dd9447d86e47'),
    },
  ])
  expect(logsOf('PacketVerified').map(decode)).toEqual([
    {
      origin: {
        srcEid: 30_110,
        sender: pad('0x896e3a0f5c499c72ded0cd59a6c0162a5172c1e4'),
        nonce: 8_533n,
      },
      receiver: getAddress('0xcee9b58c2cdb01b8bf75a27e96ec09bf885ef55a'),
      payloadHash: '0xd8bf06400f12b0a4da2c4fa069b04b6106d52f5bdb2c0db14a0cd89e95b16578',
    },
  ])
})

it.skipIf(!present)('recorded headers with 32-byte receivers survive reading and writing', () => {
  const { headersOnly } = recorded<{ headersOnly: { header: Hex }[] }>('layerzero_v2_logs.json')
  const read = headersOnly.map(({ header }) => decodePacket(concatHex([header, guidOf(header)])))
  expect(read.map(packetHeader)).toEqual(headersOnly.map(({ header }) => header))
  expect(read).toMatchObject([
    { nonce: 32n, srcEid: 30_101, dstEid: 30_600 },
    { nonce: 16n, srcEid: 30_101, dstEid: 30_378 },
  ])
})

/** A guid is the hash of all of a header but its version. */
const guidOf = (header: Hex) => keccak256(sliceHex(header, 1))
