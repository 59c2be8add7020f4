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
  /** Told, in order, of all that decides what the book holds, once it does. */
  onEvent?: ((event: BookEvent) => void) | undefined
  /** Where another book was: this one goes on from there. */
  state?: BookState | undefined
}

/** What a book was told at network time `now`, and why it didn't take it; null where it did. */
export type BookEvent =
  | { kind: 'connection'; connected: boolean }
  | { kind: 'tick'; tick: Tick; now: number; reason: RejectReason | null }
  | { kind: 'told'; decoded: Told; now: number; reason: RejectReason | null }

/** What a frame without ticks may say of a market. */
type Told = Exclude<Decoded, { kind: 'ticks' | 'control' }>

/** All that a book remembers: a book of the same market that begins with it takes and refuses alike. */
export interface BookState {
  connected: boolean
  quotes: readonly (Omit<Quote, 'source' | 'kind' | 'market'> & { symbol: string })[]
  halfSpreads: readonly (readonly [string, bigint])[]
  sequences: SequenceState
}

interface SequenceState {
  last: readonly (readonly [string, bigint])[]
  promised: readonly (readonly [string, bigint])[]
  broken: readonly string[]
}

/** What a frame of prices without a price is. */
const NO_TICK = { kind: 'rejected', reason: 'unexpected_shape' } as const
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
  state(): BookState
  /** A new connection begins to count sequences anew. */
  setConnected(connected: boolean): void
  status(): SourceStatus
}

export function createQuoteBook({
  source,
  kind,
  markets,
  maxClockSkewMs,
  onEvent,
  state,
}: QuoteBookParameters): QuoteBook {
  const bySymbol = new Map(markets.map((market) => [market.symbol, market]))
  const newest = new Map<string, Quote>()
  for (const { symbol, ...quote } of state?.quotes ?? []) {
    const market = bySymbol.get(symbol)
    if (market) newest.set(symbol, { source, kind, market, ...quote })
  }
  const halfSpreads = new Map(state?.halfSpreads)
  const sequences = createSequences(state?.sequences)
  const status: SourceStatus = {
    id: source,
    connected: state?.connected ?? false,
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
    // The number before the time: a tick that its time refuses has come all the same, and is missing nowhere.
    if (!sequences.follows(tick)) {
      newest.delete(tick.symbol)
      return 'sequence_gap'
    }
    if (tick.eventTime > now + maxClockSkewMs) return 'future'
    const confidence = tick.confidence ?? halfSpreads.get(tick.symbol) ?? 0n
    const last = newest.get(tick.symbol)
    if (last && isOlder(tick, last)) return 'out_of_order'
    // A slow source is asked again and again for the same answer.
    if (kind === 'price' && last && isSame(tick, last)) return 'duplicate'
    if (last && hasSlipped[kind](tick, last)) return 'decimal_slip'
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
    status.quotes += 1
    status.lastEventTime = Math.max(status.lastEventTime ?? 0, tick.eventTime)
    return null
  }

  function takeTicks(ticks: readonly Tick[], now: number): Taken {
    let taken: Taken = 'nothing'
    for (const tick of ticks) {
      const reason = admit(tick, now)
      onEvent?.({ kind: 'tick', tick, now, reason })
      if (reason) reject(reason)
      else if (taken === 'nothing') taken = 'priced'
      if (reason === 'sequence_gap') taken = 'gap'
    }
    return taken
  }

  function hear(told: Told): RejectReason | null {
    const { kind, symbol } = told
    if (kind === 'skipped') return told.reason
    if (kind === 'rejected') {
      if (symbol !== undefined) newest.delete(symbol)
      return told.reason
    }
    if (!bySymbol.has(symbol)) return 'unknown_symbol'
    if (kind === 'spread') halfSpreads.set(symbol, told.halfSpread)
    else if (!sequences.reached(told)) {
      newest.delete(symbol)
      return 'sequence_gap'
    }
    return null
  }

  function takeTold(told: Told, now: number): Taken {
    const reason = hear(told)
    onEvent?.({ kind: 'told', decoded: told, now, reason })
    if (reason) reject(reason)
    return told.kind === 'heartbeat' && reason === 'sequence_gap' ? 'gap' : 'nothing'
  }

  return {
    take(decoded, now) {
      status.lastFrameTime = now
      if (decoded.kind === 'control') return 'nothing'
      if (decoded.kind !== 'ticks') return takeTold(decoded, now)
      const { ticks, skipped = [] } = decoded
      if (ticks.length + skipped.length === 0) return takeTold(NO_TICK, now)
      for (const one of skipped) takeTold(one, now)
      return takeTicks(ticks, now)
    },
    quotes: () => [...newest.values()],
    state: () => ({
      connected: status.connected,
      quotes: [...newest.values()].map(({ source: _, kind: __, market: { symbol }, ...quote }) => ({
        symbol,
        ...quote,
      })),
      halfSpreads: [...halfSpreads],
      sequences: sequences.state(),
    }),
    setConnected(connected) {
      if (connected === status.connected) return
      if (connected) {
        status.connects += 1
        sequences.restart()
      }
      status.connected = connected
      onEvent?.({ kind: 'connection', connected })
    },
    status: () => ({ ...status, rejected: { ...status.rejected } }),
  }
}

/** Time decides, the sequence only breaks ties: venues restart their sequences, and a restart must not silence a source for good. */
function isOlder(tick: Tick, last: Quote): boolean {
  if (tick.eventTime !== last.eventTime) return tick.eventTime < last.eventTime
  return tick.sequence !== null && last.sequence !== null && tick.sequence < last.sequence
}

/** A number that comes again with its price is no news, whatever time it bears: what is pushed anew may bear the time of the push. */
function isSame(tick: Tick, last: Quote): boolean {
  if (tick.sequence !== last.sequence || tick.price !== last.price) return false
  return tick.sequence !== null || tick.eventTime === last.eventTime
}

/** Each only against a quote that counts itself, so that what did move so far is doubted for a while and never for good. */
const hasSlipped: Record<QuoteKind, (tick: Tick, last: Quote) => boolean> = {
  price(tick, last) {
    if (tick.eventTime - last.eventTime > SLIP_MEMORY_MS) return false
    return tick.price > last.price * SLIP_FACTOR || tick.price * SLIP_FACTOR < last.price
  },
  // A bound is to follow a market however far it moves, and its answers lie hours apart: only a move by a power of ten is a slip.
  bound(tick, last) {
    if (last.expiresAt !== null && tick.eventTime >= last.expiresAt) return false
    return tick.price > last.price
      ? isPowerOfTen(tick.price, last.price)
      : isPowerOfTen(last.price, tick.price)
  },
}

/** Whether the larger price is ten, a hundred, a thousand... times the lesser, give or take a tenth. */
function isPowerOfTen(larger: bigint, lesser: bigint): boolean {
  let power = lesser * 10n
  while (power * 2n < larger) power *= 10n
  const away = larger > power ? larger - power : power - larger
  return away * 10n <= power
}

/** Which sequence numbers one connection has seen, by symbol. What the book doesn't know never gets here, so markets bound it. */
function createSequences(state?: SequenceState) {
  const last = new Map(state?.last)
  const promised = new Map(state?.promised)
  const broken = new Set(state?.broken)
  return {
    state: (): SequenceState => ({ last: [...last], promised: [...promised], broken: [...broken] }),
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
