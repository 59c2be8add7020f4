// Delivery, measured from outside against what public relayer engines do: real chains, LayerZero's real contracts, our Attestor.
import { join } from 'node:path'
import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import { temporaryDirectory } from '../test/clearspan.js'
import { startTestOracle } from '../test/testOracle.js'
import { createMarket, type Market, openPositions, overheadsOf, watchFall } from './relayer/isolation.js'
import { type Ours, type OursOptions, startOurs } from './relayer/ours.js'
import { startPattern } from './relayer/pattern.js'
import { countingProxies } from './relayer/proxies.js'
import { hasRedis, startRedis } from './relayer/redis.js'
import { openStage, type Stage } from './relayer/stage.js'

/** Packets of each measurement. */
const COUNT = {
  single: 30,
  oneSigner: 500,
  fourSigners: 1_500,
  counted: 200,
  killed: 100,
  backfill: 10_000,
  patternSingle: 6,
  patternBurst: 10,
}
const SIGNERS = 4
/** Between two single packets, real ms, so that the next meets an idle relayer in another phase of the blocks. */
const PAUSE_MS = 700
/** Of each chain, for ours: evidence wants more than half of them. */
const RPCS = 3
/** Sub-accounts are opened this far apart. */
const FIRST_OF_NEXT = 1_000
/** Longest for all on one stage, real ms. */
const LONGEST_MS = 600_000
const PATTERN =
  "public relayer engines' pattern (one queue, concurrency 3, one serial wallet, three transactions a packet), same run"

interface Measurement {
  name: string
  value: number
  unit: string
  baseline: number | null
  /** What the baseline is; null where there is none. */
  baselineIs: string | null
}

type Overheads = ReturnType<typeof overheadsOf>

/** What one way of delivering reached; ms, packets a second, gas and calls a packet. */
interface Figures {
  rate: number
  overheads: number[]
  missedPct: number
  calls: number
  gas: number
}

export default async function measure(say: (line: string) => void): Promise<Measurement[]> {
  const results: Measurement[] = []
  for (const backend of ['embedded', 'redis'] as const) {
    const told = (line: string) => say(`${backend}: ${line}`)
    if (backend === 'redis' && !(await hasRedis())) {
      told('skipped: redis-server is not installed')
      continue
    }
    told("the public engines' pattern")
    const pattern = await measurePattern(backend, told)
    results.push(...(await measureOurs(backend, pattern, told)).map((one) => named(one, backend)))
  }
  return results
}

type Backend = 'embedded' | 'redis'

const named = (one: Measurement, backend: Backend): Measurement =>
  backend === 'embedded' ? one : { ...one, name: `${one.name}_${backend}` }

interface OnStage {
  stage: Stage
  /** For files. */
  directory: string
  redisUrl: string | undefined
  market: Market
}

/** Fresh chains with prices on them, and a fresh queue. */
async function onStage<T>(
  delivery: 'attestor' | 'stock',
  backend: Backend,
  work: (at: OnStage) => Promise<T>,
): Promise<T> {
  const dir = await temporaryDirectory()
  const oracle = await startTestOracle()
  const redis = backend === 'redis' ? await startRedis() : undefined
  try {
    const stage = await openStage(dir.path, delivery, oracle.url)
    const market = createMarket()
    oracle.publish(stage.on, market.price, market.onPublished)
    try {
      return await within(work({ stage, directory: dir.path, redisUrl: redis?.url, market }))
    } finally {
      await stage.stop()
    }
  } finally {
    await oracle.stop()
    await redis?.stop()
    await dir.remove()
  }
}

/** Never hangs. */
async function within<T>(work: Promise<T>): Promise<T> {
  const timer = new AbortController()
  const late = systemClock.sleep(LONGEST_MS, timer.signal).then(() => {
    throw new Error(`a stage took longer than ${LONGEST_MS} ms`)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    timer.abort()
    late.catch(() => {})
  }
}

async function measurePattern(kind: Backend, say: (line: string) => void): Promise<Figures> {
  return onStage('stock', kind, async ({ stage, directory, redisUrl }) => {
    const logger = createLogger({ name: 'bench', level: 'error' })
    const backend = await createQueueBackend({
      redisUrl,
      dataDir: join(directory, 'queue'),
      namespace: 'pattern',
      clock: systemClock,
      logger,
    })
    const proxies = await countingProxies(stage, 1)
    const [destination, source] = stage.on.network.chains
    const urlOf = (chainId: number) => proxies.urls[String(chainId)]![0]!
    const pattern = await startPattern(stage, backend, [urlOf(source!.chainId), urlOf(destination!.chainId)])
    try {
      for (let i = 0; i < COUNT.patternSingle; i++) {
        await stage.release(stage.prepare(1))
        await stage.allDelivered()
      }
      // It hears of its last receipt a little later.
      while (pattern.steps().size < COUNT.patternSingle) await pause(50)
      const singles = [...pattern.steps()]
      const sentAt = new Map(stage.sent().map((sent) => [sent.guid, sent.sentAt]))
      const before = { calls: proxies.calls(), gas: stage.gasUsed() }
      const seconds = await burst(stage, COUNT.patternBurst)
      say(`${COUNT.patternBurst} packets in ${seconds.toFixed(1)} s`)
      const steps = singles.flatMap(([, list]) => list)
      return {
        rate: COUNT.patternBurst / seconds,
        overheads: singles.map(([guid, list]) =>
          list.reduce(
            (sum, { after, broadcastAt }) =>
              sum + broadcastAt - (after === undefined ? sentAt.get(guid)! : stage.minedAt(after)),
            0,
          ),
        ),
        missedPct: percent(steps),
        calls: (proxies.calls() - before.calls) / COUNT.patternBurst,
        gas: Number(stage.gasUsed() - before.gas) / COUNT.patternBurst,
      }
    } catch (error) {
      throw pattern.failure() ?? error
    } finally {
      await pattern.stop()
      await proxies.close()
    }
  })
}

/** Everything of ours on one stage; each part has processes of its own, which begin at the block where it begins. */
async function measureOurs(
  kind: Backend,
  pattern: Figures,
  say: (line: string) => void,
): Promise<Measurement[]> {
  return onStage('attestor', kind, async (at) => {
    const four = await fourSigners(at, kind === 'embedded', say)
    const one = await oneSigner(at, say)
    const calls = await callsPerPacket(at, say)
    // Last, because its backlog is left there.
    const together = kind === 'embedded' ? await inOneProcess(at, say) : undefined
    const { singles, gas } = one
    return [
      figure('msgs_per_s_1_signer', one.rate, '/s', pattern.rate),
      figure('msgs_per_s_4_signers', four.rate, '/s', pattern.rate),
      figure('overhead_ms_p50', quantile(singles.overheads, 0.5), 'ms', quantile(pattern.overheads, 0.5)),
      figure('overhead_ms_p99', quantile(singles.overheads, 0.99), 'ms', quantile(pattern.overheads, 0.99)),
      figure('missed_first_block_pct', singles.missedPct, '%', pattern.missedPct || null),
      figure(
        'rpc_calls_per_msg',
        calls,
        'calls',
        pattern.calls,
        `${PATTERN}; it has one RPC per chain, ours ${RPCS}`,
      ),
      figure('gas_per_msg', gas, 'gas', pattern.gas),
      figure('recovery_s', four.recovery, 's', null),
      // Serial as it is, its time for so many is its rate's.
      figure(
        'backfill_10k_s',
        four.backfill,
        's',
        COUNT.backfill / pattern.rate,
        `${PATTERN}: at its measured rate, not run`,
      ),
      ...(four.overheads ? isolation('backlog', four.overheads) : []),
      ...(together ? isolation('backlog_one_process', together) : []),
    ]
  })
}

/** What prices and liquidations took behind a backlog, and without one. */
interface Isolation {
  without: Overheads
  behind: Overheads
}

function isolation(name: string, { without, behind }: Isolation): Measurement[] {
  const median = (label: keyof Overheads, as: string) =>
    figure(
      `${as}_overhead_${name}_ms_p50`,
      quantile(behind[label], 0.5),
      'ms',
      quantile(without[label], 0.5),
      'the same processes without the backlog, same run',
    )
  return [median('price', 'price'), median('liquidate', 'liquidation')]
}

/** The backlog first: its relayer has seen nothing before. Beside it, where that is asked for, prices and a keeper in a process of their own. */
async function fourSigners(at: OnStage, isIsolated: boolean, say: (line: string) => void) {
  const { stage } = at
  say(`${SIGNERS} signers, and ${COUNT.backfill} packets that wait for them`)
  return withOurs(at, { processes: isIsolated ? 'apart' : 'messages', signers: SIGNERS }, async (ours) => {
    const market = isIsolated ? await openMarket(at, 0) : undefined
    const without = market && (await watched(stage, ours, market))
    await letWait(stage, ours, say)
    const behind = market && (await watched(stage, ours, market))
    await stage.allDelivered(say)
    const backfill = (Date.now() - ours.startedAt()) / 1000
    say(`delivered after ${backfill.toFixed(1)} s`)
    const seconds = await burst(stage, COUNT.fourSigners)
    const rate = COUNT.fourSigners / seconds
    const recovered = await recovery(stage, ours)
    say(`${rate.toFixed(1)} packets a second, recovered in ${recovered.toFixed(1)} s`)
    const overheads = without && behind && { without, behind }
    return { backfill, rate, recovery: recovered, overheads }
  })
}

/** Prices and liquidations with all lanes in one process, behind as large a backlog, which is left there. */
async function inOneProcess(at: OnStage, say: (line: string) => void): Promise<Isolation> {
  say(`all in one process, and ${COUNT.backfill} packets that wait for it`)
  return withOurs(at, { processes: 'together', signers: SIGNERS }, async (ours) => {
    const market = await openMarket(at, 1)
    const without = await watched(at.stage, ours, market)
    await letWait(at.stage, ours, say)
    return { without, behind: await watched(at.stage, ours, market) }
  })
}

async function oneSigner(at: OnStage, say: (line: string) => void) {
  say('one signer')
  return withOurs(at, { processes: 'messages', signers: 1 }, async (ours) => {
    const singles = await singlePackets(at.stage, ours)
    const gasBefore = at.stage.gasUsed()
    const seconds = await burst(at.stage, COUNT.oneSigner)
    const gas = Number(at.stage.gasUsed() - gasBefore) / COUNT.oneSigner
    say(`${(COUNT.oneSigner / seconds).toFixed(1)} packets a second`)
    return { singles, rate: COUNT.oneSigner / seconds, gas }
  })
}

async function callsPerPacket(at: OnStage, say: (line: string) => void): Promise<number> {
  say(`one signer with ${RPCS} RPCs per chain`)
  const proxies = await countingProxies(at.stage, RPCS)
  try {
    return await withOurs(at, { processes: 'messages', signers: 1, rpcUrls: proxies.urls }, async () => {
      await burst(at.stage, COUNT.counted)
      return proxies.calls() / COUNT.counted
    })
  } finally {
    await proxies.close()
  }
}

/** Accounts that a falling price will liquidate, the `turn`th time. */
async function openMarket({ stage, market }: OnStage, turn: number): Promise<Market> {
  await openPositions(stage, market, turn * FIRST_OF_NEXT)
  return market
}

async function watched(stage: Stage, ours: Ours, market: Market): Promise<Overheads> {
  const watch = await watchFall(stage, market)
  const { samples } = await ours.keeper()
  return overheadsOf(samples, { stage, market, watch })
}

/** Kills whoever carries messages, lets 10,000 packets come, and starts it without memory. Resolves once it delivers. */
async function letWait(stage: Stage, ours: Ours, say: (line: string) => void): Promise<void> {
  await ours.kill()
  await ours.forget()
  await stage.release(stage.prepare(COUNT.backfill))
  say(`${COUNT.backfill} packets wait`)
  const delivered = stage.deliveredCount()
  await ours.start()
  await stage.deliveredMore(delivered)
}

/** Work with processes of ours on a stage. */
async function withOurs<T>(
  { stage, directory, redisUrl }: OnStage,
  wish: Pick<OursOptions, 'processes' | 'signers' | 'rpcUrls'>,
  work: (ours: Ours) => Promise<T>,
): Promise<T> {
  const ours = await startOurs({ ...wish, stage, redisUrl, directory: join(directory, 'relayer') })
  try {
    return await work(ours)
  } finally {
    await ours.stop()
  }
}

const figure = (
  name: string,
  value: number,
  unit: string,
  baseline: number | null,
  baselineIs = PATTERN,
): Measurement => ({
  name: `relayer.${name}`,
  value,
  unit,
  baseline,
  baselineIs: baseline === null ? null : baselineIs,
})

/** Seconds from the first packet's block to the block that delivers the last. */
async function burst(stage: Stage, count: number): Promise<number> {
  const packets = stage.prepare(count)
  const before = stage.sent().length
  await stage.release(packets)
  await stage.allDelivered()
  const own = stage.sent().slice(before)
  const first = Math.min(...own.map(({ sentAt }) => sentAt))
  return (Math.max(...own.map(({ deliveredAt }) => deliveredAt!)) - first) / 1000
}

/** Packets one by one: from the source's block to the acceptance of the one transaction that delivers it. */
async function singlePackets(stage: Stage, ours: Ours) {
  for (let i = 0; i < COUNT.single; i++) {
    await stage.submit(stage.prepare(1))
    await pause(PAUSE_MS)
  }
  await stage.allDelivered()
  const { messages, samples } = await told(ours)
  const sentAt = new Map(stage.sent().map((sent) => [sent.guid, sent.sentAt]))
  return {
    overheads: messages.map(({ guid, broadcastAt }) => broadcastAt! - sentAt.get(guid)!),
    missedPct: percent(samples.filter(({ label }) => label === 'deliver')),
  }
}

/** The relayer's own record, once it has seen the last receipt too. */
async function told(ours: Ours): ReturnType<Ours['status']> {
  for (;;) {
    const status = await ours.status()
    if (status.messages.every(({ deliveredAt }) => deliveredAt !== undefined)) return status
    await pause(50)
  }
}

/** Seconds from the kill, with packets under way and waiting, until the same relayer, started again at once, has delivered them all. */
async function recovery(stage: Stage, ours: Ours): Promise<number> {
  const delivered = stage.deliveredCount()
  await stage.release(stage.prepare(COUNT.killed))
  await stage.deliveredMore(delivered)
  const killedAt = Date.now()
  await ours.kill()
  await ours.start()
  await stage.allDelivered()
  return (Date.now() - killedAt) / 1000
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

function percent(transactions: readonly { missedFirstBlock: boolean }[]): number {
  return (100 * transactions.filter(({ missedFirstBlock }) => missedFirstBlock).length) / transactions.length
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!
}
