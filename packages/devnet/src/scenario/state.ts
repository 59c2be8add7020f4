import {
  iClearinghouseAbi,
  iCollateralVaultAbi,
  iLiquidationAuctionAbi,
  iMarginEngineAbi,
} from '@clearspan/contracts'
import { accountId, type Token } from '@clearspan/shared'
import { erc20Abi, formatUnits, type Hex } from 'viem'
import type { LocalNetwork } from '../network/localNetwork.js'
import { hubClient } from './prices.js'
import type { DatedTerms } from './terms.js'

/** An account's health as the hub sees it now. WAD. */
export interface AccountHealth {
  equity: bigint
  im: bigint
  mm: bigint
}

export function hubIndex(network: LocalNetwork): number {
  return network.manifest.chains.findIndex(({ chainId }) => chainId === network.manifest.hub.chainId)
}

/** A local token on a chain, by their indices. */
export function tokenOn(network: LocalNetwork, chain: number, token: number): Token {
  const found = network.manifest.chains[chain]?.tokens[token]
  if (found === undefined) throw new RangeError(`no token ${token} on chain ${chain}`)
  return found
}

export async function healths(
  network: LocalNetwork,
  accounts: readonly Hex[],
): Promise<Map<Hex, AccountHealth>> {
  const found = await hubClient(network).readContract({
    address: network.manifest.hub.contracts.marginEngine,
    abi: iMarginEngineAbi,
    functionName: 'accountsHealth',
    args: [accounts],
  })
  return new Map(accounts.map((account, index) => [account, found[index]!]))
}

/** The insurance fund's cash, WAD. */
export function fundCash(network: LocalNetwork): Promise<bigint> {
  const { clearinghouse, insuranceFund } = network.manifest.hub.contracts
  return hubClient(network).readContract({
    address: clearinghouse,
    abi: iClearinghouseAbi,
    functionName: 'cash',
    args: [accountId(insuranceFund)],
  })
}

/** A release as the clearinghouse announced it: whom to pay what, where. */
export interface ReleaseRef {
  account: Hex
  recipient: Hex
  assetId: number
}

/** Every (account, recipient, asset) that was ever released to. */
export async function releaseRefs(network: LocalNetwork): Promise<ReleaseRef[]> {
  const logs = await hubClient(network).getContractEvents({
    address: network.manifest.hub.contracts.clearinghouse,
    abi: iClearinghouseAbi,
    eventName: 'Released',
    fromBlock: 0n,
    strict: true,
  })
  const refs = logs.map(({ args }) => ({
    account: args.account,
    recipient: args.recipient,
    assetId: Number(args.assetId),
  }))
  return [...new Map(refs.map((ref) => [`${ref.account} ${ref.recipient} ${ref.assetId}`, ref])).values()]
}

/** What is still under way, in words. */
export interface Outstanding {
  /** Deposits that are not credited, releases that are not paid. */
  messages: string[]
  /** Open auctions and lots, which need a buyer. */
  sales: string[]
  /** Positions in what has expired, or is about to, that aren't settled. */
  expiries: string[]
}

export async function outstanding(
  network: LocalNetwork,
  accounts: readonly Hex[],
  dated: readonly DatedTerms[],
): Promise<Outstanding> {
  const { hub } = network.manifest
  const all = [...accounts, accountId(hub.contracts.backstop), accountId(hub.contracts.insuranceFund)]
  const [messages, sales, expiries] = await Promise.all([
    Promise.all([
      ...network.manifest.chains.flatMap((_, chain) =>
        all.map((account) => deposits(network, chain, account)),
      ),
      ...(await releaseRefs(network)).map((ref) => release(network, ref)),
    ]),
    Promise.all([
      ...accounts.map((account) => auction(network, account)),
      ...network.manifest.chains.map((_, chain) => lots(network, chain)),
    ]),
    Promise.all(dated.map((terms) => unsettled(network, terms))),
  ])
  return { messages: messages.flat(), sales: sales.flat(), expiries: expiries.flat() }
}

async function unsettled(network: LocalNetwork, { id, symbol }: DatedTerms): Promise<string[]> {
  const [long, short] = await hubClient(network).readContract({
    address: network.manifest.hub.contracts.clearinghouse,
    abi: iClearinghouseAbi,
    functionName: 'openInterest',
    args: [BigInt(id)],
  })
  return long + short > 0n ? [`positions in ${symbol} are not settled`] : []
}

async function deposits(network: LocalNetwork, chain: number, account: Hex): Promise<string[]> {
  const { contracts, tokens, name } = network.manifest.chains[chain]!
  const found = await Promise.all(
    tokens.map(async ({ address, assetId, symbol }) => {
      const [deposited, row] = await Promise.all([
        network.chains[chain]!.client.readContract({
          address: contracts.vault,
          abi: iCollateralVaultAbi,
          functionName: 'depositedIn',
          args: [account, address],
        }),
        hubClient(network).readContract({
          address: network.manifest.hub.contracts.clearinghouse,
          abi: iClearinghouseAbi,
          functionName: 'row',
          args: [account, BigInt(assetId)],
        }),
      ])
      const done = row.credited >= deposited && row.immature === 0n
      return done ? undefined : `a deposit of ${symbol} on ${name} is not credited`
    }),
  )
  return found.filter((line) => line !== undefined)
}

async function release(
  network: LocalNetwork,
  { account, recipient, assetId }: ReleaseRef,
): Promise<string[]> {
  const chain = network.manifest.chains.findIndex(({ tokens }) =>
    tokens.some((token) => token.assetId === assetId),
  )
  const { contracts, tokens, name } = network.manifest.chains[chain]!
  const { address, symbol } = tokens.find((token) => token.assetId === assetId)!
  const [released, paid] = await Promise.all([
    hubClient(network).readContract({
      address: network.manifest.hub.contracts.clearinghouse,
      abi: iClearinghouseAbi,
      functionName: 'released',
      args: [account, recipient, BigInt(assetId)],
    }),
    network.chains[chain]!.client.readContract({
      address: contracts.vault,
      abi: iCollateralVaultAbi,
      functionName: 'paidOut',
      args: [account, address, recipient],
    }),
  ])
  return paid >= released ? [] : [`a release of ${symbol} on ${name} is not paid`]
}

async function auction(network: LocalNetwork, account: Hex): Promise<string[]> {
  const { startedAt } = await hubClient(network).readContract({
    address: network.manifest.hub.contracts.liquidationAuction,
    abi: iLiquidationAuctionAbi,
    functionName: 'auction',
    args: [account],
  })
  return startedAt === 0n ? [] : [`the auction of ${account} is open`]
}

async function lots(network: LocalNetwork, chain: number): Promise<string[]> {
  const { contracts, tokens, name } = network.manifest.chains[chain]!
  const found = await Promise.all(
    tokens.map(async ({ address, symbol, settlement }) => {
      const balance = await network.chains[chain]!.client.readContract({
        address,
        abi: erc20Abi,
        functionName: 'balanceOf',
        args: [contracts.liquidationExecutor],
      })
      return balance > 0n && !settlement ? `${symbol} on ${name} is for sale` : undefined
    }),
  )
  return found.filter((line) => line !== undefined)
}

/** `12,345.68`, or six digits for what is small. */
export function usd(wad: bigint): string {
  const value = Number(formatUnits(wad, 18))
  const digits =
    Math.abs(value) >= 1 || value === 0 ? { maximumFractionDigits: 2 } : { maximumSignificantDigits: 6 }
  return value.toLocaleString('en-US', digits)
}
