import { PermanentError } from '@clearspan/shared'
import { formatUnits, parseUnits } from 'viem'
import { z } from 'zod'
import type { Rules } from '../rules.js'
import type { BookEvent } from '../sources/book.js'
import type { RejectReason } from '../sources/types.js'

/** Characters kept of a symbol that a source has no market of: a venue's frame may hold a megabyte of it. */
const MAX_FOREIGN_SYMBOL = 64

const place = z.number().int().nonnegative()
/** Place of the market in its source's list; `?` and the symbol where the source has no such market. */
const market = z.union([place, z.string().startsWith('?')])
/** Of a WAD. */
const decimal = z.string().regex(/^-?\d+(\.\d{1,18})?$/)
/** Of a price: a book divides by it. */
const positive = decimal.regex(/^[0.]*[1-9]/)
const digits = z.string().regex(/^-?\d+$/)
/** ms from another time; the time itself, as text, where the difference isn't exact. */
const time = z.union([z.number(), z.string()])
const reason = z.custom<RejectReason | null>((value) => value === null || typeof value === 'string')

const tickRow = z
  .tuple([place, market, time, time, positive, decimal.nullable(), digits.nullable(), reason])
  .rest(time)
const otherRow = z.union([
  z.tuple([z.literal('connection'), place, z.boolean()]),
  z.tuple([z.literal('spread'), place, market, time, decimal, reason]),
  z.tuple([z.literal('heartbeat'), place, market, time, digits, reason]),
  z.tuple([z.literal('rejected'), place, market.nullable(), time, reason]),
  z.tuple([z.literal('skipped'), place, market, time, reason]),
])

/**
 * One event of a source's book. A tick: source and market (places in the rules), receive time (ms after the line's `at`), event time (ms
 * after the receive time), price, confidence, sequence, and why it was refused or null; then 1 where the venue counts without gaps, else 0,
 * and the expiry (ms after the receive time), both only where they say something. What isn't a tick begins with its name.
 */
export type Row = z.output<typeof tickRow> | z.output<typeof otherRow>

/** Unions are told apart by hand: ticks are nearly all there is. */
function readRow(value: unknown): Row | null {
  const isTick = Array.isArray(value) && typeof value[0] === 'number'
  return (isTick ? tickRow : otherRow).safeParse(value).data ?? null
}

/** Events of the books of these rules' sources as rows, and back without any loss but the tails of unknown symbols. */
export function createRows({ sources }: Pick<Rules, 'sources'>) {
  const places = new Map(sources.map(({ id }, index) => [id, index]))
  const marketPlaces = new Map(
    sources.map(({ id, markets }) => [id, new Map(markets.map(({ symbol }, index) => [symbol, index]))]),
  )

  function placeOf(source: string, symbol: string): number | string {
    const known = marketPlaces.get(source)?.get(symbol)
    if (known !== undefined) return known
    return symbol.length > MAX_FOREIGN_SYMBOL ? `?${symbol.slice(0, MAX_FOREIGN_SYMBOL)}…` : `?${symbol}`
  }

  function encode(source: string, event: BookEvent, at: number): Row {
    const from = places.get(source)
    if (from === undefined) throw new RangeError(`${source} is no source of the rules`)
    if (event.kind === 'connection') return ['connection', from, event.connected]
    const received = difference(event.now, at)
    if (event.kind === 'tick') {
      const { symbol, price, confidence, eventTime, sequence, contiguous, expiresAt } = event.tick
      const row: z.output<typeof tickRow> = [
        from,
        placeOf(source, symbol),
        received,
        difference(eventTime, event.now),
        formatUnits(price, 18),
        confidence === null ? null : formatUnits(confidence, 18),
        sequence === null ? null : `${sequence}`,
        event.reason,
      ]
      if (contiguous || expiresAt !== undefined) row.push(contiguous ? 1 : 0)
      if (expiresAt !== undefined) row.push(difference(expiresAt, event.now))
      return row
    }
    const { decoded } = event
    const about = decoded.symbol === undefined ? null : placeOf(source, decoded.symbol)
    switch (decoded.kind) {
      case 'rejected':
        return ['rejected', from, about, received, event.reason]
      case 'skipped':
        return ['skipped', from, about ?? '?', received, event.reason]
      case 'spread':
        return ['spread', from, about ?? '?', received, formatUnits(decoded.halfSpread, 18), event.reason]
      case 'heartbeat':
        return ['heartbeat', from, about ?? '?', received, `${decoded.sequence}`, event.reason]
    }
  }

  function symbolOf(from: number, at: number | string): string {
    if (typeof at === 'string') return at.slice(1)
    const symbol = sources[from]?.markets[at]?.symbol
    if (symbol === undefined) throw new PermanentError(`source ${from} has no market ${at}`)
    return symbol
  }

  /** Throws PermanentError for what is no row of these rules. */
  function decode(value: unknown, at: number): { source: string; event: BookEvent } {
    const row = readRow(value)
    if (row === null) throw new PermanentError('is no row of a segment')
    const from = typeof row[0] === 'number' ? row[0] : row[1]
    const source = sources[from as number]?.id
    if (source === undefined) throw new PermanentError(`source ${from} isn't there`)
    return { source, event: eventOf(row, at, symbolOf) }
  }

  return { encode, decode }
}

function eventOf(row: Row, at: number, symbolOf: (from: number, at: number | string) => string): BookEvent {
  if (isTickRow(row)) {
    const [from, market_, received, happened, price, confidence, sequence, reason_, counts, expires] = row
    const now = sum(received, at)
    const tick = {
      symbol: symbolOf(from, market_),
      price: parseUnits(price, 18),
      confidence: confidence === null ? null : parseUnits(confidence, 18),
      eventTime: sum(happened, now),
      sequence: sequence === null ? null : BigInt(sequence),
      ...(counts === 1 && { contiguous: true as const }),
      ...(expires !== undefined && { expiresAt: sum(expires, now) }),
    }
    return { kind: 'tick', tick, now, reason: reason_ }
  }
  if (row[0] === 'connection') return { kind: 'connection', connected: row[2] }
  const now = sum(row[3], at)
  const symbol = row[2] === null ? undefined : symbolOf(row[1], row[2])
  switch (row[0]) {
    case 'rejected': {
      const decoded = { kind: 'rejected' as const, reason: row[4] as RejectReason }
      return {
        kind: 'told',
        decoded: symbol === undefined ? decoded : { ...decoded, symbol },
        now,
        reason: row[4],
      }
    }
    case 'skipped': {
      const decoded = { kind: 'skipped' as const, symbol: symbol ?? '', reason: row[4] as RejectReason }
      return { kind: 'told', decoded, now, reason: row[4] }
    }
    case 'spread': {
      const decoded = { kind: 'spread' as const, symbol: symbol ?? '', halfSpread: parseUnits(row[4], 18) }
      return { kind: 'told', decoded, now, reason: row[5] }
    }
    case 'heartbeat': {
      const decoded = { kind: 'heartbeat' as const, symbol: symbol ?? '', sequence: BigInt(row[4]) }
      return { kind: 'told', decoded, now, reason: row[5] }
    }
  }
}

function isTickRow(row: Row): row is z.output<typeof tickRow> {
  return typeof row[0] === 'number'
}

/** Venues' times may be beyond a double's exact integers, or no number at all: then the time stands for itself. */
function difference(later: number, earlier: number): number | string {
  const apart = later - earlier
  return Number.isFinite(apart) && earlier + apart === later ? apart : String(later)
}

function sum(difference_: number | string, earlier: number): number {
  return typeof difference_ === 'string' ? Number(difference_) : earlier + difference_
}
