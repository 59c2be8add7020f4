import { UserError } from '@clearspan/shared'
import { barEnd, type PriceSeries, type PriceTape, seriesRange, type TimeRange, walk } from './tape.js'

const DEFAULT_LENGTH_MS = 24 * 3_600_000
const MIN_LENGTH_MS = 60_000
const UNIT_MS: Record<string, number> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const FIELD = '--window'
const FORMS = 'use a length such as 3h, 24h or 2d, or START..END in ISO 8601 or unix ms'

/** The deepest fall of one series: from its highest point to the lowest one after it. */
export interface Fall {
  source: string
  symbol: string
  /** Fraction of the peak that was lost, 0 to 1. */
  depth: number
  peakMs: number
  troughMs: number
}

/** The stretch of a tape that is replayed. */
export interface ReplayWindow extends TimeRange {
  /** The deepest fall within it; null when no price fell. */
  worst: Fall | null
}

/**
 * The stretch to replay. `3h`, `24h`, `2d`: the worst stretch of that length, that is the one with the largest fall from a peak to
 * a later trough of any series in its own quote (a leg's too, so that a depeg counts as a crash), with what is left of the length
 * split evenly before and after it. `START..END`: that stretch. Nothing: the worst 24 hours, or all of a shorter tape.
 * @throws UserError for a malformed, too short or uncovered window.
 */
export function selectWindow(tape: PriceTape, spec?: string): ReplayWindow {
  if (spec?.includes('..')) return explicitWindow(tape, spec)
  const { startMs, endMs } = tape.range
  const length = spec === undefined ? Math.min(DEFAULT_LENGTH_MS, endMs - startMs) : readLength(spec)
  if (length > endMs - startMs)
    throw new UserError(
      FIELD,
      `${spec} is longer than ${tape.name}, which covers ${hours(endMs - startMs)}; ask for less`,
    )
  const worst = deepestFall(tape.series, length, tape.range)
  const series = tape.series.find(({ source, symbol }) => source === worst?.source && symbol === worst.symbol)
  if (worst === null || series === undefined) return { startMs, endMs: startMs + length, worst: null }
  // A coin that stopped trading: stay within its own data when that is long enough.
  const own = seriesRange(series)
  const limit = own.endMs - own.startMs >= length ? own : tape.range
  const slack = length - (worst.troughMs - worst.peakMs)
  const start = Math.floor(Math.min(Math.max(worst.peakMs - slack / 2, limit.startMs), limit.endMs - length))
  return { startMs: start, endMs: start + length, worst }
}

function explicitWindow(tape: PriceTape, spec: string): ReplayWindow {
  const ends = spec.split('..').map(readTime)
  const [startMs, endMs] = ends
  if (ends.length !== 2 || startMs === undefined || endMs === undefined)
    throw new UserError(FIELD, `"${spec}" is not understood; ${FORMS}`)
  if (endMs - startMs < MIN_LENGTH_MS)
    throw new UserError(FIELD, `"${spec}" must end at least a minute after it starts`)
  if (startMs < tape.range.startMs || endMs > tape.range.endMs) {
    const [from, to] = [tape.range.startMs, tape.range.endMs].map((ms) => new Date(ms).toISOString())
    throw new UserError(FIELD, `"${spec}" leaves ${tape.name}; stay within ${from}..${to}`)
  }
  return { startMs, endMs, worst: deepestFall(tape.series, endMs - startMs, { startMs, endMs }) }
}

function readTime(text: string): number | undefined {
  if (/^\d{9,}$/.test(text)) return Number(text)
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.test(text)) return undefined
  // Without an offset Date.parse would take a time as local, and the same command would mean another stretch elsewhere.
  const ms = Date.parse(/T.*(Z|[+-]\d\d:\d\d)$/.test(text) || !text.includes('T') ? text : `${text}Z`)
  return Number.isNaN(ms) ? undefined : ms
}

function readLength(spec: string): number {
  const match = /^(\d+(?:\.\d+)?)([mhd])$/.exec(spec)
  if (match === null) throw new UserError(FIELD, `"${spec}" is not understood; ${FORMS}`)
  const length = Math.round(Number(match[1]) * UNIT_MS[match[2]!]!)
  if (length < MIN_LENGTH_MS) throw new UserError(FIELD, `"${spec}" is too short; ask for at least 1m`)
  return length
}

function hours(ms: number): string {
  return `${Math.round(ms / 36_000) / 100} h`
}

/** Deepest fall of any of the series with peak and trough inside `range` and at most `lengthMs` apart. */
export function deepestFall(series: readonly PriceSeries[], lengthMs: number, range: TimeRange): Fall | null {
  let worst: Fall | null = null
  for (const one of series) {
    const fall = seriesFall(one, lengthMs, range)
    if (fall !== null && (worst === null || fall.depth > worst.depth)) worst = fall
  }
  return worst
}

/** Sliding-window maximum over the corner points of the walk: linear in the number of bars. */
function seriesFall(series: PriceSeries, lengthMs: number, range: TimeRange): Fall | null {
  const falling: { time: number; price: number }[] = []
  let head = 0
  let worst: Fall | null = null
  for (const [time, price] of corners(series)) {
    if (time < range.startMs || time > range.endMs) continue
    while (falling.length > head && falling[falling.length - 1]!.price <= price) falling.pop()
    falling.push({ time, price })
    while (falling[head]!.time < time - lengthMs) head++
    const peak = falling[head]!
    const depth = 1 - price / peak.price
    if (depth > (worst?.depth ?? 0))
      worst = { source: series.source, symbol: series.symbol, depth, peakMs: peak.time, troughMs: time }
  }
  return worst
}

function* corners(series: PriceSeries): Generator<[time: number, price: number]> {
  for (const [index, bar] of series.bars.entries()) {
    const length = barEnd(series, index) - bar.timeMs
    for (const [i, price] of walk(bar).entries()) yield [bar.timeMs + (length * i) / 3, price]
  }
}
