import { type Hex, toHex } from 'viem'
import { mnemonicToAccount, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'

/** anvil's default mnemonic. Everybody knows it: these accounts exist on local chains only. */
export const LOCAL_MNEMONIC = 'test test test test test test test test test test test junk'

/** The first `count` private keys of every local chain, in order; each chain funds their accounts at genesis. */
export function localKeys(count: number): Hex[] {
  // Deriving from the branch costs the mnemonic's 2,048 hash rounds once, not once a key.
  const branch = mnemonicToAccount(LOCAL_MNEMONIC, { path: "m/44'/60'/0'/0" }).getHdKey()
  return Array.from({ length: count }, (_, index) => toHex(branch.deriveChild(index).privateKey!))
}

/** The accounts of `localKeys`. */
export function localAccounts(count: number): PrivateKeyAccount[] {
  return localKeys(count).map((key) => privateKeyToAccount(key))
}
