import { join } from 'node:path'
import { networkSchema, readJson } from '@clearspan/shared'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readReport, rpc, startNetwork, temporaryDirectory } from '../clearspan.js'

/** A bound for a busy machine, no expectation. */
const RUN_TIMEOUT_MS = 600_000
const ARGS = ['--window', '1h', '--speed', '480']

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

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
