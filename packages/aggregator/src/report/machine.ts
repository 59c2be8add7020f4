import type { Report, ReportSignature } from '@clearspan/shared'
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
  /** Two different messages that one node signed for one slot: proof that it is faulty. */
  | { type: 'evidence'; from: number; kind: MessageKind; seq: bigint; messages: [SlotMessage, SlotMessage] }

type SlotMessage = Observation | Proposal | SignedReport

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
  observations: Map<number, { digest: Hex; message: Observation }>
  proposal: { digest: Hex; message: Proposal } | null
  signatures: Map<number, { digest: Hex; message: SignedReport }>
  observed: boolean
  proposed: boolean
  finished: boolean
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
      finished: false,
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

  function ignores(kind: MessageKind, epoch: number, seq: bigint, now: number): Ignored | null {
    if (epoch !== parameters.epoch) return 'wrong_epoch'
    if (!owns(seq)) return 'outside_epoch'
    const share = elapsed(seq, now)
    if (share < -parameters.maxClockSkewMs / slotMs) return 'too_early'
    const last = { observation: parameters.deadlineFraction, proposal: 1, signature: Number(KEPT_SLOTS) }[
      kind
    ]
    if (share >= last) return 'too_late'
    return kind === 'observation' && !leads(index, seq) ? 'not_leader' : null
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
    return [{ type: 'propose', seq, observers, observations: sorted.map(([, item]) => item.message) }]
  }

  function receiveProposal(input: Authenticated & { kind: 'proposal' }, slot: Slot) {
    const { from, digest, message, observers } = input
    if (!leads(from, message.seq)) return ignore('not_leader')
    const known = slot.proposal
    if (known) return known.digest === digest ? ignore('duplicate') : equivocation(input, known.message, slot)
    const wellFormed =
      observers.length === message.observations.length &&
      new Set(observers).size === observers.length &&
      observers.length >= quorum &&
      message.observations.every(({ epoch, seq }) => epoch === message.epoch && seq === message.seq)
    if (!wellFormed) return ignore('bad_proposal')
    slot.proposal = { digest, message }
    const prices = combine(message.observations, parameters.feeds, quorum)
    const report: Report = { epoch: message.epoch, seq: message.seq, prices }
    return {
      effects: [{ type: 'sign', report, observations: message.observations } satisfies Effect],
      ignored: null,
    }
  }

  function receiveObservation(input: Authenticated & { kind: 'observation' }, slot: Slot, now: number) {
    const { from, digest, message } = input
    const known = slot.observations.get(from)
    if (known) return known.digest === digest ? ignore('duplicate') : equivocation(input, known.message, slot)
    slot.observations.set(from, { digest, message })
    return { effects: proposeIfReady(message.seq, slot, now), ignored: null }
  }

  function receiveSignature(input: Authenticated & { kind: 'signature' }, slot: Slot) {
    const { from, digest, message } = input
    const known = slot.signatures.get(from)
    if (known) return known.digest === digest ? ignore('duplicate') : equivocation(input, known.message, slot)
    slot.signatures.set(from, { digest, message })
    const agreeing = [...slot.signatures].filter(([, item]) => item.digest === digest)
    if (slot.finished || agreeing.length < quorum) return { effects: [], ignored: null }
    slot.finished = true
    const { epoch, seq, prices } = message
    const signatures = agreeing.map(([signer, item]) => ({ signer, signature: item.message.signature }))
    return {
      effects: [{ type: 'finish', report: { epoch, seq, prices }, signatures } satisfies Effect],
      ignored: null,
    }
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
      if (input.kind === 'proposal') return receiveProposal(input, slot)
      return input.kind === 'observation'
        ? receiveObservation(input, slot, now)
        : receiveSignature(input, slot)
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

function equivocation(input: Authenticated, earlier: SlotMessage, slot: Slot) {
  const { from, kind, message } = input
  const name = `${from} ${kind}`
  if (slot.accused.has(name)) return ignore('equivocation')
  slot.accused.add(name)
  const effect: Effect = { type: 'evidence', from, kind, seq: message.seq, messages: [earlier, message] }
  return { effects: [effect], ignored: 'equivocation' as const }
}
