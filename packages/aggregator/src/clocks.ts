import type { Logger } from '@clearspan/shared'
import type { NodeMetrics } from './metrics.js'

export interface ClockWatchParameters {
  nodes: number
  /** Values that make a majority with an honest middle: 2f + 1, this node's own included. */
  quorum: number
  /** Largest difference that is no alarm, real ms. */
  boundMs: number
  logger: Logger
  metrics: Pick<NodeMetrics, 'peerClockOffset' | 'clockOffset'>
}

/** What this node knows of its peers' clocks, from the signed times of their answers. */
export interface ClockWatch {
  /** One answer: sent and received by this node's clock, and the peer's time between; unix ms. */
  record(peer: number, sentAt: number, peerTime: number, receivedAt: number): void
  /** How far this clock is ahead of the network's middle, ms; null before enough peers have answered. */
  offsetMs(): number | null
  /** How far each peer is ahead of this clock, ms; null for a peer never heard, and for this node itself. */
  peers(): (number | null)[]
  drifting(): boolean
}

/**
 * Compares clocks as NTP does: a peer's time belongs to some moment between request and answer, so what exceeds half the round trip is
 * difference for certain. With at most f lying peers the median of 2f + 1 values lies among honest clocks.
 */
export function createClockWatch({
  nodes,
  quorum,
  boundMs,
  logger,
  metrics,
}: ClockWatchParameters): ClockWatch {
  const offsets: (number | null)[] = Array.from({ length: nodes }, () => null)
  const alarmed = new Set<number | 'own'>()

  function alarm(who: number | 'own', offset: number) {
    const beyond = Math.abs(offset) > boundMs
    if (beyond === alarmed.has(who)) return
    if (!beyond) {
      alarmed.delete(who)
      logger.info({ clock: who, offsetMs: offset }, 'a clock is right again')
      return
    }
    alarmed.add(who)
    if (who === 'own')
      logger.error({ offsetMs: offset, boundMs }, "this node's clock differs from the network's")
    else logger.warn({ peer: who, offsetMs: offset, boundMs }, "a peer's clock differs from this node's")
  }

  function own(): number | null {
    const known = offsets.filter((offset) => offset !== null)
    if (known.length + 1 < quorum) return null
    const sorted = [...known, 0].sort((a, b) => a - b)
    const middle = ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
    return middle === 0 ? 0 : -middle
  }

  return {
    record(peer, sentAt, peerTime, receivedAt) {
      const offset = peerTime < sentAt ? peerTime - sentAt : peerTime > receivedAt ? peerTime - receivedAt : 0
      offsets[peer] = offset
      metrics.peerClockOffset.set({ peer }, offset / 1000)
      alarm(peer, offset)
      const ahead = own()
      if (ahead === null) return
      metrics.clockOffset.set(ahead / 1000)
      alarm('own', ahead)
    },
    offsetMs: own,
    peers: () => [...offsets],
    drifting: () => alarmed.has('own'),
  }
}
