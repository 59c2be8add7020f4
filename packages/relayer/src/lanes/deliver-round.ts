import type { Logger, SentTransaction } from '@clearspan/shared'
import { encodeFunctionData, type Hex, isAddressEqual, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { dvnAbi, endpointAbi, receiveUlnAbi, workerMulticallAbi } from '../layerzero/abi.js'
import {
  buildDelivery,
  type Delivery,
  executableInOrder,
  type Step,
  signVerification,
  stepGas,
  type Verification,
} from '../layerzero/batch.js'
import type { Outbox, Pending } from '../layerzero/outbox.js'
import { pathOf } from '../layerzero/packet.js'
import { packetStates, requiredConfirmations, verificationStates } from '../layerzero/state.js'
import { confirmedPackets } from '../layerzero/witness.js'
import type { LaneContext } from './context.js'

/** Packets whose state is asked for at once. */
const LOOKUP = 300
/** A signature is good for so long, in seconds of the destination's time. */
const SIGNATURE_SECONDS = 3_600n

/** One round of a destination: from what is due to one mined transaction. */
export function createDeliveryRound(
  context: LaneContext,
  destination: ChainContext,
  sources: ReadonlyMap<number, ChainContext>,
  outbox: Outbox,
  log: Logger,
) {
  const { clock, stages, config, keys } = context
  const { chain, client, senders } = destination
  const { dvn, executor, receiveUln, workerMulticall } = chain.layerzero
  const unsupported = context.metrics.counter('packets_unsupported_total', 'Packets left to others', [
    'chain',
  ])
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

  function postpone(entry: Pending, reason: string): void {
    log.debug({ guid: entry.packet.guid, attempts: entry.attempts, reason }, 'packet waits')
    outbox.postpone(entry.packet.guid, clock.now())
  }

  /** What the destination still lacks of each packet; what is delivered leaves the outbox here, whoever did it. */
  async function outstanding(entries: readonly Pending[]): Promise<Step[]> {
    const head = destination.feed.head()?.number ?? 0n
    const states = await packetStates(destination, entries)
    const open = entries.filter((_, i) => states[i]?.state === 'open')
    const [verification, confirmations] = await Promise.all([
      verificationStates(destination, open),
      requiredConfirmations(destination, entries),
    ])
    return entries.flatMap((entry, i) => {
      const { packet, options, execute: paid } = entry
      const { state, inbound } = states[i] ?? { state: 'open', inbound: 0n }
      if (state === 'delivered') {
        outbox.settle(packet.guid, head)
        return []
      }
      const execute = paid && !options.other && options.gas > 0n
      if (!execute && paid) unsupported.inc({ chain: chain.name })
      const source = sources.get(packet.srcEid)?.chain.confirmations ?? 1
      const required = confirmations.get(pathOf(packet)) ?? 0n
      const step = {
        entry,
        confirmations: required > BigInt(source) ? required : BigInt(source),
        inbound,
        execute,
        verify: false,
        commit: false,
      }
      if (state === 'committed' && execute) return [step]
      const verified = verification[open.indexOf(entry)]
      if (state === 'open' && verified === 'verifiable') return [{ ...step, commit: true }]
      // Ours is there and others' are missing: only they can go on.
      if (state === 'open' && verified === 'unverified' && entry.verify && !entry.verified)
        return [{ ...step, verify: true, commit: true }]
      postpone(entry, `${state} ${verified ?? ''}`)
      return []
    })
  }

  let rereadAt = -Infinity

  /** A nonce that its path waits for and that no log has shown: the source is read again, since a node may have kept it back. */
  function findGaps(steps: readonly Step[]): void {
    const now = clock.now()
    if (now - rereadAt < config.sweepMs) return
    for (const { entry, inbound } of steps) {
      const { packet } = entry
      if (packet.nonce <= inbound + 1n || outbox.has(pathOf(packet), inbound + 1n)) continue
      log.warn(
        { path: pathOf(packet), nonce: String(inbound + 1n) },
        'a packet is missing, reading its source again',
      )
      sources.get(packet.srcEid)?.feed.reread(0n)
      rereadAt = now
    }
  }

  /** As many steps as one transaction takes, those to verify only when their source confirms them now. */
  async function choose(steps: readonly Step[]): Promise<Step[]> {
    const chosen: Step[] = []
    let gas = 0n
    for (const step of steps) {
      gas += stepGas(step)
      if (chosen.length >= config.batch.packets) break
      if (chosen.length > 0 && gas > BigInt(config.maxDeliveryGas)) break
      chosen.push(step)
    }
    const confirmed = new Map<Hex, number>()
    await Promise.all(
      [...sources.values()].map(async (source) => {
        const own = chosen.filter(({ entry }) => entry.packet.srcEid === source.chain.eid)
        const packets = own.map(({ entry, confirmations }) => ({ ...entry, confirmations }))
        const found = await confirmedPackets(source.witnesses, source.chain.layerzero.endpoint, packets)
        for (const [guid, timestamp] of found) confirmed.set(guid, timestamp)
      }),
    )
    const now = clock.now()
    return chosen.filter(({ entry, verify, commit }) => {
      const { guid } = entry.packet
      const sentBlockTime = confirmed.get(guid)
      if (sentBlockTime !== undefined) stages.note(guid, { sentBlockTime, confirmedAt: now })
      // What is committed on the destination can't be taken back by its source any more.
      if (sentBlockTime !== undefined || (!verify && !commit)) return true
      postpone(entry, 'its source does not confirm it')
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

  /** Leaves out what can't be committed now; what needs other DVNs too is still verified, and no lzReceive is tried without its commit. */
  async function simulate(steps: readonly Step[], delivery: Delivery): Promise<Step[]> {
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
      if (eventName === 'LzReceiveAlert' && isAddressEqual(args.executor, executor))
        log.warn({ guid: args.guid, reason: args.reason, gas: String(args.gas) }, 'lzReceive failed')
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

  return async (entries: readonly Pending[], signal: AbortSignal): Promise<void> => {
    const lacking = await outstanding(entries.slice(0, LOOKUP))
    findGaps(lacking)
    const steps = executableInOrder(await choose(lacking))
    if (steps.length === 0 || signal.aborted) return
    const verifications = await sign(steps)
    const addresses = { dvn, receiveUln, executor }
    const possible = executableInOrder(await simulate(steps, buildDelivery(steps, verifications, addresses)))
    if (possible.length === 0) return
    const chosen = new Set(possible.map(({ entry }) => entry.packet.guid))
    const signed = new Map([...verifications].filter(([guid]) => chosen.has(guid)))
    const { calls, gas, value } = buildDelivery(possible, signed, addresses)
    if (calls.length === 0) return
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
    stages.sample({
      label: 'deliver',
      chainId: chain.chainId,
      dueAt,
      readyAt,
      broadcastAt,
      minedAt,
      missedFirstBlock,
    })
    await read(sent, possible)
  }
}
