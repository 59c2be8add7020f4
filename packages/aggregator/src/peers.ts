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
export function createPeers({ urls, index, timeoutMs, realClock, onFailure }: PeerParameters): Peers {
  const stopped = new AbortController()

  async function post(url: string, body: string): Promise<boolean> {
    const signal = AbortSignal.any([stopped.signal, AbortSignal.timeout(timeoutMs)])
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(url, { method: 'POST', body, headers, signal })
    // The body must be read, or the connection is not free for the next message.
    await response.arrayBuffer()
    return response.ok
  }

  async function deliver(peer: number, path: string, body: string): Promise<void> {
    const base = urls[peer]
    if (base === undefined || peer === index) return
    const url = `${base.replace(/\/$/, '')}${path}`
    try {
      const attempt = await post(url, body).catch(async () => {
        await realClock.sleep(RETRY_MS, stopped.signal)
        return post(url, body)
      })
      if (!attempt) onFailure(peer)
    } catch {
      if (!stopped.signal.aborted) onFailure(peer)
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
