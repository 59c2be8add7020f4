import { type Abi, BaseError, decodeErrorResult, ExecutionRevertedError, type Hex, isHex } from 'viem'
import { AlreadyDoneError, PermanentError, RetryableError } from '../errors.js'

/** Why a call reverted. */
export interface Revert {
  /** Name of the custom error (`Error` and `Panic` for Solidity's own); undefined when the ABI doesn't know it or there was no data. */
  name: string | undefined
  args: readonly unknown[]
  data: Hex
}

/** What a revert means to its caller: the world may change, it never will, or another did the work. */
export type RevertOutcome = 'retryable' | 'permanent' | 'already-done'

function dataOf(error: unknown): Hex | undefined {
  if (typeof error !== 'object' || error === null || !('data' in error)) return undefined
  return isHex(error.data) ? error.data : dataOf(error.data)
}

/** The revert inside an error of a viem call, or undefined when it failed for another reason. */
export function revertOf(error: unknown, abi: Abi): Revert | undefined {
  if (!(error instanceof BaseError)) return undefined
  const holder = error.walk((inner) => dataOf(inner) !== undefined)
  const data = dataOf(holder)
  if (data !== undefined) return decodeRevert(data, abi)
  const reverted = error.walk((inner) => inner instanceof ExecutionRevertedError)
  return reverted === null ? undefined : { name: undefined, args: [], data: '0x' }
}

/** Decodes revert data by the errors of `abi`. Whoever reverts chooses its bytes: what can't be decoded is an unknown error, never one of ours. */
export function decodeRevert(data: Hex, abi: Abi): Revert {
  try {
    const { errorName, args } = decodeErrorResult({ abi, data })
    return { name: errorName, args: Array.isArray(args) ? args : [], data }
  } catch {
    return { name: undefined, args: [], data }
  }
}

const ERRORS = {
  retryable: RetryableError,
  permanent: PermanentError,
  'already-done': AlreadyDoneError,
}

/** The error that a revert becomes; its cause is the revert. */
export function revertError(label: string, revert: Revert, outcome: RevertOutcome): Error {
  const what =
    revert.name === undefined
      ? revert.data === '0x'
        ? 'without data'
        : `with unknown error ${revert.data.slice(0, 10)}`
      : `with ${revert.name}(${revert.args.map(String).join(', ')})`
  return new ERRORS[outcome](`${label} reverted ${what}`, { cause: revert })
}
