import { liquidationAuctionAbi } from '@clearspan/contracts'
import { encodeFunctionData, parseEventLogs } from 'viem'
import { trySequence } from '../chains/simulate.js'
import { type LaneContext, type LanePart, openLane, URGENT_BACKOFF } from './context.js'
import { batches } from './counters.js'
import type { KeeperBook } from './keeper-book.js'
import { rankByDeficit } from './ranking.js'
import { ACCOUNTS_PER_REQUEST, risksOf } from './risks.js'

/**
 * Starts liquidations: at each report it simulates every account's health as that report will leave it, in one state, and sends the report with
 * the accounts that fall below, so that the price and the liquidation it triggers share a transaction.
 */
export async function createLiquidateLane(
  context: LaneContext,
  book: KeeperBook,
): Promise<LanePart & { ring(): void }> {
  const { network, networkClock, hub, prices, stages, config, logger } = context
  const { client, senders, chain } = hub
  const { marginEngine, liquidationAuction } = network.hub.contracts
  const contracts = { priceOracle: chain.contracts.priceOracle, marginEngine }

  async function start(): Promise<void> {
    const accounts = book.accounts().filter((account) => !book.auctions.has(account))
    const newest = prices.newest()
    if (accounts.length === 0) return
    const { timestamp, number: blockNumber } = await client.getBlock()
    // A slot that began after the last block is in the future there, but not in the block that will hold the transaction. All is asked of
    // that one block: in the next one there may be a price younger than the moment, whose age can't be computed.
    const moments = [newest?.report.observedAt ?? 0, networkClock.now(), Number(timestamp) * 1000]
    const moment = { blockNumber, time: BigInt(Math.ceil(Math.max(...moments) / 1000)) }
    const simulation = { client, contracts, logger, report: newest?.report.encoded, moment }
    const requests = batches(accounts, ACCOUNTS_PER_REQUEST)
    const risks = await Promise.all(requests.map((group) => risksOf(simulation, group)))
    const ranked = rankByDeficit(risks.flat()).slice(0, config.batch.accounts)
    if (ranked.length === 0) return
    const list = ranked.map(({ account }) => account)
    const args = [newest?.report.encoded ?? '0x', list] as const
    const auction = { address: liquidationAuction, abi: liquidationAuctionAbi } as const
    const call = { ...auction, functionName: 'updateAndStart', args } as const
    const [started] = await trySequence(client, [call], moment)
    if (typeof started !== 'bigint' || started === 0n) return
    const sent = await senders.urgent.send({
      to: liquidationAuction,
      data: encodeFunctionData({ abi: liquidationAuctionAbi, functionName: 'updateAndStart', args }),
      gas: LIQUIDATE_GAS + GAS_PER_ACCOUNT * BigInt(list.length),
      label: 'liquidate',
      abi: liquidationAuctionAbi,
    })
    const { readyAt, broadcastAt, minedAt, missedFirstBlock, receipt } = sent
    const opened = parseEventLogs({
      abi: liquidationAuctionAbi,
      logs: receipt.logs,
      eventName: 'AuctionStarted',
    })
    for (const { args: auctioned } of opened) book.auctions.add(auctioned.account)
    logger.info({ started: opened.length, due: ranked.length }, 'liquidations started')
    const times = { dueAt: newest?.arrivedAt ?? readyAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'liquidate', chainId: chain.chainId, ...times })
    if (risks.flat().filter(({ mm, fresh }) => fresh && mm < 0n).length > ranked.length) ring('start')
  }

  const { lane, ring } = await openLane(context, 'liquidate', { start }, URGENT_BACKOFF)
  return { lane, ring: () => ring('start'), sweep: () => ring('start') }
}

/** Reports are stored within it, accounts are valued within their share: 20 of them stay below the cap of a transaction (EIP-7825). */
const LIQUIDATE_GAS = 1_500_000n
const GAS_PER_ACCOUNT = 700_000n
