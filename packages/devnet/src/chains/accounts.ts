import { toHex } from 'viem'
import { mnemonicToAccount, type PrivateKeyAccount, privateKeyToAccount } from 'viem/accounts'

/** anvil's default mnemonic. Everybody knows it: these accounts exist on local chains only. */
export const LOCAL_MNEMONIC = 'test test test test test test test test test test test junk'

/** The first `count` accounts of every local chain, in order; each chain funds them at genesis. */
export function localAccounts(count: number): PrivateKeyAccount[] {
  // Deriving from the branch costs the mnemonic's 2,048 hash rounds once, not once an account.
  const branch = mnemonicToAccount(LOCAL_MNEMONIC, { path: "m/44'/60'/0'/0" }).getHdKey()
  return Array.from({ length: count }, (_, index) => {
    const { privateKey } = branch.deriveChild(index)
    return privateKeyToAccount(toHex(privateKey!))
  })
}
