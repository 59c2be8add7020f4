import { type Clock, RetryableError, readAnswer } from '@clearspan/shared'
import type { Address, Hex, LocalAccount } from 'viem'
import { signRequest } from './auth.js'
import type { AskedOperator } from './collect.js'
import { type AttestKind, attestAnswerSchema, attestPaths, encodeRequest } from './wire.js'

/** Signatures of as many packets as one request may ask for, and no more. */
const MAX_ANSWER_BYTES = 64 * 1024

export interface RemoteOptions {
  kind: AttestKind
  networkId: Hex
  /** Signs requests: the operators know its address. */
  account: LocalAccount
  clock: Clock
  fetch: typeof globalThis.fetch
}

/** An operator behind HTTP. What it answers is checked by whoever asks: the signatures are what counts. */
export function createRemoteOperator(
  { url, address }: { url: string; address: Address },
  { kind, networkId, account, clock, ...io }: RemoteOptions,
): AskedOperator {
  const path = attestPaths[kind]
  const endpoint = `${url.replace(/\/$/, '')}${path}`
  return {
    address,
    async ask(request, signal) {
      const body = new TextEncoder().encode(encodeRequest(request))
      const headers = await signRequest(account, clock, { networkId, operator: address, path, body })
      const response = await io.fetch(endpoint, {
        method: 'POST',
        body,
        headers: { ...headers, 'content-type': 'application/json' },
        signal,
        redirect: 'error',
      })
      const text = await readAnswer(response, MAX_ANSWER_BYTES, signal)
      if (text === null) throw new RetryableError(`an answer of more than ${MAX_ANSWER_BYTES} bytes`)
      if (!response.ok)
        throw new RetryableError(`${endpoint} answered ${response.status}: ${text.slice(0, 200)}`)
      return attestAnswerSchema.parse(JSON.parse(text))
    },
  }
}
