import { PermanentError } from '@clearspan/shared'
import {
  type Address,
  concatHex,
  encodeFunctionData,
  encodePacked,
  type Hex,
  keccak256,
  type LocalAccount,
  size,
  sliceHex,
} from 'viem'
import { dvnAbi, executorAbi, receiveUlnAbi } from './abi.js'
import type { Pending } from './outbox.js'
import { pathOf } from './packet.js'

/** Gas for one verification inside DVN.execute, with room for a larger quorum, and for the call around them. */
const VERIFY_GAS = 110_000n
const EXECUTE_BASE_GAS = 60_000n
const COMMIT_GAS = 180_000n
/** What Executor.execute302 needs besides lzReceive's own gas: a failed one emits the whole message. */
const EXECUTOR_GAS = 80_000n
const EXECUTOR_GAS_PER_BYTE = 40n
const TRANSACTION_GAS = 80_000n
const GAS_PER_CALLDATA_BYTE = 40n

/** Of one packet, its signatures aside, in the calls that verify, commit and execute it. */
const CALLDATA_BYTES = 2_500n
/** Gas of a transaction that delivers nothing. */
export const EMPTY_DELIVERY_GAS =
  TRANSACTION_GAS + (EXECUTE_BASE_GAS * 64n) / 63n + 1_000n * GAS_PER_CALLDATA_BYTE

/** What one delivering transaction may cost: gas for its packets, and native value in wei. */
export interface DeliveryLimits {
  gas: bigint
  value: bigint
}

/** What a packet still needs on its destination. */
export interface Step {
  entry: Pending
  /** How much more gas lzReceive gets than was paid for, in halves. */
  boost: number
  confirmations: bigint
  /** Nonce of its path up to which all packets are committed on the destination. */
  inbound: bigint
  verify: boolean
  commit: boolean
  execute: boolean
}

/** One call of the worker multicall. */
export interface WorkerCall {
  target: Address
  data: Hex
  gasLimit: bigint
  value: bigint
  revertOnError: boolean
}

/** The DVN contract of the destination. */
export interface DvnContract {
  vid: number
  quorum: number
  signers: readonly LocalAccount[]
  receiveUln: Address
}

export interface DeliveryAddresses {
  dvn: Address
  receiveUln: Address
  executor: Address
}

/** Signers in the order that DVN.execute asks for, as many as its quorum. @throws PermanentError when there are too few. */
export function quorumSigners(signers: readonly LocalAccount[], quorum: number): LocalAccount[] {
  if (signers.length < quorum)
    throw new PermanentError(`the DVN asks for ${quorum} signers, and there are ${signers.length}`)
  return [...signers]
    .sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1))
    .slice(0, quorum)
}

/** One entry of DVN.execute: `verify(header, payloadHash, confirmations)` signed over `vid | target | expiration | callData`. */
export async function signVerification(
  { entry: { header, payloadHash }, confirmations }: Step,
  { vid, quorum, signers, receiveUln }: DvnContract,
  expiration: bigint,
) {
  const callData = encodeFunctionData({
    abi: receiveUlnAbi,
    functionName: 'verify',
    args: [header, payloadHash, confirmations],
  })
  const hash = keccak256(
    encodePacked(['uint32', 'address', 'uint256', 'bytes'], [vid, receiveUln, expiration, callData]),
  )
  const signatures = await Promise.all(
    quorumSigners(signers, quorum).map((signer) => signer.signMessage({ message: { raw: hash } })),
  )
  return { vid, target: receiveUln, callData, expiration, signatures: concatHex(signatures) }
}

export type Verification = Awaited<ReturnType<typeof signVerification>>

/** A batch ready for the worker multicall: `commitOf[i]` is the index of the call that commits step i, or -1. */
export interface Delivery {
  calls: WorkerCall[]
  commitOf: number[]
  gas: bigint
  value: bigint
}

/**
 * The calls of one transaction: all verifications, then each packet's commit and lzReceive in the order given. No call reverts the
 * others: DVN.execute swallows failures anyway, and what became of a packet is read from the logs. Gas is computed, because an estimate can't
 * see an lzReceive that runs out of it (63/64 of the outer gas must cover each call).
 */
export function buildDelivery(
  steps: readonly Step[],
  verifications: ReadonlyMap<Hex, Verification>,
  { dvn, receiveUln, executor }: DeliveryAddresses,
): Delivery {
  const calls: WorkerCall[] = []
  const add = (target: Address, data: Hex, gasLimit: bigint, value = 0n) =>
    calls.push({ target, data, gasLimit, value, revertOnError: false }) - 1
  const params = steps.flatMap(({ entry }) => verifications.get(entry.packet.guid) ?? [])
  if (params.length > 0) {
    const data = encodeFunctionData({ abi: dvnAbi, functionName: 'execute', args: [params] })
    add(dvn, data, EXECUTE_BASE_GAS + VERIFY_GAS * BigInt(params.length))
  }
  const commitOf = steps.map(({ entry, boost, commit, execute }) => {
    const { header, payloadHash } = entry
    const data = () =>
      encodeFunctionData({
        abi: receiveUlnAbi,
        functionName: 'commitVerification',
        args: [header, payloadHash],
      })
    const index = commit ? add(receiveUln, data(), COMMIT_GAS) : -1
    if (execute) add(executor, executeCall(entry, boost), executeGas(entry, boost), entry.options.value)
    return index
  })
  const bytes = calls.reduce((sum, { data }) => sum + BigInt(size(data) + 192), 0n)
  const inner = calls.reduce((sum, { gasLimit }) => sum + gasLimit, 0n)
  return {
    calls,
    commitOf,
    gas: (inner * 64n) / 63n + TRANSACTION_GAS + bytes * GAS_PER_CALLDATA_BYTE,
    value: calls.reduce((sum, { value }) => sum + value, 0n),
  }
}

/**
 * Leaves out each lzReceive that must fail: the endpoint executes a nonce only once all below are committed, there or earlier in this batch.
 * What may still be verified and committed stays. `steps` in order of nonce within each path.
 */
export function executableInOrder(steps: readonly Step[]): Step[] {
  const committed = new Map<string, bigint>()
  return steps.flatMap((step) => {
    const { nonce } = step.entry.packet
    const path = pathOf(step.entry.packet)
    const top = committed.get(path) ?? step.inbound
    if (step.commit && nonce === top + 1n) committed.set(path, nonce)
    if (nonce <= (committed.get(path) ?? top)) return [step]
    return step.verify || step.commit ? [{ ...step, execute: false }] : []
  })
}

/** Largest boost: lzReceive gets twice what was paid for. */
const MAX_BOOST = 2

/** Gas that a packet takes in a batch, at most. */
export function stepGas(entry: Executable, boost: number): bigint {
  const bytes = CALLDATA_BYTES + BigInt(size(entry.packet.message))
  return ((VERIFY_GAS + COMMIT_GAS + executeGas(entry, boost)) * 64n) / 63n + bytes * GAS_PER_CALLDATA_BYTE
}

/** After failures half as much more gas, twice, because what it was short of is likeliest gas; less where that would not fit. */
export function boostOf(entry: Executable, failures: number, limits: DeliveryLimits): number {
  let boost = Math.min(failures, MAX_BOOST)
  while (boost > 0 && stepGas(entry, boost) > limits.gas) boost--
  return boost
}

/**
 * The steps of one transaction: in order, as many as its limits take. One that doesn't fit waits, and those above it on its path with it; other
 * paths go on.
 */
export function fitting(steps: readonly Step[], packets: number, limits: DeliveryLimits): Step[] {
  const full = new Set<string>()
  let { gas, value } = { gas: 0n, value: 0n }
  return steps
    .filter(({ entry, boost, execute }) => {
      const path = pathOf(entry.packet)
      const needed = stepGas(entry, boost)
      const laidOut = execute ? entry.options.value : 0n
      if (full.has(path) || gas + needed > limits.gas || value + laidOut > limits.value) {
        full.add(path)
        return false
      }
      gas += needed
      value += laidOut
      return true
    })
    .slice(0, packets)
}

/** What decides how much gas lzReceive takes. */
type Executable = Pick<Pending, 'packet' | 'options'>

function receiveGas({ options }: Executable, boost: number): bigint {
  return (options.gas * BigInt(2 + boost)) / 2n
}

function executeGas(entry: Executable, boost: number): bigint {
  const bytes = BigInt(size(entry.packet.message))
  return (receiveGas(entry, boost) * 64n) / 63n + EXECUTOR_GAS + bytes * EXECUTOR_GAS_PER_BYTE
}

function executeCall(entry: Pending, boost: number): Hex {
  const { packet } = entry
  const { srcEid, sender, nonce, guid, message } = packet
  return encodeFunctionData({
    abi: executorAbi,
    functionName: 'execute302',
    args: [
      {
        receiver: wordToAddress(packet.receiver),
        origin: { srcEid, sender, nonce },
        guid,
        message,
        extraData: '0x',
        gasLimit: receiveGas(entry, boost),
      },
    ],
  })
}

/** The address in a 32-byte word. */
export function wordToAddress(word: Hex): Address {
  return sliceHex(word, 12)
}
