// One transaction at a time, and what it did.
import * as contracts from '@clearspan/contracts'
import {
  type Abi,
  type Address,
  encodeFunctionData,
  getAddress,
  type Hex,
  parseAbi,
  parseEther,
  parseEventLogs,
  type TransactionReceipt,
} from 'viem'
import { createBatch, type LocalChain } from '../../chains/index.js'
import type { LocalKey } from '../roles.js'

/** Of the contracts that are there, by `NAMEAbi` and `NAMEBytecode`. */
export const compiled: Record<string, unknown> = { ...contracts }

/** Name of a contract. */
export type Kind = {
  [name in keyof typeof contracts]: name extends `${infer base}Abi` ? base : never
}[keyof typeof contracts]

export const abiOf = (kind: Kind) => compiled[`${kind}Abi`] as Abi

export interface Contract {
  address: Address
  abi: Abi
}

/** A token of a chain, and the asset that it is on the hub. */
export interface Asset extends Contract {
  decimals: number
  id: bigint
}

type PlaceContract =
  | 'oracle'
  | 'vault'
  | 'gateway'
  | 'executor'
  | 'revoker'
  | 'registry'
  | 'governance'
  | 'attestor'
  | 'sendUln'

/** Of LayerZero's send library. */
export const sendUlnAbi = parseAbi(['function fees(address worker) view returns (uint256)'])

/** What every chain has. */
export interface Place extends Record<PlaceContract, Contract> {
  chain: LocalChain
  eid: number
  usdc: Asset
  weth: Asset
  lendingVenue: Contract | undefined
}

/** Sends one transaction and mines it. Throws for a revert. */
export async function send(
  { chain }: Pick<Place, 'chain'>,
  by: LocalKey,
  { address, abi }: Contract,
  functionName: string,
  args: readonly unknown[] = [],
  value = 0n,
): Promise<TransactionReceipt> {
  const batch = await createBatch(chain, by.account)
  batch.call(address, { abi, functionName, args, value } as Parameters<typeof batch.call>[1])
  return (await batch.send()).receipts[0]!
}

/** What a view answers; of a function that changes state, what it would answer `by` somebody. */
export function read(
  { chain }: Pick<Place, 'chain'>,
  { address, abi }: Contract,
  functionName: string,
  args: readonly unknown[] = [],
  by?: LocalKey,
): Promise<unknown> {
  const call = { address, abi, functionName, args }
  if (by === undefined) return chain.client.readContract(call)
  return chain.client.simulateContract({ ...call, account: by.account }).then(({ result }) => result)
}

/** A call by a contract itself, as which a local chain lets anybody send. Throws for a revert. */
export async function sendAs(
  { chain }: Pick<Place, 'chain'>,
  from: Address,
  { address: to, abi }: Contract,
  functionName: string,
  args: readonly unknown[],
): Promise<void> {
  const { client } = chain
  await client.impersonateAccount({ address: from })
  await client.setBalance({ address: from, value: parseEther('10') })
  const data = encodeFunctionData({ abi, functionName, args })
  const hash = await client.sendUnsignedTransaction({ from, to, data, gas: 5_000_000n })
  await chain.mine()
  const { status } = await client.getTransactionReceipt({ hash })
  if (status !== 'success') throw new Error(`${functionName} by ${from} reverted`)
}

/** What the council would have scheduled a day before. */
export const govern = (place: Place, contract: Contract, functionName: string, args: readonly unknown[]) =>
  sendAs(place, place.governance.address, contract, functionName, args)

/** Mints to somebody, who lets `spender` take it. */
export async function fill(
  place: Place,
  by: LocalKey,
  token: Contract,
  amount: bigint,
  spender: Address,
): Promise<void> {
  await send(place, by, token, 'mint', [by.account.address, amount])
  await send(place, by, token, 'approve', [spender, amount])
}

/** Tokens that an address has. */
export const balanceOf = (place: Place, token: Contract, who: Address) =>
  read(place, token, 'balanceOf', [who]) as Promise<bigint>

/** Arguments of a contract's events in a transaction, by their name. */
export function events({ logs }: TransactionReceipt, { address, abi }: Contract, eventName: string) {
  const own = logs.filter((log) => getAddress(log.address) === getAddress(address))
  const parsed = parseEventLogs({ abi, logs: own, eventName })
  return (parsed as unknown as { args: Record<string, unknown> }[]).map(({ args }) => args)
}

export const bytecodeOf = (kind: Kind) => compiled[`${kind}Bytecode`] as Hex

export const wad = (amount: number) => parseEther(String(amount))
export const usdc = (amount: number) => BigInt(Math.round(amount * 1e6))
