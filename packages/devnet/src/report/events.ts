import {
  iBackstopAbi,
  iClearinghouseAbi,
  iLiquidationAuctionAbi,
  iLiquidationExecutorAbi,
  iPriceOracleAbi,
} from '@clearspan/contracts'
import type { Hex } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import { hubClient } from '../scenario/prices.js'

const WAD = 10n ** 18n
const all = { fromBlock: 0n, strict: true } as const

/** Everything that the hub's contracts announced about liquidations, in order; `priced`: transactions that stored a report there. */
export async function liquidationEvents(network: LocalNetwork) {
  const { liquidationAuction, backstop, clearinghouse } = network.manifest.hub.contracts
  const client = hubClient(network)
  const [stored, started, bids, takenOver, closed] = await Promise.all([
    client.getContractEvents({
      ...all,
      address: hubChain(network).contracts.priceOracle,
      abi: iPriceOracleAbi,
      eventName: 'ReportStored',
    }),
    client.getContractEvents({
      ...all,
      address: liquidationAuction,
      abi: iLiquidationAuctionAbi,
      eventName: 'AuctionStarted',
    }),
    client.getContractEvents({
      ...all,
      address: liquidationAuction,
      abi: iLiquidationAuctionAbi,
      eventName: 'Bid',
    }),
    client.getContractEvents({ ...all, address: backstop, abi: iBackstopAbi, eventName: 'TakenOver' }),
    client.getContractEvents({
      ...all,
      address: clearinghouse,
      abi: iClearinghouseAbi,
      eventName: 'Deleveraged',
    }),
  ])
  const priced = new Set(stored.map(({ transactionHash }) => transactionHash))
  return { started, bids, takenOver, closed, priced }
}

function hubChain({ manifest }: LocalNetwork) {
  return manifest.chains.find(({ chainId }) => chainId === manifest.hub.chainId)!
}

export interface StoredReport {
  chain: string
  seq: bigint
  /** Packed words, as signed. */
  values: readonly Hex[]
  block: bigint
}

/** Reports that each chain stored, in order. */
export async function storedReports(network: LocalNetwork): Promise<StoredReport[]> {
  const lists = await Promise.all(
    network.manifest.chains.map(async (chain, index) => {
      const logs = await network.chains[index]!.client.getContractEvents({
        ...all,
        address: chain.contracts.priceOracle,
        abi: iPriceOracleAbi,
        eventName: 'ReportStored',
      })
      return logs.map(({ args, blockNumber }) => ({
        chain: chain.name,
        seq: args.seq,
        values: args.values,
        block: blockNumber,
      }))
    }),
  )
  return lists.flat()
}

/** Collateral lots that were sold on any chain. */
export async function soldLots(network: LocalNetwork) {
  const lists = await Promise.all(
    network.manifest.chains.map(async (chain, index) => {
      const logs = await network.chains[index]!.client.getContractEvents({
        ...all,
        address: chain.contracts.liquidationExecutor,
        abi: iLiquidationExecutorAbi,
        eventName: 'LotSold',
      })
      return logs.map(({ args, blockNumber }) => ({ chain, index, ...args, blockNumber }))
    }),
  )
  return lists.flat()
}

/**
 * The fund's cash (WAD) right after any log of the hub, rebuilt from what the clearinghouse announced: anvil keeps the state of few past
 * blocks, and everything about money must be explainable from events alone.
 */
export async function fundTimeline(
  network: LocalNetwork,
  fundAccount: Hex,
): Promise<(block: bigint, logIndex: number) => bigint> {
  const { clearinghouse } = network.manifest.hub.contracts
  const client = hubClient(network)
  const base = { ...all, address: clearinghouse, abi: iClearinghouseAbi } as const
  const wadOf = (assetId: bigint, amount: bigint) => {
    const token = network.manifest.chains
      .flatMap(({ tokens }) => tokens)
      .find((one) => BigInt(one.assetId) === assetId)!
    return token.settlement ? amount * 10n ** BigInt(18 - token.decimals) : 0n
  }
  const [matured, moved, released, earned, cut] = await Promise.all([
    client.getContractEvents({ ...base, eventName: 'Matured', args: { account: fundAccount } }),
    client.getContractEvents({ ...base, eventName: 'CashMoved' }),
    client.getContractEvents({ ...base, eventName: 'Released', args: { account: fundAccount } }),
    client.getContractEvents({ ...base, eventName: 'InterestAccrued' }),
    client.getContractEvents({ ...base, eventName: 'CashCut' }),
  ])
  const changes = [
    ...matured.map((log) => ({ log, change: wadOf(log.args.assetId, log.args.amount) })),
    ...released.map((log) => ({ log, change: -wadOf(log.args.assetId, log.args.amount) })),
    ...moved.flatMap((log) => [
      ...(log.args.to === fundAccount ? [{ log, change: log.args.amount }] : []),
      ...(log.args.from === fundAccount ? [{ log, change: -log.args.amount }] : []),
    ]),
  ]
  const indices = [
    ...earned.map((log) => ({ log, index: log.args.cashIndex })),
    ...cut.map((log) => ({ log, index: log.args.index })),
  ]
  const steps = [...changes, ...indices].sort(
    ({ log: a }, { log: b }) => Number(a.blockNumber - b.blockNumber) || a.logIndex - b.logIndex,
  )
  return (block, logIndex) => {
    let [total, index] = [0n, WAD]
    for (const step of steps) {
      const { log } = step
      if (log.blockNumber > block || (log.blockNumber === block && log.logIndex > logIndex)) break
      if ('change' in step) total += step.change
      else [total, index] = [(total * step.index) / index, step.index]
    }
    return total
  }
}
