import {
  aggregate,
  createQuoteBook,
  decodeOkx,
  decodeReplay,
  defaultAggregation,
  planFeeds,
} from '@clearspan/aggregator'
import { FEEDS, feeds, frameOf, markets, priceAt, SLOT_MS, sourceIds, TICKS_PER_S } from './load.js'

interface Frame {
  source: number
  feed: number
  at: number
  text: string
}

/** What all sources send in so many slots, in order. */
function recordedFrames(slots: number): Frame[] {
  const start = 1_700_000_000_000
  const ticks = (slots * TICKS_PER_S * SLOT_MS) / 1_000
  return Array.from({ length: ticks }, (_, tick) => {
    const at = start + tick * (1_000 / TICKS_PER_S)
    return sourceIds.flatMap((_id, source) =>
      markets.map(({ symbol }, feed) => ({
        source,
        feed,
        at,
        text: frameOf(source, symbol, priceAt(tick, feed, source), at, tick),
      })),
    )
  }).flat()
}

/**
 * Frames a second through decoder, book and aggregation, on the one thread that there is. Ours aggregates all feeds once a slot; the baseline takes the
 * same frames through the same decoders and books and sorts the feed's newest prices anew at each tick, for a plain median.
 */
export function measureTicks() {
  const slots = 15
  const frames = recordedFrames(slots)
  const { plan } = planFeeds({
    feeds,
    sources: sourceIds.map((id) => ({ id, tags: [id], markets })),
    faultyTags: 1,
    capped: [],
  })
  const { maxClockSkewMs } = defaultAggregation

  function run(onTick: (feed: number, source: number, price: bigint) => void, onSlot: SlotEnd) {
    const books = sourceIds.map((source) =>
      createQuoteBook({ kind: 'price', source, markets, maxClockSkewMs }),
    )
    const perSlot = frames.length / slots
    const began = performance.now()
    for (const [n, { source, feed, at, text }] of frames.entries()) {
      const decoded = source % 2 === 1 ? decodeReplay(text) : decodeOkx(text)
      books[source]!.take(decoded, at)
      if (decoded.kind === 'ticks') onTick(feed, source, decoded.ticks[0]!.price)
      if ((n + 1) % perSlot === 0) onSlot(books, at)
    }
    const rate = (frames.length * 1_000) / (performance.now() - began)
    const taken = books.reduce((sum, book) => sum + book.status().quotes, 0)
    if (taken !== frames.length) throw new Error(`${taken} of ${frames.length} ticks were taken`)
    return rate
  }

  function ours(): number {
    let priced = 0
    const rate = run(
      () => {},
      (books, at) => {
        const quotes = books.flatMap((book) => book.quotes())
        priced += aggregate(plan, quotes, at, defaultAggregation).filter((one) => 'price' in one).length
      },
    )
    if (priced !== slots * FEEDS) throw new Error(`${priced} prices instead of ${slots * FEEDS}`)
    return rate
  }

  function naive(): number {
    const newest = feeds.map(() => [] as bigint[])
    let priced = 0
    const rate = run(
      (feed, source, price) => {
        const prices = newest[feed]!
        prices[source] = price
        const sorted = prices.slice().sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
        if (sorted[sorted.length >> 1] !== undefined) priced += 1
      },
      () => {},
    )
    if (priced !== frames.length) throw new Error(`${priced} prices instead of ${frames.length}`)
    return rate
  }

  // In turns, so that whatever else the machine does meets both.
  const runs = Array.from({ length: 5 }, () => ({ ours: ours(), naive: naive() }))
  const best = (which: 'ours' | 'naive') => Math.max(...runs.map((run) => run[which]))
  return { value: best('ours'), naive: best('naive') }
}

type SlotEnd = (books: ReturnType<typeof createQuoteBook>[], at: number) => void
