import { type Report, reportDigest, reportPreimage } from '@clearspan/shared'
import { concatHex, keccak256, toHex } from 'viem'
import { expect, it } from 'vitest'
import { recoverNode } from '../observation/message.js'
import { createSigner } from '../observation/signer.js'
import { createReportBoard } from './board.js'
import { createSlotMachine } from './machine.js'

// Rows of "Hostile inputs" in docs/oracle.md, by number and name.

const FEED = { name: 'ETH/USD', exponent: -8 }
const feeds = [FEED]
const networkId = keccak256(toHex('one network'))
const report: Report = { epoch: 1, seq: 8n, prices: [{ price: 20_000_000_000n, confidence: 5 }] }

it('row 13: seq 7 after 8 → ignored by who publishes reports (LayerZero and the chain: see there)', () => {
  const oracle = { epoch: 1, slotMs: 1_000, feeds, nodes: [] }
  const board = createReportBoard({ oracle } as unknown as Parameters<typeof createReportBoard>[0], {
    now: () => 8_000,
    sleep: async () => {},
  })
  const heard: string[] = []
  board.subscribe(({ seq }) => heard.push(seq))
  board.add(report, [])
  board.add({ ...report, seq: 7n }, [])
  expect(board.latest()?.seq).toBe('8')
  expect(heard).toEqual(['8'])
})

it('row 14: one digest for every chain of the network → accepted by design; another network, epoch, slot or feed set → another digest, which nobody signed', () => {
  const digest = reportDigest(report, feeds, networkId)
  // No chain and no address goes in: what a quorum signed is meant for all chains.
  expect(reportDigest(report, feeds, networkId)).toBe(digest)
  const others = [
    reportDigest(report, feeds, keccak256(toHex('another network'))),
    reportDigest({ ...report, epoch: 2 }, feeds, networkId),
    reportDigest({ ...report, seq: 9n }, feeds, networkId),
    reportDigest(report, [{ ...FEED, name: 'BTC/USD' }], networkId),
    reportDigest(report, [{ ...FEED, exponent: -9 }], networkId),
  ]
  expect(new Set([digest, ...others]).size).toBe(6)
})

it('row 15: duplicate signer → one of the quorum, not two', () => {
  const machine = createSlotMachine({
    ...{ index: 0, nodes: 4, quorum: 3, feeds: 1, epoch: 1, slotMs: 1_000, maxClockSkewMs: 100 },
    ...{ proposeFraction: 0.25, deadlineFraction: 0.6 },
    slots: () => ({ first: 0n, last: 2n ** 64n - 1n }),
  })
  const digest = reportDigest(report, feeds, networkId)
  const sign = (from: number) => {
    const message = { ...report, signature: toHex(from, { size: 64 }) }
    return machine.receive({ kind: 'signature', from, digest, message }, 8_500).effects
  }
  expect([1, 2, 2, 1].flatMap(sign)).toEqual([])
  expect(sign(3)).toMatchObject([
    { type: 'finish', signatures: [{ signer: 1 }, { signer: 2 }, { signer: 3 }] },
  ])
})

it('row 15: high-s and the other v (s becomes n − s, the parity the other) → nobody’s signature', async () => {
  const signer = createSigner(keccak256(toHex('incident')))
  const oracle = {
    epoch: 1,
    slotMs: 1_000,
    feeds,
    nodes: [{ url: 'http://127.0.0.1', signer: signer.address }],
  }
  const digest = reportDigest(report, feeds, networkId)
  const signature = await signer.sign(reportPreimage(report, feeds, networkId))
  expect(await recoverNode(digest, signature, oracle)).toBe(0)
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
  const word = BigInt(`0x${signature.slice(66)}`)
  const parity = word >> 255n
  const low = word - (parity << 255n)
  for (const other of [(n - low) | ((1n - parity) << 255n), low | ((1n - parity) << 255n)]) {
    const malleable = concatHex([
      `0x${signature.slice(2, 66)}`,
      toHex(BigInt.asUintN(256, other), { size: 32 }),
    ])
    expect(await recoverNode(digest, malleable, oracle)).toBeNull()
  }
})
