import { UserError } from '@clearspan/shared'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { WAD } from '../sources/decimal.js'
import type { Quote } from '../sources/types.js'
import { type Aggregate, aggregate, toObserved } from './aggregate.js'
import { type PairPlan, type PlanSource, planFeeds } from './plan.js'
import { NOW, parameters } from './scene.test-util.js'

const FEEDS = [
  { name: 'ETH/USD', exponent: -8 },
  { name: 'USDT/USD', exponent: -8 },
]
const TAGS = Array.from({ length: 12 }, (_, at) => `t${at}`)
const bounded = (min: bigint, max: bigint) => fc.bigInt({ min, max })

const venue = fc.record({
  tags: fc
    .tuple(fc.constantFrom(...TAGS), fc.constantFrom(null, null, null, ...TAGS.slice(0, 2)))
    .map(([own, other]) => (other === null ? [own] : [...new Set([own, other])])),
  /** A direct market, one in USDT, or one in the BTC that others price. */
  quote: fc.constantFrom('USD', 'USD', 'USDT', 'BTC'),
  leg: fc.constantFrom('USDT', 'USDT', 'BTC', null),
  slow: fc.constantFrom(false, false, false, false, true),
  price: bounded(190n * WAD, 210n * WAD),
  usdt: bounded((97n * WAD) / 100n, (103n * WAD) / 100n),
  silent: fc.boolean(),
  /** Half widths of its intervals when it is honest, basis points: of its price, and of its leg. */
  width: fc.integer({ min: 0, max: 300 }),
  legWidth: fc.integer({ min: 0, max: 300 }),
  lie: fc.record({
    price: bounded(-(10n ** 40n), 10n ** 40n),
    confidence: bounded(-1n, 10n ** 40n),
    age: fc.integer(),
  }),
})

/** Venues with tags from a small alphabet, and which of the tags lie. */
const scene = fc
  .record({
    venues: fc.array(venue, { minLength: 5, maxLength: 14 }),
    faultyTags: fc.constantFrom(1, 1, 2),
    /** Whether the leg is a feed too, or need only carry conversions. */
    both: fc.boolean(),
    liars: fc.shuffledSubarray([...TAGS, 'leg USDT/USD', 'leg BTC/USD'], { maxLength: 2 }),
    silence: fc.boolean(),
    /** Liars who agree on a plausible lie do more harm than wild ones. */
    conspiracy: fc.option(fc.constantFrom(80n, 92n, 108n, 120n), { freq: 4 }),
  })
  .map((value) => ({ ...value, liars: value.liars.slice(0, value.faultyTags) }))
type Scene = typeof scene extends fc.Arbitrary<infer T> ? T : never

interface Told {
  quote: Quote
  honest: boolean
}

function sourcesOf({ venues }: Scene): PlanSource[] {
  return venues.map(({ tags, quote, leg, slow }, index) => ({
    id: `v${index}`,
    tags,
    kind: slow ? 'bound' : 'price',
    markets: [
      { symbol: `ETH/${quote}`, base: 'ETH', quote },
      ...(leg ? [{ symbol: `${leg}/USD`, base: leg, quote: 'USD' }] : []),
    ],
  }))
}

/** What every venue tells: the truth as it sees it, nothing, or whatever a liar likes. */
function tell({ venues, liars, silence, conspiracy }: Scene, sources: readonly PlanSource[]): Told[] {
  return venues.flatMap(({ tags, price, usdt, silent, slow, lie, width, legWidth }, index): Told[] => {
    const lies = tags.some((tag) => liars.includes(tag))
    if (!lies && silent && silence) return []
    return (sources[index]?.markets ?? []).map((market): Told => {
      const isLeg = market.quote === 'USD' && market.base !== 'ETH'
      const honest = !lies && (isLeg || !liars.includes(`leg ${market.quote}/USD`))
      const truth = isLeg ? usdt : price
      const common = {
        source: `v${index}`,
        kind: slow ? ('bound' as const) : ('price' as const),
        market,
        expiresAt: slow ? NOW + 1 : null,
        eventTime: NOW,
        receiveTime: NOW,
        sequence: null,
      }
      const bps = BigInt(isLeg ? legWidth : width)
      if (honest) return { honest, quote: { ...common, price: truth, confidence: (truth * bps) / 10_000n } }
      if (conspiracy !== null) {
        return { honest, quote: { ...common, price: (truth * conspiracy) / 100n, confidence: 0n } }
      }
      const { age, ...told } = lie
      return { honest, quote: { ...common, ...told, eventTime: NOW - age } }
    })
  })
}

function attempt<T>(make: () => T): T | null {
  try {
    return make()
  } catch (error) {
    if (error instanceof UserError) return null
    throw error
  }
}

/** The plan and what was told, or null where the listing is refused, as it should be of a random one. */
function play(value: Scene) {
  const sources = sourcesOf(value)
  const capped = value.both ? ['USDT/USD'] : []
  const feeds = value.both ? FEEDS : FEEDS.slice(0, 1)
  const listed = attempt(() => planFeeds({ feeds, sources, faultyTags: value.faultyTags, capped }))
  return listed && { ...listed, sources, told: tell(value, sources) }
}

function extremes(values: readonly bigint[]): [bigint, bigint] | null {
  const [first, ...rest] = values
  if (first === undefined) return null
  return rest.reduce(([min, max], value) => [value < min ? value : min, value > max ? value : max], [
    first,
    first,
  ] as [bigint, bigint])
}

/** Range of the honest votes; of a converted market, the product of its honest range and its leg's. */
function honestRange(told: readonly Told[]): [bigint, bigint] | null {
  const of = (base: string, quote: string) =>
    extremes(
      told
        .filter(
          ({ honest, quote: { kind, market } }) =>
            honest && kind === 'price' && market.base === base && market.quote === quote,
        )
        .map(({ quote: { price } }) => price),
    )
  const converted = ['USDT', 'BTC'].flatMap((leg) => {
    const price = of('ETH', leg)
    const rate = of(leg, 'USD')
    return price && rate ? [(price[0] * rate[0]) / WAD, (price[1] * rate[1]) / WAD] : []
  })
  return extremes([...(of('ETH', 'USD') ?? []), ...converted])
}

/** Least and largest relative half width that honest votes alone can make: of a converted one √(own² + leg²), each with what its markets differ. */
function honestWidths(told: readonly Told[]): [number, number] {
  const honest = told.filter(({ honest, quote: { kind } }) => honest && kind === 'price')
  const of = (base: string, quote: string) =>
    honest.map(({ quote: one }) => one).filter(({ market }) => market.base === base && market.quote === quote)
  const widths = (quotes: readonly Quote[]) => quotes.map((one) => Number(one.confidence) / Number(one.price))
  const difference = (range: [bigint, bigint] | null) =>
    range ? Number(range[1] - range[0]) / Number(range[0]) : 0
  const floor = parameters.minConfidenceBps / 10_000
  const converted = ['USDT', 'BTC'].flatMap((leg) => {
    const rates = of(leg, 'USD')
    if (rates.length === 0) return []
    const least = Math.max(floor, Math.min(...widths(rates)))
    const most = Math.hypot(
      Math.max(floor, ...widths(rates)),
      difference(extremes(rates.map(({ price }) => price))),
    )
    return widths(of('ETH', leg)).map((own) => [Math.hypot(own, least), Math.hypot(own, most)] as const)
  })
  const all = [...widths(of('ETH', 'USD')).map((own) => [own, own] as const), ...converted]
  const least = Math.min(...all.map(([low]) => low))
  const most = Math.hypot(Math.max(...all.map(([, high]) => high)), difference(honestRange(told)))
  return [Math.max(floor, least), Math.max(floor, most)]
}

describe('with at most f_s lying tags', () => {
  it('the price lies in the honest range, or the feed holds', () => {
    let priced = 0
    fc.assert(
      fc.property(scene, (value) => {
        const played = play(value)
        if (!played) return
        const [result] = aggregate(
          played.plan,
          played.told.map(({ quote }) => quote),
          NOW,
          parameters,
        )
        if (!result || 'hold' in result) return
        priced += 1
        const range = honestRange(played.told)
        if (!range) throw new Error('a price from nobody honest')
        expect(result.price >= range[0] && result.price <= range[1]).toBe(true)
      }),
      { numRuns: 4_000 },
    )
    expect(priced).toBeGreaterThan(200)
  })

  it('the interval is as wide as some honest one at least, and as the widest with all that honest prices differ at most', () => {
    let [priced, narrow, wide] = [0, 0, 0]
    fc.assert(
      fc.property(scene, (value) => {
        const played = play(value)
        if (!played) return
        const quotes = played.told.map(({ quote }) => quote)
        const [result] = aggregate(played.plan, quotes, NOW, parameters)
        if (!result || 'hold' in result) return
        const [least, most] = honestWidths(played.told)
        const width = Number(result.relativeConfidence) / 1e18
        expect(width).toBeGreaterThanOrEqual(least * (1 - 1e-9))
        expect(width).toBeLessThanOrEqual(most * (1 + 1e-9))
        priced += 1
        if (width < 2 * least) narrow += 1
        if (2 * width > most) wide += 1
      }),
      { numRuns: 3_000 },
    )
    expect(priced).toBeGreaterThan(100)
    // Neither bound is so far off that it would hold of anything.
    expect([narrow, wide].every((times) => times > 1)).toBe(true)
  })

  it('a converted price lies in the product of its market’s price and its leg’s honest range, and is as wide as both together', () => {
    const quoted = fc.record({ price: bounded((9n * WAD) / 10n, (11n * WAD) / 10n), bps: bounded(0n, 300n) })
    const said = fc.record({ price: bounded(1n, 10n ** 40n), confidence: bounded(0n, 10n ** 40n) })
    let priced = 0
    fc.assert(
      fc.property(
        fc.array(quoted, { minLength: 5, maxLength: 8 }),
        fc.array(said, { maxLength: 2 }),
        quoted,
        (honest, lies, own) => {
          const market = (base: string, quote: string) => ({ symbol: `${base}/${quote}`, base, quote })
          const times = {
            kind: 'price' as const,
            eventTime: NOW,
            receiveTime: NOW,
            expiresAt: null,
            sequence: null,
          }
          const widthOf = ({ price, bps }: typeof own) => (price * bps) / 10_000n
          const leg = [...honest.map((one) => ({ price: one.price, confidence: widthOf(one) })), ...lies].map(
            (one, at): Quote => ({ ...times, ...one, source: `leg${at}`, market: market('USDT', 'USD') }),
          )
          const price = { price: own.price, confidence: widthOf(own) }
          const quotes = [...leg, { ...times, ...price, source: 'x', market: market('ETH', 'USDT') }]
          const sources = quotes.map(({ source, market }) => ({
            id: source,
            tags: [source],
            markets: [market],
          }))
          const feeds = FEEDS.slice(0, 1)
          const { plan } = planFeeds({ feeds, sources, faultyTags: 2, capped: ['ETH/USD'] })
          const [result] = aggregate(plan, quotes, NOW, parameters)
          if (!result || 'hold' in result) return
          priced += 1
          const [low, high] = extremes(honest.map((one) => one.price)) ?? [0n, 0n]
          expect(result.price >= (own.price * low) / WAD && result.price <= (own.price * high) / WAD).toBe(
            true,
          )
          const least = Math.max(1, Math.min(...honest.map(({ bps }) => Number(bps)))) / 10_000
          const width = Math.hypot(Number(own.bps) / 10_000, least)
          expect(Number(result.relativeConfidence) / 1e18).toBeGreaterThanOrEqual(width * (1 - 1e-9))
        },
      ),
      { numRuns: 500 },
    )
    expect(priced).toBeGreaterThan(100)
  })

  it('a listed pair keeps an honest majority of groups, whichever they are', () => {
    let proved = 0
    fc.assert(
      fc.property(scene, (value) => {
        const played = play(value)
        if (!played) return
        const { plan, listings, sources } = played
        plan.feeds.forEach((pair, at) => {
          const listing = listings[at]
          if (!listing || listing.capped) return
          for (const liars of subsets(
            [...TAGS, ...[...plan.legs.keys()].map((leg) => `leg ${leg}`)],
            value.faultyTags,
          )) {
            const spoilt = pair.groups.filter((group) => isSpoilt(group, liars, sources, plan.legs))
            expect(2 * spoilt.length).toBeLessThan(pair.groups.length)
            proved += 1
          }
        })
      }),
      { numRuns: 300 },
    )
    expect(proved).toBeGreaterThan(400)
  })
})

function subsets(values: readonly string[], size: number): string[][] {
  if (size === 0) return [[]]
  return values.flatMap((value, at) =>
    subsets(values.slice(at + 1), size - 1).map((rest) => [value, ...rest]),
  )
}

/** By definition, and without the planner's own bookkeeping: a member lies, or its leg does, or the leg's sources outvote the leg. */
function isSpoilt(
  group: PairPlan['groups'][number],
  liars: readonly string[],
  sources: readonly PlanSource[],
  legs: ReadonlyMap<string, PairPlan>,
): boolean {
  return group.some(({ source, leg }) => {
    if (sources.find(({ id }) => id === source)?.tags.some((tag) => liars.includes(tag))) return true
    if (leg === null) return false
    const groups = legs.get(leg)?.groups ?? []
    const lying = groups.filter((members) => isSpoilt(members, liars, sources, legs))
    return liars.includes(`leg ${leg}`) || 2 * lying.length >= groups.length
  })
}

/** A round as text, for exact comparison. */
const textOf = (results: readonly Aggregate[]) =>
  JSON.stringify(results, (_, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value))

describe('whatever is told', () => {
  it('the order of quotes, a repeated quote and a repeated round change nothing', () => {
    fc.assert(
      fc.property(scene, fc.infiniteStream(fc.nat()), (value, keys) => {
        const played = play(value)
        if (!played) return
        const quotes = played.told.map(({ quote }) => quote)
        // Two answers of one venue for one market at the same time, too.
        quotes.push(...quotes.slice(0, 2).map((quote) => ({ ...quote, price: quote.price + 1n })))
        const shuffled = quotes
          .map((quote) => ({ quote, key: keys.next().value }))
          .toSorted((a, b) => a.key - b.key)
          .map(({ quote }) => quote)
        const once = textOf(aggregate(played.plan, quotes, NOW, parameters))
        expect(textOf(aggregate(played.plan, shuffled, NOW, parameters))).toBe(once)
        expect(textOf(aggregate(played.plan, [...shuffled, ...quotes], NOW, parameters))).toBe(once)
        expect(textOf(aggregate(played.plan, quotes, NOW, parameters))).toBe(once)
      }),
    )
  })

  it('a feed has a positive price with an interval, or a reason and no number', () => {
    let held = 0
    fc.assert(
      fc.property(scene, (value) => {
        const played = play(value)
        if (!played) return
        for (const result of aggregate(
          played.plan,
          played.told.map(({ quote }) => quote),
          NOW,
          parameters,
        )) {
          const observed = toObserved(result, -8)
          if ('hold' in result) {
            held += 1
            expect(Object.keys(result)).toEqual(['hold'])
            expect(observed).toBe(result)
          } else {
            expect(result.price > 0n && result.relativeConfidence > 0n).toBe(true)
            if ('price' in observed) expect(observed.confidence).toBeGreaterThanOrEqual(1)
          }
        }
      }),
      { numRuns: 1_000 },
    )
    expect(held).toBeGreaterThan(50)
  })
})
