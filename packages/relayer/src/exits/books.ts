import {
  clearinghouseAbi,
  collateralVaultAbi,
  iClearinghouseAbi,
  iMarginEngineAbi,
  insuranceFundAbi,
  iRiskConfigAbi,
} from '@clearspan/contracts'
import { accountId, type HubBooks, type Network, type Owed, PermanentError } from '@clearspan/shared'
import { type Address, type Hex, type Log, parseEventLogs } from 'viem'
import { type ChainAt, readEach, type VaultToken, vaultTokens } from './chains.js'
import { accountsIn, logsUpTo } from './logs.js'

const WAD_DECIMALS = 18
/** A thousandth of a unit of cash: what interest and cuts may have rounded off. */
const DUST = 10n ** 15n

/** What the hub's ledger says of one account and asset, token decimals. */
interface HubRow {
  credited: bigint
  immature: bigint
  /** What its shares are worth in tokens. */
  claim: bigint
  kept: bigint
  lien: bigint
}

const NO_ROW: HubRow = { credited: 0n, immature: 0n, claim: 0n, kept: 0n, lien: 0n }

/** A vault's token with what the hub calls it, 0 where it knows it by no id. */
interface HubAsset extends VaultToken {
  assetId: bigint
  settlement: boolean
}

/** Everything that is read of an asset's vault and row, beside the accounts and logs that it is read for. */
interface Reader {
  network: Network
  hub: ChainAt
  accounts: readonly Hex[]
  released: readonly Released[]
}

interface Released {
  args: { account: Hex; assetId: bigint; recipient: Address }
}

/**
 * What everybody is owed, read from the hub's state and the vaults': positions and warming profit at the hub's last prices. Deposits that the hub had
 * never heard of are their account's; what a vault no longer says was deposited is taken back from whose it was.
 * @throws RetryableError when a node fails, PermanentError when what it tells doesn't add up.
 */
export async function readBooks(network: Network, chains: readonly ChainAt[]): Promise<HubBooks> {
  const hub = chains.find(({ chain }) => chain.chainId === network.hub.chainId)
  if (hub === undefined) throw new RangeError('the hub is none of the chains')
  const { insuranceFund, backstop, clearinghouse } = network.hub.contracts
  const assets = await hubAssets(network, hub, await vaultTokens(chains))
  const logs = await logsUpTo(hub.client, clearinghouse, hub.number)
  const house = [accountId(insuranceFund), accountId(backstop)]
  const known = accountsIn([...logs, ...(await depositsOf(assets))])
  const accounts = [...new Set([...known, ...house])].sort()
  const released = parseEventLogs({ abi: iClearinghouseAbi, eventName: 'Released', logs })
  const reader = { network, hub, accounts, released }
  const shares = await fundShares(hub, insuranceFund)
  const cash = await readCash(reader)
  const vaults: HubBooks['vaults'][number][] = []
  for (const asset of assets) {
    const { own, missing, ...books } = await readVault(reader, asset)
    for (const [a, amount] of missing.entries()) cash[a] = (cash[a] ?? 0n) - amount
    vaults.push({ ...books, own: ofHolders(own, house, shares) })
  }
  const all = accounts.map((account, a) => ({ account, amount: cash[a] ?? 0n }))
  const isHouse = ({ account }: Owed) => house.includes(account)
  // The backstop's deficit is the fund's.
  const fund = positive(all.filter(isHouse).reduce((sum, { amount }) => sum + amount, 0n))
  return {
    vaults,
    cash: all.filter((one) => !isHouse(one) && one.amount > 0n),
    fund: ofHolders([{ account: accountId(insuranceFund), amount: fund }], house, shares),
  }
}

/** What the fund and its backstop have belongs to the fund's holders; without any it stays where it lies. */
function ofHolders(owed: readonly Owed[], house: readonly Hex[], shares: readonly Owed[]): Owed[] {
  const supply = shares.reduce((sum, { amount }) => sum + amount, 0n)
  return owed.flatMap((one) =>
    house.includes(one.account)
      ? shares.map(({ account, amount }) => ({ account, amount: (one.amount * amount) / supply }))
      : [one],
  )
}

/** All that the vaults have emitted. */
async function depositsOf(assets: readonly HubAsset[]): Promise<Log[]> {
  const vaults = new Map(assets.map((asset) => [`${asset.at.chain.eid} ${asset.vault}`, asset]))
  const logs = [...vaults.values()].map(({ at, vault }) => logsUpTo(at.client, vault, at.number))
  return (await Promise.all(logs)).flat()
}

async function hubAssets(network: Network, hub: ChainAt, tokens: readonly VaultToken[]): Promise<HubAsset[]> {
  const risk = { address: network.hub.contracts.riskConfig, abi: iRiskConfigAbi }
  const keys = tokens.map(({ at, vaultEpoch, token }) => [at.chain.eid, vaultEpoch, token] as const)
  const ids = await readEach(hub, risk, 'assetIdOf', keys)
  const assets = await readEach(
    hub,
    risk,
    'asset',
    ids.map((id) => [id] as const),
  )
  return tokens.map((token, t) => {
    const assetId = ids[t] ?? 0n
    return { ...token, assetId, settlement: assetId !== 0n && assets[t]?.settlement === true }
  })
}

/** Cash, warming profit and what positions are worth of each account, WAD. */
async function readCash({ network, hub, accounts }: Reader): Promise<bigint[]> {
  const { clearinghouse, marginEngine } = network.hub.contracts
  const ledger = { address: clearinghouse, abi: iClearinghouseAbi }
  const each = accounts.map((account) => [account] as const)
  const [cash, health, totals] = await Promise.all([
    readEach(hub, ledger, 'cash', each),
    readEach(hub, { address: marginEngine, abi: iMarginEngineAbi }, 'accountHealth', each),
    readEach(hub, ledger, 'totalCash', [[]]),
  ])
  const [total] = totals[0] ?? [0n]
  const found = cash.reduce((sum, amount) => sum + positive(amount), 0n)
  const apart = positive(found - total) + positive(total - found)
  if (apart > DUST)
    throw new PermanentError(
      `accounts have ${found} of the ledger's ${total} WAD of cash: the hub's node doesn't tell of all of them`,
    )
  return cash.map((amount, a) => amount + (health[a]?.pnl ?? 0n))
}

/** A vault's books, and what (WAD) of each account's cash came of deposits that it no longer knows. */
async function readVault(reader: Reader, asset: HubAsset) {
  const { accounts } = reader
  const { at, token, vaultEpoch, decimals, settlement } = asset
  const vault = { address: asset.vault, abi: collateralVaultAbi }
  const [rows, payouts, deposited, totals] = await Promise.all([
    readRows(reader, asset),
    readPayouts(reader, asset),
    readEach(
      at,
      vault,
      'depositedIn',
      accounts.map((account) => [account, token] as const),
    ),
    readEach(at, vault, 'totals', [[token]]),
  ])
  const [totalIn, totalOut, shortfall] = totals[0] ?? [0n, 0n, 0n]
  const claims = accounts.map((_, a) => claimsOf(asset, deposited[a] ?? 0n, rows[a] ?? NO_ROW))
  const released = new Map<Hex, bigint>()
  for (const payout of payouts)
    released.set(payout.account, (released.get(payout.account) ?? 0n) + payout.released)
  const owed = (amountOf: (account: Hex, a: number) => bigint) =>
    accounts
      .map((account, a) => ({ account, amount: amountOf(account, a) }))
      .filter(({ amount }) => amount > 0n)
  return {
    eid: at.chain.eid,
    vaultEpoch,
    token,
    decimals,
    settlement,
    held: positive(totalIn - totalOut - shortfall),
    payouts,
    own: owed((_, a) => claims[a]?.own ?? 0n),
    brought: owed((account, a) => (deposited[a] ?? 0n) - (released.get(account) ?? 0n)),
    missing: claims.map(({ missing }) => missing),
  }
}

/** What an account has at a vault, by the ledger's row and by what the vault says was deposited: tokens, and WAD of cash that is missing there. */
export function claimsOf(
  { settlement, decimals }: Pick<HubAsset, 'settlement' | 'decimals'>,
  deposited: bigint,
  { credited, immature, claim, kept, lien }: HubRow,
): { own: bigint; missing: bigint } {
  // As the ledger books a counter that fell: first of what has not matured.
  const lack = positive(credited - deposited)
  const ofImmature = lack < immature ? lack : immature
  const own = claim + immature - ofImmature + kept + positive(deposited - credited - lien)
  const missing = lack - ofImmature
  return settlement
    ? { own, missing: missing * 10n ** BigInt(WAD_DECIMALS - decimals) }
    : { own: positive(own - missing), missing: 0n }
}

async function readRows({ network, hub, accounts }: Reader, { assetId }: HubAsset): Promise<HubRow[]> {
  if (assetId === 0n) return []
  const address = network.hub.contracts.clearinghouse
  const ledger = { address, abi: iClearinghouseAbi }
  const each = accounts.map((account) => [account, assetId] as const)
  const [rows, kept, liens, vaulted] = await Promise.all([
    readEach(hub, ledger, 'row', each),
    readEach(hub, ledger, 'keptOf', each),
    readEach(hub, { address, abi: clearinghouseAbi }, 'lien', each),
    readEach(hub, ledger, 'vaulted', [[assetId]]),
  ])
  const [net, shares, written] = vaulted[0] ?? [0n, 0n, 0n]
  const held = positive(net - written) < shares ? positive(net - written) : shares
  return rows.map(({ credited, immature, claim }, a) => ({
    credited,
    immature,
    claim: claim === 0n ? 0n : (claim * held) / shares,
    kept: kept[a]?.[0] ?? 0n,
    lien: liens[a] ?? 0n,
  }))
}

async function readPayouts(
  { network, hub, released: logs }: Reader,
  { at, vault, token, assetId }: HubAsset,
) {
  const pairs = new Map(
    logs
      .filter(({ args }) => args.assetId === assetId)
      .map(({ args: { account, recipient } }) => [account + recipient, { account, recipient }]),
  )
  const each = [...pairs.values()]
  const ledger = { address: network.hub.contracts.clearinghouse, abi: iClearinghouseAbi }
  const [released, paid] = await Promise.all([
    readEach(
      hub,
      ledger,
      'released',
      each.map(({ account, recipient }) => [account, recipient, assetId] as const),
    ),
    readEach(
      at,
      { address: vault, abi: collateralVaultAbi },
      'paidOut',
      each.map(({ account, recipient }) => [account, token, recipient] as const),
    ),
  ])
  return each.map((pair, p) => {
    const payout = { ...pair, released: released[p] ?? 0n, paid: paid[p] ?? 0n }
    if (payout.paid > payout.released)
      throw new PermanentError(
        `${at.chain.name} has paid ${pair.recipient} more than the hub had released by the block that was picked`,
      )
    return payout
  })
}

/** Shares of the insurance fund, by holder. */
async function fundShares(hub: ChainAt, address: Address): Promise<Owed[]> {
  const fund = { address, abi: insuranceFundAbi }
  const logs = parseEventLogs({
    abi: insuranceFundAbi,
    eventName: 'Transfer',
    logs: await logsUpTo(hub.client, address, hub.number),
  })
  const holders = [...new Set(logs.map(({ args: { to } }) => to))].sort()
  const balances = await readEach(
    hub,
    fund,
    'balanceOf',
    holders.map((holder) => [holder] as const),
  )
  return holders
    .map((holder, h) => ({ account: accountId(holder), amount: balances[h] ?? 0n }))
    .filter(({ amount }) => amount > 0n)
}

const positive = (amount: bigint) => (amount > 0n ? amount : 0n)
