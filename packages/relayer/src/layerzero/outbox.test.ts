import { attestorAbi } from '@clearspan/contracts'
import { StandardMerkleTree } from '@openzeppelin/merkle-tree'
import fc from 'fast-check'
import { concatHex, decodeFunctionData, type Hex, keccak256, numberToHex, pad, zeroHash } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { claimTree } from '../attest/attestation.js'
import { admit } from './admission.js'
import {
  boostOf,
  buildDelivery,
  EMPTY_DELIVERY_GAS,
  executableInOrder,
  fitting,
  type Step,
  signVerification,
  stepGas,
} from './batch.js'
import { NO_OPTIONS } from './options.js'
import { createOutbox } from './outbox.js'
import { type Packet, packetGuid, pathOf } from './packet.js'
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
    options: { ...NO_OPTIONS, gas: 200_000n },
    verify: true,
    attest: false,
    execute: true,
    blockNumber: block,
    blockHash: pad(numberToHex(block)),
  }
}
const all = () => true
const own = pathOf(sent(1n, 1n, 1).packet)
const open = (maxForeign = 1_000) => createOutbox({ ownPaths: new Set([own]), maxForeign })
type Outbox = ReturnType<typeof open>
const add = (outbox: Outbox, packets: readonly SentPacket[]) => {
  for (const packet of packets) {
    outbox.note(packet)
    outbox.add(packet, 0)
  }
}
const due = (outbox: Outbox, now = 0, limit = 1_000, foreignLimit = limit) =>
  outbox.take(now, all, new Set(), { limit, foreignLimit, enough: Number.POSITIVE_INFINITY })
const nonces = (outbox: Outbox, now = 0) => due(outbox, now).map(({ packet }) => packet.nonce)
/** What a packet of ours needs that only the stock DVN verifies. */
const ours = {
  boost: 0,
  confirmations: 1n,
  inbound: 0n,
  after: [],
  verify: true,
  attest: false,
  commit: true,
  execute: true,
}
async function signAll(steps: readonly Step[], contract: Parameters<typeof signVerification>[1]) {
  const signed = steps.map(async (step) => {
    const verification = await signVerification(step, contract, 100n)
    return [step.entry.packet.guid, verification!] as const
  })
  return new Map(await Promise.all(signed))
}
const whose = ({ packet: { sender, nonce } }: { packet: Packet }) => [Number(sender), nonce]

describe('outbox', () => {
  it('gives each path in order of nonce, whatever the order of arrival', () => {
    const arrivals = fc.shuffledSubarray([1n, 2n, 3n, 4n, 5n, 6n, 7n, 8n], { minLength: 1 })
    fc.assert(
      fc.property(arrivals, arrivals, (first, second) => {
        const outbox = open()
        add(outbox, [
          ...first.map((nonce) => sent(nonce, nonce, 1)),
          ...second.map((nonce) => sent(nonce, nonce, 2)),
        ])
        const sorted = (list: bigint[]) => [...list].sort((a, b) => Number(a - b))
        const of = (sender: number) =>
          due(outbox).flatMap(({ packet }) => (Number(packet.sender) === sender ? [packet.nonce] : []))
        expect([of(1), of(2)]).toEqual([sorted(first), sorted(second)])
      }),
    )
  })

  it('forgets what a reorg of the source took, and takes the same nonce with another block', () => {
    const outbox = open()
    add(outbox, [sent(1n, 5n), sent(2n, 6n)])
    outbox.forget(1, 6n)
    expect(nonces(outbox)).toEqual([1n])
    add(outbox, [sent(2n, 7n)])
    expect(due(outbox).map(({ blockNumber }) => blockNumber)).toEqual([5n, 7n])
    outbox.forget(3, 0n)
    expect(outbox.size()).toBe(2)
  })

  it('takes the truth in place of a lie that a node told of the same packet in the same block', () => {
    const outbox = open()
    const truth = sent(1n, 5n)
    const lie = { ...truth, packet: { ...truth.packet, message: '0xbadbad' as const } }
    add(outbox, [lie])
    outbox.postpone(truth.packet.guid, 0, 'x')
    add(outbox, [truth])
    expect(due(outbox)).toMatchObject([{ packet: { message: '0xc0ffee' }, attempts: 0 }])
    expect(outbox.size()).toBe(1)
  })

  it('does not bring a delivered packet back when its logs are read again, but when the destination reorgs', () => {
    const outbox = open()
    add(outbox, [sent(1n, 5n)])
    outbox.settle(sent(1n, 5n).packet.guid, 40n)
    add(outbox, [sent(1n, 5n)])
    expect(outbox.size()).toBe(0)
    outbox.restore(41n)
    expect(outbox.size()).toBe(0)
    outbox.restore(40n)
    expect(nonces(outbox)).toEqual([1n])
  })

  it('waits longer after each failure, and keeps the highest nonce of a path', () => {
    const outbox = open()
    const { guid } = sent(1n, 5n).packet
    add(outbox, [sent(1n, 5n), sent(9n, 6n)])
    outbox.postpone(guid, 0, 'x')
    expect(nonces(outbox, 999)).toEqual([9n])
    expect(nonces(outbox, 1_000)).toContain(1n)
    outbox.postpone(guid, 1_000, 'x')
    expect(nonces(outbox, 2_999)).toEqual([9n])
    for (let i = 0; i < 9; i++) outbox.postpone(guid, 3_000, 'x', 5_000)
    expect(nonces(outbox, 7_999)).toEqual([9n])
    expect(nonces(outbox, 8_000)).toContain(1n)
    expect(outbox.highest(own)).toEqual({ nonce: 9n, block: 6n })
  })
})

describe('turns', () => {
  it('tries paths with something fresh first, and still each path by nonce', () => {
    const outbox = open()
    add(outbox, [sent(1n, 1n, 2), sent(1n, 1n, 3), sent(2n, 1n, 3)])
    outbox.postpone(sent(1n, 1n, 2).packet.guid, 0, 'x')
    outbox.postpone(sent(1n, 1n, 3).packet.guid, 0, 'x')
    expect(due(outbox, 5_000).map(whose)).toEqual([
      [3, 1n],
      [2, 1n],
      [3, 2n],
    ])
  })

  it('tries whatever is fresh before what has failed, own and strangers apart, also above it on its path', () => {
    const outbox = open()
    for (const sender of [1, 2, 3])
      for (const nonce of [1n, 2n, 3n, 4n]) add(outbox, [sent(nonce, 1n, sender)])
    for (const [nonce, sender] of [
      [1n, 1],
      [1n, 2],
      [2n, 2],
      [1n, 3],
    ] as const) {
      const { guid } = sent(nonce, 1n, sender).packet
      outbox.markFailed(guid)
      outbox.postpone(guid, 0, 'its execution fails')
    }
    const order = due(outbox, 5_000).map(whose)
    expect(order.slice(0, 4)).toEqual([
      [1, 2n],
      [1, 3n],
      [1, 4n],
      [1, 1n],
    ])
    const fresh = [2n, 3n, 4n].map((nonce) => [3, nonce])
    expect(order.slice(4, 9)).toEqual(expect.arrayContaining([[2, 3n], [2, 4n], ...fresh]))
    expect(order.slice(9)).toEqual([
      [2, 1n],
      [3, 1n],
      [2, 2n],
    ])
  })

  it('serves our own gateways before strangers, and strangers one after another', () => {
    const outbox = open()
    for (const sender of [2, 3, 1]) for (const nonce of [1n, 2n, 3n]) add(outbox, [sent(nonce, 1n, sender)])
    expect(due(outbox, 0, 6).map(whose)).toEqual([
      [1, 1n],
      [1, 2n],
      [1, 3n],
      [2, 1n],
      [3, 1n],
      [2, 2n],
    ])
  })

  it("a path that fills every round keeps no other stranger's from its turn", () => {
    const outbox = open()
    for (let nonce = 1n; nonce <= 50n; nonce++) add(outbox, [sent(nonce, 1n, 2)])
    for (let sender = 3; sender <= 8; sender++) add(outbox, [sent(1n, 1n, sender)])
    const rounds = [due(outbox, 0, 100, 4), due(outbox, 0, 100, 4)]
    expect(new Set(rounds.flat().map(({ packet }) => Number(packet.sender))).size).toBe(7)
  })

  it('holds no more of strangers than told, and takes them when there is room again', () => {
    const outbox = open(2)
    expect([2, 3, 4].map((sender) => outbox.add(sent(1n, 1n, sender), 0))).toEqual([true, true, false])
    expect(outbox.add(sent(1n, 1n, 1), 0)).toBe(true)
    outbox.settle(sent(1n, 1n, 2).packet.guid, 1n)
    expect(outbox.add(sent(1n, 1n, 4), 0)).toBe(true)
    expect(outbox.size()).toBe(3)
    outbox.forget(1, 0n)
    expect([5, 6, 7].map((sender) => outbox.add(sent(1n, 1n, sender), 0))).toEqual([true, true, false])
  })
})

describe('admission', () => {
  const limits = { gas: 2_000_000n, value: 10n }
  const packet = sent(1n, 1n)
  const admitted = (change: Partial<SentPacket>, isOwn = false, carriesForeign = true) =>
    admit({ ...packet, ...change }, { isOwn, carriesForeign, limits })
  const options = (change: Partial<SentPacket['options']>) => ({ options: { ...packet.options, ...change } })

  it.each([
    ['nobody of ours is paid', { verify: false, execute: false }, false, false, 'unpaid'],
    ['more gas than a transaction', options({ gas: 2_000_000n }), true, false, 'gas-above-limit'],
    ['any gas at all', options({ gas: 2n ** 128n - 1n }), true, false, 'gas-above-limit'],
    ['more value than we lay out', options({ value: 11n }), true, false, 'value-above-limit'],
    ['value within the limit', options({ value: 10n }), true, true, undefined],
    ['no gas', options({ gas: 0n }), true, false, 'no-gas'],
    ['a read', options({ other: true }), true, false, 'unsupported-options'],
    ['only our executor paid', { verify: false }, false, true, undefined],
    ['only our verifier paid', { ...options({ gas: 0n }), execute: false }, true, false, undefined],
  ] as const)('%s', (_, change, verify, execute, refusal) => {
    expect(admitted(change)).toEqual({ verify, attest: false, execute, refusal })
  })

  it("takes no stranger's packet when told to serve our gateways alone", () => {
    expect(admitted({}, false, false)).toMatchObject({ verify: false, execute: false, refusal: 'foreign' })
    expect(admitted({}, true, false)).toMatchObject({ verify: true, execute: true, refusal: undefined })
  })
})

describe('a transaction', () => {
  const step = (entry: Step['entry'], boost = 0): Step => ({ ...ours, entry, boost })
  const pendingOf = (packets: readonly SentPacket[]) => {
    const outbox = open()
    add(outbox, packets)
    return due(outbox)
  }

  it('leaves out what does not fit and what is above it on its path, and goes on with other paths', () => {
    const dear = (nonce: bigint, sender: number) => ({
      ...sent(nonce, 1n, sender),
      options: { ...NO_OPTIONS, gas: 5_000_000n, value: 3n },
    })
    const steps = pendingOf([dear(1n, 1), dear(1n, 2), sent(2n, 1n, 2), sent(1n, 1n, 3)]).map((entry) =>
      step(entry),
    )
    const nonceOf = (chosen: readonly Step[]) => chosen.map(({ entry }) => whose(entry))
    expect(nonceOf(fitting(steps, 10, { gas: 8_000_000n, value: 100n }))).toEqual([
      [1, 1n],
      [3, 1n],
    ])
    expect(nonceOf(fitting(steps, 10, { gas: 80_000_000n, value: 5n }))).toEqual([
      [1, 1n],
      [3, 1n],
    ])
    expect(nonceOf(fitting(steps, 1, { gas: 80_000_000n, value: 100n }))).toEqual([[1, 1n]])
  })

  it('never asks for more gas than its steps were counted with', async () => {
    const signers = Array.from({ length: 4 }, (_, n) => privateKeyToAccount(pad(numberToHex(n + 1))))
    const [dvn, receiveUln, executor] = [1, 2, 3].map((n) => pad(numberToHex(n), { size: 20 }))
    const contract = { vid: 1, quorum: 4, signers, receiveUln: receiveUln! }
    for (const bytes of [0, 3, 10_000]) {
      const packets = [1n, 2n].map((nonce) => {
        const packet = sent(nonce, 1n)
        const message: Hex = `0x${'ab'.repeat(bytes)}`
        return { ...packet, packet: { ...packet.packet, message } }
      })
      for (const count of [1, 2]) {
        const steps = pendingOf(packets.slice(0, count)).map((entry) => step(entry, 2))
        const signed = await signAll(steps, contract)
        const { gas } = buildDelivery(steps, signed, undefined, {
          dvn: dvn!,
          receiveUln: receiveUln!,
          executor: executor!,
        })
        const counted = steps.reduce((sum, { entry, boost }) => sum + stepGas(entry, boost), 0n)
        expect(gas).toBeLessThanOrEqual(EMPTY_DELIVERY_GAS + counted)
      }
    }
  })

  it('never asks for more gas than is left by its limits, and takes more packets where the Attestor does all', () => {
    const [attestor, receiveUln] = [4, 2].map((n) => pad(numberToHex(n), { size: 20 }))
    const attested: Pick<Step, 'verify' | 'attest' | 'commit'> = {
      verify: false,
      attest: true,
      commit: false,
    }
    const limits = { gas: 6_000_000n, value: 0n }
    for (const bytes of [0, 200, 3_000]) {
      const entries = pendingOf(
        Array.from({ length: 60 }, (_, n) => {
          const packet = sent(1n, 1n, n + 1)
          return { ...packet, packet: { ...packet.packet, message: `0x${'ab'.repeat(bytes)}` as Hex } }
        }),
      )
      const all = entries.map((entry): Step => ({ ...step(entry, 2), ...attested }))
      const stock = entries.map((entry) => step(entry, 2))
      // Every second leaf of the tree: no proof is longer.
      const steps = fitting(
        all.filter((_, i) => i % 2 === 0),
        60,
        limits,
      )
      expect(steps.length).toBeGreaterThan(fitting(stock, 60, limits).length)
      expect(steps.length).toBeLessThan(30)
      const tree = claimTree(
        all.map(({ entry: { header, payloadHash }, confirmations }) => ({
          header,
          payloadHash,
          confirmations,
        })),
      )
      const { gas } = buildDelivery(
        steps,
        new Map(),
        {
          attestation: { root: tree.root as Hex, receiveLibrary: receiveUln!, expiry: 1n, operatorSet: 1 },
          signatures: `0x${'00'.repeat(65 * 32)}`,
          tree,
          indexOf: new Map(all.map(({ entry }, i) => [entry.packet.guid, i])),
        },
        { dvn: receiveUln!, receiveUln: receiveUln!, executor: receiveUln!, attestor: attestor! },
      )
      expect(gas).toBeLessThanOrEqual(EMPTY_DELIVERY_GAS + limits.gas)
    }
  })

  it('raises the gas of what has failed only as far as it still fits', () => {
    const [entry] = pendingOf([sent(1n, 1n)])
    const limits = { gas: stepGas(entry!, 1), value: 0n }
    expect([0, 1, 2, 9].map((failures) => boostOf(entry!, failures, limits))).toEqual([0, 1, 1, 1])
  })
})

describe('dead letters', () => {
  const failed = () => {
    const outbox = open()
    add(outbox, [sent(1n, 1n), sent(2n, 1n)])
    const { guid } = sent(1n, 1n).packet
    outbox.markFailed(guid, { kind: 'reverted', reason: '0x1234' })
    outbox.markFailed(guid)
    outbox.bury(guid)
    return { outbox, guid }
  }

  it('are tried no more, keep why, and let what is above them go', () => {
    const { outbox } = failed()
    expect(nonces(outbox)).toEqual([2n])
    expect(outbox.dead()).toMatchObject([{ failures: 2, failure: { kind: 'reverted', reason: '0x1234' } }])
    // Its logs are read again at every sweep.
    add(outbox, [sent(1n, 1n)])
    expect(nonces(outbox)).toEqual([2n])
  })

  it('are tried again when somebody asks, as if for the first time', () => {
    const { outbox, guid } = failed()
    expect(outbox.replay(guid)).toBe(true)
    expect(due(outbox)[0]).toMatchObject({ failures: 0, failure: undefined, attempts: 0 })
    expect([outbox.dead(), outbox.replay(zeroHash)]).toEqual([[], false])
  })

  it('end when somebody else executes them, and when their source has changed', () => {
    const first = failed()
    first.outbox.settle(first.guid, 9n)
    expect(first.outbox.dead()).toEqual([])
    const second = failed()
    second.outbox.forget(1, 1n)
    expect(second.outbox.dead()).toEqual([])
  })
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

  it('takes a quorum of signatures in ascending order of signer, of our own keys and of others', async () => {
    const outbox = open()
    add(outbox, [sent(1n, 1n)])
    const step = { ...ours, entry: due(outbox)[0]! }
    const [first, ...rest] = keys
    const contract = (signers: typeof keys, quorum: number) => ({
      vid: 1,
      quorum,
      signers,
      receiveUln: addresses.receiveUln,
    })
    const whole = await signVerification(step, contract(keys, 3), 1n)
    const signatureOf = async (signer: (typeof keys)[number]) =>
      (await signVerification(step, contract([signer], 1), 1n))!.signatures
    const sorted = [...keys].sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1))
    expect(whole!.signatures).toBe(concatHex(await Promise.all(sorted.map(signatureOf))))
    const others = new Map([[first!.address, await signatureOf(first!)]])
    expect(await signVerification(step, contract(rest, 3), 1n, others)).toEqual(whole)
    expect(await signVerification(step, contract(rest, 3), 1n)).toBeUndefined()
  })

  it('executes a nonce only when all below it are committed, there or in this batch', () => {
    const outbox = open()
    add(
      outbox,
      [4n, 5n, 7n, 8n].map((nonce) => sent(nonce, 1n)),
    )
    const step = (entry: Step['entry'], change: Partial<Step>): Step => ({
      ...ours,
      entry,
      inbound: 4n,
      ...change,
    })
    const [four, five, seven, eight] = due(outbox)
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

  it('what wants order goes in one batch with those below it, but not where it brings value, which a failure keeps', () => {
    const outbox = open()
    const ordered = [1n, 2n, 3n].map((nonce) => {
      const packet = sent(nonce, 1n)
      return { ...packet, options: { ...packet.options, ordered: true, value: nonce === 3n ? 1n : 0n } }
    })
    add(outbox, ordered)
    const steps = due(outbox).map((entry): Step => {
      const below = entry.packet.nonce - 1n
      return { ...ours, entry, after: below > 0n ? [below] : [] }
    })
    const executed = (list: readonly Step[]) => executableInOrder(list).map(({ execute }) => execute)
    expect(executed(steps)).toEqual([true, true, false])
    // Without the lowest, which failed to be tried, none above it is executed.
    expect(executed(steps.slice(1).map((step) => ({ ...step, inbound: 1n })))).toEqual([false, false])
    const held: unknown[] = []
    const committed = steps.map((step) => ({ ...step, inbound: 3n, verify: false, commit: false }))
    executableInOrder(committed.slice(1), ({ packet }, nonce, until) =>
      held.push([packet.nonce, nonce, until]),
    )
    expect(held).toEqual([
      [2n, 1n, 'delivered'],
      [3n, 2n, 'delivered'],
    ])
  })

  it('verifies all, then commits and executes each, and says which call commits which step', async () => {
    const outbox = open()
    add(outbox, [sent(1n, 1n), sent(2n, 1n), sent(3n, 1n)])
    const [first, second, third] = due(outbox)
    const steps: Step[] = [
      { ...ours, entry: first! },
      { ...ours, entry: second!, verify: false, commit: false },
      { ...ours, entry: third!, execute: false },
    ]
    const contract = { vid: 1, quorum: 2, signers: keys, receiveUln: addresses.receiveUln }
    const verifications = await signAll([steps[0]!, steps[2]!], contract)
    const { calls, commitOf, gas } = buildDelivery(steps, verifications, undefined, addresses)
    const { dvn, receiveUln, executor } = addresses
    expect(calls.map(({ target }) => target)).toEqual([dvn, receiveUln, executor, executor, receiveUln])
    expect(commitOf).toEqual([1, -1, 4])
    const inner = calls.reduce((sum, { gasLimit }) => sum + gasLimit, 0n)
    expect((gas * 63n) / 64n).toBeGreaterThan(inner)
    for (const call of calls.filter(({ target }) => target === executor))
      expect((call.gasLimit * 63n) / 64n).toBeGreaterThan(200_000n)
  })

  it('the Attestor proves any part of what was signed, in its order, beside what it does not execute', () => {
    const outbox = open()
    add(
      outbox,
      [1n, 2n, 3n, 4n, 5n].map((nonce) => ({ ...sent(nonce, 1n), attest: true })),
    )
    const attestor = pad('0x4', { size: 20 })
    const signed = due(outbox).map(
      (entry): Step => ({ ...ours, entry, verify: false, attest: true, commit: false }),
    )
    const tree = claimTree(signed.map(({ entry }) => ({ ...entry, confirmations: 1n })))
    const attested = {
      attestation: {
        root: tree.root as Hex,
        receiveLibrary: addresses.receiveUln,
        expiry: 9n,
        operatorSet: 1,
      },
      signatures: `0x${'11'.repeat(130)}` as const,
      tree,
      indexOf: new Map(signed.map(({ entry }, index) => [entry.packet.guid, index])),
    }
    const subsets = fc.uniqueArray(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(subsets, (chosen) => {
        const steps = chosen.sort().map((index) => {
          const step = signed[index]!
          const hasValue = index === 2
          const options = { ...step.entry.options, value: hasValue ? 1n : 0n }
          return { ...step, entry: { ...step.entry, options } }
        })
        const delivery = buildDelivery(steps, new Map(), attested, { ...addresses, attestor })
        const [deliver, ...others] = delivery.calls
        expect(deliver!.target).toBe(attestor)
        expect(others.map(({ target }) => target)).toEqual(chosen.includes(2) ? [addresses.executor] : [])
        const { args } = decodeFunctionData({ abi: attestorAbi, data: deliver!.data })
        const [, , packets, proof, proofFlags] = args as readonly [
          unknown,
          unknown,
          readonly { header: Hex; gas: bigint }[],
          readonly Hex[],
          readonly boolean[],
        ]
        expect(packets.map(({ header }) => header)).toEqual(steps.map(({ entry }) => entry.header))
        expect(packets.map(({ gas }) => gas)).toEqual(chosen.map((index) => (index === 2 ? 0n : 200_000n)))
        const leaves = steps.map(({ entry }): [Hex, Hex, string] => [
          keccak256(entry.header),
          entry.payloadHash,
          '1',
        ])
        const multiproof = { leaves, proof: [...proof], proofFlags: [...proofFlags] }
        const types = ['bytes32', 'bytes32', 'uint64']
        expect(StandardMerkleTree.verifyMultiProof(tree.root, types, multiproof)).toBe(true)
      }),
    )
  })
})
