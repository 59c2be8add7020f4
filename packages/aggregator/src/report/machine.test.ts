import { type Report, type ReportPrice, seededRandom, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import fc from 'fast-check'
import { type Hex, keccak256, toHex } from 'viem'
import { describe, expect, it } from 'vitest'
import type { Observation } from '../observation/message.js'
import { combine } from './combine.js'
import { type Authenticated, createSlotMachine, type Effect, type SlotMachine } from './machine.js'

const SLOT_MS = 10_000
const parametersOf = (index: number, nodes: number) => ({
  index,
  nodes,
  quorum: 2 * Math.floor((nodes - 1) / 3) + 1,
  feeds: 1,
  epoch: 1,
  slots: () => ({ first: 0n, last: 2n ** 64n - 1n }),
  slotMs: SLOT_MS,
  proposeFraction: 0.25,
  deadlineFraction: 0.6,
  maxClockSkewMs: 1_000,
})

/** Stands for a digest: equal content, equal digest. */
const digestOf = (value: object) =>
  keccak256(toHex(JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? `${item}` : item))))
const signatureOf = (from: number, digest: Hex): Hex => `0x${from}${digest.slice(2)}`
const price = (value: bigint): ReportPrice => ({ price: value, confidence: 5 })

/** Who splits tells half of the others one thing and half another. */
type Behaviour = 'honest' | 'silent' | 'lying' | 'equivocating' | 'splitting'

interface Finished {
  node: number
  report: Report
  signers: number[]
}

/** A network of machines with random delays; faulty nodes run the same machine and twist what leaves it. */
function simulate(behaviours: readonly Behaviour[], slots: number, seed: number) {
  const random = seededRandom(seed)
  const nodes = behaviours.length
  const machines = behaviours.map((_, index) => createSlotMachine(parametersOf(index, nodes)))
  const queue: { at: number; run: (now: number) => void }[] = []
  const finished: Finished[] = []
  const evidence: number[] = []
  const signed = new Map<string, Set<string>>()

  /** By signature. */
  const sent = new Map<Hex, Authenticated>()

  function later(at: number, run: (now: number) => void) {
    queue.push({ at, run })
  }

  function deliver(to: number, message: Authenticated, now: number, delay: number) {
    later(now + delay, (at) => perform(to, machines[to]?.receive(message, at).effects ?? [], at))
  }

  function send(from: number, to: number | 'all', message: Authenticated, now: number) {
    sent.set(message.message.signature, message)
    const targets = to === 'all' ? machines.map((_, index) => index) : [to]
    for (const target of targets)
      deliver(target, message, now, target === from ? 0 : 20 + random.next() * 600)
  }

  function observation(from: number, seq: bigint, value: bigint): Authenticated {
    const report: Report = { epoch: 1, seq, prices: [price(value)] }
    const digest = digestOf({ kind: 'observation', ...report })
    return { kind: 'observation', from, digest, message: { ...report, signature: signatureOf(from, digest) } }
  }

  function signature(from: number, report: Report): Authenticated {
    const digest = digestOf({ kind: 'report', ...report })
    return { kind: 'signature', from, digest, message: { ...report, signature: signatureOf(from, digest) } }
  }

  function proposal(from: number, effect: Effect & { type: 'propose' }): Authenticated {
    const { seq, observations, observers } = effect
    const digest = digestOf({ seq, observations })
    const message = { epoch: 1, seq, observations, signature: signatureOf(from, digest) }
    return { kind: 'proposal', from, digest, message, observers }
  }

  function perform(node: number, effects: readonly Effect[], now: number) {
    const behaviour = behaviours[node]
    for (const effect of effects) {
      if (effect.type === 'finish') {
        finished.push({ node, report: effect.report, signers: effect.signatures.map(({ signer }) => signer) })
      } else if (effect.type === 'evidence') {
        evidence.push(effect.from)
      } else if (effect.type === 'forward') {
        const known = sent.get(effect.message.signature)
        if (behaviour === 'honest' && known) send(node, effect.to, known, now)
      } else if (behaviour !== 'silent') {
        act(node, effect, now, behaviour ?? 'honest')
      }
    }
  }

  function act(node: number, effect: Effect, now: number, behaviour: Behaviour) {
    if (effect.type === 'observe') {
      const leader = Number(effect.seq % BigInt(nodes))
      const honest = 1_000n + BigInt(Math.floor(random.next() * 10))
      const value = behaviour === 'honest' ? honest : 1n + BigInt(Math.floor(random.next() * 1e6))
      send(node, leader, observation(node, effect.seq, value), now)
      if (behaviour === 'equivocating') send(node, leader, observation(node, effect.seq, value + 1n), now)
    } else if (effect.type === 'propose') {
      const fewer = {
        ...effect,
        observations: effect.observations.slice(1),
        observers: effect.observers.slice(1),
      }
      if (behaviour === 'splitting') return split(node, proposal(node, effect), proposal(node, fewer), now)
      send(node, 'all', proposal(node, effect), now)
      if (behaviour === 'equivocating') send(node, 'all', proposal(node, fewer), now)
    } else if (effect.type === 'sign') {
      const key = `${node} ${effect.report.seq}`
      signed.set(key, (signed.get(key) ?? new Set()).add(digestOf(effect.report)))
      const lie = { ...effect.report, prices: [price(7n)] }
      if (behaviour === 'splitting')
        return split(node, signature(node, effect.report), signature(node, lie), now)
      send(node, 'all', signature(node, behaviour === 'lying' ? lie : effect.report), now)
      if (behaviour === 'equivocating') send(node, 'all', signature(node, lie), now)
    }
  }

  function split(node: number, one: Authenticated, other: Authenticated, now: number) {
    for (const to of machines.keys()) send(node, to, to % 2 === 0 ? one : other, now)
  }

  function wake(node: number, at: number) {
    later(at, (now) => {
      const machine = machines[node] as SlotMachine
      perform(node, machine.tick(now), now)
      const next = machine.nextWake(now)
      expect(next).toBeGreaterThan(now)
      if (next < slots * SLOT_MS) wake(node, next)
    })
  }

  for (const node of machines.keys()) wake(node, node * 40)
  while (queue.length > 0) {
    queue.sort((a, b) => a.at - b.at)
    const event = queue.shift()
    event?.run(event.at)
  }
  return { finished, evidence, signed }
}

describe('the protocol in a simulated network', () => {
  it('finishes every slot at every node when all are honest', () => {
    const { finished, evidence } = simulate(Array(4).fill('honest'), 8, 1)
    for (let seq = 0n; seq < 8n; seq++) {
      const reports = finished.filter(({ report }) => report.seq === seq)
      expect(reports.map(({ node }) => node).sort()).toEqual([0, 1, 2, 3])
      expect(new Set(reports.map(({ report }) => digestOf(report))).size).toBe(1)
    }
    expect(evidence).toEqual([])
  })

  it('loses only the slots that a silent node leads', () => {
    const { finished } = simulate(['honest', 'silent', 'honest', 'honest'], 8, 2)
    const seqs = new Set(finished.map(({ report }) => Number(report.seq)))
    expect([...seqs].sort()).toEqual([0, 2, 3, 4, 6, 7])
  })

  it('stops, rather than errs, when more than f are silent', () => {
    expect(simulate(['honest', 'silent', 'silent', 'honest'], 8, 3).finished).toEqual([])
  })

  it.each(['equivocating', 'splitting'] as const)('proves a node that signs two things: %s', (behaviour) => {
    const { evidence } = simulate(['honest', 'honest', behaviour, 'honest'], 8, 4)
    expect(evidence.length).toBeGreaterThan(0)
    expect(new Set(evidence)).toEqual(new Set([2]))
  })

  it('with f faulty nodes of any kind: never two reports for a slot, prices in the honest range, honest leaders lose none', () => {
    const behaviour = fc.constantFrom<Behaviour>('silent', 'lying', 'equivocating', 'splitting')
    const network = fc.oneof(
      fc.tuple(behaviour, fc.nat(3)).map(([kind, at]) => spread(4, [[at, kind]])),
      fc.tuple(behaviour, behaviour, fc.nat(6), fc.nat(6)).map(([a, b, at, other]) =>
        spread(7, [
          [at, a],
          [other, b],
        ]),
      ),
    )
    fc.assert(
      fc.property(network, fc.nat(), (behaviours, seed) => {
        const slots = 2 * behaviours.length
        const { finished, signed, evidence } = simulate(behaviours, slots, seed)
        const honest = [...behaviours.keys()].filter((node) => behaviours[node] === 'honest')
        expect(evidence.filter((node) => behaviours[node] === 'honest')).toEqual([])
        for (let seq = 0; seq < slots; seq++) {
          const reports = finished.filter(({ report }) => Number(report.seq) === seq)
          expect(new Set(reports.map(({ report }) => digestOf(report))).size).toBeLessThanOrEqual(1)
          if (honest.includes(seq % behaviours.length)) {
            const who = reports.map(({ node }) => node)
            expect(who).toEqual(expect.arrayContaining(honest))
          }
          for (const { report, signers } of reports) {
            const value = report.prices[0]?.price ?? 0n
            expect(value >= 1_000n && value < 1_010n).toBe(true)
            expect(new Set(signers).size).toBeGreaterThanOrEqual(
              2 * Math.floor((behaviours.length - 1) / 3) + 1,
            )
          }
        }
        for (const node of honest) {
          for (const [key, digests] of signed) if (key.startsWith(`${node} `)) expect(digests.size).toBe(1)
        }
      }),
      { numRuns: 60 },
    )
  })
})

function spread(nodes: number, faulty: readonly (readonly [number, Behaviour])[]): Behaviour[] {
  const behaviours: Behaviour[] = Array(nodes).fill('honest')
  for (const [at, kind] of faulty) behaviours[at] = kind
  return behaviours
}

describe('one machine', () => {
  const make = (index = 1) => createSlotMachine(parametersOf(index, 4))
  const observe = (from: number, seq: bigint): Observation => ({
    epoch: 1,
    seq,
    prices: [price(1_000n + BigInt(from))],
    signature: '0x',
  })
  const proposalOf = (observers: number[], seq = 0n, from = 0): Authenticated => {
    const observations = observers.map((node) => observe(node, seq))
    const message = { epoch: 1, seq, observations, signature: '0x' as const }
    return { kind: 'proposal', from, digest: digestOf(message), message, observers }
  }

  it('signs only the leader’s well-formed proposal of this slot, and only the first', () => {
    const ignored = (input: Authenticated, now = 1_000) => make().receive(input, now)
    expect(ignored(proposalOf([0, 1, 2], 0n, 2))).toEqual({ effects: [], ignored: 'not_leader' })
    expect(ignored(proposalOf([0, 1]))).toEqual({ effects: [], ignored: 'bad_proposal' })
    expect(ignored(proposalOf([0, 1, 1]))).toEqual({ effects: [], ignored: 'bad_proposal' })
    expect(ignored(proposalOf([0, 1, 2]), SLOT_MS)).toEqual({ effects: [], ignored: 'too_late' })
    expect(ignored(proposalOf([0, 1, 2], 4n), 4 * SLOT_MS - 1_001)).toEqual({
      effects: [],
      ignored: 'too_early',
    })
    const mixed = proposalOf([0, 1, 2])
    if (mixed.kind === 'proposal') mixed.message.observations[1] = observe(1, 1n)
    expect(ignored(mixed)).toEqual({ effects: [], ignored: 'bad_proposal' })

    const machine = make()
    expect(machine.receive(proposalOf([0, 1, 2]), 1_000).effects).toMatchObject([{ type: 'sign' }])
    expect(machine.receive(proposalOf([0, 1, 2]), 1_000)).toEqual({ effects: [], ignored: 'duplicate' })
    expect(machine.receive(proposalOf([0, 1, 3]), 1_000)).toMatchObject({
      effects: [{ type: 'evidence', from: 0, kind: 'proposal' }],
      ignored: 'equivocation',
    })
  })

  it('neither begins nor signs slots that are not its epoch’s, and learns of them while it runs', () => {
    let slots: { first: bigint; last: bigint } | null = null
    const machine = createSlotMachine({ ...parametersOf(1, 4), slots: () => slots })
    expect(machine.tick(5 * SLOT_MS)).toEqual([])
    expect(machine.receive(proposalOf([0, 1, 2], 4n), 4 * SLOT_MS)).toEqual({
      effects: [],
      ignored: 'outside_epoch',
    })
    slots = { first: 8n, last: 9n }
    expect([7, 10].flatMap((seq) => machine.tick(seq * SLOT_MS))).toEqual([])
    expect([8, 9].flatMap((seq) => machine.tick(seq * SLOT_MS))).toEqual([
      { type: 'observe', seq: 8n },
      { type: 'observe', seq: 9n },
    ])
    // A handover takes the rest.
    slots = { first: 8n, last: 8n }
    expect(machine.receive(proposalOf([0, 1, 2], 12n), 12 * SLOT_MS).ignored).toBe('outside_epoch')
    expect(machine.receive(proposalOf([0, 1, 2], 8n), 8 * SLOT_MS).effects).toMatchObject([{ type: 'sign' }])
  })

  it('waits for the last observation until its share of the slot, and for a quorum until the deadline', () => {
    const leader = make(0)
    const take = (from: number, now: number) => {
      const message = observe(from, 0n)
      return leader.receive({ kind: 'observation', from, digest: digestOf(message), message }, now).effects
    }
    expect(leader.tick(0)).toEqual([{ type: 'observe', seq: 0n }])
    expect(leader.nextWake(0)).toBe(2_500)
    expect([take(0, 10), take(1, 20)].flat()).toEqual([])
    expect(leader.tick(2_500)).toEqual([])
    expect(take(2, 5_999)).toMatchObject([{ type: 'propose', observers: [0, 1, 2] }])
    expect(leader.nextWake(5_999)).toBe(SLOT_MS)
    const late = make(0)
    expect(late.tick(6_000)).toEqual([])
  })

  it('waits for nobody who has said nothing for a round of leaders, until they are heard again', () => {
    const leader = make(0)
    leader.tick(0)
    /** Observations of three nodes in a slot, and what comes of the last; node 3 is down. */
    const lead = (seq: bigint) => {
      const now = Number(seq) * SLOT_MS + 100
      leader.tick(now)
      return [0, 1, 2].flatMap((from) => {
        const message = observe(from, seq)
        return leader.receive({ kind: 'observation', from, digest: digestOf(message), message }, now).effects
      })
    }
    const sign = (from: number, seq: bigint, now: number) => {
      const message = { ...observe(from, seq), signature: '0x' as const }
      leader.receive({ kind: 'signature', from, digest: digestOf(message), message }, now)
    }
    expect(lead(4n)).toEqual([])
    expect(lead(8n)).toMatchObject([{ type: 'propose', observers: [0, 1, 2] }])
    // Late is as good as not at all: its observation would come too late too.
    sign(3, 9n, 9.7 * SLOT_MS)
    expect(lead(12n)).toMatchObject([{ type: 'propose' }])
    sign(3, 14n, 14.3 * SLOT_MS)
    expect(lead(16n)).toEqual([])
  })

  it('takes messages only of its epoch and only in time, but for what could contradict one that it holds', () => {
    const machine = make(1)
    const message = observe(2, 0n)
    expect(machine.ignores('observation', 2, 1n, SLOT_MS)).toBe('wrong_epoch')
    expect(machine.ignores('observation', 1, 1n, SLOT_MS - 1_000)).toBeNull()
    expect(machine.ignores('signature', 1, 0n, 3.9 * SLOT_MS)).toBeNull()
    expect(machine.ignores('signature', 1, 0n, 4 * SLOT_MS)).toBe('too_late')
    machine.receive({ kind: 'signature', from: 2, digest: digestOf(message), message }, 3.9 * SLOT_MS)
    expect(machine.ignores('signature', 1, 0n, 4.9 * SLOT_MS)).toBeNull()
    expect(machine.ignores('proposal', 1, 0n, 4.9 * SLOT_MS)).toBe('too_late')
    expect(machine.ignores('signature', 1, 0n, 5 * SLOT_MS)).toBe('too_late')
    const late = { ...message, signature: '0x01' as const }
    const from3 = { kind: 'signature', from: 3, digest: digestOf(late), message: late } as const
    expect(machine.receive(from3, 4.9 * SLOT_MS)).toEqual({ effects: [], ignored: 'too_late' })
  })
})

describe('combining observations', () => {
  const held = { price: 0n, confidence: UNUSABLE_CONFIDENCE }
  const of = (...values: ReportPrice[][]): Observation[] =>
    values.map((prices) => ({ epoch: 1, seq: 0n, prices, signature: '0x' }))

  it('holds a feed that too few nodes price, and only that', () => {
    const observations = of([price(10n), price(10n)], [price(10n), held], [price(10n), price(10n)])
    expect(combine(observations, 2, 3)).toEqual([{ price: 10n, confidence: 5 }, held])
  })

  it('is the same in any order, and widens by what nodes differ', () => {
    const observations = of([price(9_900n)], [price(10_000n)], [price(10_200n)])
    const expected = [{ price: 10_000n, confidence: 5 + 100 }]
    expect(combine(observations, 1, 3)).toEqual(expected)
    expect(combine(observations.toReversed(), 1, 3)).toEqual(expected)
  })
})
