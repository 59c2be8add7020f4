import { createLogger } from '@clearspan/shared'
import { keccak256, zeroHash } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { describe, expect, it, vi } from 'vitest'
import { KEPT_SLOTS } from './report/machine.js'
import { createSlots, rotate, type SlotsParameters } from './rotation.js'
import { manualClock } from './sources/venue.test-util.js'

const SLOT_MS = 1_000
const signer = privateKeyToAddress(keccak256('0x'))
const oracleOf = (epoch: number) => ({
  ...{ epoch, slotMs: SLOT_MS, feeds: [{ name: 'ETH/USD', exponent: -8 }] },
  nodes: Array.from({ length: 4 }, () => ({ url: 'http://127.0.0.1', signer })),
})
const next = (by: 'handover' | 'timelock', epoch = 2, firstSeq = 100) => ({
  ...{ by, oracle: oracleOf(epoch), firstSeq, lastSeq: firstSeq + 99, useAges: [120] },
})
const LAST = 2n ** 64n - 1n

interface Known {
  next?: SlotsParameters['config']['next']
  firstSeq?: number
  lastSeq?: number
  /** Epochs and first slots that the key has signed for. */
  signed?: [epoch: number, firstSeq: bigint][]
  /** Finished handovers on disk. */
  finished?: [epoch: number, firstSeq: number][]
}

function slotsOf({ signed = [], finished = [], ...config }: Known) {
  return createSlots({
    config: { oracle: oracleOf(1), ...config },
    journal: {
      successors: () => signed.map(([epoch, firstSeq]) => ({ epoch, firstSeq, digest: zeroHash })),
    },
    archive: {
      all: () =>
        finished.map(([epoch, firstSeq]) => ({ ...next('handover', epoch, firstSeq), signatures: '0x' })),
    },
  })
}

describe('slots of an epoch', () => {
  it.each<[string, Known, { last: bigint; following: [bigint, bigint] | null }]>([
    ['nothing is signed: it goes on', { next: next('handover') }, { last: LAST, following: null }],
    [
      'this key signed the handover: over, finished or not',
      { next: next('handover'), signed: [[2, 100n]] },
      { last: 99n, following: [100n, 199n] },
    ],
    [
      'others finished it: over',
      { next: next('handover'), finished: [[2, 100]] },
      { last: 99n, following: [100n, 199n] },
    ],
    [
      'governance replaces a lost quorum by timelock: over without a signature',
      { next: next('timelock') },
      { last: 99n, following: [100n, 199n] },
    ],
    [
      'by timelock, over epochs that never came',
      { next: next('timelock', 4) },
      { last: 99n, following: [100n, 199n] },
    ],
    [
      'a revoked successor is replaced in its own first slot',
      { next: next('timelock', 3), signed: [[2, 100n]], finished: [[2, 100]] },
      { last: 99n, following: [100n, 199n] },
    ],
    [
      'an epoch after the next takes slots of both',
      { next: next('handover'), signed: [[2, 100n]], finished: [[3, 150]] },
      { last: 99n, following: [100n, 149n] },
    ],
    ['it has a last slot of its own', { lastSeq: 42 }, { last: 42n, following: null }],
    [
      'the key signed for an epoch that is not configured: over all the same',
      { signed: [[2, 50n]] },
      { last: 49n, following: null },
    ],
  ])('%s', (_, known, { last, following }) => {
    const slots = slotsOf(known)
    expect(slots.present()).toEqual({ first: 0n, last })
    expect(slots.following()).toEqual(following && { first: following[0], last: following[1] })
  })

  it('begin where its own handover says, and elsewhere only if configured so', () => {
    expect(slotsOf({ signed: [[1, 30n]] }).present()).toEqual({ first: 30n, last: LAST })
    expect(slotsOf({ signed: [[1, 30n]], firstSeq: 40 }).present()).toEqual({ first: 40n, last: LAST })
  })
})

describe('a change by timelock', () => {
  it('opens the next epoch two minutes ahead and ends the old one when its last signatures have come', async () => {
    const clock = manualClock()
    const begin = Math.floor(clock.now() / SLOT_MS) + 200
    const steps: [string, number][] = []
    const inSlots = () => Math.floor(clock.now() / SLOT_MS) - begin
    const plan = next('timelock', 2, begin)
    const slots = slotsOf({ next: plan })
    const rotating = rotate(
      {
        ...{ oracle: oracleOf(1), next: plan, slots, collector: undefined, networkClock: clock },
        logger: createLogger({ name: 'test', level: 'silent' }),
        openNext: async () => void steps.push(['open', inSlots()]),
        retire: async () => void steps.push(['retire', inSlots()]),
      },
      new AbortController().signal,
    )
    let over = false
    void rotating.then(() => {
      over = true
    })
    for (let slot = 1; slot < 220 && !over; slot++) {
      await vi.waitFor(() => expect(over || clock.slept.length >= slot).toBe(true), { interval: 1 })
      clock.advance(SLOT_MS)
    }
    await rotating
    expect(steps).toEqual([
      ['open', -120],
      ['retire', Number(KEPT_SLOTS) + 1],
    ])
  })
})
