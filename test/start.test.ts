import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClosingReport } from '@clearspan/devnet'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { clearspan, isAlive, recordedChildren, temporaryDirectory } from './clearspan.js'

const RUN_TIMEOUT_MS = 180_000

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

test(
  'the main job: deposits on every chain, trades on the hub, a crash, liquidations, and a report whose checks hold',
  async () => {
    const run = clearspan(dir.path, [
      'start',
      '--exit',
      '--window',
      '4h',
      '--speed',
      '480',
      '--json',
      'report.json',
      '--dir',
      'run',
      '--ports',
      '0,0,0',
    ])
    const { code } = await run.exited
    expect(`${run.stdout()}${run.stderr()}`, 'output').toContain('REPORT')
    const report = JSON.parse(await readFile(join(dir.path, 'report.json'), 'utf8')) as ClosingReport
    expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
    expect(code).toBe(0)
    expect(report.checks.map(({ invariant }) => invariant)).toEqual([1, 1, 2, 5, 7, 8, 9, 13])
    const liquidated = report.accounts.filter((account) => account.liquidated).map(({ name }) => name)
    expect(liquidated).toContain('alice')
    expect(liquidated).not.toContain('erin')
    expect(report.latencies.length).toBeGreaterThan(0)
    expect(report.gas.length).toBeGreaterThan(0)
  },
  RUN_TIMEOUT_MS,
)

test(
  'Ctrl-C half-way ends every child; after a kill -9 the next start cleans up and starts anew',
  async () => {
    const args = ['start', '--exit', '--window', '1h', '--speed', '60', '--dir', 'run', '--ports', '0,0,0']
    const interrupted = clearspan(dir.path, args)
    await interrupted.line(/^oracle: /)
    const first = await recordedChildren(join(dir.path, 'run'))
    expect(first.length).toBeGreaterThanOrEqual(7)
    interrupted.child.kill('SIGINT')
    expect((await interrupted.exited).code).toBe(130)
    expect(first.filter(isAlive)).toEqual([])

    const killed = clearspan(dir.path, args)
    await killed.line(/^oracle: /)
    const orphans = await recordedChildren(join(dir.path, 'run'))
    killed.child.kill('SIGKILL')
    await killed.exited

    const next = clearspan(dir.path, args)
    await next.line(/^chains: /)
    expect(orphans.filter(isAlive)).toEqual([])
    next.child.kill('SIGINT')
    await next.exited
  },
  RUN_TIMEOUT_MS,
)
