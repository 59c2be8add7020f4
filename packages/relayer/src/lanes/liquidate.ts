import { clearinghouseAbi, liquidationAuctionAbi } from '@clearspan/contracts'
import { accountId, type SentTransaction, type SignedReport } from '@clearspan/shared'
import { encodeFunctionData, type Hex, parseEventLogs } from 'viem'
import { type Moment, trySequence } from '../chains/simulate.js'
import type { ReportTurn } from '../prices/turn.js'
import { type LaneContext, type LanePart, openLane, URGENT_BACKOFF } from './context.js'
import { batches } from './counters.js'
import type { KeeperBook } from './keeper-book.js'
import { rankByDeficit } from './ranking.js'
import { ACCOUNTS_PER_REQUEST, risksOf } from './risks.js'

/**
 * Starts liquidations: at each report it simulates every account's health as that report will leave it, in one state, and sends the report with
 * the accounts that fall below, so that the price and the liquidation it triggers share a transaction.
 * @param hubPrice Told of each report whether a liquidation carries it; its lane is rung when that one failed.
 */
export async function createLiquidateLane(
  context: LaneContext,
  book: KeeperBook,
  hubPrice: { turn: ReportTurn; ring(): void },
): Promise<LanePart & { ring(): void }> {
  const { network, networkClock, hub, prices, stages, config, logger } = context
  const { client, senders, chain } = hub
  const { clearinghouse, marginEngine, liquidationAuction, backstop, insuranceFund } = network.hub.contracts
  const contracts = { priceOracle: chain.contracts.priceOracle, marginEngine }
  const auction = { address: liquidationAuction, abi: liquidationAuctionAbi } as const
  const ledger = { address: clearinghouse, abi: clearinghouseAbi } as const
  // The auction skips both; ranked, they would take the place of accounts that can start.
  const exempt = new Set([accountId(backstop), accountId(insuranceFund)])

  async function start(): Promise<void> {
    const newest = prices.newest()
    const seq = newest?.report.seq ?? -1n
    const { report, ...list } = await dueNow(newest?.report).catch((error: unknown) => {
      hubPrice.turn.decide(seq, false)
      throw error
    })
    hubPrice.turn.decide(seq, list.first !== undefined && report !== undefined)
    if (list.first === undefined) return
    hubPrice.turn.setAway(true)
    const sent = await send(report?.encoded ?? '0x', list.first)
      .catch((error: unknown) => {
        // The price doesn't wait for another try.
        hubPrice.turn.decide(seq, false)
        hubPrice.ring()
        throw error
      })
      .finally(() => hubPrice.turn.setAway(false))
    const { readyAt, broadcastAt, minedAt, missedFirstBlock } = sent
    const times = { dueAt: newest?.arrivedAt ?? readyAt, readyAt, broadcastAt, minedAt, missedFirstBlock }
    stages.sample({ label: 'liquidate', chainId: chain.chainId, ...times })
    // Those that can't start stay due: without progress the next report is soon enough.
    if (sent.opened > 0 && list.count > sent.opened) ring('start')
  }

  /** With the newest report; where the hub refuses that, of a revoked epoch for one, on the prices that it has: nothing that is due waits for another. */
  async function dueNow(report?: SignedReport) {
    const list = await due(report)
    if (report === undefined || list.count === 0 || list.first !== undefined) return { report, ...list }
    return { report: undefined, ...(await due()) }
  }

  /** How many accounts fall below with the report, and the first group of them that can start. */
  async function due(report?: SignedReport): Promise<{ count: number; first?: Bundle | undefined }> {
    const accounts = book.accounts().filter((account) => !book.auctions.has(account) && !exempt.has(account))
    if (accounts.length === 0) return { count: 0 }
    const moment = await nextBlock(report?.observedAt ?? 0)
    const simulation = { client, contracts, logger, report: report?.encoded, moment }
    const requests = batches(accounts, ACCOUNTS_PER_REQUEST)
    const risks = await Promise.all(requests.map((group) => risksOf(simulation, group)))
    const ranked = rankByDeficit(risks.flat()).map(({ account }) => account)
    const groups = batches(ranked, config.batch.accounts)
    const first = await firstToStart(groups, (group) => starts(report?.encoded ?? '0x', group, moment))
    return { count: ranked.length, first }
  }

  /**
   * The state to simulate on. A slot that began after the last block is in the future there, but not in the block that will hold the
   * transaction. All is asked of that one block: in the next one there may be a price younger than the moment, whose age can't be computed.
   */
  async function nextBlock(observedAt: number): Promise<Moment> {
    const { timestamp, number: blockNumber } = await client.getBlock()
    const latest = Math.max(observedAt, networkClock.now(), Number(timestamp) * 1000)
    return { blockNumber, time: BigInt(Math.ceil(latest / 1000)) }
  }

  /** How many auctions the transaction would open; undefined when it would revert, or be larger than a transaction may be. */
  async function starts(report: Hex, list: readonly Hex[], moment: Moment): Promise<Trial | undefined> {
    const rows = list.map((account) => ({ ...ledger, functionName: 'rows', args: [account] }) as const)
    const call = { ...auction, functionName: 'updateAndStart', args: [report, list] } as const
    const results = await trySequence(client, [...rows, call], moment)
    const started = results.at(-1)
    const gas = results.slice(0, -1).reduce<bigint>((total, held) => total + gasOf(held), LIQUIDATE_GAS)
    return typeof started === 'bigint' && (gas <= MOST_GAS || list.length === 1)
      ? { started, gas }
      : undefined
  }

  async function send(report: Hex, { list, gas }: Bundle): Promise<SentTransaction & { opened: number }> {
    const args = [report, list] as const
    const sent = await senders.urgent.send({
      to: liquidationAuction,
      data: encodeFunctionData({ abi: liquidationAuctionAbi, functionName: 'updateAndStart', args }),
      gas,
      label: 'liquidate',
      abi: liquidationAuctionAbi,
    })
    const { logs } = sent.receipt
    const opened = parseEventLogs({ abi: liquidationAuctionAbi, logs, eventName: 'AuctionStarted' })
    for (const { args: auctioned } of opened) book.auctions.add(auctioned.account)
    logger.info({ started: opened.length, due: list.length }, 'liquidations started')
    return { ...sent, opened: opened.length }
  }

  const { lane, ring } = await openLane(context, 'liquidate', { start }, URGENT_BACKOFF)
  return { lane, ring: () => ring('start'), sweep: () => ring('start') }
}

interface Trial {
  started: bigint
  gas: bigint
}

/** Accounts of one transaction. */
interface Bundle {
  list: readonly Hex[]
  gas: bigint
}

/**
 * The first group, in order of rank, of which at least one can start. `starts` answers how many would, and undefined for a group that holds one
 * which takes the others down with it, or that is too large: then its halves are asked.
 */
async function firstToStart(
  groups: readonly (readonly Hex[])[],
  starts: (group: readonly Hex[]) => Promise<Trial | undefined>,
): Promise<Bundle | undefined> {
  for (const list of groups) {
    const trial = await starts(list)
    if (trial !== undefined && trial.started > 0n) return { list, gas: trial.gas }
    if (trial !== undefined || list.length === 1) continue
    const found = await firstToStart(batches(list, Math.ceil(list.length / 2)), starts)
    if (found !== undefined) return found
  }
  return undefined
}

/** A report is stored within it. */
const LIQUIDATE_GAS = 1_500_000n
/** What a transaction may ask for (EIP-7825 caps it at 16.7 million). */
const MOST_GAS = 16_000_000n
/** An account is valued within it, and within so much for each word of its rows: two of a position, which may be an option over the whole grid. */
const GAS_PER_ACCOUNT = 250_000n
const GAS_PER_WORD = 100_000n

/** @param rows As `Clearinghouse.rows` answers; undefined: it doesn't, and the account counts as the largest there is. */
function gasOf(rows: unknown): bigint {
  const words = Array.isArray(rows) ? (rows.at(-1) as readonly bigint[]).length : MOST_WORDS
  return GAS_PER_ACCOUNT + GAS_PER_WORD * BigInt(words)
}
/** Two for each of the most rows that a contract allows. */
const MOST_WORDS = 32
