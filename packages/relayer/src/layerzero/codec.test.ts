import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PermanentError } from '@clearspan/shared'
import fc from 'fast-check'
import { concatHex, type Hex, numberToHex, pad, toHex } from 'viem'
import { describe, expect, it } from 'vitest'
import { decodeOptions, type ExecutorOptions } from './options.js'
import { decodePacket, encodePacket, packetGuid, packetHeader, payloadHash } from './packet.js'

const root = fileURLToPath(new URL('../../../../', import.meta.url))
const fixtures = join(process.env.CLEARSPAN_SHARED ?? join(root, '../shared'), 'fixtures')
const present = existsSync(fixtures)
if (!present) {
  if (process.env.CI === 'true') throw new Error(`no fixtures at ${fixtures}: set CLEARSPAN_SHARED`)
  console.warn(`skipped: recorded packets, because ${fixtures} is absent (set CLEARSPAN_SHARED)`)
}

interface Vector {
  name: string
  encodedPacket: Hex
  options?: Hex
  nonce: string
  srcEid: number
  sender: Hex
  dstEid: number
  receiver: Hex
  guid: Hex
  message: Hex
  header: Hex
  payloadHash: Hex
  guidOk: boolean
}

const vectors: Vector[] = present
  ? JSON.parse(readFileSync(join(fixtures, 'layerzero_v2_packets.json'), 'utf8')).vectors
  : []

describe.skipIf(!present)('recorded packets', () => {
  it.each(vectors.filter(({ guidOk }) => guidOk))('$name', (vector) => {
    const packet = decodePacket(vector.encodedPacket)
    const { nonce, srcEid, sender, dstEid, receiver, guid, message } = vector
    expect(packet).toEqual({ nonce: BigInt(nonce), srcEid, sender, dstEid, receiver, guid, message })
    expect(packetHeader(packet)).toBe(vector.header)
    expect(payloadHash(packet)).toBe(vector.payloadHash)
    expect(encodePacket(packet)).toBe(vector.encodedPacket)
  })

  it('refuses a packet whose guid is not its own', () => {
    const foreign = vectors.find(({ guidOk }) => !guidOk)
    expect(() => decodePacket(foreign!.encodedPacket)).toThrow(PermanentError)
  })

  it('adds up the lzReceive gas of enforced and extra options', () => {
    const gas = vectors.flatMap(({ options }) => (options === undefined ? [] : [decodeOptions(options).gas]))
    expect(gas).toEqual([50_000n + 55_000n, 150_000n, 200_000n])
  })
})

const word = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => toHex(bytes))
const eid = fc.integer({ min: 1, max: 2 ** 32 - 1 })
const path = fc.record({
  nonce: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }),
  srcEid: eid,
  sender: word,
  dstEid: eid,
  receiver: word,
})

describe('packets', () => {
  it('decodes what it encodes, and nothing shorter', () => {
    fc.assert(
      fc.property(path, fc.uint8Array({ maxLength: 200 }), (key, bytes) => {
        const packet = { ...key, guid: packetGuid(key), message: toHex(bytes) }
        const encoded = encodePacket(packet)
        expect(decodePacket(encoded)).toEqual(packet)
        expect(() => decodePacket(encoded.slice(0, 2 + 2 * 112) as Hex)).toThrow(PermanentError)
      }),
    )
  })

  it('refuses another version and any change of the header', () => {
    const key = { nonce: 1n, srcEid: 1, sender: pad('0x1'), dstEid: 2, receiver: pad('0x2') }
    const encoded = encodePacket({ ...key, guid: packetGuid(key), message: '0x' })
    expect(() => decodePacket(`0x02${encoded.slice(4)}`)).toThrow(/version 2/)
    expect(() => decodePacket(`0x010000000000000002${encoded.slice(20)}`)).toThrow(/foreign guid/)
  })
})

const amount = fc.bigInt({ min: 0n, max: 2n ** 100n })
const word16 = (value: bigint) => numberToHex(value, { size: 16 })
const optionalWord = (value: bigint | null) => (value === null ? '0x' : word16(value))
type Asked = Partial<ExecutorOptions> & { bytes: Hex }
const lzReceive = fc.record({ gas: amount, value: fc.option(amount) }).map(
  ({ gas, value }): Asked => ({
    gas,
    value: value ?? 0n,
    bytes: option(1, concatHex(['0x01', word16(gas), optionalWord(value)])),
  }),
)
const ordered = fc.constant<Asked>({ ordered: true, bytes: option(1, '0x04') })
const compose = fc
  .record({ index: fc.integer({ min: 0, max: 2 }), gas: amount, value: fc.option(amount) })
  .map(
    ({ index, gas, value }): Asked => ({
      composes: [{ index, gas, value: value ?? 0n }],
      bytes: option(
        1,
        concatHex(['0x03', numberToHex(index, { size: 2 }), word16(gas), optionalWord(value)]),
      ),
    }),
  )
const nativeDrop = fc.record({ amount, receiver: word }).map(
  (drop): Asked => ({
    drops: [drop],
    bytes: option(1, concatHex(['0x02', word16(drop.amount), drop.receiver])),
  }),
)
const unknown = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((body): Asked => ({ other: true, bytes: option(1, concatHex(['0x05', toHex(body)])) }))
const dvnOption = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((body): Asked => ({ bytes: option(2, toHex(body)) }))

function option(worker: number, body: Hex): Hex {
  return concatHex([numberToHex(worker, { size: 1 }), numberToHex((body.length - 2) / 2, { size: 2 }), body])
}

describe('options', () => {
  it('sums gas and value by lzReceive and by compose index, keeps every drop, skips other workers, marks what is not ours', () => {
    const any = fc.oneof(lzReceive, ordered, compose, nativeDrop, unknown, dvnOption)
    fc.assert(
      fc.property(fc.array(any, { maxLength: 8 }), (list) => {
        const sum = (key: 'gas' | 'value') => list.reduce((total, item) => total + (item[key] ?? 0n), 0n)
        const composes = new Map<number, { index: number; gas: bigint; value: bigint }>()
        for (const { index, gas, value } of list.flatMap((item) => item.composes ?? [])) {
          const known = composes.get(index) ?? { index, gas: 0n, value: 0n }
          composes.set(index, { index, gas: known.gas + gas, value: known.value + value })
        }
        expect(decodeOptions(concatHex(['0x0003', ...list.map(({ bytes }) => bytes)]))).toEqual({
          gas: sum('gas'),
          value: sum('value'),
          drops: list.flatMap((item) => item.drops ?? []),
          composes: [...composes.values()],
          ordered: list.some((item) => item.ordered),
          other: list.some((item) => item.other),
        })
      }),
    )
  })

  it.each([
    '0x',
    '0x0001',
    '0x0000',
    '0x0004',
    '0x000301',
    '0x00030100110100',
    '0x0003010000',
    '0x00030100020100',
    '0x00030100020200',
    '0x0003010003030000',
    '0x000301000204ff',
  ] as const)('refuses %s', (options) => {
    expect(() => decodeOptions(options)).toThrow(PermanentError)
  })

  it('reads the older types as the type 3 that SendUln302 makes of them', () => {
    const receiver = fc.uint8Array({ minLength: 1, maxLength: 32 }).map((bytes) => toHex(bytes))
    const word32 = (value: bigint) => numberToHex(value, { size: 32 })
    fc.assert(
      fc.property(amount, amount, receiver, (gas, drop, to) => {
        const received = option(1, concatHex(['0x01', word16(gas)]))
        const dropped = option(1, concatHex(['0x02', word16(drop), pad(to)]))
        const legacy = (type: Hex, ...rest: Hex[]) => decodeOptions(concatHex([type, word32(gas), ...rest]))
        expect(legacy('0x0001')).toEqual(decodeOptions(concatHex(['0x0003', received])))
        expect(legacy('0x0002', word32(drop), to)).toEqual(
          decodeOptions(concatHex(['0x0003', received, dropped])),
        )
        const above = word32(2n ** 128n + drop)
        for (const refused of [
          ['0x0001', above],
          ['0x0001', word32(gas), '0x00'],
          ['0x0002', above, word32(drop), to],
          ['0x0002', word32(gas), above, to],
          ['0x0002', word32(gas), word32(drop)],
          ['0x0002', word32(gas), word32(drop), pad(to, { size: 33 })],
        ] as const)
          expect(() => decodeOptions(concatHex([...refused]))).toThrow(PermanentError)
      }),
    )
  })

  it('never loops or throws anything else, whatever the bytes', () => {
    const type = fc.constantFrom<Hex>('0x0001', '0x0002', '0x0003', '0x')
    fc.assert(
      fc.property(type, fc.uint8Array({ maxLength: 100 }), (head, bytes) => {
        try {
          decodeOptions(concatHex([head, toHex(bytes)]))
        } catch (error) {
          expect(error).toBeInstanceOf(PermanentError)
        }
      }),
    )
  })
})
