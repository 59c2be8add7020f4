import { iClearinghouseAbi, iCollateralVaultAbi } from '@clearspan/contracts'
import { accountId, type Network } from '@clearspan/shared'
import { type Address, erc20Abi, type Hex } from 'viem'
import type { LocalChain, LocalClient } from '../chains/index.js'
import type { SideState } from './closings.js'

const WAD = 10n ** 18n
/** Token decimals. */
export interface RowState {
  assetId: number
  /** As the vault counted it. */
  deposited: bigint
  /** As the hub counted it. */
  credited: bigint
  immature: bigint
  claim: bigint
}

export interface PositionState {
  instrumentId: number
  /** WAD. */
  size: bigint
  quote: bigint
}

export interface AccountState {
  account: Hex
  name: string
  /** WAD. */
  cash: bigint
  /** Settled profit that isn't cash yet, WAD. */
  warming: bigint
  rows: RowState[]
  positions: PositionState[]
}

/** A vault's token. Token decimals. */
export interface TokenState {
  chain: string
  eid: number
  assetId: number
  symbol: string
  decimals: number
  settlement: boolean
  balance: bigint
  totalIn: bigint
  totalOut: bigint
  /** The hub's credited total. */
  credited: bigint
}

/** WAD. */
export interface InstrumentState {
  id: number
  symbol: string
  pnlPool: bigint
  /** The house row's included: the other side of what has been settled at expiry, and what roundings left. */
  long: bigint
  short: bigint
  /** What closings against insolvent accounts have left of each side. */
  sides: { long: SideState; short: SideState }
  house: { size: bigint; quote: bigint }
}

export interface ReleaseState {
  account: Hex
  recipient: Address
  assetId: number
  /** Token decimals. */
  released: bigint
  paidOut: bigint
}

/** The hub's ledger and every vault, read while no block was mined. */
export interface LedgerState {
  accounts: AccountState[]
  fundAccount: Hex
  backstopAccount: Hex
  tokens: TokenState[]
  /** WAD by asset id of settlement tokens. */
  backing: Record<number, bigint>
  instruments: InstrumentState[]
  releases: ReleaseState[]
  lostBacking: bigint
  /** Of accounts that have some, and of those that owe some: as the hub counts it, WAD. */
  totalCash: bigint
  totalDebt: bigint
  /** Whether losses or interest have changed all cash: what that rounded off is nobody's. */
  indexed: boolean
  /** Warming profit of all accounts with roundings, WAD. */
  warming: bigint
}

export interface NamedAccount {
  name: string
  account: Hex
}

/** Reads everything; the caller sees to it that no chain moves meanwhile. */
export async function readLedger(options: {
  network: Network
  chains: readonly LocalChain[]
  accounts: readonly NamedAccount[]
  releases: readonly { account: Hex; recipient: Address; assetId: number }[]
}): Promise<LedgerState> {
  const { network, chains } = options
  const { clearinghouse, insuranceFund, backstop } = network.hub.contracts
  const client = (chainId: number) => chains.find((chain) => chain.chainId === chainId)!.client
  const hub = client(network.hub.chainId)
  const read = { address: clearinghouse, abi: iClearinghouseAbi } as const
  const assets = network.chains.flatMap((chain) => chain.tokens.map((token) => ({ chain, token })))
  const fundAccount = accountId(insuranceFund)
  const backstopAccount = accountId(backstop)
  const known = new Map<Hex, string>([
    [fundAccount, 'insurance fund'],
    [backstopAccount, 'backstop'],
    ...options.accounts.map(({ account, name }): [Hex, string] => [account, name]),
  ])
  const depositsOf = ({ chain, token }: (typeof assets)[number]) => ({
    assetId: token.assetId,
    deposited: (account: Hex) =>
      client(chain.chainId).readContract({
        address: chain.contracts.vault,
        abi: iCollateralVaultAbi,
        functionName: 'depositedIn',
        args: [account, token.address],
      }),
  })
  const [[totalCash, cashIndex], lent] = await Promise.all([
    hub.readContract({ ...read, functionName: 'totalCash' }),
    hub.readContract({ ...read, functionName: 'lending' }),
  ])
  return {
    fundAccount,
    backstopAccount,
    totalCash,
    totalDebt: lent.debt,
    indexed: cashIndex !== WAD || lent.debtIndex !== WAD,
    accounts: await Promise.all(
      [...known].map(([account, name]) =>
        readAccount({ hub, clearinghouse, account, name, deposits: assets.map(depositsOf) }),
      ),
    ),
    tokens: await Promise.all(
      assets.map(async ({ chain, token }): Promise<TokenState> => {
        const vault = { address: chain.contracts.vault, abi: iCollateralVaultAbi } as const
        const [balance, [totalIn, totalOut], credited] = await Promise.all([
          client(chain.chainId).readContract({
            address: token.address,
            abi: erc20Abi,
            functionName: 'balanceOf',
            args: [chain.contracts.vault],
          }),
          client(chain.chainId).readContract({ ...vault, functionName: 'totals', args: [token.address] }),
          hub.readContract({ ...read, functionName: 'creditedTotal', args: [BigInt(token.assetId)] }),
        ])
        const { symbol, decimals, settlement, assetId } = token
        return {
          chain: chain.name,
          eid: chain.eid,
          assetId,
          symbol,
          decimals,
          settlement,
          balance,
          totalIn,
          totalOut,
          credited,
        }
      }),
    ),
    backing: Object.fromEntries(
      await Promise.all(
        assets
          .filter(({ token }) => token.settlement)
          .map(async ({ token: { assetId } }) => [
            assetId,
            await hub.readContract({ ...read, functionName: 'backing', args: [BigInt(assetId)] }),
          ]),
      ),
    ),
    instruments: await Promise.all(
      network.hub.instruments.map(async ({ id, symbol }): Promise<InstrumentState> => {
        const args = [BigInt(id)] as const
        const sideOf = (long: boolean) =>
          hub.readContract({ ...read, functionName: 'sideOf', args: [...args, long] })
        const [pnlPool, [long, short], [size, quote], ...sides] = await Promise.all([
          hub.readContract({ ...read, functionName: 'pnlPool', args }),
          hub.readContract({ ...read, functionName: 'openInterest', args }),
          hub.readContract({ ...read, functionName: 'houseRow', args }),
          sideOf(true),
          sideOf(false),
        ])
        const [ofLongs, ofShorts] = sides.map(([scale, generation]) => ({ scale, generation }))
        return {
          id,
          symbol,
          pnlPool,
          long,
          short,
          sides: { long: ofLongs!, short: ofShorts! },
          house: { size, quote },
        }
      }),
    ),
    releases: await Promise.all(
      options.releases.map(async ({ account, recipient, assetId }) => {
        const { chain, token } = assets.find((asset) => asset.token.assetId === assetId)!
        const [released, paidOut] = await Promise.all([
          hub.readContract({
            ...read,
            functionName: 'released',
            args: [account, recipient, BigInt(assetId)],
          }),
          client(chain.chainId).readContract({
            address: chain.contracts.vault,
            abi: iCollateralVaultAbi,
            functionName: 'paidOut',
            args: [account, token.address, recipient],
          }),
        ])
        return { account, recipient, assetId, released, paidOut }
      }),
    ),
    lostBacking: await hub.readContract({ ...read, functionName: 'lostBacking' }),
    warming: (await hub.readContract({ ...read, functionName: 'warmings' }))[0],
  }
}

async function readAccount({
  hub,
  clearinghouse,
  account,
  name,
  deposits,
}: NamedAccount & {
  hub: LocalClient
  clearinghouse: Address
  deposits: readonly { assetId: number; deposited: (account: Hex) => Promise<bigint> }[]
}): Promise<AccountState> {
  const read = { address: clearinghouse, abi: iClearinghouseAbi } as const
  const [portfolio, rows] = await Promise.all([
    // Unlike the stored positions it has funding and socialised losses up to now, and so adds up.
    hub.readContract({ ...read, functionName: 'portfolio', args: [account] }),
    Promise.all(
      deposits.map(async ({ assetId, deposited }): Promise<RowState> => {
        const [counted, row] = await Promise.all([
          deposited(account),
          hub.readContract({ ...read, functionName: 'row', args: [account, BigInt(assetId)] }),
        ])
        const { credited, immature, claim } = row
        return { assetId, deposited: counted, credited, immature, claim }
      }),
    ),
  ])
  return {
    account,
    name,
    cash: portfolio.cash,
    warming: portfolio.warming,
    rows: rows.filter(({ deposited, credited, immature, claim }) =>
      [deposited, credited, immature, claim].some((amount) => amount > 0n),
    ),
    positions: portfolio.instrumentIds.map((id, index) => ({
      instrumentId: Number(id),
      size: portfolio.sizes[index]!,
      quote: portfolio.quotes[index]!,
    })),
  }
}
