import type { InstrumentKind } from '../network/markets.js'

/** An instrument that expires, with its terms. Times in seconds of the network's time. */
export interface DatedTerms {
  id: number
  symbol: string
  kind: InstrumentKind
  expiry: number
  /** WAD; of options. */
  strike?: bigint
  /** When the first coupon begins, and the time from one to the next; of swaps. */
  start?: number
  period?: number
}
