import type { Decoded, Market, Quote, RejectReason, Tick } from './types.js'

/** What a source looks like from outside, for health and metrics. Times are unix ms of network time, null before the first. */
export interface SourceStatus {
  id: string
  connected: boolean
  /** The last frame of any kind, heartbeats included. */
  lastFrameTime: number | null
  /** The newest event time of a price, which no heartbeat refreshes. */
  lastEventTime: number | null
  quotes: number
  rejected: Partial<Record<RejectReason, number>>
  connects: number
}

export interface QuoteBookParameters {
  source: string
  markets: readonly Market[]
  /** How far ahead of this node's clock an event time may lie, ms of network time. */
  maxClockSkewMs: number
}

/** The newest quote of each market of one source. Pure but for its own memory: the time of a frame is handed in. */
export interface QuoteBook {
  /** Takes what a decoder made of a frame at network time `now`. */
  take(decoded: Decoded, now: number): void
  quotes(): Quote[]
  setConnected(connected: boolean): void
  status(): SourceStatus
}

export function createQuoteBook({ source, markets, maxClockSkewMs }: QuoteBookParameters): QuoteBook {
  const bySymbol = new Map(markets.map((market) => [market.symbol, market]))
  const newest = new Map<string, Quote>()
  const halfSpreads = new Map<string, bigint>()
  const status: SourceStatus = {
    id: source,
    connected: false,
    lastFrameTime: null,
    lastEventTime: null,
    quotes: 0,
    rejected: {},
    connects: 0,
  }

  function reject(reason: RejectReason) {
    status.rejected[reason] = (status.rejected[reason] ?? 0) + 1
  }

  function admit(tick: Tick, now: number): RejectReason | null {
    const market = bySymbol.get(tick.symbol)
    if (!market) return 'unknown_symbol'
    if (tick.eventTime > now + maxClockSkewMs) return 'future'
    const last = newest.get(tick.symbol)
    if (last && isOlder(tick, last)) return 'out_of_order'
    newest.set(tick.symbol, {
      source,
      kind: 'price',
      market,
      price: tick.price,
      confidence: tick.confidence ?? halfSpreads.get(tick.symbol) ?? 0n,
      eventTime: tick.eventTime,
      receiveTime: now,
      expiresAt: null,
      sequence: tick.sequence,
    })
    status.quotes += 1
    status.lastEventTime = Math.max(status.lastEventTime ?? 0, tick.eventTime)
    return null
  }

  return {
    take(decoded, now) {
      status.lastFrameTime = now
      if (decoded.kind === 'rejected') reject(decoded.reason)
      else if (decoded.kind === 'spread') {
        if (bySymbol.has(decoded.symbol)) halfSpreads.set(decoded.symbol, decoded.halfSpread)
        else reject('unknown_symbol')
      } else if (decoded.kind === 'ticks') {
        for (const tick of decoded.ticks) {
          const reason = admit(tick, now)
          if (reason) reject(reason)
        }
      }
    },
    quotes: () => [...newest.values()],
    setConnected(connected) {
      if (connected && !status.connected) status.connects += 1
      status.connected = connected
    },
    status: () => ({ ...status, rejected: { ...status.rejected } }),
  }
}

/** Time decides, the sequence only breaks ties: venues restart their sequences, and a restart must not silence a source for good. */
function isOlder(tick: Tick, last: Quote): boolean {
  if (tick.eventTime !== last.eventTime) return tick.eventTime < last.eventTime
  return tick.sequence !== null && last.sequence !== null && tick.sequence < last.sequence
}
