import { attestorAbi } from '@clearspan/contracts'
import { type Address, encodeFunctionData, type Hex, type LocalAccount, size, sliceHex } from 'viem'
import {
  type Attestation,
  type ClaimTree,
  dvnDigest,
  joinSignatures,
  verifyCall,
} from '../attest/attestation.js'
import { dvnAbi, executorAbi, receiveUlnAbi } from './abi.js'
import { executionValue } from './options.js'
import { type Packet, pathOf } from './packet.js'
import type { Pending } from './pending.js'

/** Gas for one verification inside DVN.execute, with room for a larger quorum, and for the call around them. */
const VERIFY_GAS = 110_000n
const EXECUTE_BASE_GAS = 60_000n
const COMMIT_GAS = 180_000n
/** What Executor.execute302 needs besides lzReceive's own gas: a failed one emits the whole message. */
const EXECUTOR_GAS = 80_000n
const EXECUTOR_GAS_PER_BYTE = 40n
/** What the receiver of a native drop may use, and what the drop costs besides: a new account, its part of the event. */
const DROP_GAS = 20_000n
const DROP_OVERHEAD_GAS = 45_000n
const TRANSACTION_GAS = 80_000n
const GAS_PER_CALLDATA_BYTE = 40n

/** What the Attestor takes for a packet's proof, verification and commit, with many verifiers, and per byte of its message. */
const ATTEST_GAS = 170_000n
const ATTEST_GAS_PER_BYTE = 12n
/** For a call of it: it goes on only while it could still verify (250,000) and keep its reserve (30,000). */
const ATTEST_BASE_GAS = 350_000n
const SIGNATURE_GAS = 7_000n
/** Operators whose signatures a call may carry: the contract takes no larger set. */
const MAX_OPERATORS = 32n

/** Of one packet, its signatures aside, in the calls that verify, commit and execute it. */
const CALLDATA_BYTES = 2_500n
/** The same in a call of the Attestor, its part of the proof included: at most 8 hashes and 8 flags where the others of its tree are left out. */
const ATTEST_CALLDATA_BYTES = 1_000n
/** Gas of a transaction that delivers nothing. */
export const EMPTY_DELIVERY_GAS =
  TRANSACTION_GAS +
  ((EXECUTE_BASE_GAS + ATTEST_BASE_GAS + MAX_OPERATORS * SIGNATURE_GAS) * 64n) / 63n +
  4_000n * GAS_PER_CALLDATA_BYTE

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
  /** Lower nonces of its path that are not delivered and that its options want executed first; none unless they are ordered. */
  after: readonly bigint[]
  /** By LayerZero's stock DVN. */
  verify: boolean
  /** By the Attestor, which commits at once. */
  attest: boolean
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
  attestor?: Address | undefined
}

/** What operators of the Attestor have signed: a tree of packets, any of which can be delivered by it. */
export interface Attested {
  attestation: Attestation
  signatures: Hex
  tree: ClaimTree
  /** Place of each packet in the tree. */
  indexOf: ReadonlyMap<Hex, number>
}

/** One entry of DVN.execute, signed by our own keys beside `others`. Undefined when all together are fewer than the quorum. */
export async function signVerification(
  { entry: { header, payloadHash }, confirmations }: Step,
  { vid, quorum, signers, receiveUln }: DvnContract,
  expiration: bigint,
  others: ReadonlyMap<Address, Hex> = new Map(),
) {
  const callData = verifyCall({ header, payloadHash, confirmations })
  const raw = dvnDigest(vid, receiveUln, expiration, callData)
  const own = await Promise.all(
    signers.map(async (signer) => [signer.address, await signer.signMessage({ message: { raw } })] as const),
  )
  const signatures = joinSignatures(new Map([...others, ...own]), quorum)
  return signatures === undefined ? undefined : { vid, target: receiveUln, callData, expiration, signatures }
}

export type Verification = NonNullable<Awaited<ReturnType<typeof signVerification>>>

/** A batch ready for the worker multicall: `commitOf[i]` is the index of the call that commits step i, or -1 (the Attestor's own included). */
export interface Delivery {
  calls: WorkerCall[]
  commitOf: number[]
  /** Steps that the Attestor delivers, in the order of its outcomes, and the call that does. */
  attested: { steps: readonly Step[]; call: number } | undefined
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
  attested: Attested | undefined,
  { dvn, receiveUln, executor, attestor }: DeliveryAddresses,
): Delivery {
  const calls: WorkerCall[] = []
  const add = (target: Address, data: Hex, gasLimit: bigint, value = 0n) =>
    calls.push({ target, data, gasLimit, value, revertOnError: false }) - 1
  const params = steps.flatMap(({ entry }) => verifications.get(entry.packet.guid) ?? [])
  if (params.length > 0) {
    const data = encodeFunctionData({ abi: dvnAbi, functionName: 'execute', args: [params] })
    add(dvn, data, EXECUTE_BASE_GAS + VERIFY_GAS * BigInt(params.length))
  }
  const own =
    attested && steps.filter(({ attest, entry }) => attest && attested.indexOf.has(entry.packet.guid))
  // After the stock DVN's, which it needs where both are required.
  const attesting =
    attestor && attested && own && own.length > 0
      ? { steps: own, call: add(attestor, deliverCall(own, attested), deliverGas(own, attested)) }
      : undefined
  const commitOf = steps.map((step) => {
    const { entry, boost, commit, execute } = step
    const { header, payloadHash } = entry
    const data = () =>
      encodeFunctionData({
        abi: receiveUlnAbi,
        functionName: 'commitVerification',
        args: [header, payloadHash],
      })
    const index = commit ? add(receiveUln, data(), COMMIT_GAS) : -1
    if (execute && !isExecutedByAttestor(step))
      add(
        executor,
        executeCall(entry, boost),
        executeGas(entry, boost),
        executionValue(entry.options, entry.dropped),
      )
    return index
  })
  const bytes = calls.reduce((sum, { data }) => sum + BigInt(size(data) + 192), 0n)
  const inner = calls.reduce((sum, { gasLimit }) => sum + gasLimit, 0n)
  return {
    calls,
    commitOf,
    attested: attesting,
    gas: (inner * 64n) / 63n + TRANSACTION_GAS + bytes * GAS_PER_CALLDATA_BYTE,
    value: calls.reduce((sum, { value }) => sum + value, 0n),
  }
}

/** The Attestor brings no value: what a sender paid to have brought goes by the Executor. */
function isExecutedByAttestor({ attest, execute, entry }: Step): boolean {
  const { value, drops } = entry.options
  return attest && execute && value === 0n && drops.length === 0
}

function deliverCall(steps: readonly Step[], { attestation, signatures, tree, indexOf }: Attested): Hex {
  const { proof, proofFlags } = tree.getMultiProof(
    steps.map(({ entry }) => indexOf.get(entry.packet.guid) ?? -1),
  )
  const packets = steps.map((step) => ({
    header: step.entry.header,
    message: step.entry.packet.message,
    confirmations: step.confirmations,
    gas: isExecutedByAttestor(step) ? receiveGas(step.entry, step.boost) : 0n,
  }))
  return encodeFunctionData({
    abi: attestorAbi,
    functionName: 'deliver',
    args: [attestation, signatures, packets, proof as Hex[], proofFlags],
  })
}

function deliverGas(steps: readonly Step[], { signatures }: Attested): bigint {
  const base = ATTEST_BASE_GAS + BigInt(size(signatures) / 65) * SIGNATURE_GAS
  return steps.map(attestGas).reduce((sum, gas) => sum + gas, base)
}

function attestGas(step: Step): bigint {
  const gas = isExecutedByAttestor(step) ? (receiveGas(step.entry, step.boost) * 64n) / 63n : 0n
  return ATTEST_GAS + gas + BigInt(size(step.entry.packet.message)) * ATTEST_GAS_PER_BYTE
}

/**
 * Leaves out each lzReceive that must fail or must wait: the endpoint executes a nonce only once all below are committed, there or earlier in
 * this batch, and where options are ordered all below must have been executed. What may still be verified and committed stays; the rest
 * is told to `onHeld`, with the nonce that it waits for. `steps` in order of nonce within each path.
 */
export function executableInOrder(
  steps: readonly Step[],
  onHeld: (entry: Pending, nonce: bigint, until: 'committed' | 'delivered') => void = () => {},
): Step[] {
  const committed = new Map<string, bigint>()
  const executed = new Set<string>()
  return steps.flatMap((step) => {
    const { nonce } = step.entry.packet
    const path = pathOf(step.entry.packet)
    const top = committed.get(path) ?? step.inbound
    if ((step.commit || step.attest) && nonce === top + 1n) committed.set(path, nonce)
    const reached = committed.get(path) ?? top
    // Value that an execution brings is gone when it fails for those below.
    const bringsValue = executionValue(step.entry.options, step.entry.dropped) > 0n
    const first = step.after.find((lower) => bringsValue || !executed.has(`${path}:${lower}`))
    if (nonce <= reached && first === undefined) {
      if (step.execute) executed.add(`${path}:${nonce}`)
      return [step]
    }
    if (step.verify || step.attest || step.commit) return [{ ...step, execute: false }]
    if (nonce > reached) onHeld(step.entry, reached + 1n, 'committed')
    else if (first !== undefined) onHeld(step.entry, first, 'delivered')
    return []
  })
}

/** Largest boost: lzReceive gets twice what was paid for. */
const MAX_BOOST = 2

/** Gas that a packet takes in a batch, at most. */
export function stepGas(entry: Executable, boost: number): bigint {
  // One that brings value may go by the Attestor for its commit and by the Executor: its message travels twice.
  const { value, drops } = entry.options
  const messages = value > 0n || drops.length > 0 ? 2n : 1n
  const bytes = CALLDATA_BYTES + messages * BigInt(size(entry.packet.message))
  return ((VERIFY_GAS + COMMIT_GAS + executeGas(entry, boost)) * 64n) / 63n + bytes * GAS_PER_CALLDATA_BYTE
}

/** Gas that a step takes in a batch, at most: less than its packet may where the Attestor does all of it. */
function neededGas(step: Step): bigint {
  const { entry, boost, verify } = step
  if (verify || !isExecutedByAttestor(step)) return stepGas(entry, boost)
  const bytes = ATTEST_CALLDATA_BYTES + BigInt(size(entry.packet.message))
  return (attestGas(step) * 64n) / 63n + bytes * GAS_PER_CALLDATA_BYTE
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
    .filter((step) => {
      const { entry, execute } = step
      const path = pathOf(entry.packet)
      const needed = neededGas(step)
      const laidOut = execute ? executionValue(entry.options, entry.dropped) : 0n
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

/** What lzReceive gets: what was paid for, and halves of it more. */
export function receiveGas({ options }: Executable, boost: number): bigint {
  return (options.gas * BigInt(2 + boost)) / 2n
}

function executeGas(entry: Executable, boost: number): bigint {
  const bytes = BigInt(size(entry.packet.message))
  const drops = BigInt(entry.options.drops.length) * (DROP_GAS + DROP_OVERHEAD_GAS)
  return (receiveGas(entry, boost) * 64n) / 63n + EXECUTOR_GAS + drops + bytes * EXECUTOR_GAS_PER_BYTE
}

/** Gas that a compose call takes in a batch, at most. */
export function composeGas(gas: bigint, { message }: Pick<Packet, 'message'>): bigint {
  return (gas * 64n) / 63n + EXECUTOR_GAS + BigInt(size(message)) * EXECUTOR_GAS_PER_BYTE
}

function executeCall(entry: Pending, boost: number): Hex {
  const { packet, options, dropped } = entry
  const { srcEid, sender, nonce, guid, message } = packet
  const params = {
    receiver: wordToAddress(packet.receiver),
    origin: { srcEid, sender, nonce },
    guid,
    message,
    extraData: '0x' as const,
    gasLimit: receiveGas(entry, boost),
  }
  if (options.drops.length === 0 || dropped)
    return encodeFunctionData({ abi: executorAbi, functionName: 'execute302', args: [params] })
  const drops = options.drops.map(({ amount, receiver }) => ({ receiver: wordToAddress(receiver), amount }))
  return encodeFunctionData({
    abi: executorAbi,
    functionName: 'nativeDropAndExecute302',
    args: [drops, DROP_GAS, params],
  })
}

/** The address in a 32-byte word. */
export function wordToAddress(word: Hex): Address {
  return sliceHex(word, 12)
}
