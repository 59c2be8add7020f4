import type { Hex } from 'viem'

/** When a packet passed each stage. Block times are in seconds of the chain's time, the others in real ms. */
export interface MessageStages {
  guid: Hex
  srcEid: number
  dstEid: number
  nonce: string
  /** Timestamp of the source block. */
  sentBlockTime?: number
  observedAt: number
  /** Deep enough, and our sources agree on it. */
  confirmedAt?: number
  broadcastAt?: number
  deliveredAt?: number
  deliveredBlockTime?: number
}

/** A transaction from readiness to inclusion, in real ms. */
export interface TransactionSample {
  label: 'price' | 'deposit' | 'release' | 'deliver' | 'liquidate'
  chainId: number
  /** What made it due was known here: the report had arrived, the event's block had been read. */
  dueAt: number
  readyAt: number
  broadcastAt: number
  minedAt: number
  missedFirstBlock: boolean
}

const ENTRIES_KEPT = 10_000

/** Bounded tables of what was measured; the oldest entries go first. */
export function createStages() {
  const messages = new Map<Hex, MessageStages>()
  const samples: TransactionSample[] = []
  return {
    /** Adds to a message's stages; the first observation of it makes the entry, and what is known stays. */
    note(guid: Hex, change: Partial<MessageStages>, first?: Omit<MessageStages, 'guid'>): void {
      const known = messages.get(guid) ?? (first && { guid, ...first })
      if (known === undefined) return
      messages.set(guid, { ...known, ...change })
      if (messages.size > ENTRIES_KEPT)
        for (const oldest of messages.keys()) return void messages.delete(oldest)
    },
    sample(sample: TransactionSample): void {
      samples.push(sample)
      if (samples.length > ENTRIES_KEPT) samples.shift()
    },
    messages: () => [...messages.values()],
    samples: () => [...samples],
  }
}

export type Stages = ReturnType<typeof createStages>

/** Percentiles of a list, in its unit. */
export interface Percentiles {
  count: number
  p50: number
  p95: number
  max: number
}

/** Nearest-rank percentiles; zeros for an empty list. */
export function percentiles(values: readonly number[]): Percentiles {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return { count: sorted.length, p50: rank(0.5), p95: rank(0.95), max: sorted.at(-1) ?? 0 }
}

/** Latencies between stages over all messages that have both, in real ms; `block` in seconds of the chains' time. */
export function stageLatencies(messages: readonly MessageStages[]): Record<string, Percentiles> {
  const between = (from: keyof MessageStages, to: keyof MessageStages) =>
    percentiles(
      messages.flatMap((message) => {
        const [start, end] = [message[from], message[to]]
        return typeof start === 'number' && typeof end === 'number' ? [end - start] : []
      }),
    )
  return {
    observedToConfirmed: between('observedAt', 'confirmedAt'),
    confirmedToBroadcast: between('confirmedAt', 'broadcastAt'),
    broadcastToDelivered: between('broadcastAt', 'deliveredAt'),
    observedToDelivered: between('observedAt', 'deliveredAt'),
    blockToBlock: between('sentBlockTime', 'deliveredBlockTime'),
  }
}
