import { setMaxListeners } from 'node:events'
import type { Clock } from '@clearspan/shared'
import { withDeadline } from './deadline.js'
import type { PeerAuth } from './observation/auth.js'
import { messagePaths, type Unverified } from './observation/verify.js'
import { toWire } from './observation/wire.js'

export interface PeerParameters {
  /** Base URLs of all nodes, by index. */
  urls: readonly string[]
  /** This node's own index, which is never sent to. */
  index: number
  /** Longest that one delivery may take, real ms; a message of a past slot is worth nothing. */
  timeoutMs: number
  realClock: Clock
  fetch: typeof globalThis.fetch
  auth: Pick<PeerAuth, 'signRequest' | 'checkResponse'>
  /** Told of every answer that was the peer's own: unix ms of the real clock before, in and after it. */
  onTime(peer: number, sentAt: number, peerTime: number, receivedAt: number): void
  /** Told of every delivery that failed. */
  onFailure(peer: number): void
}

/** Sends messages to the other nodes. A peer that is down costs nobody else anything: no delivery waits for another. */
export interface Peers {
  send(peer: number, message: Unverified): Promise<void>
  broadcast(message: Unverified): Promise<void>
  /** Sends to every peer what is no message of a slot. */
  tell(path: string, value: unknown): Promise<void>
  stop(): void
}

/** Wait before the one repeat of a failed delivery, real ms: an idle connection may be closed by the peer just as it is used. */
const RETRY_MS = 20

/** No answer to a message is longer. */
const MAX_ANSWER_BYTES = 4_096

/** Peers over HTTP; the runtime's fetch keeps connections alive. Requests are signed, and an answer counts only with the peer's signature. */
export function createPeers(parameters: PeerParameters): Peers {
  const { urls, index, timeoutMs, realClock, auth, onFailure, onTime } = parameters
  const stopped = new AbortController()
  // One listener for each delivery under way.
  setMaxListeners(0, stopped.signal)

  async function post(peer: number, base: string, path: string, body: string, signal: AbortSignal) {
    const { headers, digest } = await auth.signRequest(peer, 'POST', path, body)
    const sentAt = realClock.now()
    const response = await parameters.fetch(`${base}${path}`, {
      method: 'POST',
      body,
      headers: { ...headers, 'content-type': 'application/json' },
      signal,
      redirect: 'error',
    })
    const receivedAt = realClock.now()
    const answer = await readAnswer(response)
    if (answer === null) return false
    const peerTime = await auth.checkResponse(
      peer,
      digest,
      response.status,
      Object.fromEntries(response.headers),
      answer,
    )
    if (peerTime === null) return false
    onTime(peer, sentAt, peerTime, receivedAt)
    return response.ok
  }

  async function deliver(peer: number, path: string, body: string): Promise<void> {
    const base = urls[peer]?.replace(/\/$/, '')
    if (base === undefined || peer === index || stopped.signal.aborted) return
    try {
      const delivered = await withDeadline(
        { clock: realClock, ms: timeoutMs, parent: stopped.signal },
        (signal) =>
          post(peer, base, path, body, signal).catch(async () => {
            await realClock.sleep(RETRY_MS, signal)
            return post(peer, base, path, body, signal)
          }),
      )
      if (!delivered) onFailure(peer)
    } catch {
      if (!stopped.signal.aborted) onFailure(peer)
    }
  }

  async function tell(path: string, value: unknown): Promise<void> {
    const body = JSON.stringify(value)
    await Promise.all(urls.map((_, peer) => deliver(peer, path, body)))
  }

  return {
    send: (peer, { kind, message }) => deliver(peer, messagePaths[kind], JSON.stringify(toWire(message))),
    broadcast: ({ kind, message }) => tell(messagePaths[kind], toWire(message)),
    tell,
    stop: () => stopped.abort(),
  }
}

/** The answer's text; null, and the connection ended, when it is longer than any honest one. The body is read to its end, or the connection is not free for the next message. */
export async function readAnswer(response: Response, maxBytes = MAX_ANSWER_BYTES): Promise<string | null> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length
    // Leaving the loop cancels the stream.
    if (bytes > maxBytes) return null
    text += decoder.decode(chunk, { stream: true })
  }
  return text
}
