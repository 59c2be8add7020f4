import { setMaxListeners } from 'node:events'
import { type Clock, RetryableError, readAnswer } from '@clearspan/shared'
import { withDeadline } from './deadline.js'
import { type PeerAuth, SESSION_PATH, type Session } from './observation/auth.js'
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
  auth: Pick<PeerAuth, 'offer'>
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

/** Peers over HTTP; the runtime's fetch keeps connections alive. Requests go in a session with the peer, and an answer counts only with the peer's MAC. */
export function createPeers(parameters: PeerParameters): Peers {
  const { urls, index, timeoutMs, realClock, auth, onFailure, onTime } = parameters
  const stopped = new AbortController()
  // One listener for each delivery under way.
  setMaxListeners(0, stopped.signal)

  const sessions = new Map<number, Promise<Session>>()

  const request = (url: string, body: string, headers: Record<string, string>, signal: AbortSignal) =>
    parameters.fetch(url, {
      method: 'POST',
      body,
      headers: { ...headers, 'content-type': 'application/json' },
      signal,
      redirect: 'error',
    })

  async function open(peer: number, base: string, signal: AbortSignal): Promise<Session> {
    const { body, accept } = await auth.offer(peer)
    const response = await request(`${base}${SESSION_PATH}`, body, {}, signal)
    const session = accept((await readAnswer(response, MAX_ANSWER_BYTES, signal)) ?? '')
    if (!session) throw new RetryableError(`node ${peer} opens no session: ${response.status}`)
    return session
  }

  /** The session with a peer, opened once for all who wait for it. */
  async function sessionWith(peer: number, base: string, signal: AbortSignal): Promise<Session> {
    const known = sessions.get(peer)
    if (known && (await known).fresh()) return known
    // Whoever waited for the same stale one may have been first.
    const other = sessions.get(peer)
    if (other && other !== known) return other
    const opened = open(peer, base, signal)
    sessions.set(peer, opened)
    opened.catch(() => forget(peer, opened))
    return opened
  }

  function forget(peer: number, session: Promise<Session> | undefined) {
    if (sessions.get(peer) === session) sessions.delete(peer)
  }

  async function post(peer: number, base: string, path: string, body: string, signal: AbortSignal) {
    const { headers, check } = (await sessionWith(peer, base, signal)).sign('POST', path, body)
    const used = sessions.get(peer)
    const sentAt = realClock.now()
    const response = await request(`${base}${path}`, body, headers, signal)
    const receivedAt = realClock.now()
    const answer = await readAnswer(response, MAX_ANSWER_BYTES, signal)
    if (response.status === 401) {
      // The peer has restarted, or forgotten: the repeat opens another.
      forget(peer, used)
      throw new RetryableError(`node ${peer} knows no such session`)
    }
    const peerTime =
      answer === null ? null : check(response.status, Object.fromEntries(response.headers), answer)
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
