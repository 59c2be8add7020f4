import { hexToBytes } from 'viem'
import type { LiveTick } from './feed.js'
import { type Accumulator, createAccumulator, type PythPrice } from './pythUpdate.js'

/** Publishers' confidence, in bps of the price. */
const CONFIDENCE_BPS = 5

/** Pyth's average forgets with a time constant of about an hour. */
const EMA_MS = 3_600_000

/** Pythnet makes a slot each 400 ms. */
const SLOT_MS = 400

/** The price feeds of Pyth as both services serve them. */
export interface PythFeeds {
  update(ticks: readonly LiveTick[]): void
  /** By id without 0x, in lower case. */
  get(id: string): PythPrice | undefined
  ids(): string[]
  /** A signed update of these feeds as text, without 0x; signed once for all until the next `update`. */
  binary(ids: readonly string[], encoding: 'hex' | 'base64'): string
}

/** The exponent is fixed by a feed's first price: -8 as usual, -12 where that would leave too few digits. */
export function createPythFeeds(): PythFeeds {
  const feeds = new Map<string, { current: PythPrice; ema: number; eventMs: number; sequence: number }>()
  let accumulator: Accumulator | undefined
  return {
    update(ticks) {
      accumulator = undefined
      for (const { market, price, eventMs, sequence } of ticks) {
        const id = market.symbol
        const last = feeds.get(id)
        // A frozen source repeats its last tick: nothing new was published.
        if (last?.sequence === sequence) continue
        const expo = last?.current.expo ?? (price >= 0.01 ? -8 : -12)
        const integer = (value: number) => BigInt(Math.max(1, Math.round(value * 10 ** -expo)))
        const weight = last === undefined ? 1 : 1 - Math.exp(-Math.max(0, eventMs - last.eventMs) / EMA_MS)
        const ema = last === undefined ? price : last.ema + (price - last.ema) * weight
        const publishTime = Math.floor(eventMs / 1000)
        const current: PythPrice = {
          id,
          price: integer(price),
          conf: integer((price * CONFIDENCE_BPS) / 10_000),
          expo,
          publishTime,
          prevPublishTime: last?.current.publishTime ?? publishTime,
          emaPrice: integer(ema),
          emaConf: integer((ema * CONFIDENCE_BPS) / 10_000),
          slot: Math.floor(eventMs / SLOT_MS),
        }
        feeds.set(id, { current, ema, eventMs, sequence })
      }
    },
    get: (id) => feeds.get(id)?.current,
    ids: () => [...feeds.keys()],
    binary(ids, encoding) {
      accumulator ??= createAccumulator([...feeds.values()].map(({ current }) => current))
      return Buffer.from(hexToBytes(accumulator.update(ids))).toString(encoding)
    },
  }
}

function priceJson(feed: PythPrice, kind: 'spot' | 'ema') {
  const [price, conf] = kind === 'spot' ? [feed.price, feed.conf] : [feed.emaPrice, feed.emaConf]
  return { price: String(price), conf: String(conf), expo: feed.expo, publish_time: feed.publishTime }
}

/** Hermes v2: the answer of /v2/updates/price/latest and each event of its stream. */
export function hermesUpdate(
  feeds: PythFeeds,
  ids: readonly string[],
  encoding: 'hex' | 'base64',
  parsed: boolean,
): object {
  const prices = ids.map((id) => feeds.get(id)).filter((feed) => feed !== undefined)
  return {
    binary: { encoding, data: prices.length === 0 ? [] : [feeds.binary(ids, encoding)] },
    ...(parsed
      ? {
          parsed: prices.map((feed) => ({
            id: feed.id,
            price: priceJson(feed, 'spot'),
            ema_price: priceJson(feed, 'ema'),
            metadata: {
              slot: feed.slot,
              proof_available_time: feed.publishTime,
              prev_publish_time: feed.prevPublishTime,
            },
          })),
        }
      : {}),
  }
}

/** Price Service v1: a price feed of /api/latest_price_feeds and of a price_update. */
export function priceServiceFeed(
  feeds: PythFeeds,
  feed: PythPrice,
  { verbose, binary }: { verbose: boolean; binary: boolean },
): object {
  return {
    id: feed.id,
    price: priceJson(feed, 'spot'),
    ema_price: priceJson(feed, 'ema'),
    ...(verbose
      ? {
          metadata: {
            slot: feed.slot,
            emitter_chain: 26,
            price_service_receive_time: feed.publishTime,
            prev_publish_time: feed.prevPublishTime,
          },
        }
      : {}),
    ...(binary ? { vaa: feeds.binary([feed.id], 'base64') } : {}),
  }
}

/** What a client asked for: ids without 0x in lower case, those malformed, and those that do not exist. */
export function sortIds(
  wanted: readonly string[],
  feeds: PythFeeds,
): { known: PythPrice[]; missing: string[]; malformed: string | undefined } {
  const ids = wanted.map((id) => id.toLowerCase().replace(/^0x/, ''))
  const malformed = ids.find((id) => !/^[0-9a-f]{64}$/.test(id))
  const known = ids.map((id) => feeds.get(id)).filter((feed) => feed !== undefined)
  return { known, missing: ids.filter((id) => feeds.get(id) === undefined).map((id) => `0x${id}`), malformed }
}

/** `ids[]=A&ids[]=B` of a request's URL, and its flags. */
export function readQuery(url: string): {
  ids: string[]
  flag(name: string, otherwise: boolean): boolean
  text(name: string): string | null
} {
  const { searchParams } = new URL(url, 'http://localhost')
  return {
    ids: [...searchParams.getAll('ids[]'), ...searchParams.getAll('ids')],
    flag: (name, otherwise) => (searchParams.has(name) ? searchParams.get(name) === 'true' : otherwise),
    text: (name) => searchParams.get(name),
  }
}
