import type { Clock } from '@clearspan/shared'
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
  /** Told of every delivery that failed. */
  onFailure(peer: number): void
}

/** Sends messages to the other nodes. A peer that is down costs nobody else anything: no delivery waits for another. */
export interface Peers {
  send(peer: number, message: Unverified): Promise<void>
  broadcast(message: Unverified): Promise<void>
  stop(): void
}

/** Wait before the one repeat of a failed delivery, real ms: an idle connection may be closed by the peer just as it is used. */
const RETRY_MS = 20

/** Peers over HTTP; the runtime's fetch keeps connections alive. */
export function createPeers({ urls, index, timeoutMs, realClock, onFailure, ...io }: PeerParameters): Peers {
  const stopped = new AbortController()

  async function post(url: string, body: string, signal: AbortSignal): Promise<boolean> {
    const headers = { 'content-type': 'application/json' }
    const response = await io.fetch(url, { method: 'POST', body, headers, signal, redirect: 'error' })
    // The body must be read, or the connection is not free for the next message.
    await response.arrayBuffer()
    return response.ok
  }

  async function deliver(peer: number, path: string, body: string): Promise<void> {
    const base = urls[peer]
    if (base === undefined || peer === index || stopped.signal.aborted) return
    const url = `${base.replace(/\/$/, '')}${path}`
    const ended = new AbortController()
    const end = () => ended.abort()
    stopped.signal.addEventListener('abort', end, { once: true })
    void realClock.sleep(timeoutMs, ended.signal).then(end, () => {})
    try {
      const delivered = await post(url, body, ended.signal).catch(async () => {
        await realClock.sleep(RETRY_MS, ended.signal)
        return post(url, body, ended.signal)
      })
      if (!delivered) onFailure(peer)
    } catch {
      if (!stopped.signal.aborted) onFailure(peer)
    } finally {
      stopped.signal.removeEventListener('abort', end)
      end()
    }
  }

  return {
    send: (peer, { kind, message }) => deliver(peer, messagePaths[kind], JSON.stringify(toWire(message))),
    async broadcast({ kind, message }) {
      const body = JSON.stringify(toWire(message))
      await Promise.all(urls.map((_, peer) => deliver(peer, messagePaths[kind], body)))
    },
    stop: () => stopped.abort(),
  }
}
