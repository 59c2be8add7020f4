import { type ReportPrice, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import { divideUp, median, medianDeviation } from '../aggregation/math.js'
import { isHeld, type Observation } from '../observation/message.js'

const HELD: ReportPrice = { price: 0n, confidence: UNUSABLE_CONFIDENCE }

/**
 * The canonical prices of a set of observations: for each feed the median of at least `quorum` values (2f + 1, so that f lying nodes
 * can't move it out of the honest range), else held. Confidence in basis points is the median of the nodes' plus the median
 * deviation between their prices, rounded up. The order of observations doesn't matter.
 */
export function combine(observations: readonly Observation[], feeds: number, quorum: number): ReportPrice[] {
  return Array.from({ length: feeds }, (_, index) => {
    const values = observations.flatMap(({ prices }) => {
      const value = prices[index]
      return value && !isHeld(value) ? [value] : []
    })
    if (values.length < quorum) return HELD
    const prices = values.map(({ price }) => price)
    const price = median(prices)
    const own = median(values.map(({ confidence }) => BigInt(confidence)))
    const confidence = own + divideUp(medianDeviation(prices, price) * 10_000n, price)
    return confidence < BigInt(UNUSABLE_CONFIDENCE) ? { price, confidence: Number(confidence) } : HELD
  })
}
