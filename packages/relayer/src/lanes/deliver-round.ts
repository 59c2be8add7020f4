import { attestorAbi } from '@clearspan/contracts'
import {
  type ChainClient,
  isAnswered,
  type Logger,
  RetryableError,
  type SentTransaction,
} from '@clearspan/shared'
import { BaseError, encodeFunctionData, type Hex } from 'viem'
import { attestedOutcomes, type Outcome } from '../attest/outcome.js'
import { agreedAnswer } from '../chains/agreed.js'
import type { ChainContext } from '../chains/context.js'
import { createSilence } from '../chains/silence.js'
import { workerMulticallAbi } from '../layerzero/abi.js'
import {
  buildDelivery,
  type Delivery,
  type DeliveryLimits,
  executableInOrder,
  fitting,
  type Step,
} from '../layerzero/batch.js'
import { atDepth, requiredDepths } from '../layerzero/depth.js'
import { executionValue } from '../layerzero/options.js'
import type { Outbox } from '../layerzero/outbox.js'
import { type Outstanding, outstanding } from '../layerzero/outstanding.js'
import { pathOf } from '../layerzero/packet.js'
import type { Failure, Pending } from '../layerzero/pending.js'
import { packetStates } from '../layerzero/state.js'
import type { Turn } from '../layerzero/turns.js'
import { confirmedPackets } from '../layerzero/witness.js'
import type { LaneContext } from './context.js'
import { batches } from './counters.js'
import { deliveryEvents } from './deliver-receipt.js'
import { createSigning, type Signed } from './deliver-sign.js'
import { tryReceive } from './deliver-trial.js'
import { inWords } from './deliver-view.js'

/** Packets looked at in one round, and of others' packets: each path of theirs costs requests of its own. */
const TURN = { limit: 300, foreignLimit: 50, enough: Number.POSITIVE_INFINITY }
/** Asking a source's nodes again costs no gas, and everybody waits for a quorum to come back: real ms. */
const UNCONFIRMED_RETRY_MS = 5_000

export interface DeliveryRoundOptions {
  destination: ChainContext
  /** By endpoint id. */
  sources: ReadonlyMap<number, ChainContext>
  outbox: Outbox
  /** Paths that a round is at: two at once would send the nonces of one path in an order that nobody knows. */
  busy: Set<string>
  limits: DeliveryLimits
  /** Whether a packet's block is deep enough as far as its feed has read. */
  isDeep: (entry: Pending) => boolean
  /** Hears of what the destination still lacks. */
  onLacking: (steps: readonly Step[]) => void
  log: Logger
}

/**
 * One round of a destination: from what is due to one mined transaction. It answers whether there was any. Rounds may run beside one another:
 * each has its own paths.
 */
export function createDeliveryRound(
  context: LaneContext,
  { destination, sources, outbox, busy, limits, isDeep, onLacking, log }: DeliveryRoundOptions,
) {
  const { clock, stages, config } = context
  const { chain, client, senders, witnesses } = destination
  const { workerMulticall } = chain.layerzero
  const sign = createSigning(context, destination)
  const silence = createSilence(clock)
  // With others beside it a round leaves them what it could not send at once.
  const turn: Turn = senders.bulk.size > 1 ? { ...TURN, enough: config.batch.packets } : TURN

  function postpone(entry: Pending, reason: string, longestMs?: number): void {
    log.debug({ guid: entry.packet.guid, attempts: entry.attempts, reason }, 'packet waits')
    outbox.postpone(entry.packet.guid, clock.now(), reason, longestMs)
  }

  /** Says what a packet waits for, so that whoever looks at it need not ask. */
  function hold(entry: Pending, nonce: bigint, until: 'committed' | 'delivered'): void {
    const reason = `nonce ${nonce} of its path is not ${until}`
    if (until === 'delivered') postpone(entry, reason)
    else outbox.explain(entry.packet.guid, reason)
  }

  /** An execution failed. One that wants order and went with those below it may have failed for theirs: it counts when it fails alone. */
  function fail({ entry, after }: Step, failure?: Failure): void {
    if (after.length === 0) outbox.markFailed(entry.packet.guid, failure)
  }

  /** Its execution failed: it is tried again later, so often and no more. */
  function retire(entry: Pending): void {
    const { failure, failures, own, packet } = entry
    if (failures < config.maxExecutions) {
      postpone(entry, 'its execution fails')
      return
    }
    outbox.bury(packet.guid)
    log[own ? 'error' : 'warn'](
      { guid: packet.guid, path: pathOf(packet), failures, ...(failure && inWords(failure)) },
      'dead letter',
    )
  }

  /** Leaves out what is committed and would fail: it has failed before, in this process or in one before it. */
  async function receivable(steps: readonly Step[]): Promise<Step[]> {
    const kept = await Promise.all(
      steps.map(async (step) => {
        const { entry, execute, verify, attest, commit } = step
        if (!execute || verify || attest || commit) return [step]
        // Native drops are paid for even where lzReceive fails, and go with the first execution.
        const dropsDue = entry.options.drops.length > 0 && !entry.dropped
        if (dropsDue && entry.failures === 0) return [step]
        // It can't be tried on a state where those below are not executed, which go before it.
        if (step.after.length > 0) return [step]
        const failure = await tryReceive(destination, step)
        if (failure === undefined) return [step]
        outbox.markFailed(entry.packet.guid, failure)
        retire(entry)
        return []
      }),
    )
    return kept.flat()
  }

  /** Who is asked about it: of what a node has called delivered in vain, the next each time. */
  function readerOf({ reopened, attempts }: Pending): ChainClient {
    return reopened === 0 ? client : (witnesses[(reopened + attempts) % witnesses.length] ?? client)
  }

  async function asked(reader: ChainClient, entries: readonly Pending[]): Promise<Outstanding> {
    try {
      return await outstanding({ ...destination, client: reader }, entries, sources, limits, silence)
    } catch (error) {
      // One node alone, which may be down for long: no other packet waits for it.
      if (reader === client || !(error instanceof RetryableError)) throw error
      const waiting = entries.map((entry) => ({
        entry,
        reason: 'the node that is asked about it fails',
        isUnknown: false,
      }))
      return { steps: [], done: [], waiting }
    }
  }

  /** What the destination still lacks; what is delivered leaves the outbox here. */
  async function lacking(entries: readonly Pending[]): Promise<Step[]> {
    const head = destination.feed.head()?.number ?? 0n
    const groups = new Map<ChainClient, Pending[]>()
    for (const entry of entries) groups.set(readerOf(entry), [...(groups.get(readerOf(entry)) ?? []), entry])
    const found = await Promise.all([...groups].map(([reader, own]) => asked(reader, own)))
    for (const { packet } of found.flatMap(({ done }) => done)) outbox.settleSeen(packet.guid, head)
    for (const { entry, reason, isUnknown } of found.flatMap(({ waiting }) => waiting))
      postpone(entry, reason, isUnknown && entry.own ? UNCONFIRMED_RETRY_MS : undefined)
    const places = new Map(entries.map((entry, i) => [entry, i]))
    const place = ({ entry }: Step) => places.get(entry) ?? 0
    return found.flatMap(({ steps }) => steps).sort((a, b) => place(a) - place(b))
  }

  /**
   * Leaves out executions that bring value while it isn't sure that this is the first time: while a transaction of ours that nobody waits for, of
   * a process before this one say, may still do so, while it isn't known which native drops have been made, and what more than half of the
   * nodes don't call undelivered. The Executor's drops, and what a failed call brings, are not taken back.
   */
  async function affordable(steps: readonly Step[]): Promise<Step[]> {
    const bringsValue = ({ execute, entry }: Step) =>
      execute && executionValue(entry.options, entry.dropped) > 0n
    const dear = steps.filter(bringsValue)
    if (dear.length === 0) return [...steps]
    const { head, isRereading } = destination.feed
    const read = head()?.number
    const isClaimed = senders.bulk.unclaimed(read ?? 0n) === 0
    const knowsDrops = outbox.drops.isComplete(!isRereading()) && read !== undefined
    const isOpen = await undelivered(dear)
    return steps.flatMap((step) => {
      if (!bringsValue(step)) return [step]
      const { entry, verify, attest, commit } = step
      const reason = !isClaimed
        ? 'an earlier transaction may bring its value'
        : !knowsDrops && entry.options.drops.length > 0
          ? 'whether its native drops are made is not known'
          : !isOpen.has(entry.packet.guid)
            ? 'no majority of nodes calls it undelivered'
            : undefined
      if (reason === undefined) return [step]
      if (verify || attest || commit) return [{ ...step, execute: false }]
      outbox.suspect(entry.packet.guid)
      postpone(entry, reason, UNCONFIRMED_RETRY_MS)
      return []
    })
  }

  /** By more than half of the destination's nodes. */
  async function undelivered(steps: readonly Step[]): Promise<ReadonlySet<Hex>> {
    const entries = steps.map(({ entry }) => entry)
    try {
      const isOpen = await agreedAnswer(destination, async (node) =>
        (await packetStates({ chain, client: node }, entries)).map(({ state }) => state !== 'delivered'),
      )
      return new Set(entries.flatMap(({ packet }, i) => (isOpen[i] ? [packet.guid] : [])))
    } catch (error) {
      if (!(error instanceof RetryableError)) throw error
      return new Set()
    }
  }

  /** Leaves out what its source does not confirm now. */
  async function confirmed(chosen: readonly Step[]): Promise<Step[]> {
    const times = new Map<Hex, number>()
    await Promise.all(
      [...sources.values()].map(async (source) => {
        const own = chosen.filter(({ entry }) => entry.packet.srcEid === source.chain.eid)
        const depths = await requiredDepths(
          source,
          own.map(({ entry }) => entry.packet),
        )
        const packets = own.map(({ entry, confirmations }, i) => atDepth(entry, confirmations, depths[i]))
        const { witnesses, quarantine } = source
        const found = await confirmedPackets(witnesses, source.chain.layerzero, packets, quarantine)
        for (const [guid, timestamp] of found) times.set(guid, timestamp)
      }),
    )
    const now = clock.now()
    return chosen.filter(({ entry, verify, attest, commit }) => {
      const { guid } = entry.packet
      const sentBlockTime = times.get(guid)
      if (sentBlockTime !== undefined) stages.note(guid, { sentBlockTime, confirmedAt: now })
      // What is committed on the destination can't be taken back by its source any more.
      if (sentBlockTime !== undefined || (!verify && !attest && !commit)) return true
      postpone(entry, 'its source does not confirm it', UNCONFIRMED_RETRY_MS)
      return false
    })
  }

  function build(steps: readonly Step[], { verifications, attested }: Signed): Delivery {
    const guids = new Set(steps.map(({ entry }) => entry.packet.guid))
    const own = new Map([...verifications].filter(([guid]) => guids.has(guid)))
    return buildDelivery(steps, own, attested, chain.layerzero)
  }

  /**
   * The steps that may be sent together. Where all of them would fail, each half is tried by itself, down to the one that takes the others down:
   * it alone has to wait. What follows the first half that stands is left to the next round.
   */
  async function standing(steps: readonly Step[], signed: Signed): Promise<Step[]> {
    try {
      return executableInOrder(await simulate(steps, build(steps, signed)))
    } catch (error) {
      if (!(error instanceof BaseError) || !isAnswered(error)) throw error
      const [only, ...others] = steps
      if (only !== undefined && others.length === 0) {
        log.warn({ guid: only.entry.packet.guid, reason: error.shortMessage }, 'packet not deliverable')
        postpone(only.entry, 'its delivery would fail')
        return []
      }
      for (const half of batches(steps, Math.ceil(steps.length / 2))) {
        const found = await standing(executableInOrder(half), signed)
        if (found.length > 0) return found
      }
      return []
    }
  }

  /** Leaves out what can't be committed now; what needs other DVNs too is still verified, and no lzReceive is tried without its commit. */
  async function simulate(steps: readonly Step[], delivery: Delivery): Promise<Step[]> {
    if (delivery.calls.length === 0) return []
    const { result } = await client.simulateContract({
      account: senders.bulk.address,
      address: workerMulticall,
      abi: workerMulticallAbi,
      functionName: 'multiCall',
      args: [delivery.calls],
      value: delivery.value,
      gas: delivery.gas,
    })
    const [successes, results] = result
    const outcomes = attestedOutcomes(delivery, successes, results)
    return steps.flatMap((step, i) => {
      const outcome = outcomes.get(step.entry.packet.guid)
      if (outcome !== undefined) return afterOutcome(step, outcome)
      const at = delivery.commitOf[i] ?? -1
      if (at < 0 || successes[at]) return [step]
      if (step.verify) return [{ ...step, commit: false, execute: false }]
      postpone(step.entry, 'not committable')
      return []
    })
  }

  /** What of a step may be sent when the Attestor answers this for it. */
  function afterOutcome(step: Step, outcome: Outcome): Step[] {
    if (outcome === 'executed' || outcome === 'committed' || outcome === 'already-done') return [step]
    // Its commit counts: nonces above wait for it. The Executor tries it next, and says why it fails.
    if (outcome === 'execute-failed') {
      fail(step)
      return [{ ...step, execute: false }]
    }
    if (outcome === 'verify-failed' && step.verify) return [{ ...step, attest: false, execute: false }]
    postpone(step.entry, outcome)
    return []
  }

  async function read({ receipt, broadcastAt, minedAt }: SentTransaction, steps: readonly Step[]) {
    const { timestamp } = await client.getBlock({ blockNumber: receipt.blockNumber })
    const events = deliveryEvents(receipt.logs, chain.layerzero)
    for (const event of events) {
      if (event.kind === 'verified') outbox.markVerified(event.header, event.payloadHash)
      if (event.kind === 'dropped') outbox.markDropped(event.origin, event.receiver, receipt.blockNumber)
    }
    const states = await packetStates(
      destination,
      steps.map(({ entry }) => entry),
    )
    const open = new Map<Hex, Step>()
    for (const [i, step] of steps.entries()) {
      const { guid } = step.entry.packet
      if (states[i]?.state !== 'delivered') open.set(guid, step)
      else {
        outbox.settle(guid, receipt.blockNumber)
        stages.note(guid, { broadcastAt, deliveredAt: minedAt, deliveredBlockTime: Number(timestamp) })
      }
    }
    // Where somebody else was first, ours has failed, and the packet has not.
    for (const event of events) {
      if (event.kind !== 'not-delivered' && event.kind !== 'alert') continue
      const step = open.get(event.guid)
      if (step === undefined) continue
      if (event.kind === 'not-delivered') {
        if (event.outcome === 'execute-failed') fail(step)
        log.warn({ guid: event.guid, outcome: event.outcome }, 'packet not delivered')
      } else {
        const { guid, reason, gas } = event
        fail(step, reason === '0x' ? undefined : { kind: 'reverted', reason })
        log.warn({ guid, reason, gas: String(gas) }, 'lzReceive failed')
      }
    }
    for (const [i, { entry }] of steps.entries()) {
      const state = states[i]?.state
      if (state === 'delivered') continue
      if (state === 'committed' && entry.failures > 0) retire(entry)
      else {
        // What was sent ought to be there: the next time another node is asked.
        outbox.suspect(entry.packet.guid)
        postpone(entry, 'not delivered')
      }
    }
  }

  /** Anyone may call the Attestor, so what needs nothing else goes there directly. */
  function requestOf({ calls, attested }: Delivery) {
    const [only, ...others] = calls
    if (only !== undefined && others.length === 0 && attested !== undefined)
      return { to: only.target, data: only.data, abi: attestorAbi }
    const data = encodeFunctionData({ abi: workerMulticallAbi, functionName: 'multiCall', args: [calls] })
    return { to: workerMulticall, data, abi: workerMulticallAbi }
  }

  async function deliver(entries: readonly Pending[], signal: AbortSignal): Promise<boolean> {
    const all = await affordable(await lacking(entries))
    onLacking(all)
    const chosen = fitting(executableInOrder(all, hold), config.batch.packets, limits)
    const steps = executableInOrder(await confirmed(chosen))
    if (steps.length === 0 || signal.aborted) return false
    const signed = await sign(await receivable(steps))
    for (const { entry } of signed.unsigned)
      postpone(entry, 'too few signers vouch for it', UNCONFIRMED_RETRY_MS)
    const possible = await standing(executableInOrder(signed.steps), signed)
    const delivery = build(possible, signed)
    if (delivery.calls.length === 0) return false
    const dueAt = clock.now()
    const { gas, value } = delivery
    // Native drops stay even where a rival has delivered the packet.
    const request = { ...requestOf(delivery), gas, value, exclusive: value > 0n, label: 'deliver' }
    const sent = await senders.bulk.send(request)
    const { readyAt, broadcastAt, minedAt, missedFirstBlock } = sent
    const times = { dueAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'deliver', chainId: chain.chainId, ...times })
    await read(sent, possible)
    return true
  }

  return async (signal: AbortSignal): Promise<boolean> => {
    const isDue = (entry: Pending) => isDeep(entry) && !silence.has(entry.packet.srcEid)
    const entries = outbox.take(clock.now(), isDue, busy, turn)
    if (entries.length === 0) return false
    const paths = new Set(entries.map(({ path }) => path))
    for (const path of paths) busy.add(path)
    try {
      return await deliver(entries, signal)
    } finally {
      for (const path of paths) busy.delete(path)
    }
  }
}
