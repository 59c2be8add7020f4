import { UserError } from '@clearspan/shared'
import { isAddressEqual, type LocalAccount } from 'viem'
import type { Role } from '../config.js'

export const purposes = ['price', 'bulk', 'urgent'] as const
/** What a signer sends: price updates; what may wait; liquidations, and nothing else. */
export type Purpose = (typeof purposes)[number]

/** One key, or several that share the work. */
export type Signers = LocalAccount | readonly LocalAccount[]

/** Signers by purpose, and other ones for single chains, by chain id. A process has those of its own roles only. */
export interface SigningKeys extends Partial<Record<Purpose, Signers | undefined>> {
  chains?: Readonly<Record<string, { readonly [P in Purpose]?: Signers | undefined }>>
}

/** The signers of one purpose on one chain. */
export function signersOf(keys: SigningKeys, chainId: number, purpose: Purpose): readonly LocalAccount[] {
  return [keys.chains?.[String(chainId)]?.[purpose] ?? keys[purpose] ?? []].flat()
}

/** By what the lanes of a role send. */
const purposesOf: Readonly<Record<Role, readonly Purpose[]>> = {
  prices: ['price'],
  messages: ['bulk'],
  keeper: ['urgent', 'bulk'],
}

/** What a process of these roles sends by: no other signer is started in it, even where a key is given. */
export function neededPurposes(roles: ReadonlySet<Role>): readonly Purpose[] {
  return purposes.filter((purpose) => [...roles].some((role) => purposesOf[role].includes(purpose)))
}

/** @throws UserError for a purpose without a key on a chain where it is used: `urgent` is on the hub alone. */
export function checkNeededKeys(
  keys: SigningKeys,
  { chainIds, hub }: { chainIds: readonly number[]; hub: number },
  needed: readonly Purpose[],
): void {
  for (const purpose of needed)
    for (const chainId of purpose === 'urgent' ? [hub] : chainIds)
      if (signersOf(keys, chainId, purpose).length === 0)
        throw new UserError(`keys.${purpose}`, `is needed by the roles of this process, on chain ${chainId}`)
}

/**
 * A key has one purpose, on every chain, and is named once for it: two streams of nonces of one key would take each other's.
 * @throws UserError naming the place, and the address where one is used twice.
 */
export function checkSigningKeys(keys: SigningKeys, chainIds: readonly number[]): void {
  for (const chainId of Object.keys(keys.chains ?? {}))
    if (!chainIds.some((known) => String(known) === chainId))
      throw new UserError(`keys.chains.${chainId}`, 'no chain of the network has this id')
  const used: { purpose: Purpose; where: string; account: LocalAccount }[] = []
  for (const [where, own] of [['keys', keys] as const, ...chainEntries(keys)])
    for (const purpose of purposes) {
      const list = [own[purpose] ?? []].flat()
      if (own[purpose] !== undefined && list.length === 0)
        throw new UserError(`${where}.${purpose}`, 'needs one key at least')
      for (const [i, account] of list.entries()) {
        const isSame = (one: LocalAccount) => isAddressEqual(one.address, account.address)
        if (list.slice(0, i).some(isSame))
          throw new UserError(`${where}.${purpose}`, `names ${account.address} twice`)
        const other = used.find((one) => one.purpose !== purpose && isSame(one.account))
        if (other !== undefined)
          throw new UserError(
            `${where}.${purpose}`,
            `names ${account.address}, which ${other.where} names too: price, bulk and urgent must be different keys`,
          )
        used.push({ purpose, where: `${where}.${purpose}`, account })
      }
    }
}

function chainEntries({ chains = {} }: SigningKeys) {
  return Object.entries(chains).map(([chainId, own]) => [`keys.chains.${chainId}`, own] as const)
}
