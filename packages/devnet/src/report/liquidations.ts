import { formatUnits, type Hex } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import { hubClient } from '../scenario/prices.js'
import type { AuctionRecord, LossRecord } from './checks.js'
import type { ClosingRecord } from './closings.js'
import { fundTimeline, liquidationEvents } from './events.js'
import type { LedgerState } from './ledger.js'
import { iso, money } from './text.js'

const WAD = 10n ** 18n

export interface LiquidationReport {
  account: string
  /** Tape time, ISO. */
  startedAt: string
  equity: string
  mm: string
  /** The auction was opened by the transaction that stored the price on the hub. */
  withPrice: boolean
  steps: {
    by: string
    at: string
    fraction: string
    payment: string
    fromFund: string
    /** Payment over the equity that was taken; 0 when there was none. */
    priceShare: string
  }[]
}

interface Position {
  blockNumber: bigint
  logIndex: number
}

/** A bid, or a takeover by the backstop. */
interface Step extends Position {
  by: string
  socialised: bigint
  args: {
    account: Hex
    fraction: bigint
    payment: bigint
    fromFund: bigint
    equity: bigint
    bufferBefore: bigint
    bufferAfter: bigint
  }
}

/** The auctions as records for the checks, and as lines for people. */
export async function liquidationStory(network: LocalNetwork, ledger: LedgerState) {
  const { started, bids, takenOver, closed, priced } = await liquidationEvents(network)
  const fundAt = await fundTimeline(network, ledger.fundAccount)
  const nameOf = (account: Hex) => ledger.accounts.find((one) => one.account === account)?.name ?? account
  const timeOf = await blockTimes(network, [...started, ...bids, ...takenOver])
  const steps: Step[] = [
    ...bids.map((log) => ({ ...log, by: nameOf(log.args.bidder), socialised: 0n })),
    ...takenOver.map((log) => ({ ...log, by: 'backstop', socialised: log.args.socialised })),
  ].sort(inOrder)
  const auctions = started.map((start, index) => {
    const { account } = start.args
    const next = started.find((other, at) => at > index && other.args.account === account)
    return {
      start,
      steps: steps.filter(
        (step) =>
          step.args.account === account &&
          inOrder(start, step) < 0 &&
          (next === undefined || inOrder(step, next) < 0),
      ),
    }
  })
  return {
    auctions: auctions.map(({ start, steps }) => auctionRecord(start.args, steps)),
    closings: closed.map(({ args: { instrumentId, account, size, scale, generation } }): ClosingRecord => {
      return { instrumentId: Number(instrumentId), account, size, scale, generation }
    }),
    losses: steps
      .filter(({ args }) => args.equity <= 0n)
      .map((step) => lossRecord(step, fundAt(step.blockNumber, step.logIndex))),
    liquidations: auctions.map(
      ({ start: { args, blockNumber, transactionHash }, steps }): LiquidationReport => ({
        account: nameOf(args.account),
        startedAt: timeOf(blockNumber),
        equity: money(args.equity),
        mm: money(args.mm),
        withPrice: priced.has(transactionHash),
        steps: steps.map((step) => ({
          by: step.by,
          at: timeOf(step.blockNumber),
          fraction: Number(formatUnits(step.args.fraction, 18)).toFixed(4),
          payment: money(step.args.payment),
          fromFund: money(step.args.fromFund),
          priceShare: Number(formatUnits(shareOf(step), 18)).toFixed(4),
        })),
      }),
    ),
  }
}

function inOrder(a: Position, b: Position): number {
  return Number(a.blockNumber - b.blockNumber) || a.logIndex - b.logIndex
}

/** Tape time (ISO) of the blocks of some logs. */
async function blockTimes(network: LocalNetwork, logs: readonly Position[]) {
  const times = new Map<bigint, string>()
  for (const number of new Set(logs.map(({ blockNumber }) => blockNumber))) {
    const { timestamp } = await hubClient(network).getBlock({ blockNumber: number })
    times.set(number, iso(network.tapeTime(Number(timestamp) * 1000)))
  }
  return (number: bigint) => times.get(number)!
}

/** What was paid over the equity that was taken, WAD; 0 when there was none. */
function shareOf({ args: { payment, equity, fraction } }: Step): bigint {
  return equity <= 0n || fraction === 0n ? 0n : (payment * WAD * WAD) / (equity * fraction)
}

function auctionRecord(
  { account, startedAt, mm }: { account: Hex; startedAt: bigint; mm: bigint },
  steps: readonly Step[],
): AuctionRecord {
  return {
    account,
    startedAt: Number(startedAt),
    mm,
    bids: steps.map((step) => {
      const { fraction, payment, fromFund, equity, bufferBefore, bufferAfter } = step.args
      const at = Number(step.blockNumber)
      return { at, fraction, payment, fromFund, equity, share: shareOf(step), bufferBefore, bufferAfter }
    }),
  }
}

function lossRecord({ by, args, socialised }: Step, fundAfter: bigint): LossRecord {
  return {
    account: args.account,
    loss: by === 'backstop' ? -args.equity : args.fromFund,
    fromFund: args.fromFund,
    socialised,
    fundAfter,
  }
}
