import { readAnswer } from './answer.js'
import { PermanentError, RetryableError } from './errors.js'

/**
 * What a server that may be hostile answers to a GET, as JSON; undefined for 404. Redirects are refused.
 * @throws RetryableError for another status, PermanentError for more than `maxBytes`, and what fetching and parsing throw.
 */
export async function fetchJson(
  url: string,
  { fetch, signal, maxBytes }: { fetch: typeof globalThis.fetch; signal: AbortSignal; maxBytes: number },
): Promise<unknown> {
  const response = await fetch(url, { signal, redirect: 'error' })
  const { ok, status, body } = response
  if (!ok || body === null) {
    // A body that is left unread would keep its connection.
    await body?.cancel()
    if (status === 404) return undefined
    throw new RetryableError(`answered ${status}`)
  }
  const text = await readAnswer(response, maxBytes, signal)
  if (text === null) throw new PermanentError(`answered more than ${maxBytes} bytes`)
  return JSON.parse(text)
}
