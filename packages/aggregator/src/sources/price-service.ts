import type { Logger } from '@clearspan/shared'
import { PriceServiceConnection } from '@pythnetwork/price-service-client'
import WebSocket from 'ws'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import { decodeUnread } from './pyth.js'
import type { Decoded } from './types.js'
import { isTooLarge, MAX_FRAME_BYTES } from './websocket.js'

/** How much of a line of the client's is logged: it repeats whole frames. */
const MAX_LOGGED_CHARS = 200

/**
 * Runs a Pyth Price Service v1 subscription (WebSocket, by Pyth's client) until aborted. Market symbols are price feed ids; `decode`
 * is given the signed update of a feed.
 */
export function runPriceService(
  parameters: ConnectionParameters,
  decode: (vaa: string | undefined) => Decoded,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(parameters, (attempt) => subscribeOnce(parameters, decode, attempt), signal)
}

async function subscribeOnce(
  { url, markets, logger }: ConnectionParameters,
  decode: (vaa: string | undefined) => Decoded,
  attempt: Attempt,
): Promise<void> {
  const client = createClient(url, logger)
  try {
    await client.startWebSocket()
    const socket = socketOf(client)
    const closed = untilClosed(socket, client, attempt)
    const ids = markets.map(({ symbol }) => symbol)
    let fed: Decoded | undefined
    readFrames(socket, attempt, (frame, handOn) => {
      fed = undefined
      try {
        handOn()
      } catch {
        // The client takes every JSON for an object: `null` would end the process. What it didn't read is judged below.
      }
      return fed ?? decodeUnread(frame, ids)
    })
    client
      .subscribePriceFeedUpdates(ids, (feed) => {
        fed = decode(feed.getVAA())
      })
      .catch(() => socket.terminate())
    await closed
  } finally {
    client.closeWebSocket()
  }
}

function createClient(url: string, logger: Logger): PriceServiceConnection {
  const ignore = () => {}
  const log = (...details: unknown[]) =>
    logger.debug(
      { details: details.map((detail) => String(detail).slice(0, MAX_LOGGED_CHARS)) },
      'price service client',
    )
  const client = new PriceServiceConnection(url.endsWith('/') ? url : `${url}/`, {
    logger: { trace: ignore, debug: ignore, info: ignore, warn: log, error: log },
    priceFeedRequestConfig: { binary: true, verbose: true },
  })
  // The default ends the process. Failures show at the socket, and each frame is judged by what the client made of it.
  client.onWsError = ignore
  return client
}

/**
 * The client tells of no close, reconnects by itself without a bound and hides pings, frames that it can't use and their sizes: all of
 * that is seen at its socket, which it keeps private.
 */
function socketOf(client: PriceServiceConnection): WebSocket {
  const resilient: unknown = Reflect.get(client, 'wsClient')
  const socket: unknown = resilient instanceof Object ? Reflect.get(resilient, 'wsClient') : undefined
  if (!(socket instanceof WebSocket)) throw new Error('the Price Service client has no socket')
  return socket
}

/** Ends the socket with the attempt, and the client with the socket. */
function untilClosed(socket: WebSocket, client: PriceServiceConnection, attempt: Attempt): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: Error | undefined
    const abort = () => socket.terminate()
    attempt.signal.addEventListener('abort', abort, { once: true })
    socket.on('open', attempt.opened)
    socket.on('ping', attempt.alive)
    socket.on('error', (error) => {
      failure = error
      if (isTooLarge(error)) attempt.take(rejected('too_large'))
      socket.terminate()
    })
    // Before the client's own listener, which reconnects unless it finds the client closed.
    socket.prependListener('close', () => {
      client.closeWebSocket()
      attempt.signal.removeEventListener('abort', abort)
      if (failure) reject(failure)
      else resolve()
    })
    if (attempt.signal.aborted) abort()
  })
}

/** Puts `decode` between the socket and the client, which `handOn` gives the frame to. */
function readFrames(
  socket: WebSocket,
  attempt: Attempt,
  decode: (frame: string, handOn: () => void) => Decoded,
): void {
  const client = socket.onmessage
  socket.onmessage = (event) => {
    // What had already come when the socket was terminated.
    if (socket.readyState !== socket.OPEN) return
    const { data } = event
    if (typeof data !== 'string') attempt.take(rejected('malformed'))
    else if (data.length <= MAX_FRAME_BYTES) attempt.take(decode(data, () => client?.call(socket, event)))
    else {
      attempt.take(rejected('too_large'))
      socket.terminate()
    }
  }
}
