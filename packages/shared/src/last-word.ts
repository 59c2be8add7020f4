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
 * Who may leave with what, the same for whoever reads the same books in the same order. At each vault what is released and unpaid comes first, since the
 * vault pays it whether or not there is a last word, then what is an account's own, each pro rata where less lies there. What remains of settlement
 * tokens at all vaults together is cash, each account's in full or all in the same proportion, from where the account brought it while there is some,
 * then from whichever vault has; and after all cash the fund's, alike. All that wasn't released goes to the account's owner. Roundings, less than a
 * token unit each, stay behind.
 */
export function lastExits({ vaults, cash, fund }: HubBooks): Exit[] {
  const exits = new Map<string, Exit>()
  const left = vaults.map((vault) => {
    const due = sum(vault.payouts.map(({ released, paid }) => released - paid))
    for (const { account, recipient, released, paid } of vault.payouts)
      add(exits, vault, account, recipient, paid + partOf(released - paid, due, vault.held))
    const rest = due < vault.held ? vault.held - due : 0n
    const owned = sum(vault.own.map(({ amount }) => amount))
    for (const { account, amount } of vault.own)
      add(exits, vault, account, accountOwner(account), partOf(amount, owned, rest))
    return vault.settlement && rest > owned ? rest - owned : 0n
  })
  share(exits, vaults, left, cash)
  share(exits, vaults, left, fund)
  return [...exits.values()]
}

const sum = (amounts: readonly bigint[]) => amounts.reduce((all, amount) => all + amount, 0n)

/** Of `amount`, where all together are owed `owed` and there is `held`. */
function partOf(amount: bigint, owed: bigint, held: bigint): bigint {
  return owed <= held ? amount : (amount * held) / owed
}

/** Takes what is owed (WAD) out of what is left at the vaults. */
function share(
  exits: Map<string, Exit>,
  vaults: readonly VaultBooks[],
  left: bigint[],
  claims: readonly Owed[],
): void {
  const room = sum(vaults.map((vault, v) => (left[v] ?? 0n) * unitOf(vault)))
  const owed = sum(claims.map(({ amount }) => amount))
  const due = claims.map(({ amount }) => partOf(amount, owed, room))
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
