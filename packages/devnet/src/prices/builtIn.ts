import { createTape, type PriceBar, type PriceTape, type RawSeries } from './tape.js'

const START_MS = Date.UTC(2020, 2, 12)
const BAR_MS = 300_000
const HOURS = 26

/**
 * Control points [hour, price in USD] of our own making, with the shape of 12 March 2020: a slide, a first drop, a pause, and then
 * ETH −30 % within three hours (19 to 22), −43 % from its high; BTC −40 %. Between them the price moves at a constant rate.
 */
const PATHS: Record<string, readonly (readonly [hour: number, price: number])[]> = {
  BTC: [
    [0, 7880],
    [2.5, 7950],
    [9, 7450],
    [11, 6150],
    [14, 5900],
    [19, 6280],
    [20.5, 5600],
    [22, 4770],
    [23, 5350],
    [26, 5500],
  ],
  ETH: [
    [0, 193],
    [2.5, 195],
    [9, 178],
    [11, 146],
    [14, 150],
    [19, 159],
    [20.5, 133],
    [22, 111.15],
    [23, 124],
    [26, 128],
  ],
}

/** Around the trough the venues drift apart by these fractions of the price: 6.5 % between the lowest and the highest. */
const PANIC = { peak: 22, from: 20.5, to: 23 }
const VENUES: readonly { source: string; quote: string; calm: number; panic: number }[] = [
  { source: 'binance', quote: 'USDT', calm: 0.0003, panic: -0.0296 },
  { source: 'bitstamp', quote: 'USD', calm: -0.0004, panic: -0.008 },
  { source: 'coinbase', quote: 'USD', calm: 0, panic: 0 },
  { source: 'kraken', quote: 'USD', calm: -0.0002, panic: 0.006 },
  { source: 'bitfinex', quote: 'USD', calm: 0.0005, panic: 0.0335 },
]

/** The crash that is replayed when no file is given: BTC and ETH at five venues over 26 hours in 5-minute bars; the same on every run. */
export function builtInTape(): PriceTape {
  const raw = Object.entries(PATHS).flatMap(([base, path]) =>
    VENUES.map(
      ({ source, quote, calm, panic }): RawSeries => ({
        source,
        symbol: `${base}-${quote}`,
        barMs: BAR_MS,
        bars: Array.from({ length: (HOURS * 3_600_000) / BAR_MS }, (_, i) => {
          const at = (step: number) => {
            const hour = (step * BAR_MS) / 3_600_000
            return along(path, hour) * (1 + calm + (panic - calm) * panicAt(hour))
          }
          return makeBar(START_MS + i * BAR_MS, at(i), at(i + 1))
        }),
      }),
    ),
  )
  return createTape('the built-in crash', true, raw)
}

function makeBar(timeMs: number, open: number, close: number): PriceBar {
  return { timeMs, open, high: Math.max(open, close), low: Math.min(open, close), close }
}

/** Constant relative speed between control points. */
function along(path: readonly (readonly [number, number])[], hour: number): number {
  const next = path.findIndex(([at]) => at >= hour)
  const [toHour, to] = path[next]!
  if (next === 0) return to
  const [fromHour, from] = path[next - 1]!
  return from * (to / from) ** ((hour - fromHour) / (toHour - fromHour))
}

/** 0 in calm hours, 1 at the trough. */
function panicAt(hour: number): number {
  const { peak, from, to } = PANIC
  const share = hour <= peak ? (hour - from) / (peak - from) : (to - hour) / (to - peak)
  return Math.max(0, share)
}
