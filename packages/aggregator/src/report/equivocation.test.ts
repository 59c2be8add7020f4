import { quorumOf, type Report } from '@clearspan/shared'
import { keccak256, toHex } from 'viem'
import { privateKeyToAddress } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { type Equivocation, verifyEvidence } from '../observation/evidence.js'
import {
  type Observation,
  observationPreimage,
  preimageOf,
  proposalPreimage,
} from '../observation/message.js'
import { createSigner } from '../observation/signer.js'
import { authenticate, type Unverified } from '../observation/verify.js'
import { toWire } from '../observation/wire.js'
import { combine } from './combine.js'
import { createSlotMachine, type Effect } from './machine.js'

const SLOT_MS = 10_000
const keys = [1, 2, 3, 4, 5, 6, 7].map((n) => keccak256(toHex(`equivocation ${n}`)))

/** The honest nodes of a network in its slot 0, which node 0 leads. Messages of the others are the test's. Everything arrives at once. */
function network(size: number, honest: readonly number[]) {
  const signers = keys.slice(0, size).map(createSigner)
  const protocol = {
    networkId: keccak256(toHex('equivocation')),
    oracle: {
      epoch: 1,
      slotMs: SLOT_MS,
      feeds: [{ name: 'ETH/USD', exponent: -8 }],
      nodes: keys
        .slice(0, size)
        .map((key) => ({ url: 'http://127.0.0.1:1', signer: privateKeyToAddress(key) })),
    },
  }
  const quorum = quorumOf(size)
  const machines = new Map(
    honest.map((index) => [
      index,
      createSlotMachine({
        ...{ index, nodes: size, quorum, feeds: 1, epoch: 1, slotMs: SLOT_MS, maxClockSkewMs: 1_000 },
        ...{ proposeFraction: 0.25, deadlineFraction: 0.6, slots: () => ({ first: 0n, last: 100n }) },
      }),
    ]),
  )
  const proofs: (Equivocation & { at: number })[] = []
  const forwards: (Effect & { type: 'forward' })[] = []
  let now = 1_000

  const reportOf = (price: bigint): Report => ({ epoch: 1, seq: 0n, prices: [{ price, confidence: 1 }] })
  async function observation(from: number, price: bigint) {
    const report = reportOf(price)
    return { ...report, signature: await signers[from]!.sign(observationPreimage(report, protocol)) }
  }
  async function proposal(from: number, observations: Observation[]): Promise<Unverified> {
    const draft = { epoch: 1, seq: 0n, observations }
    const signature = await signers[from]!.sign(proposalPreimage(draft, protocol))
    return { kind: 'proposal', message: { ...draft, signature } }
  }
  async function signature(from: number, report: Report): Promise<Unverified> {
    const signed = await signers[from]!.sign(preimageOf(report, protocol))
    return { kind: 'signature', message: { ...report, signature: signed } }
  }

  async function perform(at: number, effect: Effect) {
    if (effect.type === 'evidence') proofs.push({ ...effect, at })
    else if (effect.type === 'sign') await send(honest, await signature(at, effect.report))
    else if (effect.type === 'propose') await send(honest, await proposal(at, effect.observations))
    else if (effect.type === 'forward') {
      forwards.push(effect)
      await send([effect.to], effect)
    }
  }

  async function send(to: readonly number[], message: Unverified): Promise<void> {
    const input = authenticate(message, protocol)
    if (!input) throw new Error('a message of nobody')
    for (const node of to) {
      const effects = machines.get(node)?.receive(input, now).effects ?? []
      for (const effect of effects) await perform(node, effect)
    }
  }

  /** Who holds a proof of this, each checked as a third party would. */
  async function proven(from: number, kind: Equivocation['kind']) {
    const found = proofs.filter((proof) => proof.from === from && proof.kind === kind)
    for (const { messages } of found) {
      const proof = { ...protocol, node: from, kind, messages: messages.map(toWire) }
      expect(await verifyEvidence(proof, 'proof')).toMatchObject({ node: from, kind, seq: '0' })
    }
    return found.map(({ at }) => at).sort()
  }

  return {
    ...{ observation, proposal, signature, reportOf, send, proven, proofs, forwards, quorum },
    waitUntil(slots: number) {
      now = slots * SLOT_MS
      for (const machine of machines.values()) machine.tick(now)
    },
  }
}

type Network = ReturnType<typeof network>

const observationsOf = ({ observation }: Network, from: readonly number[]) =>
  Promise.all(from.map((node) => observation(node, 1_000n + BigInt(node))))

describe('a node that tells each receiver one thing', () => {
  it('as leader: two proposals', async () => {
    const net = network(4, [1, 2, 3])
    await net.send([1], await net.proposal(0, await observationsOf(net, [0, 1, 2])))
    expect(net.proofs).toEqual([])
    await net.send([2, 3], await net.proposal(0, await observationsOf(net, [1, 2, 3])))
    expect(await net.proven(0, 'proposal')).toEqual([1, 2, 3])
    expect(net.proofs.every(({ from }) => from === 0)).toBe(true)
  })

  it('as leader: a proposal, and one that nobody can sign', async () => {
    const net = network(4, [1, 2, 3])
    await net.send([1], await net.proposal(0, await observationsOf(net, [0, 1])))
    await net.send([2, 3], await net.proposal(0, await observationsOf(net, [1, 2, 3])))
    expect(await net.proven(0, 'proposal')).toEqual([2, 3])
  })

  it('as leader: proposals that differ in its own observation prove that too', async () => {
    const net = network(4, [1, 2, 3])
    const others = await observationsOf(net, [1, 3])
    for (const [to, price] of [
      [[1], 1n],
      [[2, 3], 1_002n],
    ] as const) {
      await net.send(to, await net.proposal(0, [await net.observation(0, price), ...others]))
    }
    expect(await net.proven(0, 'proposal')).toEqual([1, 2, 3])
    expect(await net.proven(0, 'observation')).toEqual([1, 2, 3])
  })

  it.each(['before', 'behind', 'slots behind'])('two observations, one %s the proposal', async (when) => {
    const net = network(4, [0, 1, 2])
    const other = { kind: 'observation' as const, message: await net.observation(3, 7n) }
    if (when === 'before') await net.send([1], other)
    for (const message of await observationsOf(net, [0, 1, 2, 3]))
      await net.send([0], { kind: 'observation', message })
    if (when === 'slots behind') net.waitUntil(4.9)
    if (when !== 'before') await net.send([1], other)
    expect(await net.proven(3, 'observation')).toEqual([1])
    expect(net.proofs).toHaveLength(1)
  })

  it.each([
    ['one of them the report', 1_001n, 7n],
    ['both false', 6n, 7n],
  ])('two report signatures, %s', async (_, one, two) => {
    const net = network(4, [0, 1, 2])
    await net.send([1], await net.signature(3, net.reportOf(one)))
    await net.send([2], await net.signature(3, net.reportOf(two)))
    await net.send([0, 1, 2], await net.proposal(0, await observationsOf(net, [0, 1, 2])))
    expect(await net.proven(3, 'signature')).toContain(1)
    expect(net.proofs.every(({ from }) => from === 3)).toBe(true)
  })

  it('two report signatures, each agreeing with what a faulty leader told that receiver', async () => {
    const net = network(7, [1, 2, 3, 4, 5])
    for (const [to, observers] of [
      [
        [1, 2],
        [0, 1, 2, 3, 4],
      ],
      [
        [3, 4, 5],
        [2, 3, 4, 5, 6],
      ],
    ] as const) {
      const observations = await observationsOf(net, observers)
      const prices = combine(observations, 1, net.quorum)
      await net.send(to, await net.signature(6, { epoch: 1, seq: 0n, prices }))
      await net.send(to, await net.proposal(0, observations))
    }
    expect(await net.proven(0, 'proposal')).toEqual([1, 2, 3, 4, 5])
    expect(await net.proven(6, 'signature')).toEqual([1, 2, 3, 4, 5])
    expect(new Set(net.proofs.map(({ from }) => from))).toEqual(new Set([0, 6]))
  })

  it('with the last signature that counts: the proof still comes, and none a slot later', async () => {
    for (const [slots, holders] of [
      [4.9, [1]],
      [5, []],
    ] as const) {
      const net = network(4, [0, 1, 2])
      await net.send([0, 1, 2], await net.proposal(0, await observationsOf(net, [0, 1, 2])))
      await net.send([1], await net.signature(3, net.reportOf(1_001n)))
      net.waitUntil(slots)
      // Too late to count, and as what another node forwards early enough.
      await net.send([1], await net.signature(3, net.reportOf(7n)))
      expect(await net.proven(3, 'signature')).toEqual(holders)
    }
  })
})

describe('what is forwarded', () => {
  it('is nothing while all say the same', async () => {
    const net = network(4, [0, 1, 2, 3])
    for (const message of await observationsOf(net, [0, 1, 2, 3]))
      await net.send([0], { kind: 'observation', message })
    expect(net.forwards).toEqual([])
    expect(net.proofs).toEqual([])
  })

  it('is one signature for each peer, and for the one that differs what the others signed, however often it repeats itself', async () => {
    const net = network(4, [0, 1, 2])
    await net.send([0, 1, 2], await net.proposal(0, await observationsOf(net, [0, 1, 2])))
    for (let times = 0; times < 3; times++) {
      await net.send([0, 1, 2], await net.signature(3, net.reportOf(7n)))
      await net.send([0, 1, 2], await net.signature(3, net.reportOf(8n + BigInt(times))))
    }
    // Each of three honest nodes: the lie to two peers; its proposal and two signatures to the liar.
    const to = (kind: string, peers: readonly number[]) =>
      net.forwards.filter((one) => one.kind === kind && peers.includes(one.to)).length
    expect(to('signature', [0, 1, 2])).toBe(6)
    expect(to('proposal', [0, 1, 2])).toBe(0)
    expect(to('proposal', [3])).toBe(3)
    expect(to('signature', [3])).toBe(6)
    expect(await net.proven(3, 'signature')).toEqual([0, 1, 2])
  })
})
