import { priceOracleAbi } from '@clearspan/contracts'
import { AlreadyDoneError, decodeReport, type SignedReport } from '@clearspan/shared'
import { encodeFunctionData } from 'viem'
import type { ChainContext } from '../chains/context.js'
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
  const { prices, stages, network, metrics } = context
  const { feeds, nodes } = network.oracle
  const gas = BASE_GAS + GAS_PER_FEED * BigInt(feeds.length) + GAS_PER_NODE * BigInt(nodes.length)
  const delivered = metrics.gauge('price_delivered_seq', 'Slot of the newest report on a chain', ['chain'])
  const address = chain.contracts.priceOracle
  const triggers = context.config.priceTriggers[chain.chainId]

  /** Slots on their way. */
  const inFlight = new Map<bigint, Promise<void>>()
  let failing = false

  async function deliver(): Promise<void> {
    if (inFlight.size >= MAX_IN_FLIGHT) await Promise.race(inFlight.values())
    const newest = prices.newest()
    if (newest === undefined || inFlight.has(newest.report.seq)) return
    const { report, arrivedAt } = newest
    if (await turn?.carried(report.seq)) return
    const [epoch, seq] = await client.readContract({ address, abi: priceOracleAbi, functionName: 'latest' })
    delivered.set({ chain: chain.name }, Number(seq))
    if (epoch >= report.epoch && seq >= report.seq)
      throw new AlreadyDoneError(`report ${report.seq} is on ${chain.name}`)
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

  /** Whether the chain wants this report: every one, unless it has triggers. */
  async function isDue({ encoded, observedAt }: SignedReport): Promise<boolean> {
    if (triggers === undefined) return true
    const stored = await Promise.all(
      feeds.map((_, feed) =>
        client.readContract({ address, abi: priceOracleAbi, functionName: 'value', args: [BigInt(feed)] }),
      ),
    )
    const { prices: values } = decodeReport(encoded, network.oracle).report
    return triggerOf({ observedAt, prices: values }, stored, feeds, triggers) !== undefined
  }

  async function send(report: SignedReport, dueAt: number): Promise<void> {
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

  const { lane, ring } = await openLane(context, `price-${chain.chainId}`, { deliver }, URGENT_BACKOFF)
  return { lane, ring: () => ring('deliver'), sweep: () => ring('deliver') }
}
