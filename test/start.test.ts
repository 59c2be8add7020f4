import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, expect, test } from 'vitest'
import { startRedis } from '../packages/shared/src/queue/redis.test-util.js'
import { clearspan, isAlive, playedStory, recordedChildren, temporaryDirectory } from './clearspan.js'

const RUN_TIMEOUT_MS = 180_000

const redis = await startRedis()
if (redis === undefined) {
  if (process.env.CI === 'true') throw new Error('redis-server is missing: apt-get install redis-server')
  console.warn('SKIP: the main job on Redis: redis-server is not installed')
}
afterAll(() => redis?.stop())

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

test(
  'the main job: deposits on every chain, trades on the hub, a crash, liquidations, and a report whose checks hold',
  async () => {
    const { code, report } = await playedStory(dir.path, ['--window', '4h', '--speed', '480'])
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

test.skipIf(redis === undefined)(
  'the same on Redis',
  async () => {
    const { code, report, output } = await playedStory(dir.path, ['--window', '2h', '--speed', '480'], {
      REDIS_URL: redis!.url,
    })
    expect(output).toContain('relayer and keeper on Redis')
    expect(report.checks.filter(({ holds }) => !holds)).toEqual([])
    expect(code).toBe(0)
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
