import { createParser } from 'eventsource-parser'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import type { Decoder } from './types.js'

/** No event comes near; a larger one ends the stream before it is buffered. */
const MAX_EVENT_BYTES = 1 << 20

/**
 * Runs a Pyth Hermes v2 price stream (server-sent events) until aborted. Market symbols are price feed ids. The vendor's client can't
 * bound what a stream makes it buffer, hence this one.
 */
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
  const response = await fetch(streamUrl(url, markets), {
    headers: {
      accept: 'text/event-stream',
      ...(accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }),
    },
    // A redirect could carry the access token elsewhere.
    redirect: 'error',
    signal: attempt.signal,
  })
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream')
  if (!response.ok || !response.body || !isStream) {
    await response.body?.cancel()
    throw new Error(`the service answered ${response.status}`)
  }
  attempt.opened()
  let buffered = 0
  let refused = false
  const parser = createParser({
    onEvent({ event, data }) {
      buffered = 0
      // After 24 hours the service says so in an event named `error`, and ends the stream.
      if (event === 'error') refused = true
      else attempt.take(decode(data))
    },
    onComment() {
      buffered = 0
      attempt.alive()
    },
  })
  const text = new TextDecoder()
  for await (const chunk of response.body) {
    buffered += chunk.length
    parser.feed(text.decode(chunk, { stream: true }))
    if (refused || attempt.signal.aborted) return
    if (buffered > MAX_EVENT_BYTES) {
      attempt.take(rejected('too_large'))
      return
    }
  }
}

function streamUrl(url: string, markets: ConnectionParameters['markets']): URL {
  const stream = new URL('v2/updates/price/stream', url.endsWith('/') ? url : `${url}/`)
  for (const { symbol } of markets) stream.searchParams.append('ids[]', symbol)
  stream.searchParams.set('parsed', 'false')
  stream.searchParams.set('ignore_invalid_price_ids', 'true')
  return stream
}
