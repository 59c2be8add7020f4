import { LEGS, median, type PriceSeries, type PriceTape, seriesPrice } from './tape.js'

/** Two middle values further apart than this are no longer averaged: their mean is a price at which nobody traded. */
const DISPERSED = 0.01

/** How far back, and how often, one looks to see which of two dispersed prices left the other. */
const LOOK_BACK_MS = 3_600_000
const LOOK_STEP_MS = 600_000

/** Price in USD by which simulated venues trade; undefined where the tape has no price. */
export type MidPrice = (base: string, timeMs: number) => number | undefined

/** What a simulated price of the base is made from, in words for a report. */
export function midPriceBasis(tape: PriceTape, base: string): string {
  const has = (symbol: string) => tape.series.some((series) => series.symbol === symbol)
  if (!LEGS.includes(base) || has(`${base}-USD`)) return `the median of ${tape.name}`
  if (has('USDC-USDT') && base === 'USDC' && has('USDT-USD')) return `the median of ${tape.name}`
  return has('USDC-USDT') && base === 'USDT'
    ? `what USDC-USDT of ${tape.name} says while USDC is held at 1 USD`
    : `held at 1 USD, since ${tape.name} has no price of it in USD`
}

interface Converted {
  series: PriceSeries
  /** What one unit of the series' quote is worth; null for USD. */
  leg: string | null
}

/**
 * The tape's own middle price of a base in USD: the median over its series, those in USDT or USDC converted by the tape's price of
 * that leg. When an even number of series disagree by more than 1 %, the middle one that lies nearer to the last hour's median
 * counts, so that one venue's crash does not drag every simulated venue half way.
 *
 * Legs: the median of the tape's USD series; else, when it has USDC-USDT alone, USDC is held at 1 and USDT follows from it; else 1.
 */
export function createMidPrice(tape: PriceTape): MidPrice {
  const crossLeg = tape.series.filter(({ symbol }) => symbol === 'USDC-USDT')
  const directLegs = new Set(
    tape.series.filter(({ base, quote }) => LEGS.includes(base) && quote === 'USD').map(({ base }) => base),
  )
  const inputs = new Map<string, Converted[]>()
  for (const series of tape.series) {
    // A leg converts through another leg only when that one is itself known in USD.
    if (LEGS.includes(series.base) && series.quote !== 'USD' && !directLegs.has(series.quote)) continue
    const leg = series.quote === 'USD' ? null : series.quote
    inputs.set(series.base, [...(inputs.get(series.base) ?? []), { series, leg }])
  }

  function values(base: string, timeMs: number): number[] {
    return (inputs.get(base) ?? []).flatMap(({ series, leg }) => {
      const price = seriesPrice(series, timeMs)
      const worth = leg === null ? 1 : mid(leg, timeMs)
      return price === undefined || worth === undefined ? [] : [price * worth]
    })
  }

  function mid(base: string, timeMs: number): number | undefined {
    if (LEGS.includes(base) && !inputs.has(base)) {
      if (base === 'USDC' || crossLeg.length === 0) return 1
      const crossed = crossLeg
        .map((series) => seriesPrice(series, timeMs))
        .filter((price) => price !== undefined)
      return crossed.length === 0 ? undefined : 1 / median(crossed)
    }
    const found = values(base, timeMs).sort((a, b) => a - b)
    if (found.length === 0) return undefined
    const lower = found[(found.length - 1) >> 1]!
    const upper = found[found.length >> 1]!
    if (upper / lower - 1 <= DISPERSED) return (lower + upper) / 2
    const past: number[] = []
    for (let back = LOOK_STEP_MS; back <= LOOK_BACK_MS; back += LOOK_STEP_MS)
      past.push(...values(base, timeMs - back))
    const reference = past.length === 0 ? lower : median(past)
    return Math.abs(upper - reference) < Math.abs(reference - lower) ? upper : lower
  }

  return mid
}
