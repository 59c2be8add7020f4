import type { Address, Hex } from 'viem'
import { accountOwner } from './account.js'
import type { Exit } from './exits.js'

/** What a vault holds, and for whom, when its hub is dead and its deposits are sealed. Token decimals. */
export interface VaultBooks extends Pick<Exit, 'eid' | 'vaultEpoch' | 'token'> {
  decimals: number
  /** Whether its token backs cash. */
  settlement: boolean
  /** What lies there: totalIn − totalOut − shortfall, or 0. */
  held: bigint
  /** Every payout that the hub has ever released there, of which so much is paid. */
  payouts: readonly { account: Hex; recipient: Address; released: bigint; paid: bigint }[]
  /** What is an account's own there: claims at their worth in tokens, and deposits that the hub hadn't made claim or cash of. */
  own: readonly Owed[]
  /** What of an account's deposits hasn't left there again: its cash is paid there first. */
  brought: readonly Owed[]
}

export interface Owed {
  account: Hex
  amount: bigint
}

export interface HubBooks {
  vaults: readonly VaultBooks[]
  /** WAD, positions settled and warming profit counted. Who owes is left out. */
  cash: readonly Owed[]
  /** WAD; what of the insurance fund is whose. It bears what others owe, and so comes after all cash. */
  fund: readonly Owed[]
}

/**
 * Who may leave with what, the same for whoever reads the same books in the same order. At each vault what is released and unpaid and what is an
 * account's own comes first, pro rata where less lies there; what remains of settlement tokens at all vaults together is cash, each account's in full
 * or all in the same proportion, from where the account brought it while there is some, then from whichever vault has; and after all cash the fund's,
 * alike. All that wasn't released goes to the account's owner. Roundings, less than a token unit each, stay behind.
 */
export function lastExits({ vaults, cash, fund }: HubBooks): Exit[] {
  const exits = new Map<string, Exit>()
  const left = vaults.map((vault) => {
    const owed =
      vault.payouts.reduce((sum, { released, paid }) => sum + released - paid, 0n) +
      vault.own.reduce((sum, { amount }) => sum + amount, 0n)
    const partOf = (amount: bigint) => (owed <= vault.held ? amount : (amount * vault.held) / owed)
    for (const { account, recipient, released, paid } of vault.payouts)
      add(exits, vault, account, recipient, paid + partOf(released - paid))
    for (const { account, amount } of vault.own)
      add(exits, vault, account, accountOwner(account), partOf(amount))
    return vault.settlement && vault.held > owed ? vault.held - owed : 0n
  })
  share(exits, vaults, left, cash)
  share(exits, vaults, left, fund)
  return [...exits.values()]
}

/** Takes what is owed (WAD) out of what is left at the vaults. */
function share(
  exits: Map<string, Exit>,
  vaults: readonly VaultBooks[],
  left: bigint[],
  claims: readonly Owed[],
): void {
  const room = vaults.reduce((sum, vault, v) => sum + (left[v] ?? 0n) * unitOf(vault), 0n)
  const owed = claims.reduce((sum, { amount }) => sum + amount, 0n)
  const due = claims.map(({ amount }) => (owed <= room ? amount : (amount * room) / owed))
  for (const isHome of [true, false]) {
    for (const [v, vault] of vaults.entries()) {
      const brought = new Map(vault.brought.map(({ account, amount }) => [account, amount]))
      for (const [c, { account }] of claims.entries()) {
        const wanted = (due[c] ?? 0n) / unitOf(vault)
        const limits = [wanted, left[v] ?? 0n, ...(isHome ? [brought.get(account) ?? 0n] : [])]
        const taken = limits.reduce((least, limit) => (limit < least ? limit : least))
        left[v] = (left[v] ?? 0n) - taken
        due[c] = (due[c] ?? 0n) - taken * unitOf(vault)
        add(exits, vault, account, accountOwner(account), taken)
      }
    }
  }
}

/** WAD a token unit. */
function unitOf({ decimals }: VaultBooks): bigint {
  return 10n ** BigInt(18 - decimals)
}

function add(exits: Map<string, Exit>, vault: VaultBooks, account: Hex, to: Address, amount: bigint): void {
  if (amount === 0n) return
  const { eid, vaultEpoch, token } = vault
  const recipient = to.toLowerCase() as Address
  const key = [eid, vaultEpoch, token, account, recipient].join().toLowerCase()
  const known = exits.get(key)
  if (known) known.released += amount
  else exits.set(key, { eid, vaultEpoch, account, token, recipient, released: amount })
}
