import { HermesClient } from '@pythnetwork/hermes-client'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import type { Decoder } from './types.js'

/** No event comes near. The client has buffered a larger one when we see it; one that never ends is left to the silence watch. */
const MAX_EVENT_CHARS = 1 << 20

/** Runs a Pyth Hermes v2 price stream (server-sent events, by Pyth's client) until aborted. Market symbols are price feed ids. */
export function runHermes(
  parameters: ConnectionParameters,
  decode: Decoder,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(parameters, (attempt) => streamOnce(parameters, decode, attempt), signal)
}

async function streamOnce(
  { url, markets, accessToken }: ConnectionParameters,
  decode: Decoder,
  attempt: Attempt,
): Promise<void> {
  const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
  const ids = markets.map(({ symbol }) => symbol)
  const stream = await new HermesClient(url, { headers }).getPriceUpdatesStream(ids, {
    parsed: false,
    ignoreInvalidPriceIds: true,
  })
  try {
    await new Promise<void>((resolve, reject) => {
      let over = false
      const end = (error?: Error) => {
        over = true
        if (error) reject(error)
        else resolve()
      }
      attempt.signal.addEventListener('abort', () => end(), { once: true })
      if (attempt.signal.aborted) end()
      stream.onopen = () => attempt.opened()
      stream.onmessage = ({ data, origin }) => {
        // One chunk may hold many events.
        if (over) return
        // The client follows redirects (the token stays behind, by the rules of fetch): what another host says isn't taken.
        if (origin !== new URL(url).origin) return end(new Error('the service redirects elsewhere'))
        const tooLarge = data.length > MAX_EVENT_CHARS
        attempt.take(tooLarge ? rejected('too_large') : decode(data))
        if (tooLarge) end()
      }
      // Failures of the connection, and the event of this name by which the service ends a stream after 24 hours. The stream sets its
      // timer for a reconnect after it has told of the failure, so it must be closed later than here for the timer to be cleared.
      stream.addEventListener('error', ({ message }) => end(new Error(message ?? 'the stream ended')))
    })
  } finally {
    stream.close()
  }
}
