import { dynamicRiskAbi, marginEngineAbi, riskConfigAbi } from '@clearspan/contracts'
import type { Network } from '@clearspan/shared'
import { type Address, zeroAddress } from 'viem'
import { type Call, requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'

/** There are so many (`FeedRisk.CLASSES`). */
const CLASSES = [0n, 1n, 2n, 3n]

/**
 * Has margin follow volatility, depth and open interest, what the owner set, and moving averages prices: tries at each sweep what would move,
 * or is due, and sends that. A ramp or an average that is tried rarely falls behind: no more than ten minutes count.
 */
export async function createRiskLane(context: LaneContext): Promise<LanePart> {
  const { network, hub } = context
  const { client, senders } = hub
  const { riskConfig } = network.hub.contracts

  async function refresh(): Promise<void> {
    const dynamicRisk = await client.readContract({
      address: riskConfig,
      abi: riskConfigAbi,
      functionName: 'dynamicRisk',
    })
    const calls = riskCalls(network, dynamicRisk)
    const results = await trySequence(client, calls)
    const moving = calls.filter((_, i) => results[i] === true)
    assertSent(await senders.bulk.sendMany(moving.map((call) => requestOf(call, 'refresh risk'))))
  }

  const { lane, ring } = await openLane(context, 'risk', { refresh })
  return { lane, sweep: () => ring('refresh') }
}

/** All that anyone may have moved; a call answers whether it moves something, or is due. @param dynamicRisk Zero where none is set. */
export function riskCalls({ chains, hub, oracle }: Network, dynamicRisk: Address): Call[] {
  const tokens = chains.flatMap((chain) => chain.tokens)
  const config = { address: hub.contracts.riskConfig, abi: riskConfigAbi }
  const grid = { ...config, functionName: 'moveGrid', args: [] }
  const credits = tokens.map(({ assetId }) => ({
    ...config,
    functionName: 'moveCredit',
    args: [BigInt(assetId)],
  }))
  const indexOf = (name: string) => BigInt(oracle.feeds.findIndex((known) => known.name === name))
  const averages = [...new Set(hub.instruments.map(({ feed }) => feed))].map((name) => ({
    address: hub.contracts.marginEngine,
    abi: marginEngineAbi,
    functionName: 'observe',
    args: [indexOf(name)],
  }))
  if (dynamicRisk === zeroAddress) return [...averages, ...credits, grid]
  const risk = { address: dynamicRisk, abi: dynamicRiskAbi }
  const names = new Set([...tokens, ...hub.instruments].map(({ feed }) => feed))
  const feeds = [...names].map((name) => {
    const instrumentIds = hub.instruments.filter(({ feed }) => feed === name).map(({ id }) => BigInt(id))
    return { ...risk, functionName: 'refresh', args: [indexOf(name), instrumentIds] }
  })
  const classes = CLASSES.map((riskClass) => ({ ...risk, functionName: 'refreshClass', args: [riskClass] }))
  return [...feeds, ...classes, ...averages, ...credits, grid]
}
