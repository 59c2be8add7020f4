import { type Hex, numberToHex, pad } from 'viem'
import { expect, it } from 'vitest'
import { createComposes } from './composes.js'
import { createDrops } from './drops.js'
import { NO_OPTIONS } from './options.js'
import { createOutbox } from './outbox.js'
import { packetGuid, pathOf } from './packet.js'
import type { SentPacket } from './sent.js'

// What strangers can do to the relayer's memory by sending many packets that fail.
function sent(nonce: bigint, sender: number): SentPacket {
  const key = { nonce, srcEid: 1, sender: pad(numberToHex(sender)), dstEid: 2, receiver: pad('0x2') }
  return {
    packet: { ...key, guid: packetGuid(key), message: '0xc0ffee' },
    options: { ...NO_OPTIONS, gas: 200_000n },
    verify: true,
    attest: false,
    execute: true,
    blockNumber: nonce,
    blockHash: pad(numberToHex(nonce)),
  }
}
const [OWN, STRANGER] = [1, 2]
const range = (count: number) => Array.from({ length: count }, (_, i) => BigInt(i + 1))
const guidOf = (one: SentPacket) => one.packet.guid
const open = (maxForeign = 5_000) =>
  createOutbox({ ownPaths: new Set([pathOf(sent(1n, OWN).packet)]), maxForeign })

function bury(outbox: ReturnType<typeof open>, packets: readonly SentPacket[]): void {
  for (const one of packets) {
    outbox.add(one, 0)
    outbox.bury(guidOf(one))
  }
}

it("strangers' dead letters push none of ours out, nor do ours one another", () => {
  const outbox = open()
  const ours = range(1_100).map((nonce) => sent(nonce, OWN))
  bury(outbox, ours)
  bury(
    outbox,
    range(2_500).map((nonce) => sent(nonce, STRANGER)),
  )
  const dead = outbox.dead()
  expect(dead.filter(({ own }) => own).map(guidOf)).toEqual(ours.map(guidOf))
  expect(dead.filter(({ own }) => !own)).toHaveLength(1_000)
})

it("a stranger's that found no room is not tried anew when its logs are read again, but when it is asked for", () => {
  const outbox = open()
  const packets = range(1_001).map((nonce) => sent(nonce, STRANGER))
  const [first] = packets as [SentPacket]
  bury(outbox, packets)
  expect(outbox.dead().map(guidOf)).not.toContain(guidOf(first))
  outbox.add(first, 0)
  expect(outbox.size()).toBe(0)
  // In another block it is another packet.
  outbox.add({ ...first, blockHash: pad('0xff') }, 0)
  expect(outbox.size()).toBe(1)
  outbox.bury(guidOf(first))
  bury(outbox, [sent(1_002n, STRANGER)])
  const [second] = packets.slice(1) as [SentPacket]
  expect(outbox.recall(guidOf(second))).toMatchObject({ srcEid: 1, block: 2n })
  outbox.add(second, 0)
  expect(outbox.size()).toBe(1)
})

it('a dead letter whose commit a reorg has undone is put back when the nonces above it wait for it', () => {
  const outbox = open()
  const packet = sent(1n, OWN)
  bury(outbox, [packet])
  expect(outbox.reopenNonce(pathOf(packet.packet), 1n)).toBe(true)
  expect([outbox.size(), outbox.dead()]).toEqual([1, []])
})

it('what one node alone calls delivered stays known, however much strangers get delivered', () => {
  const outbox = open(20_000)
  const ours = sent(1n, OWN)
  outbox.add(ours, 0)
  outbox.settleSeen(guidOf(ours), 5n)
  for (const nonce of range(10_001)) {
    const other = sent(nonce, STRANGER)
    outbox.add(other, 0)
    outbox.settleSeen(guidOf(other), 5n)
  }
  expect(outbox.unconfirmed(6n, 1).map(guidOf)).toEqual([guidOf(ours)])
  expect(outbox.reopen(guidOf(ours))).toBe(true)
})

it('no made drop is ever pushed out; what finds no room makes all unknown until it has been read again', () => {
  const drops = createDrops(2)
  const [first, second, third] = range(3).map((nonce) => sent(nonce, STRANGER).packet)
  drops.mark(first!, 10n)
  drops.mark(second!, 11n)
  expect(drops.isComplete(true)).toBe(true)
  drops.mark(third!, 12n)
  expect([drops.has(first!), drops.has(third!), drops.isComplete(true)]).toEqual([true, false, false])
  // Nothing helps while there is no room.
  expect(drops.readmit(1)).toBe(undefined)
  drops.letGo(first!)
  expect(drops.readmit(1)).toBe(12n)
  expect(drops.isComplete(false)).toBe(false)
  drops.mark(third!, 12n)
  expect([drops.isComplete(true), drops.has(third!)]).toEqual([true, true])
  // Others each time, so that those that stay keep no other from being let go.
  expect(drops.some(1)).toEqual([second])
  expect(drops.some(1)).toEqual([third])
})

const KEPT = 3
function composing() {
  const composes = createComposes({ maxFailures: 1, kept: KEPT })
  const pay = (nonce: bigint) => {
    const one = sent(nonce, STRANGER)
    composes.expect({ ...one, options: { ...one.options, composes: [{ index: 0, gas: 1n, value: 0n }] } })
  }
  const call = (nonce: bigint, from: Hex = '0x2') => ({
    from: pad(from, { size: 20 }),
    to: pad('0x9', { size: 20 }),
    guid: sent(nonce, STRANGER).packet.guid,
    index: 0,
    message: '0x' as const,
    block: nonce,
  })
  const pending = () => composes.pending().map(({ block }) => Number(block))
  return { composes, pay, call, pending }
}

it('calls that nobody has paid for push none out that is paid for', () => {
  const { composes, pay, call, pending } = composing()
  pay(1n)
  composes.queue(call(1n))
  for (const nonce of range(10)) composes.queue(call(nonce + 100n))
  // Under the guid that is paid for, and not from its receiver.
  for (const other of ['0x3', '0x4', '0x5', '0x6'] as const) composes.queue(call(1n, other))
  expect(pending()).toEqual([1])
})

it('a call that is read before its payment is found again, however much noise came in between', () => {
  const { composes, pay, call, pending } = composing()
  composes.queue(call(1n))
  for (const nonce of range(10)) composes.queue(call(nonce + 100n))
  pay(1n)
  expect(pending()).toEqual([])
  expect(composes.missed(() => false)).toEqual([])
  expect(composes.missed(() => true)).toEqual([['destination', 1n]])
  expect(composes.missed(() => true)).toEqual([])
  composes.queue(call(1n))
  expect(pending()).toEqual([1])
})

it('live calls keep their place, dead letters give theirs up, and what has found none is read again once there is some', () => {
  const { composes, pay, call, pending } = composing()
  for (const nonce of range(KEPT)) {
    pay(nonce)
    composes.queue(call(nonce))
  }
  pay(4n)
  composes.queue(call(4n))
  expect(pending()).toEqual([1, 2, 3])
  expect(composes.missed(() => true)).toEqual([])
  composes.fail(call(1n), 0)
  composes.queue(call(4n))
  expect([pending(), composes.dead()]).toEqual([[2, 3, 4], []])
  for (const nonce of [2n, 3n]) composes.settle(call(nonce), 9n)
  expect(composes.missed(() => true)).toEqual([['destination', 4n]])
})

it('a payment that finds no room is read again from its source; one whose call is made takes none', () => {
  const { composes, pay, call, pending } = composing()
  pay(1n)
  composes.queue(call(1n))
  composes.settle(call(1n), 9n)
  for (const nonce of range(KEPT)) pay(nonce + 1n)
  expect(composes.missed(() => true)).toEqual([])
  pay(5n)
  expect(composes.missed(() => true)).toEqual([[1, 2n]])
  composes.queue(call(5n))
  expect(pending()).toEqual([5])
})
