import WebSocket from 'ws'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import type { Decoder, Market } from './types.js'

/** No venue's frame comes near; a larger one ends the connection before it is buffered. */
const MAX_FRAME_BYTES = 1 << 20
/** The code of the socket's error for such a frame. */
const FRAME_TOO_LARGE = 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'

/** Runs a venue that speaks JSON over a WebSocket, until aborted. */
export function runWebSocket(
  parameters: ConnectionParameters,
  subscribe: (markets: readonly Market[]) => string[],
  decode: Decoder,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(
    parameters,
    (attempt) => connectOnce(parameters, subscribe(parameters.markets), decode, attempt),
    signal,
  )
}

function connectOnce(
  { url, book, networkClock }: ConnectionParameters,
  subscriptions: readonly string[],
  decode: Decoder,
  attempt: Attempt,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false })
    const abort = () => socket.terminate()
    attempt.signal.addEventListener('abort', abort, { once: true })
    socket.on('open', () => {
      book.setConnected(true)
      for (const text of subscriptions) socket.send(text)
    })
    socket.on('ping', () => attempt.alive())
    socket.on('message', (data, isBinary) => {
      attempt.alive()
      book.take(isBinary ? rejected('malformed') : decode(data.toString()), networkClock.now())
    })
    socket.on('error', (error) => {
      if ('code' in error && error.code === FRAME_TOO_LARGE)
        book.take(rejected('too_large'), networkClock.now())
      reject(error)
    })
    socket.on('close', () => {
      attempt.signal.removeEventListener('abort', abort)
      resolve()
    })
    if (attempt.signal.aborted) abort()
  })
}
