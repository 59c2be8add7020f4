import { type Hex, keccak256, toHex } from 'viem'
import { privateKeyToAccount, sign } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { type Handover, handoverArgument, handoverDigest } from './handover.js'
import type { Feed } from './network.js'
import {
  encodeQuorum,
  encodeReport,
  feedsHash,
  packPrices,
  type Report,
  reportDigest,
  UNUSABLE_CONFIDENCE,
  unpackPrices,
} from './report.js'
import { compactSignature } from './signature.js'

const networkId = keccak256(toHex('a network of the tests'))
const keys = Array.from({ length: 31 }, (_, i) => keccak256(toHex(`oracle node ${i}`)))

const feeds = (count: number): Feed[] =>
  Array.from({ length: count }, (_, i) => ({ name: `F${i}/USD`, exponent: -(i % 9) - 2, signed: i === 3 }))

function report(epoch: number, seq: bigint, count: number): Report {
  const prices = Array.from({ length: count }, (_, i) => ({
    price: 1_000_000n + 7_919n * BigInt(i) + seq,
    confidence: 3 + i,
  }))
  return { epoch, seq, prices }
}

async function compact(key: Hex, hash: Hex): Promise<Hex> {
  return compactSignature(await sign({ hash, privateKey: key, to: 'hex' }))
}

async function vector(name: string, value: Report, n: number, signers: number[]) {
  const list = feeds(value.prices.length)
  const digest = reportDigest(value, list, networkId)
  const signatures = await Promise.all(
    signers.map(async (signer) => ({ signer, signature: await compact(keys[signer] as Hex, digest) })),
  )
  return {
    name,
    epoch: value.epoch,
    seq: value.seq.toString(),
    feedsHash: feedsHash(list),
    digest,
    feeds: list.map((feed, i) => ({
      name: toHex(feed.name, { size: 32 }),
      exponent: feed.exponent,
      signed: feed.signed,
      price: value.prices[i]?.price.toString(),
      confidence: value.prices[i]?.confidence,
    })),
    words: packPrices(value.prices),
    nodes: keys.slice(0, n).map((key) => ({ key, signer: privateKeyToAccount(key).address })),
    encoded: encodeReport(value, signatures),
  }
}

describe('report codec', () => {
  it('packs and unpacks prices, negative and held ones too', () => {
    const prices = [
      { price: -(2n ** 63n), confidence: 0 },
      { price: 2n ** 63n - 1n, confidence: 0xfffe },
      { price: 0n, confidence: UNUSABLE_CONFIDENCE },
      { price: -1n, confidence: 1 },
    ]
    expect(unpackPrices(packPrices(prices), 4)).toEqual(prices)
    expect(() => unpackPrices(packPrices(prices), 7)).toThrow(RangeError)
  })

  it('makes the handover that the contracts are tested on', async () => {
    const handover: Handover = {
      epoch: 2,
      firstSeq: 1_000n,
      lastSeq: 2_000n,
      configHash: keccak256(toHex('a configuration')),
      signers: keys.slice(4, 8).map((key) => privateKeyToAccount(key).address),
      feeds: feeds(4).map((feed) => ({ ...feed, useAge: 90 })),
    }
    const digest = handoverDigest(handover, networkId)
    const signatures = await Promise.all(
      [3, 0, 1].map(async (signer) => ({ signer, signature: await compact(keys[signer] as Hex, digest) })),
    )
    const vector = {
      networkId,
      signers: keys.slice(0, 4).map((key) => privateKeyToAccount(key).address),
      next: handoverArgument(handover),
      signatures: encodeQuorum(signatures),
    }
    const text = JSON.stringify(vector, (_, value) => (typeof value === 'bigint' ? Number(value) : value), 2)
    await expect(`${text}\n`).toMatchFileSnapshot('../../contracts/test/fixtures/handover.json')
  })

  // The contracts' test stores these: one file, written here, proves that both sides sign and read the same bytes.
  it('makes the vectors that the contracts are tested on', async () => {
    const mixed = report(3, 1_000n, 4)
    mixed.prices[1] = { price: -5n, confidence: 10 }
    mixed.prices[3] = { price: -5n, confidence: 10 }
    mixed.prices[2] = { price: 0n, confidence: UNUSABLE_CONFIDENCE }
    const vectors = {
      networkId,
      reports: [
        await vector('10 feeds, 5 of 7', report(1, 900_000_000n, 10), 7, [6, 0, 2, 3, 5]),
        await vector('4 feeds, one held, two negative of which one may be, 3 of 4', mixed, 4, [0, 1, 3]),
        await vector('48 feeds, 21 of 31', report(7, 12n, 48), 31, [...Array(31).keys()].slice(10)),
      ],
    }
    await expect(`${JSON.stringify(vectors, null, 2)}\n`).toMatchFileSnapshot(
      '../../contracts/test/fixtures/reports.json',
    )
  })
})
