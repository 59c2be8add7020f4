import fc from 'fast-check'
import { numberToHex, pad, parseEther } from 'viem'
import { describe, expect, it } from 'vitest'
import { lotLimit } from '../bidder.js'
import { bidFraction } from '../bidding.js'
import { createStages, percentiles, stageLatencies } from '../stages.js'
import { batches, createDirtyKeys, createTurns, dueCounters } from './counters.js'
import { rankByDeficit } from './ranking.js'

describe('counters', () => {
  it('takes every key in its turn, whatever stays in front', () => {
    const inTurns = createTurns(2)
    expect(inTurns([])).toEqual([])
    expect([1, 2, 3].map(() => inTurns(['a', 'b', 'c']))).toEqual([
      ['a', 'b'],
      ['c', 'a'],
      ['b', 'c'],
    ])
    expect(inTurns(['d'])).toEqual(['d'])
  })

  const counter = fc.record({
    key: fc.nat(50),
    owned: fc.bigInt({ min: 0n, max: 5n }),
    received: fc.bigInt({ min: 0n, max: 5n }),
  })

  it('sends exactly what differs, unless this value is on its way', () => {
    const sent = fc.option(fc.record({ value: fc.bigInt({ min: 0n, max: 5n }), at: fc.nat(200) }))
    fc.assert(
      fc.property(fc.array(fc.tuple(counter, sent)), fc.integer({ min: 200, max: 400 }), (list, now) => {
        const states = list.map(([state], key) => ({ ...state, key }))
        const due = dueCounters(states, (key) => list[key]?.[1] ?? undefined, now, 100)
        const isDue = new Set(due.map(({ key }) => key))
        for (const { key, owned, received } of states) {
          const last = list[key]?.[1]
          const onItsWay = last != null && last.value === owned && now - last.at < 100
          expect(isDue.has(key)).toBe(owned !== received && !onItsWay)
        }
      }),
    )
  })

  it('batches keep every item, in order, within the size', () => {
    fc.assert(
      fc.property(fc.array(fc.nat()), fc.integer({ min: 1, max: 7 }), (items, size) => {
        const groups = batches(items, size)
        expect(groups.flat()).toEqual(items)
        for (const [i, group] of groups.entries())
          expect(group.length).toBe(i < groups.length - 1 ? size : items.length - size * i)
      }),
    )
  })

  it('a key touched while it was compared stays dirty; a sweep marks all', () => {
    const keys = createDirtyKeys<string>()
    keys.touch('a', 'A', 10)
    const [taken] = keys.take(5)
    keys.touch('a', 'A', 20)
    keys.clean('a', taken!.touched)
    expect(keys.take(5)).toMatchObject([{ key: 'A', dueAt: 10 }])
    keys.clean('a', keys.take(5)[0]!.touched)
    expect(keys.size()).toBe(0)
    keys.markAll()
    expect(keys.take(5)).toMatchObject([{ key: 'A', dueAt: undefined }])
  })
})

it('after a reorg nothing counts as sent: what differs is sent at once', () => {
  const keys = createDirtyKeys<string>()
  keys.touch('a', 'A', 10)
  keys.markSent('a', { value: 5n, at: 100 })
  const due = () => dueCounters([{ key: 'a', owned: 5n, received: 9n }], keys.lastSent, 101, 1_000)
  expect(due()).toEqual([])
  keys.forgetSent()
  expect(due()).toHaveLength(1)
  expect(keys.size()).toBe(1)
})

it('what a used up nonce was to carry and did not bring is sent at once', () => {
  const keys = createDirtyKeys<string>()
  keys.touch('a', 'A', 10)
  const due = (owned: bigint, usedUp: readonly bigint[]) =>
    dueCounters([{ key: 'a', owned, received: 9n }], keys.lastSent, 101, 1_000, new Set(usedUp)).length
  keys.markSent('a', { value: 5n, at: 100, nonce: 7n })
  expect([due(5n, [6n, 8n]), due(5n, [7n]), due(9n, [7n])]).toEqual([0, 1, 0])
  // On the hub's own chain there is no packet.
  keys.markSent('a', { value: 5n, at: 100 })
  expect(due(5n, [7n])).toBe(0)
})

it('keys that stay dirty starve no other', () => {
  const keys = createDirtyKeys<number>()
  for (let key = 0; key <= 10; key++) keys.touch(`key ${key}`, key, undefined)
  const taken = [...keys.take(10), ...keys.take(10)].map(({ key }) => key)
  expect(new Set(taken)).toContain(10)
})

it('ranks by deficit, largest first, and leaves healthy accounts out', () => {
  const risk = fc.record({ mm: fc.bigInt({ min: -9n, max: 9n }) })
  fc.assert(
    fc.property(fc.array(risk), (list) => {
      const risks = list.map((item, i) => ({ ...item, account: pad(numberToHex(i + 1)) }))
      const ranked = rankByDeficit(risks)
      expect(new Set(ranked)).toEqual(new Set(risks.filter(({ mm }) => mm < 0n)))
      for (const [i, { mm }] of ranked.entries()) expect(mm >= (ranked[i - 1]?.mm ?? mm)).toBe(true)
    }),
  )
})

describe('bidder', () => {
  const limits = {
    maxShare: parseEther('0.9'),
    minReward: parseEther('0.01'),
    maxFraction: parseEther('0.5'),
  }
  const health = { equity: 100n, notional: 1_000n }
  it.each([
    [[parseEther('0.91'), 0n, parseEther('1')], health, 0n],
    [[parseEther('0.9'), 0n, parseEther('1')], health, parseEther('0.5')],
    [[parseEther('0.5'), 0n, parseEther('0.2')], health, parseEther('0.2')],
    [[0n, 109n, parseEther('1')], { equity: -100n, notional: 1_000n }, 0n],
    [[0n, 110n, parseEther('1')], { equity: -100n, notional: 1_000n }, parseEther('0.5')],
  ] as const)('quote %s of %s: takes %s', (quote, account, fraction) => {
    expect(bidFraction(quote, account, limits)).toBe(fraction)
  })

  it('pays the oracle price less the margin, in settlement units', () => {
    // 2 ETH at 1,500 USD, 2 % below, in a token of 6 decimals
    expect(lotLimit(parseEther('2'), 18, parseEther('1500'), 6, 200n)).toBe(2_940_000_000n)
  })
})

describe('stages', () => {
  it('measures between stages, only where both are known', () => {
    const stages = createStages()
    const base = { srcEid: 1, dstEid: 2, nonce: '1' }
    stages.note('0x01', {}, { ...base, observedAt: 100 })
    stages.note('0x01', { confirmedAt: 150, sentBlockTime: 7 })
    stages.note('0x01', { deliveredAt: 300, deliveredBlockTime: 9 }, { ...base, observedAt: 999 })
    stages.note('0x02', {}, { ...base, observedAt: 100 })
    stages.note('0x03', { confirmedAt: 5 })
    expect(stages.messages()).toHaveLength(2)
    const latencies = stageLatencies(stages.messages())
    expect(latencies.observedToDelivered).toEqual({ count: 1, p50: 200, p95: 200, max: 200 })
    expect(latencies.blockToBlock).toMatchObject({ count: 1, max: 2 })
    expect(latencies.confirmedToBroadcast?.count).toBe(0)
  })

  it('percentiles are values of the list', () => {
    expect(percentiles([])).toEqual({ count: 0, p50: 0, p95: 0, max: 0 })
    expect(percentiles([3, 1, 2])).toEqual({ count: 3, p50: 2, p95: 3, max: 3 })
  })
})
