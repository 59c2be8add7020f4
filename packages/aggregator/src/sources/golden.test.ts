import { afterEach, describe, expect, it, vi } from 'vitest'
import { createUpdateVerifier } from './accumulator.js'
import { decodeBinance } from './binance.js'
import { decodeBybit } from './bybit.js'
import { decodeCoinbase } from './coinbase.js'
import type { AdapterName } from './index.js'
import { decodeKraken } from './kraken.js'
import { decodeOkx } from './okx.js'
import { createHermesDecoder, createVaaDecoder } from './pyth.js'
import { fixture, frames, hasFixtures, mainnetGuardians } from './testData.js'
import type { Decoded, Tick } from './types.js'
import { connectSource, createCleanups, startVenue } from './venue.test-util.js'

const present = hasFixtures('golden payloads of venues and of Pyth')
const cleanups = createCleanups()
afterEach(() => cleanups.run())

/** Decimal text as a WAD, by its digits alone: nothing of the code under test. */
function exact(text: string): bigint {
  const [whole = '', fraction = ''] = text.split('.')
  return BigInt(whole + fraction.padEnd(18, '0'))
}

/** A price of Pyth's as a WAD. */
const scaled = (value: string, expo: number) => BigInt(value) * 10n ** BigInt(18 + expo)
const halfUp = (value: bigint) => (value + 1n) / 2n
const isoMs = (time: string) => Date.parse(time)
const ticks = (...all: Tick[]): Decoded => ({ kind: 'ticks', ticks: all })
const refused = (reason: string) => ({ kind: 'rejected', reason })

function fromBook(
  symbol: string,
  bid: string,
  ask: string,
  rest: Pick<Tick, 'eventTime' | 'sequence'>,
): Tick {
  const [low, high] = [exact(bid), exact(ask)]
  return { symbol, price: (low + high) / 2n, confidence: halfUp(high - low), ...rest }
}

/** Connects the adapter to a loopback venue that sends exactly these frames, and gives all ticks that it took. */
async function stream(adapter: AdapterName, symbols: string[], sent: string[], count: number) {
  const venue = await startVenue(cleanups)
  const taken: Tick[] = []
  const source = connectSource(cleanups, {
    adapter,
    url: `${adapter === 'hermes' || adapter === 'price-service' ? 'http' : 'ws'}://${venue.host}`,
    markets: symbols.map((symbol, at) => ({ symbol, base: `BASE${at}`, quote: 'USD' })),
    guardianSets: mainnetGuardians(),
    onEvent: (event) => {
      if (event.kind === 'tick' && event.reason === null) taken.push(event.tick)
    },
  })
  await venue.subscribed(1)
  for (const frame of sent) venue.clients[0]?.send(frame)
  await vi.waitFor(() => expect(taken).toHaveLength(count), { timeout: 10_000 })
  return {
    status: source.status(),
    ticks: taken,
  }
}

describe.skipIf(!present)('captured payloads', () => {
  it('are all named here: a new one needs a test of its own', () => {
    const named = (file: string) =>
      Object.entries(fixture(file)).flatMap(([key, value]) =>
        Array.isArray(value) ? [`${key}[${value.length}]`] : typeof value === 'object' ? [key] : [],
      )
    const lists = (file: string) =>
      Object.entries<Record<string, unknown>>(fixture(file)).flatMap(([venue, of]) =>
        Object.entries(of).flatMap(([key, value]) =>
          Array.isArray(value) && value.length > 0 ? [`${venue}.${key}[${value.length}]`] : [],
        ),
      )
    expect(named('pyth_hermes_v2_updates.json')).toEqual(['updates[20]'])
    expect(named('pyth_negative.json')).toEqual(['updates[5]'])
    expect(named('pyth_price_service_v1.json')).toEqual(['latest_vaas[5]', 'latest_price_feeds[5]'])
    expect(named('pyth_hermes_v2_verbatim.json').slice(1)).toEqual([
      'response_v2_updates_price_latest',
      'sse_v2_updates_price_stream[2]',
    ])
    expect(lists('ws_captured.json')).toEqual([
      ...['binance.bookTicker[20]', 'binance.aggTrade[2]', 'binance.kline[2]'],
      'binance_futures.bookTicker[10]',
      ...['coinbase.control[1]', 'coinbase.ticker[20]', 'coinbase.match[10]'],
      ...['kraken_v1.control[4]', 'kraken_v1.ticker[18]', 'kraken_v1.subscriptionStatus[2]'],
      ...['okx_v5.control[3]', 'okx_v5.tickers[28]', 'okx_v5.trades[10]'],
      'bybit_v1_realtime.trade[10]',
      ...['bitfinex.control[3]', 'bitfinex.messages[10]'],
    ])
    // OKX's has no sample there, only where it was seen.
    expect(named('ws_current_shapes.json')).toEqual(['okx', 'kraken_v2', 'bybit_v5', 'coinbase_advanced'])
    expect(fixture('ws_current_shapes.json').okx.sample).toBeUndefined()
  })
})

describe.skipIf(!present)('frames as venues sent them', () => {
  const captured = () => fixture('ws_captured.json')
  const shapes = () => fixture('ws_current_shapes.json')

  it('binance.aggTrade, .bookTicker, .kline: trades are prices, the book only their spread', () => {
    const { aggTrade, bookTicker, kline } = captured().binance
    const trade = (symbol: string, price: bigint, eventTime: number, sequence: bigint) =>
      ticks({ symbol, price, confidence: null, eventTime, sequence, contiguous: true })
    expect(frames(aggTrade).map(decodeBinance)).toEqual([
      trade('NKNUSDT', 352_800_000_000_000_000n, 1_633_998_523_963, 15_683_430n),
      trade('LRCBTC', 6_380_000_000_000n, 1_633_998_534_486, 9_213_679n),
    ])
    const books = frames(bookTicker).map(decodeBinance)
    expect(books[0]).toEqual({ kind: 'spread', symbol: 'NKNUSDT', halfSpread: 250_000_000_000_000n })
    expect(books).toEqual(
      frames(bookTicker).map((frame) => {
        const { s, a, b } = JSON.parse(frame).data
        return { kind: 'spread', symbol: s, halfSpread: halfUp(exact(a) - exact(b)) }
      }),
    )
    for (const frame of frames(kline)) expect(decodeBinance(frame)).toEqual(refused('unexpected_shape'))
  })

  it('binance_futures.bookTicker: of another market, yet no price either: a spread at most', () => {
    const sent = frames(captured().binance_futures.bookTicker)
    expect(sent.map(decodeBinance)).toEqual(
      sent.map((frame) => {
        const { s, a, b } = JSON.parse(frame).data
        return { kind: 'spread', symbol: s, halfSpread: halfUp(exact(a) - exact(b)) }
      }),
    )
  })

  const ofCoinbase = (frame: string): Tick => {
    const { product_id, best_bid, best_ask, time, trade_id } = JSON.parse(frame)
    return fromBook(product_id, best_bid, best_ask, { eventTime: isoMs(time), sequence: BigInt(trade_id) })
  }

  it('coinbase.ticker, .control, .match: the middle of the book, with its time and the number of its trade', () => {
    const { ticker, control, match } = captured().coinbase
    const decoded = frames(ticker).map(decodeCoinbase)
    expect(decoded[0]).toEqual(
      ticks({
        symbol: 'BAND-GBP',
        price: 14_780_500_000_000_000_000n,
        confidence: 25_500_000_000_000_000n,
        eventTime: isoMs('2021-04-17T16:43:30.244Z'),
        sequence: 881_613n,
      }),
    )
    expect(decoded).toEqual(frames(ticker).map((frame) => ticks(ofCoinbase(frame))))
    expect(frames(control).map(decodeCoinbase)).toEqual([{ kind: 'control' }])
    for (const frame of frames(match)) expect(decodeCoinbase(frame)).toEqual(refused('unexpected_shape'))
  })

  it('coinbase.ticker through the socket: every tick in its place, trade after trade', async () => {
    const sent = frames(captured().coinbase.ticker)
    const symbols = [...new Set(sent.map((frame) => JSON.parse(frame).product_id as string))]
    const { ticks: taken, status } = await stream('coinbase', symbols, sent, sent.length)
    expect(taken).toEqual(sent.map(ofCoinbase))
    expect(status.rejected).toEqual({})
  })

  it('coinbase_advanced: the other API’s envelope has no time of its own, and is no frame of the Exchange’s', () => {
    expect(decodeCoinbase(JSON.stringify(shapes().coinbase_advanced.sample))).toEqual(
      refused('unexpected_shape'),
    )
  })

  it('kraken_v2: a snapshot; kraken_v1 is no v2', () => {
    expect(decodeKraken(JSON.stringify(shapes().kraken_v2.sample))).toEqual(
      ticks({
        symbol: 'BTC/USD',
        price: 105_944_250_000_000_000_000_000n,
        confidence: 50_000_000_000_000_000n,
        eventTime: isoMs('2022-12-25T09:30:59.123Z'),
        sequence: null,
      }),
    )
    const { ticker, control, subscriptionStatus } = captured().kraken_v1
    for (const frame of frames(ticker)) expect(decodeKraken(frame)).toEqual(refused('malformed'))
    for (const frame of frames([...control, ...subscriptionStatus])) {
      expect(decodeKraken(frame)).toEqual(refused('unexpected_shape'))
    }
  })

  it('okx_v5.tickers, .control, .trades: the middle of the book, of whatever was subscribed', () => {
    const { control, tickers, trades } = captured().okx_v5
    const decoded = frames(tickers).map(decodeOkx)
    expect(decoded[2]).toEqual(
      ticks({
        symbol: 'BTC-USDT',
        price: 30_228_650_000_000_000_000_000n,
        confidence: 50_000_000_000_000_000n,
        eventTime: 1_652_459_224_956,
        sequence: null,
      }),
    )
    expect(decoded).toEqual(
      frames(tickers).map((frame) => {
        const [{ instId, bidPx, askPx, ts }] = JSON.parse(frame).data
        return ticks(fromBook(instId, bidPx, askPx, { eventTime: Number(ts), sequence: null }))
      }),
    )
    for (const frame of frames(control)) expect(decodeOkx(frame)).toEqual({ kind: 'control' })
    for (const frame of frames(trades)) expect(decodeOkx(frame)).toEqual(refused('unexpected_shape'))
    const unknown = { event: 'error', code: '60018', msg: "doesn't exist", connId: 'a4d3ae55' }
    expect(decodeOkx(JSON.stringify(unknown))).toEqual(refused('venue_error'))
  })

  it('bybit_v5: a ticker’s only time is that of its push, so it is no price; bybit_v1_realtime.trade is no v5', () => {
    expect(decodeBybit(JSON.stringify(shapes().bybit_v5.sample))).toEqual(refused('unexpected_shape'))
    for (const frame of frames(captured().bybit_v1_realtime.trade)) {
      expect(decodeBybit(frame)).toEqual(refused('unexpected_shape'))
    }
  })

  it('bitfinex, and every venue’s frames at another venue’s decoder: never a price', () => {
    const decoders = {
      binance: decodeBinance,
      coinbase: decodeCoinbase,
      kraken_v1: decodeKraken,
      okx_v5: decodeOkx,
      bybit_v1_realtime: decodeBybit,
    }
    for (const [venue, lists] of Object.entries<Record<string, { raw: string }[]>>(captured())) {
      for (const frame of Object.values(lists).flatMap((list) => (Array.isArray(list) ? frames(list) : []))) {
        for (const [other, decode] of Object.entries(decoders)) {
          if (other !== venue) expect(decode(frame).kind, `${venue} at ${other}: ${frame}`).not.toBe('ticks')
        }
      }
    }
    const { control, messages } = captured().bitfinex
    for (const frame of frames(messages)) expect(decodeKraken(frame)).toEqual(refused('malformed'))
    for (const frame of frames(control)) expect(decodeCoinbase(frame)).toEqual(refused('unexpected_shape'))
  })
})

interface Parsed {
  id: string
  price: { price: string; conf: string; expo: number; publish_time: number }
  metadata: { slot: number }
}
interface Update {
  binary: { encoding: 'hex'; data: string[] }
  parsed: Parsed[]
}

/** What Pyth's own service says that a signed update means: an answer that the decoder doesn't look at. */
const meaning = ({ parsed }: Pick<Update, 'parsed'>): Tick[] =>
  parsed.map(({ id, price: { price, conf, expo, publish_time }, metadata: { slot } }) => ({
    symbol: id,
    price: scaled(price, expo),
    confidence: scaled(conf, expo),
    eventTime: publish_time * 1000,
    sequence: BigInt(slot),
  }))

const BTC = 'e62df6c8b4a85fe1a67db44dc12de5db330f7ac66b72dc658afedf0f4a415b43'

describe.skipIf(!present)('updates as Pyth sent them, against the guardians of their time', () => {
  const verify = () => createUpdateVerifier(mainnetGuardians())
  const updates = (): Update[] => fixture('pyth_hermes_v2_updates.json').updates

  it('pyth_hermes_v2_updates: every message of all twenty, to the last digit', () => {
    const decode = createHermesDecoder(verify())
    const decoded = updates().map(({ binary }) => decode(JSON.stringify({ binary })))
    expect(decoded).toEqual(updates().map((update) => ticks(...meaning(update))))
    expect(updates().flatMap(({ parsed }) => parsed).length).toBeGreaterThan(40)
  })

  it('pyth_hermes_v2_verbatim.response_v2_updates_price_latest', () => {
    const { response_v2_updates_price_latest: response } = fixture('pyth_hermes_v2_verbatim.json')
    const decoded = createHermesDecoder(verify())(JSON.stringify(response))
    expect(decoded).toEqual(ticks(...meaning(response)))
    expect(decoded).toMatchObject({
      ticks: [
        {
          symbol: BTC,
          price: 61_409_935_010_000_000_000_000n,
          confidence: 32_878_685_670_000_000_000n,
          eventTime: 1_714_746_101_000,
          sequence: 138_881_186n,
        },
        { price: 49_595_030_000_000_000n },
      ],
    })
  })

  it('pyth_hermes_v2_verbatim.sse_v2_updates_price_stream, through Pyth’s own client from a loopback server', async () => {
    const { sse_v2_updates_price_stream: events } = fixture('pyth_hermes_v2_verbatim.json')
    const { ticks: taken, status } = await stream(
      'hermes',
      [BTC],
      events.map((event: Update) => JSON.stringify(event)),
      2,
    )
    expect(taken).toEqual([
      {
        symbol: BTC,
        price: 61_632_600_000_000_000_000_000n,
        confidence: 32_685_480_790_000_000_000n,
        eventTime: 1_714_748_300_000,
        sequence: 138_886_134n,
      },
      {
        symbol: BTC,
        price: 61_630_880_000_000_000_000_000n,
        confidence: 33_081_298_430_000_000_000n,
        eventTime: 1_714_748_301_000,
        sequence: 138_886_135n,
      },
    ])
    expect(taken).toEqual(events.flatMap(meaning))
    expect(status).toMatchObject({ quotes: 2, rejected: {}, connects: 1 })
  })

  /** One of `latest_price_feeds`: the prices that v1 says beside each update, for the feeds that were asked for. */
  interface Feed {
    id: string
    price: Parsed['price']
    vaa: string
  }
  const asked = (): Feed[][] => fixture('pyth_price_service_v1.json').latest_price_feeds
  /** The v1 shape has no slot: it is looked up in the signed bytes. */
  const slotOf = (vaa: string): bigint => {
    const messages = verify()(Buffer.from(vaa, 'base64'))
    if (typeof messages === 'string') throw new Error(messages)
    return messages[0]?.slot ?? 0n
  }
  const meant = ({ id, price: { price, conf, expo, publish_time }, vaa }: Feed): Tick => ({
    symbol: id,
    price: scaled(price, expo),
    confidence: scaled(conf, expo),
    eventTime: publish_time * 1000,
    sequence: slotOf(vaa),
  })

  it('pyth_price_service_v1.latest_vaas: each holds exactly what its feed says', () => {
    const { latest_vaas } = fixture('pyth_price_service_v1.json')
    const decode = createVaaDecoder(verify())
    const decoded = latest_vaas.map(({ body }: { body: string[] }) => body.map(decode))
    expect(decoded).toEqual(asked().map((feeds) => [ticks(...feeds.map(meant))]))
    expect(decoded[0][0].ticks).toEqual([
      {
        symbol: 'ff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace',
        price: 3_339_583_856_220_000_000_000n,
        confidence: 3_304_787_730_000_000_000n,
        eventTime: 1_721_050_495_000,
        sequence: 153_515_372n,
      },
    ])
  })

  it('pyth_price_service_v1.latest_price_feeds, pushed through Pyth’s own client from a loopback server', async () => {
    const feeds = asked()
      .flat()
      .filter(({ id }) => id === BTC)
      .toSorted((a, b) => a.price.publish_time - b.price.publish_time)
    const { ticks: taken, status } = await stream(
      'price-service',
      [BTC],
      feeds.map((price_feed) => JSON.stringify({ type: 'price_update', price_feed })),
      2,
    )
    expect(taken).toEqual(feeds.map(meant))
    expect(taken[0]).toMatchObject({ price: 29_319_990_000_000_000_000_000n, eventTime: 1_690_576_635_000 })
    expect(status).toMatchObject({ quotes: 2, rejected: {}, connects: 1 })
  })

  it('pyth_negative: each is refused for its own reason', () => {
    const testKeys = { index: 0, addresses: ['0x7e5f4552091a69125d5dfcb7b8c2659029395bdf'] }
    const decode = createHermesDecoder(createUpdateVerifier([...mainnetGuardians(), testKeys]))
    const { updates: negative } = fixture('pyth_negative.json')
    const reasons = ['bad_emitter', 'bad_emitter', 'bad_proof', 'malformed', 'unexpected_shape']
    expect(negative.map(({ binary }: Update) => decode(JSON.stringify({ binary })))).toEqual(
      reasons.map(refused),
    )
  })
})
