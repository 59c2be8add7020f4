import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { aggregate, planFeeds, type Quote } from '@clearspan/aggregator'
import { seededRandom } from '@clearspan/shared'
import { describe, expect, test } from 'vitest'
import { builtInTape } from './builtIn.js'
import { loadPriceTape } from './csv.js'
import type { PriceTape } from './tape.js'
import { sharedDirectory } from './testData.js'
import { planVenues, type VenuePlan } from './venues.js'
import { selectWindow } from './window.js'

const SAMPLES = 144
const LIMITS = {
  maxEventAgeMs: 60_000,
  maxReceiveAgeMs: 60_000,
  maxClockSkewMs: 2_000,
  minLiveGroupsBps: 5_000,
  maxBoundDistanceBps: 2_000,
  maxDispersionBps: 1_000,
  minConfidenceBps: 1,
  maxConfidenceBps: 3_333,
}

/** What the oracle would read at a time; prices of sources with the tag are multiplied by the factor. */
function quotesAt(made: VenuePlan, time: number, liar = '', factor = 1): Quote[] {
  return made.sources.flatMap(({ id, tags, markets }) =>
    markets.flatMap((market): Quote[] => {
      const price = market.price(time)
      if (price === undefined || !market.voting) return []
      const told = price * (tags.includes(liar) ? factor : 1)
      const wad = BigInt(Math.round(told * 1e12)) * 10n ** 6n
      return [
        {
          source: id,
          kind: 'price',
          market,
          price: wad,
          confidence: 0n,
          eventTime: time,
          receiveTime: time,
          expiresAt: null,
          sequence: null,
        },
      ]
    }),
  )
}

function tagsOf(made: VenuePlan, source: string): readonly string[] {
  return made.sourceConfigs.find(({ id }) => id === source)!.tags
}

function usdOf(made: VenuePlan, quote: string, time: number): number {
  return quote === 'USD' ? 1 : made.trueMid(quote, time)!
}

/** Every feed has a price all through the window, also with any one tag lying, and then within the range of the others. */
function expectPrices(tape: PriceTape) {
  const made = planVenues(tape, selectWindow(tape), seededRandom(5))
  const { plan } = planFeeds({
    feeds: made.feeds.map((name) => ({ name, exponent: -8 })),
    sources: made.sourceConfigs,
    faultyTags: 1,
    capped: [],
  })
  const { startMs, endMs } = made.window
  const tags = [...new Set(made.sourceConfigs.flatMap((source) => source.tags))]
  for (let i = 0; i <= SAMPLES; i++) {
    const time = Math.floor(startMs + ((endMs - startMs) * i) / SAMPLES)
    const honest = aggregate(plan, quotesAt(made, time), time, LIMITS)
    const liar = tags[i % tags.length]!
    const attacked = aggregate(plan, quotesAt(made, time, liar, i % 2 ? 0.5 : 2), time, LIMITS)
    for (const [at, feed] of made.feeds.entries()) {
      const where = `${feed} at ${new Date(time).toISOString()}`
      const [price, moved] = [honest[at]!, attacked[at]!].map((one) =>
        'hold' in one ? one.hold : Number(one.price) / 1e18,
      )
      expect(price, where).toBeTypeOf('number')
      expect(moved, `${where} with ${liar} lying`).toBeTypeOf('number')
      const middle = made.trueMid(feed.split('/')[0]!, time)!
      expect(Math.abs(Number(price) / middle - 1), where).toBeLessThan(0.035)
      const told = quotesAt(made, time)
        .filter(({ source, market }) => `${market.base}/USD` === feed && !tagsOf(made, source).includes(liar))
        .map(({ price: wad, market }) => (Number(wad) / 1e18) * usdOf(made, market.quote, time))
      // A lying leg moves a conversion within the range of the leg's honest prices, which lie close together in these files.
      expect(moved, `${where} with ${liar} lying`).toBeGreaterThan(Math.min(...told) * 0.99)
      expect(moved, `${where} with ${liar} lying`).toBeLessThan(Math.max(...told) * 1.01)
    }
  }
}

test('the built-in crash', () => expectPrices(builtInTape()))

const data = sharedDirectory('data')
describe.skipIf(data === undefined)('recorded crashes', () => {
  const files = data === undefined ? [] : readdirSync(data).filter((file) => file.endsWith('.csv'))
  test.each(files)('%s', async (file) => expectPrices(await loadPriceTape(join(data!, file))))
})
