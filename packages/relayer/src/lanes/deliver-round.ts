import { isAnswered, type Logger, type SentTransaction } from '@clearspan/shared'
import { BaseError, encodeFunctionData, type Hex, isAddressEqual, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { dvnAbi, endpointAbi, receiveUlnAbi, workerMulticallAbi } from '../layerzero/abi.js'
import {
  buildDelivery,
  type Delivery,
  type DeliveryLimits,
  executableInOrder,
  fitting,
  type Step,
  signVerification,
  type Verification,
} from '../layerzero/batch.js'
import type { Outbox, Pending } from '../layerzero/outbox.js'
import { outstanding } from '../layerzero/outstanding.js'
import { packetStates } from '../layerzero/state.js'
import { confirmedPackets } from '../layerzero/witness.js'
import type { LaneContext } from './context.js'
import { batches } from './counters.js'

/** Packets looked at in one round, and of others' packets: each path of theirs costs requests of its own. */
const TURN = { limit: 300, foreignLimit: 50 }
/** Asking a source's nodes again costs no gas, and everybody waits for a quorum to come back: real ms. */
const UNCONFIRMED_RETRY_MS = 5_000
/** A signature is good for so long, in seconds of the destination's time. */
const SIGNATURE_SECONDS = 3_600n

export interface DeliveryRoundOptions {
  destination: ChainContext
  /** By endpoint id. */
  sources: ReadonlyMap<number, ChainContext>
  outbox: Outbox
  limits: DeliveryLimits
  /** Whether a packet's block is deep enough as far as its feed has read. */
  isDeep: (entry: Pending) => boolean
  /** Hears of what the destination still lacks. */
  onLacking: (steps: readonly Step[]) => void
  log: Logger
}

/** One round of a destination: from what is due to one mined transaction. It answers whether there was any. */
export function createDeliveryRound(
  context: LaneContext,
  { destination, sources, outbox, limits, isDeep, onLacking, log }: DeliveryRoundOptions,
) {
  const { clock, stages, config, keys } = context
  const { chain, client, senders } = destination
  const { dvn, executor, receiveUln, workerMulticall } = chain.layerzero
  let contract: Promise<{ vid: number; quorum: number }> | undefined

  function readDvn() {
    contract ??= readAll(client, [
      { address: dvn, abi: dvnAbi, functionName: 'vid' },
      { address: dvn, abi: dvnAbi, functionName: 'quorum' },
    ])
      .then(([vid, quorum]) => ({ vid, quorum: Number(quorum) }))
      .catch((error: unknown) => {
        contract = undefined
        throw error
      })
    return contract
  }

  function postpone(entry: Pending, reason: string, longestMs?: number): void {
    log.debug({ guid: entry.packet.guid, attempts: entry.attempts, reason }, 'packet waits')
    outbox.postpone(entry.packet.guid, clock.now(), longestMs)
  }

  /** What the destination still lacks; what is delivered leaves the outbox here. */
  async function lacking(entries: readonly Pending[]): Promise<Step[]> {
    const confirmations = (eid: number) => sources.get(eid)?.chain.confirmations ?? 1
    const head = destination.feed.head()?.number ?? 0n
    const { steps, done, waiting } = await outstanding(destination, entries, confirmations, limits)
    for (const { packet } of done) outbox.settle(packet.guid, head)
    for (const { entry, reason } of waiting) postpone(entry, reason)
    return steps
  }

  /** Leaves out what its source does not confirm now. */
  async function confirmed(chosen: readonly Step[]): Promise<Step[]> {
    const times = new Map<Hex, number>()
    await Promise.all(
      [...sources.values()].map(async (source) => {
        const own = chosen.filter(({ entry }) => entry.packet.srcEid === source.chain.eid)
        const packets = own.map(({ entry, confirmations }) => ({ ...entry, confirmations }))
        const found = await confirmedPackets(source.witnesses, source.chain.layerzero.endpoint, packets)
        for (const [guid, timestamp] of found) times.set(guid, timestamp)
      }),
    )
    const now = clock.now()
    return chosen.filter(({ entry, verify, commit }) => {
      const { guid } = entry.packet
      const sentBlockTime = times.get(guid)
      if (sentBlockTime !== undefined) stages.note(guid, { sentBlockTime, confirmedAt: now })
      // What is committed on the destination can't be taken back by its source any more.
      if (sentBlockTime !== undefined || (!verify && !commit)) return true
      postpone(entry, 'its source does not confirm it', UNCONFIRMED_RETRY_MS)
      return false
    })
  }

  async function sign(steps: readonly Step[]): Promise<Map<Hex, Verification>> {
    const own = steps.filter(({ verify }) => verify)
    if (own.length === 0) return new Map()
    const { vid, quorum } = await readDvn()
    const head = await client.getBlock()
    const expiration = head.timestamp + SIGNATURE_SECONDS
    const signer = { vid, quorum, signers: keys.dvnSigners, receiveUln }
    return new Map(
      await Promise.all(
        own.map(
          async (step) => [step.entry.packet.guid, await signVerification(step, signer, expiration)] as const,
        ),
      ),
    )
  }

  function build(steps: readonly Step[], verifications: ReadonlyMap<Hex, Verification>): Delivery {
    const guids = new Set(steps.map(({ entry }) => entry.packet.guid))
    const own = new Map([...verifications].filter(([guid]) => guids.has(guid)))
    return buildDelivery(steps, own, { dvn, receiveUln, executor })
  }

  /**
   * The steps that may be sent together. Where all of them would fail, each half is tried by itself, down to the one that takes the others down:
   * it alone has to wait. What follows the first half that stands is left to the next round.
   */
  async function standing(
    steps: readonly Step[],
    verifications: ReadonlyMap<Hex, Verification>,
  ): Promise<Step[]> {
    try {
      return executableInOrder(await simulate(steps, build(steps, verifications)))
    } catch (error) {
      if (!(error instanceof BaseError) || !isAnswered(error)) throw error
      const [only, ...others] = steps
      if (only !== undefined && others.length === 0) {
        log.warn({ guid: only.entry.packet.guid, reason: error.shortMessage }, 'packet not deliverable')
        postpone(only.entry, 'its delivery would fail')
        return []
      }
      for (const half of batches(steps, Math.ceil(steps.length / 2))) {
        const found = await standing(executableInOrder(half), verifications)
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
    const [successes] = result
    return steps.flatMap((step, i) => {
      const at = delivery.commitOf[i] ?? -1
      if (at < 0 || successes[at]) return [step]
      if (step.verify) return [{ ...step, commit: false, execute: false }]
      postpone(step.entry, 'not committable')
      return []
    })
  }

  async function read({ receipt, broadcastAt, minedAt }: SentTransaction, steps: readonly Step[]) {
    const logs = parseEventLogs({ abi: [...endpointAbi, ...receiveUlnAbi], logs: receipt.logs, strict: true })
    const { timestamp } = await client.getBlock({ blockNumber: receipt.blockNumber })
    for (const { address, eventName, args } of logs) {
      if (
        eventName === 'PayloadVerified' &&
        isAddressEqual(address, receiveUln) &&
        isAddressEqual(args.dvn, dvn)
      )
        outbox.markVerified(args.header, args.proofHash)
      if (eventName === 'LzReceiveAlert' && isAddressEqual(args.executor, executor)) {
        outbox.markFailed(args.guid)
        log.warn({ guid: args.guid, reason: args.reason, gas: String(args.gas) }, 'lzReceive failed')
      }
    }
    const states = await packetStates(
      destination,
      steps.map(({ entry }) => entry),
    )
    for (const [i, { entry }] of steps.entries()) {
      const { guid } = entry.packet
      if (states[i]?.state !== 'delivered') {
        postpone(entry, 'not delivered')
        continue
      }
      outbox.settle(guid, receipt.blockNumber)
      stages.note(guid, { broadcastAt, deliveredAt: minedAt, deliveredBlockTime: Number(timestamp) })
    }
  }

  return async (signal: AbortSignal): Promise<boolean> => {
    const entries = outbox.take(clock.now(), isDeep, TURN)
    if (entries.length === 0) return false
    const all = await lacking(entries)
    onLacking(all)
    const chosen = fitting(executableInOrder(all), config.batch.packets, limits)
    const steps = executableInOrder(await confirmed(chosen))
    if (steps.length === 0 || signal.aborted) return false
    const verifications = await sign(steps)
    const possible = await standing(steps, verifications)
    const { calls, gas, value } = build(possible, verifications)
    if (calls.length === 0) return false
    const dueAt = clock.now()
    const sent = await senders.bulk.send({
      to: workerMulticall,
      data: encodeFunctionData({ abi: workerMulticallAbi, functionName: 'multiCall', args: [calls] }),
      gas,
      value,
      label: 'deliver',
      abi: workerMulticallAbi,
    })
    const { readyAt, broadcastAt, minedAt, missedFirstBlock } = sent
    const times = { dueAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'deliver', chainId: chain.chainId, ...times })
    await read(sent, possible)
    return true
  }
}
