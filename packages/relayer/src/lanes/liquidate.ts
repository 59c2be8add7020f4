import { liquidationAuctionAbi, marginEngineAbi, priceOracleAbi } from '@clearspan/contracts'
import { encodeFunctionData, type Hex, parseEventLogs } from 'viem'
import { trySequence } from '../chains/simulate.js'
import { type LaneContext, type LanePart, openLane, URGENT_BACKOFF } from './context.js'
import { batches } from './counters.js'
import type { KeeperBook } from './keeper-book.js'
import { type AccountRisk, rankByDeficit } from './ranking.js'

/** Accounts of one simulation: each reads prices and parameters of its whole portfolio. */
const ACCOUNTS_PER_CALL = 20
const CALLS_PER_REQUEST = 5

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
  const oracle = { address: chain.contracts.priceOracle, abi: priceOracleAbi } as const
  const engine = { address: marginEngine, abi: marginEngineAbi } as const

  /** Health of some accounts after the report; one whose health can't be computed hides no other. */
  async function risksOf(
    accounts: readonly Hex[],
    report: Hex | undefined,
    time: bigint,
  ): Promise<AccountRisk[]> {
    const update =
      report === undefined ? [] : [{ ...oracle, functionName: 'update', args: [report] } as const]
    const groups = batches(accounts, ACCOUNTS_PER_CALL)
    const calls = groups.map(
      (group) => ({ ...engine, functionName: 'accountsHealth', args: [group] }) as const,
    )
    const results = (await trySequence(client, [...update, ...calls], time)).slice(update.length)
    const risks = await Promise.all(
      groups.map(async (group, i) => {
        const result = results[i] as readonly { mm: bigint; fresh: boolean }[] | undefined
        if (result !== undefined)
          return group.flatMap((account, j) => {
            const health = result[j]
            return health ? [{ account, mm: health.mm, fresh: health.fresh }] : []
          })
        if (group.length > 1) {
          const halves = batches(group, Math.ceil(group.length / 2))
          return (await Promise.all(halves.map((half) => risksOf(half, report, time)))).flat()
        }
        logger.error({ account: group[0] }, "an account's health can't be computed")
        return []
      }),
    )
    return risks.flat()
  }

  async function start(): Promise<void> {
    const accounts = book.accounts().filter((account) => !book.auctions.has(account))
    const newest = prices.newest()
    if (accounts.length === 0) return
    const { timestamp } = await client.getBlock()
    // A slot that began after the last block is in the future there, but not in the block that will hold the transaction; and a price
    // stored while we ask must not be younger than the moment of the simulation.
    const moments = [newest?.report.observedAt ?? 0, networkClock.now(), Number(timestamp) * 1000]
    const time = BigInt(Math.ceil(Math.max(...moments) / 1000))
    const requests = batches(accounts, ACCOUNTS_PER_CALL * CALLS_PER_REQUEST)
    const risks = await Promise.all(requests.map((group) => risksOf(group, newest?.report.encoded, time)))
    const ranked = rankByDeficit(risks.flat()).slice(0, config.batch.accounts)
    if (ranked.length === 0) return
    const list = ranked.map(({ account }) => account)
    const args = [newest?.report.encoded ?? '0x', list] as const
    const auction = { address: liquidationAuction, abi: liquidationAuctionAbi } as const
    const call = { ...auction, functionName: 'updateAndStart', args } as const
    const [started] = await trySequence(client, [call], time)
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
