// The main job, measured from outside: how soon it liquidates, what the relayer adds to a chain's own time, what it weighs.
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { iLiquidationAuctionAbi } from '@clearspan/contracts'
import { type LocalNetwork, playStory, startLocalNetwork } from '@clearspan/devnet'
import { createLogger, systemClock, systemRandom } from '@clearspan/shared'
import { parseGwei } from 'viem'

/** Short, and deep enough to liquidate: the steepest four hours of the built-in crash. */
const WINDOW = '4h'
const SPEED = 480
/** Bare transactions that the relayer's overhead is held against. */
const BARE_SENDS = 20
const NO_BASELINE = { baseline: null, baselineIs: null }
const RSS_SAMPLE_MS = 1_000

interface Sample {
  label: string
  readyAt: number
  broadcastAt: number
  missedFirstBlock: boolean
}

export default async function measure(say: (line: string) => void) {
  if (process.platform !== 'linux') throw new Error('memory is read from /proc, on Linux only')
  const dir = await mkdtemp(join(tmpdir(), 'clearspan-bench-'))
  const logger = createLogger({ name: 'bench', level: 'error' })
  const began = Date.now()
  let network: LocalNetwork | undefined
  const stop = new AbortController()
  try {
    network = await startLocalNetwork({
      dir,
      ports: [0, 0, 0],
      window: WINDOW,
      speed: SPEED,
      program: {
        command: process.execPath,
        args: [fileURLToPath(new URL('../packages/cli/dist/main.js', import.meta.url))],
      },
      env: process.env,
      logger,
      realClock: systemClock,
      random: systemRandom,
      signal: stop.signal,
      onProgress: say,
    })
    const booted = Date.now()
    const firstLiquidation = watchFirstLiquidation(network, stop.signal)
    const rss = watchMemory(dir, stop.signal)
    await playStory({ network, logger, onProgress: say, signal: stop.signal })
    const bare = await bareSends(network)
    const samples = await relayedBy(network)
    stop.abort()
    const liquidatedAt = await firstLiquidation
    if (liquidatedAt === undefined) throw new Error('the crash liquidated nobody')
    return [
      { name: 'boot.first_liquidation_s', value: (liquidatedAt - began) / 1000, unit: 's', ...NO_BASELINE },
      { name: 'boot.network_s', value: (booted - began) / 1000, unit: 's', ...NO_BASELINE },
      ...overhead('deposit', samples, bare),
      ...overhead('price', samples, bare),
      { name: 'run.rss_mb', value: await rss, unit: 'MB', ...NO_BASELINE },
    ]
  } finally {
    stop.abort()
    await network?.stop()
    await rm(dir, { recursive: true, force: true })
  }
}

/** What relayer and keeper have sent, one process or two. */
async function relayedBy({ relayerUrl, keeperUrl }: LocalNetwork): Promise<Sample[]> {
  const statuses = await Promise.all(
    [...new Set([relayerUrl, keeperUrl])].map(async (url) => (await fetch(`${url}/status`)).json()),
  )
  return (statuses as { samples: Sample[] }[]).flatMap(({ samples }) => samples)
}

/** Ready to send → broadcast accepted; the baseline is a bare signed transaction to the same chain, in the same run. */
function overhead(label: string, samples: readonly Sample[], bare: number) {
  const own = samples.filter((sample) => sample.label === label)
  if (own.length === 0) throw new Error(`the relayer sent no ${label} transaction`)
  const missed = own.filter(({ missedFirstBlock }) => missedFirstBlock).length
  return [
    {
      name: `${label}.relay_overhead_ms`,
      value: median(own.map(({ readyAt, broadcastAt }) => broadcastAt - readyAt)),
      unit: 'ms',
      baseline: bare,
      baselineIs: 'a bare signed transfer to the same chain, same run',
    },
    {
      name: `${label}.missed_first_block_pct`,
      value: (100 * missed) / own.length,
      unit: '%',
      ...NO_BASELINE,
    },
  ]
}

/** Median real ms to sign a transfer and have it accepted. */
async function bareSends(network: LocalNetwork): Promise<number> {
  const { client, chainId } = network.chains[0]!
  const { account } = network.roles.underwriter
  const nonce = await client.getTransactionCount({ address: account.address, blockTag: 'pending' })
  const times: number[] = []
  for (let i = 0; i < BARE_SENDS; i++) {
    const started = performance.now()
    const serializedTransaction = await account.signTransaction({
      type: 'eip1559',
      chainId,
      nonce: nonce + i,
      to: account.address,
      gas: 21_000n,
      maxFeePerGas: parseGwei('100'),
      maxPriorityFeePerGas: parseGwei('1'),
    })
    await client.sendRawTransaction({ serializedTransaction })
    times.push(performance.now() - started)
  }
  return median(times)
}

/** Real ms at which the first auction was seen, or undefined when none was before the signal. */
async function watchFirstLiquidation(
  network: LocalNetwork,
  signal: AbortSignal,
): Promise<number | undefined> {
  while (!signal.aborted) {
    const logs = await network.chains[0]!.client.getContractEvents({
      address: network.manifest.hub.contracts.liquidationAuction,
      abi: iLiquidationAuctionAbi,
      eventName: 'AuctionStarted',
      fromBlock: network.firstBlock,
    })
    if (logs.length > 0) return Date.now()
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return undefined
}

/** Largest resident memory of this process and every child together, MB. */
async function watchMemory(dir: string, signal: AbortSignal): Promise<number> {
  let largest = 0
  while (!signal.aborted) {
    const { children } = JSON.parse(await readFile(join(dir, 'run.json'), 'utf8')) as {
      children: { pid: number }[]
    }
    const sizes = await Promise.all([process.pid, ...children.map(({ pid }) => pid)].map(residentKb))
    largest = Math.max(largest, sizes.reduce((a, b) => a + b, 0) / 1024)
    await new Promise((resolve) => setTimeout(resolve, RSS_SAMPLE_MS))
  }
  return largest
}

async function residentKb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0)
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)]!
}
