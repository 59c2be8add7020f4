import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { AlreadyDoneError, PermanentError, RetryableError } from '../errors.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { systemRandom } from '../random.js'
import { createQueueBackend, type QueueBackend } from './backend.js'
import { createLane, type Lane } from './lane.js'
import { startRedis } from './redis.test-util.js'

type Data = { upTo: string }

const logger = createLogger({ name: 'test', level: 'silent' })
const redis = await startRedis('lanes on Redis')
afterAll(() => redis?.stop())

/** A processor that the test steps through: each call waits until the test answers it. */
function stepped() {
  const calls: { data: Data; signal: AbortSignal; answer: (error?: Error) => void }[] = []
  const waiting: ((call: (typeof calls)[number]) => void)[] = []
  return {
    process: (data: Data, signal: AbortSignal) =>
      new Promise<void>((resolve, reject) => {
        const call = { data, signal, answer: (error?: Error) => (error ? reject(error) : resolve()) }
        const waiter = waiting.shift()
        if (waiter) waiter(call)
        else calls.push(call)
      }),
    next: () =>
      new Promise<(typeof calls)[number]>((resolve) => {
        const call = calls.shift()
        if (call) resolve(call)
        else waiting.push(resolve)
      }),
    idle: () => calls.length === 0,
  }
}

for (const kind of ['embedded', 'redis'] as const)
  describe.skipIf(kind === 'redis' && redis === undefined)(`lane on ${kind}`, () => {
    let backend: QueueBackend
    const lanes: Lane<Data>[] = []
    let count = 0
    const metrics = createMetrics()

    beforeAll(async () => {
      backend = await createQueueBackend({
        redisUrl: kind === 'redis' ? redis?.url : undefined,
        clock: systemClock,
        logger,
      })
    })
    afterEach(async () => {
      for (const lane of lanes.splice(0)) await lane.close()
    })
    afterAll(() => backend.close())

    async function open(
      process: (data: Data, signal: AbortSignal) => Promise<void>,
      name = `lane-${++count}`,
    ) {
      const lane = await createLane<Data>({
        backend,
        name,
        process,
        logger,
        metrics,
        clock: systemClock,
        random: systemRandom,
        backoff: { firstMs: 20, maxMs: 40 },
      })
      lanes.push(lane)
      return lane
    }
    const quiet = (lane: Lane<Data>) =>
      expect
        .poll(() => lane.counts(), { timeout: 10_000 })
        .toMatchObject({ waiting: 0, active: 0, delayed: 0 })

    test('kind', () => expect(backend.kind).toBe(kind))

    test('rings while active collapse into one more run with the last data', async () => {
      const steps = stepped()
      const lane = await open(steps.process)
      await lane.ring('path', { upTo: '1' })
      const first = await steps.next()
      for (const upTo of ['2', '3', '4']) await lane.ring('path', { upTo })
      first.answer()
      const second = await steps.next()
      expect([first.data.upTo, second.data.upTo]).toEqual(['1', '4'])
      second.answer()
      await quiet(lane)
      expect(steps.idle()).toBe(true)
    })

    test('rings while waiting replace the data, in order among keys, never overlapping', async () => {
      const steps = stepped()
      const lane = await open(steps.process)
      await lane.ring('busy', { upTo: '0' })
      const busy = await steps.next()
      await lane.ring('a', { upTo: '1' })
      await lane.ring('b', { upTo: '1' })
      await lane.ring('a', { upTo: '9' })
      expect(steps.idle()).toBe(true)
      busy.answer()
      const a = await steps.next()
      a.answer()
      const b = await steps.next()
      b.answer()
      expect([a.data.upTo, b.data.upTo]).toEqual(['9', '1'])
      await quiet(lane)
    })

    test('no ring is lost when rings race with starts and ends', async () => {
      const seen: number[] = []
      const lane = await open(async ({ upTo }) => void seen.push(Number(upTo)))
      for (let n = 1; n <= 40; n++) {
        await lane.ring('path', { upTo: String(n) })
        if (n % 8 === 0) await expect.poll(() => seen.at(-1), { interval: 1 }).toBe(n)
      }
      await quiet(lane)
      expect(seen.at(-1)).toBe(40)
      expect([...seen].sort((x, y) => x - y)).toEqual(seen)
    })

    test('working off a backlog lets timers and sockets run in between', async () => {
      let ticks = 0
      let started = false
      const done: number[] = []
      const lane = await open(async () => {
        if (!started) {
          started = true
          const tick = () => {
            ticks++
            if (done.length < 30) setImmediate(tick)
          }
          setImmediate(tick)
        }
        done.push(ticks)
      })
      await Promise.all(Array.from({ length: 30 }, (_, n) => lane.ring(`key-${n}`, { upTo: String(n) })))
      await quiet(lane)
      expect(done).toHaveLength(30)
      // Every job saw the event loop turn since the one before.
      expect(new Set(done).size).toBe(30)
    })

    test('retryable is retried with the newest data until it succeeds', async () => {
      const steps = stepped()
      const lane = await open(steps.process)
      await lane.ring('path', { upTo: '1' })
      for (let n = 0; n < 4; n++) (await steps.next()).answer(new RetryableError('not yet'))
      const last = await steps.next()
      await lane.ring('path', { upTo: '2' })
      last.answer(new RetryableError('not yet'))
      const again = await steps.next()
      expect(again.data.upTo).toBe('2')
      again.answer(new AlreadyDoneError('someone was faster'))
      const successor = await steps.next()
      expect(successor.data.upTo).toBe('2')
      successor.answer()
      await quiet(lane)
      expect(await lane.deadLetters()).toEqual([])
      expect(await metrics.text()).toMatch(
        new RegExp(
          `lane="${lane.name}",outcome="already-done"\\} 1|outcome="already-done",lane="${lane.name}"\\} 1`,
        ),
      )
    })

    test('permanent is a typed dead letter, which a replay rings again', async () => {
      let broken = true
      const done: string[] = []
      const lane = await open(async ({ upTo }) => {
        if (broken) throw new PermanentError('peer is not set')
        done.push(upTo)
      })
      await lane.ring('path', { upTo: '7' })
      await expect.poll(async () => (await lane.counts()).dead).toBe(1)
      const [letter] = await lane.deadLetters()
      expect(letter).toMatchObject({
        key: 'path',
        data: { upTo: '7' },
        kind: 'permanent',
        reason: 'peer is not set',
        attempts: 1,
      })
      expect(Math.abs(Date.now() - letter!.failedAt)).toBeLessThan(60_000)
      expect(await lane.replay('nobody')).toBe(false)
      broken = false
      expect(await lane.replay(letter!.id)).toBe(true)
      await expect.poll(() => done).toEqual(['7'])
      await quiet(lane)
      expect(await lane.deadLetters()).toEqual([])
    })

    test('a replay yields to newer work for the same key', async () => {
      const steps = stepped()
      const lane = await open(steps.process)
      await lane.ring('path', { upTo: '1' })
      ;(await steps.next()).answer(new PermanentError('no'))
      await expect.poll(async () => (await lane.counts()).dead).toBe(1)
      await lane.ring('path', { upTo: '2' })
      const newer = await steps.next()
      const [letter] = await lane.deadLetters()
      expect(await lane.replay(letter!.id)).toBe(true)
      newer.answer()
      await quiet(lane)
      expect(steps.idle()).toBe(true)
      expect((await lane.counts()).dead).toBe(0)
    })

    test('an error of no declared kind is tried a few times, then a dead letter', async () => {
      let calls = 0
      const lane = await open(async () => {
        calls++
        throw new TypeError('a defect')
      })
      await lane.ring('path', { upTo: '1' })
      await expect.poll(async () => (await lane.counts()).dead, { timeout: 10_000 }).toBe(1)
      expect(calls).toBe(5)
      expect(await lane.deadLetters()).toMatchObject([{ kind: 'unexpected', attempts: 5 }])
    })

    test('only storable strings are taken', async () => {
      const lane = await open(async () => {})
      await expect(lane.ring('k', { upTo: 1 as unknown as string })).rejects.toThrow(TypeError)
      await expect(lane.ring('k', { upTo: '\u0000' })).rejects.toThrow(TypeError)
    })

    test('close aborts the running job; what it left undone is done after reopening', async () => {
      const steps = stepped()
      const lane = await open(async (_, signal) => {
        await new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(new RetryableError('closing')))
          void steps.process({ upTo: '' }, signal)
        })
      }, 'reopened')
      await lane.ring('path', { upTo: '5' })
      await steps.next()
      await lane.close()
      await lane.close()
      const again = stepped()
      const reopened = await open(again.process, 'reopened')
      const call = await again.next()
      expect(call.data.upTo).toBe('5')
      call.answer()
      await quiet(reopened)
    })
  })
