import { type Address, concatHex, type Hex, numberToHex, sliceHex } from 'viem'

/** A clearing account: owner address in the high 20 bytes, sub-account number in the low 12. */
export function accountId(owner: Address, sub = 0n): Hex {
  return concatHex([owner.toLowerCase() as Address, numberToHex(sub, { size: 12 })])
}

/** The address that alone may withdraw from an account. */
export function accountOwner(account: Hex): Address {
  return sliceHex(account, 0, 20)
}
