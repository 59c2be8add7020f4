import type { TransactionRequest } from '@clearspan/shared'
import { type Abi, type Address, encodeFunctionData } from 'viem'

/** A call of a contract, of whatever kind. */
export interface Call {
  address: Address
  abi: Abi
  functionName: string
  args?: readonly unknown[]
}

/** The transaction that makes a call. Its gas is estimated, which shows a revert before anything is spent. */
export function requestOf(
  { address, abi, functionName, args = [] }: Call,
  label: string,
): TransactionRequest {
  return { to: address, data: encodeFunctionData({ abi, functionName, args }), label, abi }
}
