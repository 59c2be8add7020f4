import type { ChainClient, Clock, Logger, Metrics } from '@clearspan/shared'

/** First and longest exclusion, in real ms; it doubles in between. */
const FIRST_MS = 10_000
const MAX_MS = 3_600_000

/** Nodes of one chain that contradicted a quorum: what they say counts for nothing for a while. The quorum stays what it was. */
export interface Quarantine {
  holds(node: ChainClient): boolean
  /** A quorum says otherwise than this node of the list: reported, and left out for twice as long as the last time. */
  put(node: ChainClient, what: string): void
}

export function createQuarantine(options: {
  chain: string
  /** In the order of the configured URLs, by which a node is named: URLs may hold keys. */
  nodes: readonly ChainClient[]
  clock: Clock
  logger: Logger
  metrics: Metrics
}): Quarantine {
  const { chain, nodes, clock, logger, metrics } = options
  const out = new Map<ChainClient, { until: number; waitMs: number }>()
  const count = metrics.counter(
    'rpc_dissents_total',
    'Times that an RPC contradicted a quorum of its chain',
    ['chain', 'node'],
  )
  const holds = (node: ChainClient) => (out.get(node)?.until ?? 0) > clock.now()
  return {
    holds,
    put(node, what) {
      if (holds(node)) return
      const waitMs = Math.min(MAX_MS, 2 * (out.get(node)?.waitMs ?? FIRST_MS / 2))
      out.set(node, { until: clock.now() + waitMs, waitMs })
      const index = nodes.indexOf(node)
      count.inc({ chain, node: String(index) })
      logger.error({ chain, node: index, what, forMs: waitMs }, 'an RPC contradicts the quorum, left out')
    },
  }
}
