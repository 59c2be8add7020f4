import { HermesClient } from '@pythnetwork/hermes-client'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import { decodeHermes } from './pyth.js'

/** Runs a Pyth Hermes v2 price stream (SSE by the vendor's client) until aborted. Market symbols are price feed ids. */
export function runHermes(parameters: ConnectionParameters, signal: AbortSignal): Promise<void> {
  return keepConnected(parameters, (attempt) => streamOnce(parameters, attempt), signal)
}

async function streamOnce(
  { url, markets, book, networkClock }: ConnectionParameters,
  attempt: Attempt,
): Promise<void> {
  const client = new HermesClient(url)
  const ids = markets.map(({ symbol }) => symbol)
  const stream = await client.getPriceUpdatesStream(ids, { parsed: true, ignoreInvalidPriceIds: true })
  try {
    await new Promise<void>((resolve, reject) => {
      attempt.signal.addEventListener('abort', () => resolve(), { once: true })
      if (attempt.signal.aborted) resolve()
      stream.onopen = () => {
        book.setConnected(true)
        attempt.alive()
      }
      stream.onmessage = ({ data }) => {
        attempt.alive()
        book.take(typeof data === 'string' ? decodeHermes(data) : rejected('malformed'), networkClock.now())
      }
      // The service ends a stream with an event named `error` after 24 hours, which the property `onerror` misses, and the stream's
      // own retry gives up on any answer but 200: every error ends this attempt.
      stream.addEventListener('error', (event) => reject(new Error(event.message ?? 'stream ended')))
    })
  } finally {
    stream.close()
  }
}
