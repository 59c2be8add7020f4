// Who may call a function, found out by trying.
import { revertOf } from '@clearspan/shared'
import {
  type Abi,
  type AbiFunction,
  type AbiParameter,
  type Address,
  encodeFunctionData,
  zeroAddress,
} from 'viem'
import type { LocalChain } from '../chains/index.js'
import { roles } from './deployed.test-util.js'

/** Functions of an ABI that may change something. */
export function writesOf(abi: Abi): AbiFunction[] {
  return abi.filter(
    (item): item is AbiFunction =>
      item.type === 'function' &&
      (item.stateMutability === 'nonpayable' || item.stateMutability === 'payable'),
  )
}

/** Nothing, in the form of a parameter. */
function zeroOf({ type, ...parameter }: AbiParameter): unknown {
  if (type.endsWith(']')) return []
  if (type === 'tuple') {
    const { components } = parameter as { components: readonly AbiParameter[] }
    return Object.fromEntries(components.map((one) => [one.name, zeroOf(one)]))
  }
  if (type === 'address') return zeroAddress
  if (type === 'bool') return false
  if (type === 'string') return ''
  const bytes = /^bytes(\d*)$/.exec(type)
  if (bytes) return `0x${'00'.repeat(Number(bytes[1]))}`
  return 0n
}

/** What an owner alone may do is refused by; `revoke` is the revoker's, too. */
const REFUSALS = ['OwnableUnauthorizedAccount', 'NotRevoker']

/** Names of the functions that refuse a stranger because it isn't the owner. */
export async function ownersFunctions(
  chain: LocalChain,
  { address, abi }: { address: Address; abi: Abi },
): Promise<string[]> {
  const writes = writesOf(abi)
  const account = roles.traders.alice.account.address
  const refused = await Promise.all(
    writes.map(async (item) => {
      const data = encodeFunctionData({ abi: [item], functionName: item.name, args: item.inputs.map(zeroOf) })
      try {
        await chain.client.call({ account, to: address, data })
        return false
      } catch (error) {
        return REFUSALS.includes(revertOf(error, abi)?.name ?? '')
      }
    }),
  )
  return writes.filter((_, at) => refused[at]).map(({ name }) => name)
}
