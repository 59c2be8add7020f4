import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { isAlive, leftBehind, recordedChildren, startNetwork, temporaryDirectory } from './clearspan.js'

/** A bound for a busy machine, no expectation. */
const TIMEOUT_MS = 300_000
const INTERRUPTED = 130
const ARGS = ['--exit', '--window', '1h', '--speed', '60']

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
beforeEach(async () => {
  dir = await temporaryDirectory()
})
afterEach(() => dir.remove())

describe('Ctrl-C ends every child', () => {
  test.each([
    ['before anything runs', /^prices: /],
    ['while the chains boot', /^starting the chains/],
    ['while contracts are deployed', /^chains: /],
    ['while the nodes boot', /^starting the oracle/],
    ['while the relayer boots', /^starting the relayer/],
    ['in the midst of the story', /^deposits: \d+ made/],
  ])(
    '%s',
    async (_, line) => {
      const run = startNetwork(dir.path, ARGS)
      await run.line(line)
      run.child.kill('SIGINT')
      expect(await run.exited).toEqual({ code: INTERRUPTED, signal: null })
      expect(leftBehind(dir.path)).toEqual([])
      expect(run.stderr()).toBe('')
    },
    TIMEOUT_MS,
  )

  test(
    'though a chain no longer answers and transactions are stuck',
    async () => {
      const run = startNetwork(dir.path, ARGS)
      await run.line(/^prices: first signed report/)
      process.kill((await recordedChildren(dir.path)).get('chain-beta')!, 'SIGSTOP')
      run.child.kill('SIGINT')
      expect(await run.exited).toEqual({ code: INTERRUPTED, signal: null })
      expect(leftBehind(dir.path)).toEqual([])
    },
    TIMEOUT_MS,
  )

  test(
    'at once when it comes a second time',
    async () => {
      const run = startNetwork(dir.path, ARGS)
      await run.line(/^chains: /)
      const children = await recordedChildren(dir.path)
      // Asked politely it would not end before it is killed.
      process.kill(children.get('chain-beta')!, 'SIGSTOP')
      run.child.kill('SIGINT')
      await run.line(/^stopping/)
      run.child.kill('SIGINT')
      expect(await run.exited).toEqual({ code: INTERRUPTED, signal: null })
      await expect.poll(() => [...children.values()].filter(isAlive), { timeout: 10_000 }).toEqual([])
    },
    TIMEOUT_MS,
  )
})

test.each([
  ['while contracts are deployed', /^chains: /],
  ['in the midst of the story', /^deposits: \d+ made/],
])(
  'a chain that dies %s ends the run, by one line that names it',
  async (_, line) => {
    const run = startNetwork(dir.path, ARGS)
    await run.line(line)
    process.kill((await recordedChildren(dir.path)).get('chain-beta')!, 'SIGKILL')
    expect(await run.exited).toEqual({ code: 1, signal: null })
    expect(run.stderr()).toMatch(/^error: chain-beta ended by itself; see \S*chain-beta\.log\n$/)
    expect(leftBehind(dir.path)).toEqual([])
  },
  TIMEOUT_MS,
)

test(
  'after a kill -9 the next start cleans up and starts anew',
  async () => {
    const killed = startNetwork(dir.path, ARGS)
    // The relayer is the last to start: one that is killed between a start and its record leaves a child to end by itself.
    await killed.line(/^relayer and keeper/)
    const orphans = [...(await recordedChildren(dir.path)).values()]
    expect(orphans.length).toBeGreaterThanOrEqual(8)
    killed.child.kill('SIGKILL')
    await killed.exited

    const next = startNetwork(dir.path, ARGS)
    await next.line(/^chains: /)
    expect(orphans.filter(isAlive)).toEqual([])
    next.child.kill('SIGINT')
    await next.exited
    expect(leftBehind(dir.path)).toEqual([])
  },
  TIMEOUT_MS,
)
