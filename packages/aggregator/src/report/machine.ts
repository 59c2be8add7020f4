import type { Report, ReportPrice, ReportSignature } from '@clearspan/shared'
import type { Hex } from 'viem'
import type { MessageKind, Observation, Proposal, SignedReport } from '../observation/message.js'
import { combine } from './combine.js'

/** A message whose signature was checked: `from` is the node that made it, `digest` what it signed. */
export type Authenticated =
  | { kind: 'observation'; from: number; digest: Hex; message: Observation }
  /** `observers` are the nodes that signed the proposal's observations, in order. */
  | { kind: 'proposal'; from: number; digest: Hex; message: Proposal; observers: number[] }
  | { kind: 'signature'; from: number; digest: Hex; message: SignedReport }

/** What the shell must do next. It hands the result of `observe`, `propose` and `sign` back as a message of its own. */
export type Effect =
  | { type: 'observe'; seq: bigint }
  | { type: 'propose'; seq: bigint; observers: number[]; observations: Observation[] }
  /** `report` is the median of `observations`, the leader's proposal. */
  | { type: 'sign'; report: Report; observations: Observation[] }
  | { type: 'finish'; report: Report; signatures: ReportSignature[] }
  /** Another node's message, for a peer that may have been told something else by its signer. */
  | { type: 'forward'; to: number; kind: 'proposal'; message: Proposal }
  | { type: 'forward'; to: number; kind: 'signature'; message: SignedReport }
  /** Two different messages that one node signed for one slot: proof that it is faulty. */
  | { type: 'evidence'; from: number; kind: MessageKind; seq: bigint; messages: [SlotMessage, SlotMessage] }

type SlotMessage = Observation | Proposal | SignedReport
type Accused = Pick<Effect & { type: 'evidence' }, 'from' | 'kind'> & { message: SlotMessage }

/** Why a message changed nothing. */
type Ignored =
  | 'wrong_epoch'
  | 'outside_epoch'
  | 'not_leader'
  | 'too_early'
  | 'too_late'
  | 'duplicate'
  | 'equivocation'
  | 'bad_proposal'

export interface MachineParameters {
  /** This node's index. */
  index: number
  /** n and 2f + 1. */
  nodes: number
  quorum: number
  feeds: number
  epoch: number
  /** First and last slot that this epoch's nodes sign, as far as this node knows now; null for none yet. */
  slots(): { first: bigint; last: bigint } | null
  slotMs: number
  /** Share of the slot after which the leader stops waiting for the last observations of nodes that it has heard of lately. */
  proposeFraction: number
  /** Share of the slot after which nothing new is begun in it. */
  deadlineFraction: number
  /** How far ahead of this node's clock a peer's may be, ms of network time. */
  maxClockSkewMs: number
}

interface Slot {
  /** The leader's, as they came, and everyone's, as proposals show them. */
  observations: Map<number, Observation>
  /** The first that came, with what it makes the report say: nothing when it is malformed. */
  proposal: { digest: Hex; message: Proposal; prices: ReportPrice[] } | null
  signatures: Map<number, { digest: Hex; message: SignedReport }>
  observed: boolean
  proposed: boolean
  finished: Report | null
  /** Peer, kind and signer of what was forwarded: once each, so that nobody can have us send without end. */
  forwarded: Set<string>
  /** Proofs already given, so that a faulty node can't fill the disk with more. */
  accused: Set<string>
}

/** Slots whose signatures are still collected, so that a slow node gets the report too. */
export const KEPT_SLOTS = 4n

/**
 * The protocol of one node, without signatures, sockets or clocks: messages and times go in, effects come out.
 *
 * A slot succeeds when its leader (`seq mod n`) and a quorum are honest and heard in time; else it is skipped. Each honest node signs
 * one report a slot, and two quorums share an honest node, so two reports of a slot can't both be finished.
 *
 * Honest nodes that have one proposal sign one report. So where signatures differ, someone may have told different nodes different
 * things: nodes then show each other what they hold, and whoever has the other half holds the proof. Without a difference nothing is sent.
 */
export interface SlotMachine {
  /** Time has passed. */
  tick(now: number): Effect[]
  /** Whether a message of this kind and slot could matter now; asked before its signature is checked, which costs. */
  ignores(kind: MessageKind, epoch: number, seq: bigint, now: number): Ignored | null
  receive(input: Authenticated, now: number): { effects: Effect[]; ignored: Ignored | null }
  /** Whether the slot is this epoch's, as far as this node knows now. */
  owns(seq: bigint): boolean
  /** The next time at which `tick` may do something, unix ms of network time. */
  nextWake(now: number): number
}

export function createSlotMachine(parameters: MachineParameters): SlotMachine {
  const { index, nodes, quorum, slotMs } = parameters
  const slots = new Map<bigint, Slot>()
  /** The newest slot of which each node was heard in time; of those not heard yet, the first slot of all. */
  const heard = new Map<number, bigint>()
  let firstSeq: bigint | null = null

  function slotOf(seq: bigint): Slot {
    const existing = slots.get(seq)
    if (existing) return existing
    const slot: Slot = {
      observations: new Map(),
      proposal: null,
      signatures: new Map(),
      observed: false,
      proposed: false,
      finished: null,
      forwarded: new Set(),
      accused: new Set(),
    }
    slots.set(seq, slot)
    return slot
  }

  const currentSeq = (now: number) => BigInt(Math.floor(now / slotMs))
  const leads = (node: number, seq: bigint) => seq % BigInt(nodes) === BigInt(node)
  function owns(seq: bigint): boolean {
    const range = parameters.slots()
    return range !== null && range.first <= seq && seq <= range.last
  }
  /** Time since the slot began, as a share of the slot. */
  const elapsed = (seq: bigint, now: number) => now / slotMs - Number(seq)

  /** Whether a message comes when nothing is begun with its like any more: it can only contradict one that is held. */
  function isLate(kind: MessageKind, seq: bigint, now: number): boolean {
    const last = { observation: parameters.deadlineFraction, proposal: 1, signature: Number(KEPT_SLOTS) }
    return elapsed(seq, now) >= last[kind]
  }

  function ignores(kind: MessageKind, epoch: number, seq: bigint, now: number): Ignored | null {
    if (epoch !== parameters.epoch) return 'wrong_epoch'
    if (!owns(seq)) return 'outside_epoch'
    if (elapsed(seq, now) < -parameters.maxClockSkewMs / slotMs) return 'too_early'
    if (!isLate(kind, seq, now)) return null
    const slot = slots.get(seq)
    // A slot longer than signatures count, so that what came with the last of them can still be shown to others.
    if (!slot || elapsed(seq, now) >= Number(KEPT_SLOTS) + 1) return 'too_late'
    const held = kind === 'proposal' ? slot.proposal : slot[`${kind}s`].size > 0
    return held ? null : 'too_late'
  }

  /** Nobody is waited for who has said nothing in time for as many slots as there are leaders: whoever is down costs the others no time. */
  function isAwaited(node: number, slot: Slot, seq: bigint): boolean {
    const last = heard.get(node) ?? firstSeq ?? seq
    return !slot.observations.has(node) && last + BigInt(nodes) >= seq
  }

  function hear({ from, message }: Authenticated, now: number) {
    const known = heard.get(from)
    if (elapsed(message.seq, now) >= parameters.deadlineFraction) return
    if (known === undefined || known < message.seq) heard.set(from, message.seq)
  }

  function proposeIfReady(seq: bigint, slot: Slot, now: number): Effect[] {
    const share = elapsed(seq, now)
    const held = slot.observations.size
    if (!leads(index, seq) || slot.proposed || share < 0 || share >= parameters.deadlineFraction) return []
    if (held < quorum) return []
    const waits = Array.from({ length: nodes }, (_, node) => node).some((node) => isAwaited(node, slot, seq))
    if (waits && share < parameters.proposeFraction) return []
    slot.proposed = true
    const sorted = [...slot.observations].sort(([a], [b]) => a - b)
    const observers = sorted.map(([observer]) => observer)
    return [{ type: 'propose', seq, observers, observations: sorted.map(([, item]) => item) }]
  }

  /** Takes an observation, or proves that its signer signed another. */
  function witness(from: number, message: Observation, slot: Slot) {
    const known = slot.observations.get(from)
    if (!known) slot.observations.set(from, message)
    else if (!same(known.prices, message.prices))
      return equivocation({ from, kind: 'observation', message }, known, slot)
    return { effects: [], ignored: known ? ('duplicate' as const) : null }
  }

  function receiveProposal(input: Authenticated & { kind: 'proposal' }, slot: Slot, late: boolean) {
    const { from, digest, message, observers } = input
    if (!leads(from, message.seq)) return ignore('not_leader')
    const known = slot.proposal
    if (known?.digest === digest) return ignore('duplicate')
    if (!known && late) return ignore('too_late')
    const ofSlot = ({ epoch, seq }: Observation) => epoch === message.epoch && seq === message.seq
    const proofs = message.observations.flatMap((observation, at) => {
      const observer = observers[at]
      // One of another slot, signed there, contradicts nothing.
      return observer === undefined || !ofSlot(observation)
        ? []
        : witness(observer, observation, slot).effects
    })
    if (known) {
      const { effects, ignored } = equivocation(input, known.message, slot)
      return { effects: [...effects, ...proofs], ignored }
    }
    const wellFormed =
      observers.length === message.observations.length &&
      new Set(observers).size === observers.length &&
      observers.length >= quorum &&
      message.observations.every(ofSlot)
    const prices = wellFormed ? combine(message.observations, parameters.feeds, quorum) : []
    slot.proposal = { digest, message, prices }
    const forwards = confront(slot, index, nodes)
    if (!wellFormed) return { effects: [...proofs, ...forwards], ignored: 'bad_proposal' as const }
    const report: Report = { epoch: message.epoch, seq: message.seq, prices }
    const sign: Effect = { type: 'sign', report, observations: message.observations }
    return { effects: [sign, ...proofs, ...forwards], ignored: null }
  }

  function receiveObservation(
    input: Authenticated & { kind: 'observation' },
    slot: Slot,
    late: boolean,
    now: number,
  ) {
    const { from, message } = input
    if (late && !slot.observations.has(from)) return ignore('too_late')
    const { effects, ignored } = witness(from, message, slot)
    return ignored ? { effects, ignored } : { effects: proposeIfReady(message.seq, slot, now), ignored }
  }

  function receiveSignature(input: Authenticated & { kind: 'signature' }, slot: Slot, late: boolean) {
    const { from, digest, message } = input
    const known = slot.signatures.get(from)
    if (known) return known.digest === digest ? ignore('duplicate') : equivocation(input, known.message, slot)
    if (late) return ignore('too_late')
    slot.signatures.set(from, { digest, message })
    const agreeing = [...slot.signatures].filter(([, item]) => item.digest === digest)
    const effects: Effect[] = []
    if (!slot.finished && agreeing.length >= quorum) {
      const { epoch, seq, prices } = message
      const signatures = agreeing.map(([signer, item]) => ({ signer, signature: item.message.signature }))
      slot.finished = { epoch, seq, prices }
      effects.push({ type: 'finish', report: slot.finished, signatures })
    }
    return { effects: [...effects, ...confront(slot, index, nodes)], ignored: null }
  }

  return {
    tick(now) {
      const seq = currentSeq(now)
      for (const old of slots.keys()) if (old < seq - KEPT_SLOTS) slots.delete(old)
      if (!owns(seq)) return []
      firstSeq ??= seq
      const slot = slotOf(seq)
      const effects = proposeIfReady(seq, slot, now)
      if (!slot.observed && elapsed(seq, now) < parameters.deadlineFraction) {
        slot.observed = true
        effects.push({ type: 'observe', seq })
      }
      return effects
    },
    owns,
    ignores,
    receive(input, now) {
      const { epoch, seq } = input.message
      const ignored = ignores(input.kind, epoch, seq, now)
      if (ignored) return ignore(ignored)
      hear(input, now)
      const slot = slotOf(seq)
      const late = isLate(input.kind, seq, now)
      if (input.kind === 'proposal') return receiveProposal(input, slot, late)
      return input.kind === 'observation'
        ? receiveObservation(input, slot, late, now)
        : receiveSignature(input, slot, late)
    },
    nextWake(now) {
      const seq = currentSeq(now)
      const proposeAt = Math.ceil((Number(seq) + parameters.proposeFraction) * slotMs)
      if (owns(seq) && leads(index, seq) && !slots.get(seq)?.proposed && now < proposeAt) return proposeAt
      return (Number(seq) + 1) * slotMs
    },
  }
}

function ignore(ignored: Ignored): { effects: Effect[]; ignored: Ignored } {
  return { effects: [], ignored }
}

/** What others should see of what this node holds: nothing while all say the same. */
function confront(slot: Slot, index: number, nodes: number): Effect[] {
  const { proposal, signatures, forwarded } = slot
  const ours = proposal?.prices ?? slot.finished?.prices
  if (!ours || [...signatures.values()].every(({ message }) => same(message.prices, ours))) return []
  const effects: Effect[] = []
  const once = (signer: number, effect: Effect & { type: 'forward' }) => {
    const name = `${effect.to} ${effect.kind} ${signer}`
    if (!forwarded.has(name)) effects.push(effect)
    forwarded.add(name)
  }
  for (let to = 0; to < nodes; to++) {
    if (to === index) continue
    // Of a node that hasn't signed, or whose signature isn't here yet, the likeliest is that it agrees.
    const said = signatures.get(to)?.message.prices ?? ours
    if (proposal && !same(said, ours))
      once(0, { type: 'forward', to, kind: 'proposal', message: proposal.message })
    for (const [signer, { message }] of signatures)
      if (signer !== index && signer !== to && !same(message.prices, said))
        once(signer, { type: 'forward', to, kind: 'signature', message })
  }
  return effects
}

/** Whether two nodes, or one in two messages, say the same of a slot. */
function same(a: readonly ReportPrice[], b: readonly ReportPrice[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ price, confidence }, at) => price === b[at]?.price && confidence === b[at]?.confidence)
  )
}

function equivocation(input: Accused, earlier: SlotMessage, slot: Slot) {
  const { from, kind, message } = input
  const name = `${from} ${kind}`
  if (slot.accused.has(name)) return ignore('equivocation')
  slot.accused.add(name)
  const effect: Effect = { type: 'evidence', from, kind, seq: message.seq, messages: [earlier, message] }
  return { effects: [effect], ignored: 'equivocation' as const }
}
