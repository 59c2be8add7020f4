import type { Clock, Logger, Report, ReportSignature } from '@clearspan/shared'
import { type Hex, keccak256 } from 'viem'
import type { Receipt } from './http.js'
import type { NodeMetrics } from './metrics.js'
import type { Equivocation } from './observation/evidence.js'
import type { CommitmentKind, Journal } from './observation/journal.js'
import {
  type Observation,
  observationPreimage,
  type Protocol,
  preimageOf,
  proposalPreimage,
} from './observation/message.js'
import type { Signer } from './observation/signer.js'
import { authenticate, type Unverified } from './observation/verify.js'
import type { Peers } from './peers.js'
import type { Authenticated, Effect, SlotMachine } from './report/machine.js'

export interface RunnerParameters {
  index: number
  protocol: Protocol
  machine: SlotMachine
  signer: Signer
  journal: Journal
  peers: Peers
  networkClock: Clock
  logger: Logger
  metrics: NodeMetrics
  /** This node's prices for a slot. */
  observe(seq: bigint): Report['prices']
  /** The observation just made isn't signed: this node is bound to another, or the slot isn't its own any more. */
  onUnsigned(seq: bigint): void
  /** A proposal whose median this node is about to sign. */
  onProposal(seq: bigint, observations: readonly Observation[]): void
  onFinish(report: Report, signatures: ReportSignature[]): void
  /** Keeps a proof of a faulty node; false when enough are kept. */
  onEvidence(evidence: Equivocation): Promise<boolean>
}

/** The shell around the slot machine: time and messages in, signatures and deliveries out. */
export interface Runner {
  /** Runs until aborted; every step that was begun is over when it resolves. */
  run(signal: AbortSignal): Promise<void>
  /** Takes a peer's message. */
  receive(message: Unverified): Promise<Receipt>
}

export function createRunner(parameters: RunnerParameters): Runner {
  const { index, protocol, machine, signer, journal, peers, networkClock, logger, metrics } = parameters
  const { epoch, nodes } = protocol.oracle
  const pending = new Set<Promise<void>>()

  /** Durable first, then signed: null when this node is bound to something else for the slot. */
  async function sign(kind: CommitmentKind, seq: bigint, preimage: Hex) {
    const digest = keccak256(preimage)
    // Asked in the same breath as the journal: a handover that is signed between would have taken the slot.
    if (!machine.owns(seq)) return null
    if (await journal.commit(kind, seq, digest)) return { digest, signature: await signer.sign(preimage) }
    logger.warn({ kind, seq: `${seq}` }, 'slot was signed before a restart, skipping it')
    return null
  }

  async function observe(seq: bigint) {
    const report: Report = { epoch, seq, prices: parameters.observe(seq) }
    const signed = await sign('observation', seq, observationPreimage(report, protocol))
    if (!signed) return parameters.onUnsigned(seq)
    const { digest, signature } = signed
    const message = { ...report, signature }
    const leader = Number(seq % BigInt(nodes.length))
    if (leader === index) take({ kind: 'observation', from: index, digest, message })
    else await peers.send(leader, { kind: 'observation', message })
  }

  async function propose({ seq, observers, observations }: Effect & { type: 'propose' }) {
    const draft = { epoch, seq, observations }
    const signed = await sign('proposal', seq, proposalPreimage(draft, protocol))
    if (!signed) return
    const { digest, signature } = signed
    const message = { ...draft, signature }
    take({ kind: 'proposal', from: index, digest, message, observers })
    await peers.broadcast({ kind: 'proposal', message })
  }

  async function signReport({ report, observations }: Effect & { type: 'sign' }) {
    parameters.onProposal(report.seq, observations)
    const signed = await sign('report', report.seq, preimageOf(report, protocol))
    if (!signed) return
    const { digest, signature } = signed
    const message = { ...report, signature }
    take({ kind: 'signature', from: index, digest, message })
    await peers.broadcast({ kind: 'signature', message })
  }

  async function accuse(evidence: Effect & { type: 'evidence' }) {
    const { from, kind, seq } = evidence
    metrics.equivocations.inc({ node: from, kind })
    const kept = await parameters.onEvidence(evidence)
    logger.error(
      { node: from, kind, seq: `${seq}`, kept },
      'a node signed two different messages for one slot',
    )
  }

  function perform(effect: Effect): Promise<void> | void {
    switch (effect.type) {
      case 'observe':
        return observe(effect.seq)
      case 'propose':
        return propose(effect)
      case 'sign':
        return signReport(effect)
      case 'finish':
        return parameters.onFinish(effect.report, effect.signatures)
      case 'forward':
        return peers.send(effect.to, effect)
      case 'evidence':
        return accuse(effect)
    }
  }

  function execute(effects: readonly Effect[]) {
    for (const effect of effects) {
      const step = (async () => perform(effect))().catch((err: unknown) => {
        metrics.errors.inc({ step: effect.type })
        logger.error({ err, step: effect.type }, 'step of the protocol failed')
      })
      pending.add(step)
      void step.finally(() => pending.delete(step))
    }
  }

  function take(message: Authenticated) {
    const { effects, ignored } = machine.receive(message, networkClock.now())
    execute(effects)
    return ignored
  }

  function count(kind: Unverified['kind'], receipt: Receipt): Receipt {
    metrics.messages.inc({ kind, outcome: receipt.status === 'accepted' ? 'accepted' : receipt.reason })
    return receipt
  }

  return {
    async run(signal) {
      while (!signal.aborted) {
        const now = networkClock.now()
        execute(machine.tick(now))
        const wait = machine.nextWake(now) - networkClock.now()
        if (wait > 0) await networkClock.sleep(wait, signal).catch(() => {})
      }
      while (pending.size > 0) await Promise.all(pending)
    },
    async receive(message) {
      const { epoch: messageEpoch, seq } = message.message
      const early = machine.ignores(message.kind, messageEpoch, seq, networkClock.now())
      if (early) return count(message.kind, { status: 'ignored', reason: early })
      const authenticated = authenticate(message, protocol)
      if (!authenticated) return count(message.kind, { status: 'rejected', reason: 'unknown_signer' })
      const ignored = take(authenticated)
      return count(message.kind, ignored ? { status: 'ignored', reason: ignored } : { status: 'accepted' })
    },
  }
}
