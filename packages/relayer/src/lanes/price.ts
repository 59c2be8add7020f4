import { iPriceOracleAbi } from '@clearspan/contracts'
import { AlreadyDoneError } from '@clearspan/shared'
import { encodeFunctionData } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { type LaneContext, type LanePart, openLane, URGENT_BACKOFF } from './context.js'

/** Storing the first value of a feed is the dearest; unused gas costs nothing. */
const BASE_GAS = 200_000n
const GAS_PER_FEED = 40_000n
const GAS_PER_NODE = 15_000n

/**
 * Brings the newest report to one chain. The report's quorum was checked on arrival and the chain's `latest()` is read when it acts, so
 * nothing is estimated: a simulation on the last block could refuse a slot that has begun since.
 */
export async function createPriceLane(
  context: LaneContext,
  { chain, client, senders }: ChainContext,
): Promise<LanePart & { ring(): void }> {
  const { prices, stages, network, metrics } = context
  const { feeds, nodes } = network.oracle
  const gas = BASE_GAS + GAS_PER_FEED * BigInt(feeds.length) + GAS_PER_NODE * BigInt(nodes.length)
  const delivered = metrics.gauge('price_delivered_seq', 'Slot of the newest report on a chain', ['chain'])
  const address = chain.contracts.priceOracle

  async function deliver(): Promise<void> {
    const newest = prices.newest()
    if (newest === undefined) return
    const { report, arrivedAt } = newest
    const [epoch, seq] = await client.readContract({ address, abi: iPriceOracleAbi, functionName: 'latest' })
    delivered.set({ chain: chain.name }, Number(seq))
    if (epoch >= report.epoch && seq >= report.seq)
      throw new AlreadyDoneError(`report ${report.seq} is on ${chain.name}`)
    const sent = await senders.price.send({
      to: address,
      data: encodeFunctionData({ abi: iPriceOracleAbi, functionName: 'update', args: [report.encoded] }),
      gas,
      label: 'price',
      abi: iPriceOracleAbi,
    })
    const { readyAt, broadcastAt, minedAt, missedFirstBlock } = sent
    stages.sample({
      label: 'price',
      chainId: chain.chainId,
      dueAt: arrivedAt,
      readyAt,
      broadcastAt,
      minedAt,
      missedFirstBlock,
    })
    delivered.set({ chain: chain.name }, Number(report.seq))
  }

  const { lane, ring } = await openLane(context, `price-${chain.chainId}`, { deliver }, URGENT_BACKOFF)
  return { lane, ring: () => ring('deliver'), sweep: () => ring('deliver') }
}
