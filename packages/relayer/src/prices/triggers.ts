import { type Feed, type ReportPrice, UNUSABLE_CONFIDENCE } from '@clearspan/shared'
import { z } from 'zod'

const BPS = 10_000n
const WAD = 10n ** 18n
const ms = z.number().int().positive()
const bps = z.number().int().min(1).max(Number(BPS))

/** What makes a chain's oracle due for a new report. One feed that is due brings the report, hence all feeds. */
export const triggersSchema = z.strictObject({
  /** Age of a stored value, in ms of the network's time. */
  heartbeatMs: ms,
  /** Distance of the new value from the stored one: bps of it, of one for a signed feed. */
  deviationBps: bps,
  /** By feed name, in place of the above. */
  feeds: z
    .record(z.string(), z.strictObject({ heartbeatMs: ms.optional(), deviationBps: bps.optional() }))
    .default({}),
})

export type Triggers = z.output<typeof triggersSchema>
export type Trigger = 'first' | 'parked' | 'heartbeat' | 'deviation'

/** `PriceOracle.value`: WAD and unix seconds; `observedAt` 0 without a value. */
export interface StoredValue {
  value: bigint
  observedAt: bigint
  isParked: boolean
}

/**
 * Why the chain should get this report; undefined when it need not. A value that the oracle has parked waits for reports that confirm it, so it asks
 * for each. What the report holds back can't be refreshed and asks for nothing.
 * @param observedAt Of the report, unix ms.
 * @param stored One a feed, in the order of `feeds`.
 */
export function triggerOf(
  { observedAt, prices }: { observedAt: number; prices: readonly ReportPrice[] },
  stored: readonly StoredValue[],
  feeds: readonly Feed[],
  triggers: Triggers,
): Trigger | undefined {
  for (const [i, feed] of feeds.entries()) {
    const [price, old] = [prices[i], stored[i]]
    if (price === undefined || old === undefined || price.confidence === UNUSABLE_CONFIDENCE) continue
    if (old.observedAt === 0n) return 'first'
    if (old.isParked) return 'parked'
    const { heartbeatMs = triggers.heartbeatMs, deviationBps = triggers.deviationBps } =
      triggers.feeds[feed.name] ?? {}
    if (observedAt - Number(old.observedAt) * 1000 >= heartbeatMs) return 'heartbeat'
    const distance = abs(price.price * 10n ** BigInt(18 + feed.exponent) - old.value)
    const base = feed.signed ? WAD : abs(old.value)
    if (distance * BPS >= BigInt(deviationBps) * base) return 'deviation'
  }
  return undefined
}

function abs(x: bigint): bigint {
  return x < 0n ? -x : x
}
