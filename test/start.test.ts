import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../packages/shared/src/queue/redis.test-util.js'
import { leftBehind, playedStory, readReport, rpc, startNetwork, temporaryDirectory } from './clearspan.js'

/** A bound for a busy machine, no expectation. */
const RUN_TIMEOUT_MS = 600_000
const ARGS = ['--window', '1h', '--speed', '480']

const redis = await startRedis('the main job on Redis')
afterAll(() => redis?.stop())

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

test(
  'the main job: deposits on every chain, trades on the hub, a crash, liquidations, a report whose checks hold; then it stays up until Ctrl-C',
  async () => {
    const json = join(dir.path, 'report.json')
    const run = startNetwork(dir.path, ['--window', '2h', '--speed', '480', '--json', json])
    await run.line(/^RUNNING until Ctrl-C/)
    const report = await readReport(run, json)
    expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
    expect(report.checks.map(({ invariant }) => invariant)).toEqual([1, 1, 2, 5, 7, 8, 9, 11, 13])
    const liquidated = report.accounts.filter((account) => account.liquidated).map(({ name }) => name)
    expect(liquidated).toContain('alice')
    expect(liquidated).not.toContain('erin')
    // What expires was listed, and nobody who held it was forgotten.
    expect(report.expiries.map(({ kind }) => kind)).toEqual(['future', 'call', 'put', 'swap'])
    for (const { positions, settledAt, instrument } of report.expiries)
      if (positions.length > 0) expect(settledAt, instrument).not.toBeNull()
    expect(report.latencies.length).toBeGreaterThan(0)
    expect(report.gas.length).toBeGreaterThan(0)
    expect(report.speed).toBe(480)
    expect(Date.parse(report.window.end) - Date.parse(report.window.start)).toBe(2 * 3_600_000)
    // Nothing of the built-in crash was ever traded, and the report says so of each venue.
    expect(report.prices.real).toEqual([])
    for (const venue of ['binance', 'coinbase', 'kraken', 'pyth'])
      expect(report.prices.simulated.filter((line) => line.startsWith(`${venue}: `))).not.toEqual([])

    // What it prints to stay up with is what answers.
    const text = () => run.stdout().slice(run.stdout().indexOf('RUNNING'))
    await expect.poll(text).toMatch(/accounts, funded[\s\S]*frank/)
    for (const rpcUrl of text()
      .match(/chain \d+ .* http:\S+/g)!
      .map((line) => line.split(' ').at(-1)!)) {
      const trader = /alice\s+(0x[0-9a-fA-F]{40})/.exec(text())![1]!
      const vault = /^ {2}vault\s+(0x[0-9a-fA-F]{40})/m.exec(text())![1]!
      expect(BigInt(await rpc(rpcUrl, 'eth_getBalance', [trader, 'latest']))).toBeGreaterThan(0n)
      expect((await rpc(rpcUrl, 'eth_getCode', [vault, 'latest'])).length).toBeGreaterThan(2)
    }
    run.child.kill('SIGINT')
    // The report is done: its checks decide.
    expect(await run.exited).toEqual({ code: 0, signal: null })
    expect(leftBehind(dir.path)).toEqual([])
  },
  RUN_TIMEOUT_MS,
)

test.skipIf(redis === undefined)(
  'the same on Redis',
  async () => {
    const { code, report, output } = await playedStory(dir.path, ARGS, { REDIS_URL: redis!.url })
    expect(output).toContain('relayer and keeper on Redis')
    expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
    expect(code).toBe(0)
    expect(await redis!.keys()).toEqual([])
  },
  RUN_TIMEOUT_MS,
)
