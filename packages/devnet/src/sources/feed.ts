import type { PlannedMarket } from '../prices/index.js'

/** The newest price of one market, as a venue would send it. */
export interface LiveTick {
  market: PlannedMarket
  /** In the quote. */
  price: number
  /** When the venue says it traded: unix ms of network time. */
  eventMs: number
  /** Rises by one with each tick of the market. */
  sequence: number
  /** First, highest and lowest price since the simulator started. */
  open: number
  high: number
  low: number
}

/** What a venue's simulator is told. */
export interface SimulatorParameters {
  markets: readonly PlannedMarket[]
  /** Newest tick by wire symbol; undefined before the first. */
  latest(symbol: string): LiveTick | undefined
  /** Network time in unix ms. */
  now(): number
}

/** One venue's server on loopback. It has no timer: the driver of all of them tells it when to speak. */
export interface SourceSimulator {
  /** What an adapter connects to. */
  url: string
  /** Sends what each client subscribed of these ticks. */
  push(ticks: readonly LiveTick[]): void
  /** Called once a second of real time: the venue's own signs of life. */
  heartbeat(): void
  stop(): Promise<void>
}

/** Half of the spread around every price: 1 bp. */
const HALF_SPREAD = 0.0001

/** Best bid and ask around a price; the price is their middle. */
export function bookAround(price: number): { bid: number; ask: number } {
  return { bid: price * (1 - HALF_SPREAD), ask: price * (1 + HALF_SPREAD) }
}

/** Plain decimal text with nine significant digits (twelve decimals at most), never with an exponent. */
export function formatPrice(price: number): string {
  const decimals = Math.min(12, Math.max(2, 8 - Math.floor(Math.log10(price))))
  return price.toFixed(decimals).replace(/\.?0+$/, '')
}

/** ISO 8601 with the six decimals that venues send. */
export function isoMicroseconds(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '000Z')
}
