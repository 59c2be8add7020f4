import { UserError } from '@clearspan/shared'
import { z } from 'zod'
import { lendingVenueNames } from './lendingRates.js'
import { optionVenueNames } from './optionMarks.js'
import { bookVenueNames } from './orderBooks.js'

const feed = z.string().min(1)
const slots = z.number().int().positive()
const bps = z.number().int().min(0).max(10_000)
const positiveMs = z.number().int().positive()

const polledSource = {
  id: z.string().regex(/^[\w.-]+$/, 'must be a name of letters, digits, dot, dash and underscore'),
  /** `http(s)://`, without the path of the request. */
  url: z.url({ protocol: /^https?$/, error: 'must begin with http:// or https://' }),
  /** What it fails together with: sources that share a tag share one vote. */
  tags: z.array(z.string().min(1)).min(1),
}
/** Real ms between two requests to each source. */
const pollMs = positiveMs.default(5_000)

const realisedVolatilitySchema = z.strictObject({
  kind: z.literal('realisedVolatility'),
  feed,
  /** The feed whose signed values are measured. */
  of: feed,
  /** Slots between two samples, and returns in the window. */
  sampleSlots: slots,
  samples: z.number().int().min(2),
  minCoverageBps: bps.default(8_000),
})
const fixingSchema = z.strictObject({
  kind: z.literal('fixing'),
  feed,
  of: feed,
  /** An expiry every `periodMs`, the first `offsetMs` after 1970; whole slots. */
  periodMs: positiveMs,
  offsetMs: z.number().int().nonnegative().default(0),
  /** Length of the mean before the expiry; whole slots. */
  windowMs: positiveMs,
  minCoverageBps: bps.default(5_000),
})
/** A feed that is made of signed reports. */
export const reportedFeedSchema = z.discriminatedUnion('kind', [realisedVolatilitySchema, fixingSchema])

/** A feed that isn't the price of a market. */
export const derivedFeedSchema = z.discriminatedUnion('kind', [
  realisedVolatilitySchema,
  fixingSchema,
  z.strictObject({
    kind: z.literal('impliedVolatility'),
    feed,
    /** Time to expiry of the volatility, ms. */
    horizonMs: positiveMs.default(30 * 86_400_000),
    pollMs,
    sources: z
      .array(
        z.strictObject({
          ...polledSource,
          venue: z.enum(optionVenueNames),
          /** The venue's name of the underlying, `ETH`. */
          currency: z.string().min(1),
        }),
      )
      .min(1),
  }),
  z.strictObject({
    kind: z.literal('depth'),
    feed,
    /** Half width of the band around the middle of each book. */
    bandBps: bps.min(1).default(100),
    pollMs,
    sources: z
      .array(
        z.strictObject({
          ...polledSource,
          venue: z.enum(bookVenueNames),
          /** The venue's own spelling. */
          symbol: z.string().min(1),
          /** What it is quoted in; converted to the feed's quote by that leg. */
          quote: z.string().min(1),
        }),
      )
      .min(1),
  }),
  z.strictObject({
    kind: z.literal('lendingRate'),
    feed,
    pollMs,
    sources: z
      .array(
        z.strictObject({
          ...polledSource,
          venue: z.enum(lendingVenueNames),
          /** What is lent, by the venue's name of it, `USDC`. */
          currency: z.string().min(1),
        }),
      )
      .min(1),
  }),
  z.strictObject({
    kind: z.literal('liveness'),
    feed,
    pollMs,
    /** JSON-RPC of the chain. */
    sources: z.array(z.strictObject(polledSource)).min(1),
  }),
])

export type DerivedFeedConfig = z.output<typeof derivedFeedSchema>
export type PolledFeedConfig = Extract<DerivedFeedConfig, { sources: unknown }>
export type ReportedFeedConfig = Exclude<DerivedFeedConfig, PolledFeedConfig>

export function isPolled(config: DerivedFeedConfig): config is PolledFeedConfig {
  return 'sources' in config
}

interface Context {
  feeds: readonly { name: string; exponent: number }[]
  slotMs: number
  sources: readonly { id: string }[]
}

/** What a schema can't see: feeds by name, whole slots, ids used once. Throws UserError naming the field below `where`. */
export function checkDerived(derived: readonly DerivedFeedConfig[], context: Context, where: string): void {
  const ids = new Set(context.sources.map(({ id }) => id))
  const names = new Set<string>()
  for (const [at, config] of derived.entries()) {
    const fail = (field: string, fix: string): never => {
      throw new UserError(`${where}[${at}].${field}`, fix)
    }
    const known = (name: string) => context.feeds.find((candidate) => candidate.name === name)
    const own = known(config.feed) ?? fail('feed', `${config.feed} is not one of oracle.feeds`)
    if (names.has(config.feed)) fail('feed', `${config.feed} is derived twice`)
    names.add(config.feed)
    if (isPolled(config)) {
      for (const [index, { id }] of config.sources.entries()) {
        if (ids.has(id)) fail(`sources[${index}].id`, `${id} is used twice`)
        ids.add(id)
      }
      continue
    }
    if (config.of === config.feed) fail('of', 'must be another feed')
    const of = known(config.of) ?? fail('of', `${config.of} is not one of oracle.feeds`)
    if (config.kind !== 'fixing') continue
    // The signed number is repeated as it is, so it must mean the same.
    if (of.exponent !== own.exponent) fail('feed', `must have the exponent of ${config.of}, ${of.exponent}`)
    for (const field of ['periodMs', 'offsetMs', 'windowMs'] as const) {
      if (config[field] % context.slotMs !== 0)
        fail(field, `must be a multiple of oracle.slotMs, ${context.slotMs}`)
    }
    if (config.windowMs > config.periodMs) fail('windowMs', 'must be at most periodMs')
  }
}
