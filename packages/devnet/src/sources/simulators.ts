import type { Clock, Logger, Random } from '@clearspan/shared'
import { everyTick } from '../everyTick.js'
import type { AdapterName, PlannedMarket, PlannedSource, VenuePlan } from '../prices/index.js'
import { startBinance } from './binance.js'
import { startBybit } from './bybit.js'
import { startCoinbase } from './coinbase.js'
import type { LiveTick, SimulatorParameters, SourceSimulator } from './feed.js'
import { startHermes } from './hermes.js'
import { startKraken } from './kraken.js'
import { startOkx } from './okx.js'
import { startPriceService } from './priceService.js'
import { startReplay } from './replay.js'

const DEFAULT_TICK_MS = 200
const HEARTBEAT_MS = 1_000

/** Pythnet makes a slot each 400 ms; more would only be more signatures for every node to check. */
const PYTH_SLOT_MS = 400

const starters: Record<AdapterName, (parameters: SimulatorParameters) => Promise<SourceSimulator>> = {
  binance: startBinance,
  bybit: startBybit,
  coinbase: startCoinbase,
  kraken: startKraken,
  okx: startOkx,
  hermes: startHermes,
  'price-service': startPriceService,
  replay: startReplay,
}

/**
 * What can be wrong with a source. `silent`: connections stay open and carry nothing more, not even signs of life. `frozen`: signs of
 * life go on and the last price is repeated with its old time and sequence. `offset`: prices are off by `bps` basis points.
 */
export type SourceFault = { kind: 'silent' } | { kind: 'frozen' } | { kind: 'offset'; bps: number }

export interface SourceSimulators {
  /** By source id. */
  urls: Readonly<Record<string, string>>
  /** Breaks a source, or mends it with null. @throws RangeError for an unknown source or a price that would not be positive. */
  setFault(sourceId: string, fault: SourceFault | null): void
  /** Ends the ticks, every connection and server. */
  stop(): Promise<void>
}

export interface SourceSimulatorsParameters {
  plan: VenuePlan
  /** Network time: of the prices, and of every time that a venue states. */
  clock: Clock
  /** Real time. */
  realClock: Clock
  /** Real ms between two ticks of every market. */
  realTickMs?: number
  /** Where each source's sequence starts. */
  random: Random
  logger?: Logger
}

interface Running {
  source: PlannedSource
  simulator: SourceSimulator
  feed: Feed
}

/** Starts a server for each source of the plan on a free port of loopback, and one timer that drives them all. */
export async function startSourceSimulators({
  plan,
  clock,
  realClock,
  realTickMs = DEFAULT_TICK_MS,
  random,
  logger,
}: SourceSimulatorsParameters): Promise<SourceSimulators> {
  const started = await Promise.allSettled(
    plan.sources.map(async (source): Promise<Running> => {
      const feed = createFeed(source.markets, clock, random)
      feed.tick()
      const simulator = await starters[source.adapter]({
        markets: source.markets,
        latest: feed.latest,
        now: clock.now,
      })
      return { source, simulator, feed }
    }),
  )
  const running = started.filter((one) => one.status === 'fulfilled').map(({ value }) => value)
  const failed = started.find((one) => one.status === 'rejected')
  if (failed !== undefined) {
    await Promise.all(running.map(({ simulator }) => simulator.stop()))
    throw failed.reason
  }
  const urls = Object.fromEntries(running.map(({ source, simulator }) => [source.id, simulator.url]))
  logger?.info({ urls }, 'source simulators listen')

  const beatEvery = Math.max(1, Math.round(HEARTBEAT_MS / realTickMs))
  const slotEvery = Math.max(1, Math.round(PYTH_SLOT_MS / realTickMs))
  let rounds = 0
  const tick = () => {
    const beat = ++rounds % beatEvery === 0
    for (const { source, simulator, feed } of running) {
      if (isPyth(source.adapter) && rounds % slotEvery !== 0 && !beat) continue
      const ticks = feed.tick()
      if (feed.fault?.kind === 'silent') continue
      simulator.push(ticks)
      if (beat) simulator.heartbeat()
    }
  }
  const stopped = new AbortController()
  const ticking = everyTick({
    clock: realClock,
    firstMs: realClock.now() + realTickMs,
    intervalMs: realTickMs,
    signal: stopped.signal,
    run: tick,
  })

  return {
    urls,
    setFault(sourceId, fault) {
      const one = running.find(({ source }) => source.id === sourceId)
      if (one === undefined)
        throw new RangeError(`no source ${sourceId}; there are ${Object.keys(urls).join(', ')}`)
      if (fault?.kind === 'offset' && !(fault.bps > -10_000 && Number.isFinite(fault.bps)))
        throw new RangeError(`an offset of ${fault.bps} bps leaves no positive price`)
      one.feed.fault = fault
      logger?.info({ source: sourceId, fault }, 'source fault set')
    },
    async stop() {
      stopped.abort()
      await ticking
      await Promise.all(running.map(({ simulator }) => simulator.stop()))
    },
  }
}

function isPyth(adapter: AdapterName): boolean {
  return adapter === 'hermes' || adapter === 'price-service'
}

interface Feed {
  fault: SourceFault | null
  /** Takes the prices of now; the ticks to send, none for a market whose venue is silent in the tape. */
  tick(): LiveTick[]
  latest(symbol: string): LiveTick | undefined
}

function createFeed(markets: readonly PlannedMarket[], clock: Clock, random: Random): Feed {
  const newest = new Map<string, LiveTick>()
  const firstSequence = 1 + Math.floor(random.next() * 1_000_000)
  const feed: Feed = {
    fault: null,
    latest: (symbol) => newest.get(symbol),
    tick() {
      if (feed.fault?.kind === 'frozen') return [...newest.values()]
      const eventMs = clock.now()
      const factor = feed.fault?.kind === 'offset' ? 1 + feed.fault.bps / 10_000 : 1
      return markets.flatMap((market) => {
        const traded = market.price(eventMs)
        if (traded === undefined) return []
        const price = traded * factor
        const last = newest.get(market.symbol)
        const tick = {
          market,
          price,
          eventMs,
          sequence: last === undefined ? firstSequence : last.sequence + 1,
          open: last?.open ?? price,
          high: Math.max(last?.high ?? price, price),
          low: Math.min(last?.low ?? price, price),
        }
        newest.set(market.symbol, tick)
        return [tick]
      })
    },
  }
  return feed
}
