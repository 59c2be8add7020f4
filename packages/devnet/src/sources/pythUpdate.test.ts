import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { concatHex, type Hex, hexToBigInt, hexToNumber, keccak256, sliceHex } from 'viem'
import { expect, test } from 'vitest'
import { sharedDirectory } from '../prices/testData.js'
import { createAccumulator, type PythPrice } from './pythUpdate.js'

/** Reads an accumulator update from front to back. */
function decode(update: Hex) {
  let at = 0
  const take = (size: number): Hex => {
    at += size
    return size === 0 ? '0x' : sliceHex(update, at - size, at)
  }
  const number = (size: number) => hexToNumber(take(size))
  expect(take(4)).toBe('0x504e4155')
  const version = [number(1), number(1)]
  take(number(1))
  expect(number(1)).toBe(0)
  const vaa = take(number(2))
  const signatures = hexToNumber(sliceHex(vaa, 5, 6))
  const body = sliceHex(vaa, 6 + signatures * 66)
  const messages = Array.from({ length: number(1) }, () => {
    const message = take(number(2))
    return { message, proof: Array.from({ length: number(1) }, () => take(20)) }
  })
  expect(at).toBe((update.length - 2) / 2)
  return {
    version,
    signatures,
    emitterChain: hexToNumber(sliceHex(body, 8, 10)),
    emitter: sliceHex(body, 10, 42),
    magic: sliceHex(body, 51, 55),
    kind: sliceHex(body, 55, 56),
    slot: hexToBigInt(sliceHex(body, 56, 64)),
    ringSize: hexToNumber(sliceHex(body, 64, 68)),
    root: sliceHex(body, 68, 88),
    bodyBytes: (body.length - 2) / 2,
    messages,
  }
}

/** The root that a message and its proof lead to. */
function climb({ message, proof }: { message: Hex; proof: Hex[] }): Hex {
  const hash = (data: Hex) => sliceHex(keccak256(data), 0, 20)
  return proof.reduce(
    (node, other) => hash(concatHex(['0x01', ...(node < other ? [node, other] : [other, node])])),
    hash(concatHex(['0x00', message])),
  )
}

function prices(count: number): PythPrice[] {
  return Array.from({ length: count }, (_, i) => ({
    id: (i + 1).toString(16).padStart(64, 'e'),
    price: 5_301_14000000n + BigInt(i),
    conf: 7n,
    expo: -8,
    publishTime: 1_583_712_000 + i,
    prevPublishTime: 1_583_711_999,
    emaPrice: 5_302_00000000n,
    emaConf: 8n,
    slot: 1000 + i,
  }))
}

const updateOf = (all: PythPrice[]) => createAccumulator(all).update(all.map(({ id }) => id))

test.each([1, 2, 3, 5, 8, 17])('every proof of %i messages leads to the root', (count) => {
  const update = decode(updateOf(prices(count)))
  expect(update.messages).toHaveLength(count)
  for (const message of update.messages) expect(climb(message)).toBe(update.root)
  expect(update.signatures).toBe(2)
  expect(update.slot).toBe(BigInt(999 + count))
})

const fixtures = sharedDirectory('fixtures')
test.skipIf(fixtures === undefined)(
  'the frame is that of a real update, but for the number of signatures',
  () => {
    const { response_v2_updates_price_latest: real } = JSON.parse(
      readFileSync(join(fixtures!, 'pyth_hermes_v2_verbatim.json'), 'utf8'),
    )
    const recorded = decode(`0x${real.binary.data[0]}`)
    for (const message of recorded.messages) expect(climb(message)).toBe(recorded.root)
    const first = real.parsed[0]
    const ours = decode(
      updateOf([
        {
          id: first.id,
          price: BigInt(first.price.price),
          conf: BigInt(first.price.conf),
          expo: first.price.expo,
          publishTime: first.price.publish_time,
          prevPublishTime: first.metadata.prev_publish_time,
          emaPrice: BigInt(first.ema_price.price),
          emaConf: BigInt(first.ema_price.conf),
          slot: first.metadata.slot,
        },
      ]),
    )
    expect(ours.messages[0]!.message).toBe(recorded.messages[0]!.message)
    const shape = ({
      version,
      emitterChain,
      emitter,
      magic,
      kind,
      slot,
      ringSize,
      bodyBytes,
    }: typeof ours) => ({
      version,
      emitterChain,
      emitter,
      magic,
      kind,
      slot,
      ringSize,
      bodyBytes,
    })
    expect(shape(ours)).toEqual(shape(recorded))
  },
)
