import type { Decoded, Market, Quote, QuoteKind, RejectReason, Tick } from './types.js'

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
  kind: QuoteKind
  markets: readonly Market[]
  /** How far ahead of this node's clock an event time may lie, ms of network time. */
  maxClockSkewMs: number
  /** Told of every quote taken. */
  onQuote?: ((quote: Quote) => void) | undefined
}

const SLIP_FACTOR = 10n
/** Network time. */
const SLIP_MEMORY_MS = 60_000

/** What came of a frame: a new price, nothing new, or the knowledge that something was missed. */
export type Taken = 'priced' | 'nothing' | 'gap'

/** The newest quote of each market of one source. Pure but for its own memory, which the number of markets bounds. */
export interface QuoteBook {
  /** Takes what a decoder made of a frame at network time `now`. After a gap the market stays without a quote until the next connection. */
  take(decoded: Decoded, now: number): Taken
  quotes(): Quote[]
  /** A new connection begins to count sequences anew. */
  setConnected(connected: boolean): void
  status(): SourceStatus
}

export function createQuoteBook({
  source,
  kind,
  markets,
  maxClockSkewMs,
  onQuote,
}: QuoteBookParameters): QuoteBook {
  const bySymbol = new Map(markets.map((market) => [market.symbol, market]))
  const newest = new Map<string, Quote>()
  const halfSpreads = new Map<string, bigint>()
  const sequences = createSequences()
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
    const confidence = tick.confidence ?? halfSpreads.get(tick.symbol) ?? 0n
    const last = newest.get(tick.symbol)
    if (last && isOlder(tick, last)) return 'out_of_order'
    if (!sequences.follows(tick)) {
      newest.delete(tick.symbol)
      return 'sequence_gap'
    }
    // A slow source is asked again and again for the same answer, and a bound that moves far is what it is for.
    if (kind === 'price' && last && isSame(tick, last)) return 'duplicate'
    if (kind === 'price' && last && isSlip(tick, last)) return 'decimal_slip'
    const quote: Quote = {
      source,
      kind,
      market,
      price: tick.price,
      confidence,
      eventTime: tick.eventTime,
      receiveTime: now,
      expiresAt: tick.expiresAt ?? null,
      sequence: tick.sequence,
    }
    newest.set(tick.symbol, quote)
    onQuote?.(quote)
    status.quotes += 1
    status.lastEventTime = Math.max(status.lastEventTime ?? 0, tick.eventTime)
    return null
  }

  function takeTicks(ticks: readonly Tick[], now: number): Taken {
    let taken: Taken = 'nothing'
    for (const tick of ticks) {
      const reason = admit(tick, now)
      if (reason) reject(reason)
      else if (taken === 'nothing') taken = 'priced'
      if (reason === 'sequence_gap') taken = 'gap'
    }
    return taken
  }

  return {
    take(decoded, now) {
      status.lastFrameTime = now
      switch (decoded.kind) {
        case 'rejected':
          reject(decoded.reason)
          if (decoded.symbol !== undefined) newest.delete(decoded.symbol)
          return 'nothing'
        case 'spread':
          if (bySymbol.has(decoded.symbol)) halfSpreads.set(decoded.symbol, decoded.halfSpread)
          else reject('unknown_symbol')
          return 'nothing'
        case 'heartbeat':
          if (!bySymbol.has(decoded.symbol)) reject('unknown_symbol')
          else if (!sequences.reached(decoded)) {
            newest.delete(decoded.symbol)
            reject('sequence_gap')
            return 'gap'
          }
          return 'nothing'
        case 'ticks':
          return takeTicks(decoded.ticks, now)
        case 'control':
          return 'nothing'
      }
    },
    quotes: () => [...newest.values()],
    setConnected(connected) {
      if (connected && !status.connected) {
        status.connects += 1
        sequences.restart()
      }
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

function isSame(tick: Tick, last: Quote): boolean {
  return tick.eventTime === last.eventTime && tick.sequence === last.sequence && tick.price === last.price
}

/** Only against a price that is fresh itself, so that a price that did move so far is doubted for a minute and never for good. */
function isSlip(tick: Tick, last: Quote): boolean {
  if (tick.eventTime - last.eventTime > SLIP_MEMORY_MS) return false
  return tick.price > last.price * SLIP_FACTOR || tick.price * SLIP_FACTOR < last.price
}

/** Which sequence numbers one connection has seen, by symbol. What the book doesn't know never gets here, so markets bound it. */
function createSequences() {
  const last = new Map<string, bigint>()
  const promised = new Map<string, bigint>()
  const broken = new Set<string>()
  return {
    restart() {
      last.clear()
      promised.clear()
      broken.clear()
    },
    /** False when a number before this tick's is missing, and for every tick after that. */
    follows({ symbol, sequence, contiguous }: Tick): boolean {
      if (broken.has(symbol)) return false
      if (sequence === null) return true
      const before = last.get(symbol)
      if (contiguous && before !== undefined && sequence > before + 1n) broken.add(symbol)
      if (before === undefined || sequence > before) last.set(symbol, sequence)
      return !broken.has(symbol)
    },
    /** False when the tick that the heartbeat before this one told of has not come. */
    reached({ symbol, sequence }: { symbol: string; sequence: bigint }): boolean {
      const owed = promised.get(symbol)
      promised.set(symbol, sequence)
      if (owed !== undefined && owed > (last.get(symbol) ?? 0n)) broken.add(symbol)
      return !broken.has(symbol)
    },
  }
}
