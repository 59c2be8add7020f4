import type { Clock } from '@clearspan/shared'
import WebSocket from 'ws'
import { type Attempt, type ConnectionParameters, keepConnected } from './connection.js'
import { rejected } from './decimal.js'
import type { Decoder, Market } from './types.js'

/** No venue's frame comes near; a larger one ends the connection before it is buffered. */
export const MAX_FRAME_BYTES = 1 << 20

/** Whether a socket's error says that a frame was larger than it may be. */
export function isTooLarge(error: Error): boolean {
  return 'code' in error && error.code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH'
}

/** A venue that speaks text over a WebSocket. WebSocket pings are answered by themselves. */
export interface Venue {
  /** What is sent when the connection opens. */
  subscribe(markets: readonly Market[]): string[]
  decode: Decoder
  /** What the venue wants to hear from a client that has nothing to say; real ms. */
  ping?: { text: string; everyMs: number }
}

/** Runs a venue until aborted. */
export function runWebSocket(
  parameters: ConnectionParameters,
  venue: Venue,
  signal: AbortSignal,
): Promise<void> {
  return keepConnected(parameters, (attempt) => connectOnce(parameters, venue, attempt), signal)
}

function connectOnce(
  { url, markets, accessToken, realClock }: ConnectionParameters,
  { subscribe, decode, ping }: Venue,
  attempt: Attempt,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const headers = accessToken === undefined ? {} : { authorization: `Bearer ${accessToken}` }
    const socket = new WebSocket(url, { maxPayload: MAX_FRAME_BYTES, perMessageDeflate: false, headers })
    const ended = new AbortController()
    const abort = () => socket.terminate()
    attempt.signal.addEventListener('abort', abort, { once: true })
    socket.on('open', () => {
      attempt.opened()
      for (const text of subscribe(markets)) socket.send(text)
      if (ping) void sendEvery(socket, ping, realClock, ended.signal)
    })
    socket.on('ping', attempt.alive)
    socket.on('message', (data, isBinary) => {
      if (attempt.signal.aborted) return
      attempt.take(isBinary ? rejected('malformed') : decode(data.toString()))
    })
    socket.on('error', (error) => {
      if (isTooLarge(error)) attempt.take(rejected('too_large'))
      reject(error)
    })
    socket.on('close', () => {
      ended.abort()
      attempt.signal.removeEventListener('abort', abort)
      resolve()
    })
    if (attempt.signal.aborted) abort()
  })
}

async function sendEvery(
  socket: WebSocket,
  { text, everyMs }: { text: string; everyMs: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    await clock.sleep(everyMs, signal).catch(() => {})
    if (signal.aborted) return
    if (socket.readyState === socket.OPEN) socket.send(text)
  }
}
