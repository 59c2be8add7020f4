import { priceOracleAbi } from '@clearspan/contracts'
import {
  AlreadyDoneError,
  decodeReport,
  handoverArgument,
  handoverOf,
  PermanentError,
  RetryableError,
  type Revert,
  type RevertOutcome,
  revertOf,
  type SignedReport,
} from '@clearspan/shared'
import { encodeFunctionData } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { requestOf } from '../chains/request.js'
import { triggerOf } from '../prices/triggers.js'
import type { ReportTurn } from '../prices/turn.js'
import { type LaneContext, type LanePart, openLane, URGENT_BACKOFF } from './context.js'

/** Reports of one chain that wait for a block at once. */
const MAX_IN_FLIGHT = 3
/** Storing the first value of a feed is the dearest; unused gas costs nothing. */
const BASE_GAS = 200_000n
const GAS_PER_FEED = 40_000n
const GAS_PER_NODE = 15_000n

/**
 * Brings the newest report to one chain. The report's quorum was checked on arrival and the chain's `latest()` is read when it acts, so
 * nothing is estimated: a simulation on the last block could refuse a slot that has begun since.
 * @param turn On the hub, beside a keeper: reports that its liquidations carry are left to them.
 */
export async function createPriceLane(
  context: LaneContext,
  { chain, client, senders }: ChainContext,
  turn?: ReportTurn,
): Promise<LanePart & { ring(): void }> {
  const { prices, stages, metrics, logger } = context
  const delivered = metrics.gauge('price_delivered_seq', 'Slot of the newest report on a chain', ['chain'])
  const address = chain.contracts.priceOracle
  const triggers = context.config.priceTriggers[chain.chainId]

  /** Slots on their way. */
  const inFlight = new Map<bigint, Promise<void>>()
  /** Epochs that this chain has refused, for good. */
  const warned = new Set<number>()
  let failing = false

  async function deliver(): Promise<void> {
    // What is on its way may be all that the triggers ask for.
    if (triggers !== undefined) await Promise.all(inFlight.values())
    else if (inFlight.size >= MAX_IN_FLIGHT) await Promise.race(inFlight.values())
    const newest = prices.newest()
    if (newest === undefined || inFlight.has(newest.report.seq)) return
    const { report, arrivedAt } = newest
    if (await turn?.carried(report.seq)) return
    const [[epoch, seq], slots] = await Promise.all([
      client.readContract({ address, abi: priceOracleAbi, functionName: 'latest' }),
      slotsOf(report.epoch),
    ])
    delivered.set({ chain: chain.name }, Number(seq))
    if (epoch >= report.epoch && seq >= report.seq)
      throw new AlreadyDoneError(`report ${report.seq} is on ${chain.name}`)
    if (slots === undefined) {
      if (warned.has(report.epoch)) return
      await handOver()
      throw new RetryableError(`${chain.name} has not opened epoch ${report.epoch}`)
    }
    if (slots.revoked || report.seq < slots.firstSeq || report.seq > slots.lastSeq) {
      // Sending would only cost gas.
      warnOnce(report.epoch, 'this chain takes no reports of this epoch any more')
      return
    }
    if (!(await isDue(report))) return
    const sending = send(report, arrivedAt)
    // The next report need not wait for this one's block: it follows in the same one. After a failure it does, so that the lane backs off.
    if (failing) return sending
    const watched = sending
      .catch((err: unknown) => {
        failing = true
        context.logger.warn({ err, chain: chain.name }, 'price not delivered, will try again')
        ring('deliver')
      })
      .finally(() => inFlight.delete(report.seq))
    inFlight.set(report.seq, watched)
  }

  /** Slots that an epoch may still sign on this chain; undefined when it is not open there. */
  async function slotsOf(epoch: number) {
    try {
      const args = [epoch] as const
      const read = { address, abi: priceOracleAbi, functionName: 'epochSlots', args } as const
      const [firstSeq, lastSeq, revoked] = await client.readContract(read)
      return { firstSeq, lastSeq, revoked }
    } catch (error) {
      if (revertOf(error, priceOracleAbi)?.name === 'UnknownEpoch') return undefined
      throw error
    }
  }

  /** Brings every handover that this chain hasn't seen, in order. One that it will never take is left. */
  async function handOver(): Promise<void> {
    const handovers = prices.epochs.handovers()
    if (handovers.length === 0) return
    const read = { address, abi: priceOracleAbi, functionName: 'openedEpoch' } as const
    const [opened] = await client.readContract(read)
    for (const handover of handovers) {
      const { epoch } = handover.oracle
      if (epoch <= opened || warned.has(epoch)) continue
      const args = [handoverArgument(handoverOf(handover)), handover.signatures] as const
      const call = { address, abi: priceOracleAbi, functionName: 'handOver', args } as const
      try {
        await senders.price.send({ ...requestOf(call, 'handover'), classify })
        logger.info({ chain: chain.name, epoch }, 'handover delivered')
      } catch (error) {
        if (!(error instanceof PermanentError)) throw error
        warnOnce(epoch, 'this chain refuses the handover', error)
        return
      }
    }
  }

  function warnOnce(epoch: number, message: string, err?: unknown): void {
    if (!warned.has(epoch)) logger.error({ chain: chain.name, epoch, err }, message)
    warned.add(epoch)
  }

  /** Whether the chain wants this report: every one, unless it has triggers. */
  async function isDue({ epoch, encoded, observedAt }: SignedReport): Promise<boolean> {
    if (triggers === undefined) return true
    const { oracle } = prices.epochs.get(epoch) ?? prices.epochs.newest()
    const { feeds } = oracle
    const stored = await Promise.all(
      feeds.map((_, feed) =>
        client.readContract({ address, abi: priceOracleAbi, functionName: 'value', args: [BigInt(feed)] }),
      ),
    )
    const { prices: values } = decodeReport(encoded, oracle).report
    return triggerOf({ observedAt, prices: values }, stored, feeds, triggers) !== undefined
  }

  async function send(report: SignedReport, dueAt: number): Promise<void> {
    const { feeds, nodes } = (prices.epochs.get(report.epoch) ?? prices.epochs.newest()).oracle
    const gas = BASE_GAS + GAS_PER_FEED * BigInt(feeds.length) + GAS_PER_NODE * BigInt(nodes.length)
    const { readyAt, broadcastAt, minedAt, missedFirstBlock } = await senders.price.send({
      to: address,
      data: encodeFunctionData({ abi: priceOracleAbi, functionName: 'update', args: [report.encoded] }),
      gas,
      label: 'price',
      abi: priceOracleAbi,
    })
    failing = false
    const times = { dueAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'price', chainId: chain.chainId, ...times })
  }

  const { lane, ring } = await openLane(
    context,
    `price-${chain.chainId}`,
    { deliver, handOver },
    URGENT_BACKOFF,
  )
  return {
    lane,
    ring: () => ring('deliver'),
    sweep() {
      ring('handOver')
      ring('deliver')
    },
  }
}

/** An epoch is opened once; who comes second finds it out of order. Neither a revocation nor an expiry is ever taken back. */
function classify({ name }: Revert): RevertOutcome {
  if (name === 'InvalidEpoch') return 'retryable'
  return name === undefined ? 'retryable' : 'permanent'
}
