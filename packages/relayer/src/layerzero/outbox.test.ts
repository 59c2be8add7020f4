import fc from 'fast-check'
import { type Hex, numberToHex, pad, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { buildDelivery, executableInOrder, quorumSigners, type Step, signVerification } from './batch.js'
import { createOutbox } from './outbox.js'
import { packetGuid, pathOf } from './packet.js'
import type { SentPacket } from './sent.js'
import { packetState } from './state.js'

function sent(nonce: bigint, block: bigint, sender = 1): SentPacket {
  const key = {
    nonce,
    srcEid: 1,
    sender: pad(numberToHex(sender)),
    dstEid: 2,
    receiver: pad('0x2', { size: 32 }),
  }
  return {
    packet: { ...key, guid: packetGuid(key), message: '0xc0ffee' },
    options: { gas: 200_000n, value: 0n, other: false },
    verify: true,
    execute: true,
    blockNumber: block,
    blockHash: pad(numberToHex(block)),
  }
}
const all = () => true
const nonces = (outbox: ReturnType<typeof createOutbox>, now = 0) =>
  outbox.due(now, all).map(({ packet }) => packet.nonce)

describe('outbox', () => {
  it('gives each path in order of nonce, whatever the order of arrival', () => {
    const arrivals = fc.shuffledSubarray([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n], { minLength: 1 })
    fc.assert(
      fc.property(arrivals, arrivals, (first, second) => {
        const outbox = createOutbox()
        outbox.add(
          first.map((nonce) => sent(nonce, nonce, 1)),
          0,
        )
        outbox.add(
          second.map((nonce) => sent(nonce, nonce, 2)),
          0,
        )
        const due = outbox.due(0, all)
        const paths = [...new Set(due.map(({ packet }) => pathOf(packet)))]
        const byPath = paths.map((path) => due.filter(({ packet }) => pathOf(packet) === path))
        const sorted = (list: bigint[]) => [...list].sort((a, b) => Number(a - b))
        expect(byPath.map((path) => path.map(({ packet }) => packet.nonce))).toEqual([
          sorted(first),
          sorted(second),
        ])
      }),
    )
  })

  it('forgets what a reorg of the source took, and takes the same nonce with another block', () => {
    const outbox = createOutbox()
    outbox.add([sent(1n, 5n), sent(2n, 6n)], 0)
    outbox.forget(1, 6n)
    expect(nonces(outbox)).toEqual([1n])
    outbox.add([sent(2n, 7n)], 0)
    expect(outbox.due(0, all).map(({ blockNumber }) => blockNumber)).toEqual([5n, 7n])
    outbox.forget(3, 0n)
    expect(outbox.size()).toBe(2)
  })

  it('does not bring a delivered packet back when its logs are read again, but when the destination reorgs', () => {
    const outbox = createOutbox()
    outbox.add([sent(1n, 5n)], 0)
    outbox.settle(sent(1n, 5n).packet.guid, 40n)
    outbox.add([sent(1n, 5n)], 0)
    expect(outbox.size()).toBe(0)
    outbox.restore(41n)
    expect(outbox.size()).toBe(0)
    outbox.restore(40n)
    expect(nonces(outbox)).toEqual([1n])
  })

  it('waits longer after each failure, and keeps the highest nonce of a path', () => {
    const outbox = createOutbox()
    const { guid } = sent(1n, 5n).packet
    outbox.add([sent(1n, 5n), sent(9n, 6n)], 0)
    outbox.postpone(guid, 0)
    expect(nonces(outbox, 999)).toEqual([9n])
    expect(nonces(outbox, 1_000)).toContain(1n)
    outbox.postpone(guid, 1_000)
    expect(nonces(outbox, 2_999)).toEqual([9n])
    expect(outbox.highest(outbox.paths()[0]!)).toEqual({ nonce: 9n, block: 6n })
  })
})

it('tries paths with something fresh first, and still each path by nonce', () => {
  const outbox = createOutbox()
  outbox.add([sent(1n, 1n, 1), sent(1n, 1n, 2), sent(2n, 1n, 2)], 0)
  outbox.postpone(sent(1n, 1n, 1).packet.guid, 0)
  outbox.postpone(sent(1n, 1n, 2).packet.guid, 0)
  const order = outbox.due(5_000, all).map(({ packet: { sender, nonce } }) => [Number(sender), nonce])
  expect(order).toEqual([
    [2, 1n],
    [2, 2n],
    [1, 1n],
  ])
})

describe('packet state', () => {
  const hash: Hex = `0x${'ab'.repeat(32)}`
  it.each([
    [5n, zeroHash, 5n, 'delivered'],
    [5n, zeroHash, 4n, 'open'],
    [5n, hash, 4n, 'committed'],
    [5n, hash, 9n, 'committed'],
    [5n, `0x${'cd'.repeat(32)}`, 4n, 'open'],
    [5n, `0x${'ff'.repeat(32)}`, 4n, 'withdrawn'],
  ] as const)('nonce %s with %s at inbound nonce %s is %s', (nonce, stored, lazy, state) => {
    expect(packetState(nonce, hash, stored, lazy)).toBe(state)
  })
})

describe('delivery', () => {
  const keys = [3, 1, 2].map((n) => privateKeyToAccount(pad(numberToHex(n))))
  const addresses = {
    dvn: pad('0x1', { size: 20 }),
    receiveUln: pad('0x2', { size: 20 }),
    executor: pad('0x3', { size: 20 }),
  }

  it('takes a quorum of signers in ascending order of address', () => {
    const chosen = quorumSigners(keys, 2).map(({ address }) => address.toLowerCase())
    const sorted = keys.map(({ address }) => address.toLowerCase()).sort()
    expect(chosen).toEqual(sorted.slice(0, 2))
    expect(() => quorumSigners(keys, 4)).toThrow(/asks for 4/)
  })

  it('executes a nonce only when all below it are committed, there or in this batch', () => {
    const outbox = createOutbox()
    outbox.add(
      [4n, 5n, 7n, 8n].map((nonce) => sent(nonce, 1n)),
      0,
    )
    const step = (entry: Step['entry'], change: Partial<Step>): Step => ({
      entry,
      confirmations: 1n,
      inbound: 4n,
      verify: true,
      commit: true,
      execute: true,
      ...change,
    })
    const [four, five, seven, eight] = outbox.due(0, all)
    const steps = [
      step(four!, { verify: false, commit: false }),
      step(five!, {}),
      step(seven!, {}),
      step(eight!, { verify: false, commit: false }),
    ]
    const executed = executableInOrder(steps).map(({ entry, execute }) => [entry.packet.nonce, execute])
    expect(executed).toEqual([
      [4n, true],
      [5n, true],
      [7n, false],
    ])
    // What other DVNs must verify too is verified still.
    const verifyOnly = step(seven!, { commit: false, execute: false })
    expect(executableInOrder([verifyOnly])).toEqual([verifyOnly])
  })

  it('verifies all, then commits and executes each, and says which call commits which step', async () => {
    const outbox = createOutbox()
    outbox.add([sent(1n, 1n), sent(2n, 1n), sent(3n, 1n)], 0)
    const [first, second, third] = outbox.due(0, all)
    const steps: Step[] = [
      { entry: first!, confirmations: 1n, inbound: 0n, verify: true, commit: true, execute: true },
      { entry: second!, confirmations: 1n, inbound: 0n, verify: false, commit: false, execute: true },
      { entry: third!, confirmations: 1n, inbound: 0n, verify: true, commit: true, execute: false },
    ]
    const contract = { vid: 1, quorum: 2, signers: keys, receiveUln: addresses.receiveUln }
    const verifications = new Map(
      await Promise.all(
        [steps[0]!, steps[2]!].map(
          async (step) => [step.entry.packet.guid, await signVerification(step, contract, 100n)] as const,
        ),
      ),
    )
    const { calls, commitOf, gas } = buildDelivery(steps, verifications, addresses)
    const { dvn, receiveUln, executor } = addresses
    expect(calls.map(({ target }) => target)).toEqual([dvn, receiveUln, executor, executor, receiveUln])
    expect(commitOf).toEqual([1, -1, 4])
    const inner = calls.reduce((sum, { gasLimit }) => sum + gasLimit, 0n)
    expect((gas * 63n) / 64n).toBeGreaterThan(inner)
    for (const call of calls.filter(({ target }) => target === executor))
      expect((call.gasLimit * 63n) / 64n).toBeGreaterThan(200_000n)
  })
})
