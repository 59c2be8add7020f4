import {
  encodeQuorum,
  handoverOf,
  handoverPreimage,
  type Logger,
  quorumOf,
  type Succession,
  signedHandoverSchema,
  verifyHandover,
} from '@clearspan/shared'
import { type Hex, keccak256 } from 'viem'
import type { Receipt } from '../http.js'
import type { Journal } from '../observation/journal.js'
import { type Protocol, recoverNode } from '../observation/message.js'
import type { Signer } from '../observation/signer.js'
import type { HandoverArchive } from './archive.js'
import { type HandoverMessage, handoverMessageSchema } from './message.js'

export interface HandoverParameters {
  /** The outgoing epoch, whose quorum signs, and this node's place in it. */
  outgoing: Protocol
  index: number
  /** The epoch that this node's operator has configured to follow; nothing else is ever signed. */
  succession: Succession
  signer: Signer
  journal: Journal
  archive: HandoverArchive
  /** Whether the outgoing epoch is revoked: a chain that hasn't heard of it would still take its word. */
  isRevoked(): boolean
  tell(message: HandoverMessage): Promise<void>
  /** What a peer of the outgoing epoch serves as the finished handover; undefined when it doesn't. */
  fetchFinished(peer: number): Promise<unknown>
  logger: Logger
}

/** How far a handover has come: `refused` when this key is bound to another one, or has signed a report of a slot that this one takes. */
type HandoverState = 'announced' | 'signed' | 'finished' | 'refused'

/**
 * One node's part in a handover. It announces the digest that its operator configured, and signs once a quorum announces the same: so a
 * mistake in one configuration binds nobody, and operators who disagree lose no epoch. A quorum of signatures is kept and served.
 */
export interface HandoverCollector {
  /** Announces, and catches up with what others have finished. Called each slot. */
  step(): Promise<void>
  /** Takes what a peer says, `from` its place in the outgoing epoch. */
  receive(from: number, value: unknown): Promise<Receipt>
  status(): {
    epoch: number
    firstSeq: number
    digest: Hex
    state: HandoverState
    agreeing: number[]
    differing: number[]
  }
}

export function createHandoverCollector(parameters: HandoverParameters): HandoverCollector {
  const { outgoing, index, succession, signer, journal, archive, logger } = parameters
  const { oracle, networkId } = outgoing
  const { epoch } = succession.oracle
  const quorum = quorumOf(oracle.nodes.length)
  const preimage = handoverPreimage(handoverOf(succession), networkId)
  const digest = keccak256(preimage)
  const successor = { epoch, firstSeq: BigInt(succession.firstSeq), digest }
  const announced = new Map<number, Hex>([[index, digest]])
  const signatures = new Map<number, Hex>()
  let steps = 0
  let isRefused = false
  let advancing: Promise<void> = Promise.resolve()

  const isFinished = () => archive.get(epoch) !== undefined
  const agreeing = () => [...announced].filter(([, one]) => one === digest).map(([node]) => node)
  const isBound = () => journal.successors().some((one) => one.epoch === epoch && one.digest === digest)

  function tell(): Promise<void> {
    return parameters.tell({ epoch, digest, signature: signatures.get(index) ?? null })
  }

  /**
   * Durable first, then signed. Also after the first slot has come, where the journal allows it: once f + 1 honest nodes are bound the old epoch
   * makes no reports any more, and those who are late are what the new one waits for.
   */
  async function sign(): Promise<void> {
    if (parameters.isRevoked()) return
    if (!isBound() && agreeing().length < quorum) return
    if (!(await journal.commitSuccessor(successor))) {
      if (!isRefused)
        logger.error({ epoch, digest }, 'handover not signed: this key is bound to something else')
      isRefused = true
      return
    }
    signatures.set(index, await signer.sign(preimage))
    logger.info({ epoch, digest, firstSeq: succession.firstSeq }, 'handover signed')
    // A peer that is down costs nobody else anything: not waited for.
    void tell()
  }

  async function advanceOnce(): Promise<void> {
    if (isFinished()) return
    if (!signatures.has(index)) await sign()
    if (signatures.size < quorum) return
    const chosen = [...signatures].sort(([a], [b]) => a - b).slice(0, quorum)
    await finish(encodeQuorum(chosen.map(([node, signature]) => ({ signer: node, signature }))))
  }

  /** One after another: a node signs once. */
  function advance(): Promise<void> {
    advancing = advancing.catch(() => {}).then(advanceOnce)
    return advancing
  }

  async function finish(quorumSignatures: Hex): Promise<void> {
    await archive.save({ ...succession, signatures: quorumSignatures })
    logger.info({ epoch, digest, firstSeq: succession.firstSeq }, 'handover finished')
  }

  /** Others may have finished while this node was down. What a quorum has signed holds, whoever serves it. */
  async function catchUp(): Promise<void> {
    steps += 1
    const peer = steps % oracle.nodes.length
    if (peer === index) return
    const parsed = signedHandoverSchema.safeParse(await parameters.fetchFinished(peer).catch(() => undefined))
    if (!parsed.success || isFinished()) return
    const isConfigured = keccak256(handoverPreimage(handoverOf(parsed.data), networkId)) === digest
    if (!isConfigured) return
    const isSigned = await verifyHandover(parsed.data, oracle, networkId).then(
      () => true,
      () => false,
    )
    if (isSigned) await finish(parsed.data.signatures)
  }

  function state(): HandoverState {
    if (isFinished()) return 'finished'
    if (isBound()) return 'signed'
    return isRefused ? 'refused' : 'announced'
  }

  return {
    async step() {
      if (isFinished()) return
      void tell()
      await Promise.all([advance(), catchUp()])
    },
    async receive(from, value) {
      const parsed = handoverMessageSchema.safeParse(value)
      if (!parsed.success) return { status: 'rejected', reason: 'invalid_body' }
      const message = parsed.data
      if (message.epoch !== epoch) return { status: 'ignored', reason: 'wrong_epoch' }
      const known = announced.get(from)
      announced.set(from, message.digest)
      if (message.digest !== digest) {
        const facts = { peer: from, epoch, theirs: message.digest, ours: digest }
        if (known !== message.digest) logger.warn(facts, 'a peer is configured for another handover')
        return { status: 'ignored', reason: 'other_handover' }
      }
      if (message.signature !== null) {
        if (recoverNode(digest, message.signature, oracle) !== from)
          return { status: 'rejected', reason: 'unknown_signer' }
        signatures.set(from, message.signature)
      }
      await advance()
      return { status: 'accepted' }
    },
    status: () => ({
      epoch,
      firstSeq: succession.firstSeq,
      digest,
      state: state(),
      agreeing: agreeing(),
      differing: [...announced].filter(([, one]) => one !== digest).map(([node]) => node),
    }),
  }
}
