// Delivery, measured from outside against what public relayer engines do: real chains, LayerZero's real contracts, our Attestor.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import { temporaryDirectory } from '../test/clearspan.js'
import { startTestOracle } from '../test/testOracle.js'
import { startProxy } from '../test/testProxy.js'
import { type Ours, type RpcUrls, startOurs } from './relayer/ours.js'
import { startPattern } from './relayer/pattern.js'
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
/** A price report comes each second: how long they are watched without a backlog, real ms. */
const PRICES_MS = 15_000
const PRICE = 100
const REDIS_TRIES = 100
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

/** Fresh chains and a fresh queue for each measurement. */
async function onStage<T>(
  delivery: 'attestor' | 'stock',
  backend: Backend,
  work: (stage: Stage, directory: string, redisUrl: string | undefined, publish: () => void) => Promise<T>,
): Promise<T> {
  const dir = await temporaryDirectory()
  const oracle = await startTestOracle()
  const redis = backend === 'redis' ? await startRedis() : undefined
  try {
    const stage = await openStage(dir.path, delivery, oracle.url)
    try {
      return await work(stage, dir.path, redis?.url, () => oracle.publish(stage.on, () => PRICE))
    } finally {
      await stage.stop()
    }
  } finally {
    await oracle.stop()
    await redis?.stop()
    await dir.remove()
  }
}

async function measurePattern(kind: Backend, say: (line: string) => void): Promise<Figures> {
  return onStage('stock', kind, async (stage, directory, redisUrl) => {
    const logger = createLogger({ name: 'bench', level: 'error' })
    const backend = await createQueueBackend({
      redisUrl,
      dataDir: join(directory, 'queue'),
      namespace: 'pattern',
      clock: systemClock,
      logger,
    })
    const proxies = await countingProxies(stage)
    const [destination, source] = stage.on.network.chains
    const urlOf = (chainId: number) => proxies.urls[String(chainId)]![0]!
    const pattern = await startPattern(stage, backend, [urlOf(source!.chainId), urlOf(destination!.chainId)])
    try {
      for (let i = 0; i < COUNT.patternSingle; i++) {
        await stage.release(await stage.prepare(1))
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

async function measureOurs(
  kind: Backend,
  pattern: Figures,
  say: (line: string) => void,
): Promise<Measurement[]> {
  say('one signer')
  const one = await withOurs(kind, { signers: 1 }, async (stage, ours) => {
    const singles = await singlePackets(stage, ours)
    const gasBefore = stage.gasUsed()
    const seconds = await burst(stage, COUNT.oneSigner)
    const gas = Number(stage.gasUsed() - gasBefore) / COUNT.oneSigner
    return { singles, rate: COUNT.oneSigner / seconds, gas }
  })
  say(`${one.rate.toFixed(1)} packets a second`)
  const calls = await withOurs(kind, { signers: 1, counts: true }, async (stage, _ours, counted) => {
    await burst(stage, COUNT.counted)
    return counted() / COUNT.counted
  })
  say(`${SIGNERS} signers, and ${COUNT.backfill} packets that wait for them`)
  const four = await withOurs(
    kind,
    { signers: SIGNERS, backlog: COUNT.backfill, publishes: true },
    async (stage, ours) => {
      await stage.allDelivered()
      const endedAt = Date.now()
      const backfill = (endedAt - ours.startedAt()) / 1000
      say(`delivered after ${backfill.toFixed(1)} s`)
      await pause(PRICES_MS)
      const prices = await priceOverheads(stage, ours, endedAt)
      const seconds = await burst(stage, COUNT.fourSigners)
      return { backfill, prices, rate: COUNT.fourSigners / seconds, recovery: await recovery(stage, ours) }
    },
  )
  say(`${four.rate.toFixed(1)} packets a second, recovered in ${four.recovery.toFixed(1)} s`)

  const { singles, gas } = one
  return [
    figure('msgs_per_s_1_signer', one.rate, '/s', pattern.rate),
    figure('msgs_per_s_4_signers', four.rate, '/s', pattern.rate),
    figure('overhead_ms_p50', quantile(singles.overheads, 0.5), 'ms', quantile(pattern.overheads, 0.5)),
    figure('overhead_ms_p99', quantile(singles.overheads, 0.99), 'ms', quantile(pattern.overheads, 0.99)),
    figure('missed_first_block_pct', singles.missedPct, '%', pattern.missedPct || null),
    figure('rpc_calls_per_msg', calls, 'calls', pattern.calls),
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
    figure(
      'price_overhead_backlog_ms_p50',
      quantile(four.prices.during, 0.5),
      'ms',
      quantile(four.prices.after, 0.5),
      'the same relayer without the backlog, same run',
    ),
  ]
}

interface OursWish {
  signers: number
  /** Packets on the source before the relayer starts. */
  backlog?: number
  /** Prices are published. */
  publishes?: boolean
  /** RPC calls are counted. */
  counts?: boolean
}

/** Work on a stage with a relayer of ours. */
function withOurs<T>(
  kind: Backend,
  { signers, backlog = 0, publishes = false, counts = false }: OursWish,
  work: (stage: Stage, ours: Ours, counted: () => number) => Promise<T>,
): Promise<T> {
  return onStage('attestor', kind, async (stage, directory, redisUrl, publish) => {
    await stage.release(await stage.prepare(backlog))
    const proxies = counts ? await countingProxies(stage) : undefined
    const at = join(directory, 'relayer')
    mkdirSync(at)
    if (publishes) publish()
    const rpcUrls = proxies?.urls ?? {}
    const ours = await startOurs({ stage, directory: at, signers, redisUrl, rpcUrls })
    try {
      return await work(stage, ours, () => proxies?.calls() ?? 0)
    } finally {
      await ours.stop()
      await proxies?.close()
    }
  })
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
  const transactions = await stage.prepare(count)
  const before = stage.sent().length
  await stage.release(transactions)
  await stage.allDelivered()
  const own = stage.sent().slice(before)
  const first = Math.min(...own.map(({ sentAt }) => sentAt))
  return (Math.max(...own.map(({ deliveredAt }) => deliveredAt!)) - first) / 1000
}

/** Packets one by one: from the source's block to the acceptance of the one transaction that delivers it. */
async function singlePackets(stage: Stage, ours: Ours) {
  for (let i = 0; i < COUNT.single; i++) {
    for (const transaction of await stage.prepare(1)) await stage.submit(transaction)
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

/** From a report's arrival to the acceptance of its transaction on the destination: with packets waiting, and without. */
async function priceOverheads(stage: Stage, ours: Ours, endedAt: number) {
  const { samples } = await ours.status()
  const own = samples.filter(
    ({ label, chainId }) => label === 'price' && chainId === stage.destination.chainId,
  )
  const overheads = (list: typeof own) => list.map(({ dueAt, broadcastAt }) => broadcastAt - dueAt)
  return {
    during: overheads(own.filter(({ broadcastAt }) => broadcastAt < endedAt)),
    after: overheads(own.filter(({ dueAt }) => dueAt >= endedAt)),
  }
}

/** Seconds from the kill, with packets under way and waiting, until the same relayer, started again at once, has delivered them all. */
async function recovery(stage: Stage, ours: Ours): Promise<number> {
  const delivered = stage.deliveredCount()
  await stage.release(await stage.prepare(COUNT.killed))
  while (stage.deliveredCount() === delivered) await pause(5)
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

/** Nodes in front of both chains that count what they are asked. */
async function countingProxies(stage: Stage) {
  const proxies = await Promise.all(
    stage.on.chains.map(async ({ chainId, rpcUrl }) => ({ chainId, ...(await startProxy(rpcUrl)) })),
  )
  const urls: RpcUrls = Object.fromEntries(proxies.map(({ chainId, url }) => [String(chainId), [url]]))
  return {
    urls,
    calls: () => proxies.reduce((sum, { asked }) => sum + asked.length, 0),
    close: () => Promise.all(proxies.map((proxy) => proxy.close())),
  }
}

async function hasRedis(): Promise<boolean> {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' })
  return new Promise((resolve) => {
    child.once('close', () => resolve(true))
    child.once('error', () => resolve(false))
  })
}

/** A redis-server that keeps nothing on disk. */
async function startRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '']
  const child = spawn('redis-server', args, { stdio: 'ignore' })
  const url = `redis://127.0.0.1:${port}`
  const logger = createLogger({ name: 'bench', level: 'silent' })
  for (let tries = 1; ; tries++) {
    try {
      await (await createQueueBackend({ redisUrl: url, clock: systemClock, logger })).close()
      break
    } catch (error) {
      if (tries === REDIS_TRIES) throw error
      await pause(50)
    }
  }
  return {
    url,
    async stop() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
