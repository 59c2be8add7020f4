import { join } from 'node:path'
import { networkSchema, readJson } from '@clearspan/shared'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../packages/shared/src/queue/redis.test-util.js'
import { leftBehind, playedStory, readReport, startNetwork, temporaryDirectory } from './clearspan.js'

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
    expect(report.checks.map(({ invariant }) => invariant)).toEqual([1, 1, 2, 5, 7, 8, 9, 13])
    const liquidated = report.accounts.filter((account) => account.liquidated).map(({ name }) => name)
    expect(liquidated).toContain('alice')
    expect(liquidated).not.toContain('erin')
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

test(
  'a vault that is robbed fails the check that watches it, and the run: status 1',
  async () => {
    const json = join(dir.path, 'report.json')
    const run = startNetwork(dir.path, ['--exit', '--json', json, ...ARGS])
    await run.line(/^crash: /)
    const { chains } = await readJson(join(dir.path, 'run', 'network.json'), networkSchema)
    const { contracts, tokens, rpcUrls } = chains[0]!
    await rob(rpcUrls[0]!, contracts.vault, tokens.find(({ settlement }) => settlement)!.address)
    const { code } = await run.exited
    const { checks } = await readReport(run, json)
    expect(checks.filter(({ holds }) => !holds).map(({ invariant }) => invariant)).toContain(2)
    expect(code).toBe(1)
    expect(run.stdout()).toMatch(/BROKEN\s+2\. .*USDC on alpha/)
  },
  RUN_TIMEOUT_MS,
)

/** Moves one unit of a token out of a vault, as no contract of ours could. */
async function rob(rpcUrl: string, vault: string, token: string): Promise<void> {
  const transferOne = `0xa9059cbb${'1'.padStart(64, '0')}${'1'.padStart(64, '0')}`
  await rpc(rpcUrl, 'anvil_setBalance', [vault, `0x${(10n ** 18n).toString(16)}`])
  await rpc(rpcUrl, 'anvil_impersonateAccount', [vault])
  await rpc(rpcUrl, 'eth_sendTransaction', [{ from: vault, to: token, data: transferOne, gas: '0x186a0' }])
}

async function rpc(url: string, method: string, params: unknown[]): Promise<string> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
  const { result, error } = (await response.json()) as { result?: string; error?: { message: string } }
  if (error) throw new Error(`${method}: ${error.message}`)
  return result ?? ''
}
