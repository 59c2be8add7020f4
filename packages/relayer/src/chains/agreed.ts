import { type ChainClient, RetryableError } from '@clearspan/shared'
import { BaseError, HttpRequestError, TimeoutError } from 'viem'
import type { Quarantine } from './quarantine.js'

/** So many nodes of a chain gave no answer at all that no majority could be: an outage. */
export class SilentError extends RetryableError {
  override name = 'SilentError'
}

/** Whom to ask: one client per RPC URL. */
export interface Backends {
  witnesses: readonly ChainClient[]
  quarantine?: Pick<Quarantine, 'holds'> | undefined
}

/**
 * What more than half of a chain's configured nodes answer alike, as soon as so many do: for what a lie could turn into too little evidence.
 * One that fails, or is in quarantine, makes no fewer suffice. Nodes at different heights may rightly differ, so nobody is blamed.
 * @throws RetryableError when no so many agree, SilentError where that is because they don't answer.
 */
export function agreedAnswer<R>(
  { witnesses, quarantine }: Backends,
  ask: (client: ChainClient) => Promise<R>,
): Promise<R> {
  const needed = Math.floor(witnesses.length / 2) + 1
  const trusted = witnesses.filter((one) => !quarantine?.holds(one))
  const told = new Map<string, number>()
  let missing = trusted.length
  let silent = 0
  return new Promise((resolve, reject) => {
    const giveUp = (cause?: unknown) => {
      const Kind = trusted.length - silent < needed ? SilentError : RetryableError
      reject(new Kind(`fewer than ${needed} of ${witnesses.length} nodes agree`, { cause }))
    }
    if (missing < needed) return giveUp()
    for (const witness of trusted)
      void ask(witness)
        .then((answer) => {
          const key = JSON.stringify(answer, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
          const count = (told.get(key) ?? 0) + 1
          told.set(key, count)
          if (count >= needed) resolve(answer)
          if (--missing === 0) giveUp()
        })
        .catch((error: unknown) => {
          if (isUnanswered(error)) silent++
          if (--missing === 0) giveUp(error)
        })
  })
}

/** Whether a node was out of reach, or slow: a call that reverts is an answer. */
function isUnanswered(error: unknown): boolean {
  if (error instanceof RetryableError) return isUnanswered(error.cause)
  if (!(error instanceof BaseError)) return false
  return error.walk((inner) => inner instanceof HttpRequestError || inner instanceof TimeoutError) !== null
}
