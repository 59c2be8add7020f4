import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../clock.js'
import { UserError } from '../errors.js'
import { createLogger } from '../logger.js'
import { createMetrics } from '../metrics.js'
import { systemRandom } from '../random.js'
import { createQueueBackend } from './backend.js'
import { createLane } from './lane.js'
import { freePort } from './redis.test-util.js'

const clock = systemClock
const logger = createLogger({ name: 'test', level: 'silent' })
let dir = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'clearspan-queue-'))
})
afterAll(() => rm(dir, { recursive: true }))

test.each(['localhost:6379', 'http://localhost', 'redis://bad host'])(
  '%s is no Redis URL',
  async (redisUrl) => {
    await expect(createQueueBackend({ redisUrl, clock, logger })).rejects.toMatchObject({
      name: 'UserError',
      field: 'REDIS_URL',
    })
  },
)

test('an unreachable Redis is one clear error', async () => {
  const redisUrl = `redis://127.0.0.1:${await freePort()}`
  await expect(createQueueBackend({ redisUrl, clock, logger })).rejects.toThrow(/REDIS_URL.*ECONNREFUSED/)
})

test('a server that never answers is one clear error, and the connection is dropped', async () => {
  const sockets: Socket[] = []
  const server = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const connected = once(server, 'connection')
  // Its patience ends once the server has let it in.
  const hasty = { ...systemClock, sleep: async () => void (await connected) }
  const redisUrl = `redis://127.0.0.1:${port}`
  await expect(createQueueBackend({ redisUrl, clock: hasty, logger })).rejects.toMatchObject({
    field: 'REDIS_URL',
  })
  const [socket] = sockets
  if (!socket?.closed) {
    socket?.resume()
    await once(socket!, 'close')
  }
  server.close()
})

test('the embedded queue keeps work across restarts, alone in its directory', async () => {
  const dataDir = join(dir, 'embedded')
  const backend = await createQueueBackend({ dataDir, clock, logger })
  await expect(createQueueBackend({ dataDir, clock, logger })).rejects.toThrow(UserError)
  const queue = backend.queue('kept')
  await queue.add('path', { upTo: '3' })
  await backend.close()
  await backend.close()

  // What a killed process leaves behind: a lock of a process that is gone (this id, started long ago).
  await writeFile(join(dataDir, 'lock'), `${process.pid} 1`)
  const reopened = await createQueueBackend({ dataDir, clock, logger })
  const done = new Promise<string>((resolve, reject) => {
    createLane<{ upTo: string }>({
      backend: reopened,
      name: 'kept',
      process: async ({ upTo }) => resolve(upTo),
      logger,
      metrics: createMetrics(),
      clock,
      random: systemRandom,
    }).catch(reject)
  })
  expect(await done).toBe('3')
  await reopened.close()
  await expect(readFile(join(dataDir, 'lock'))).rejects.toMatchObject({ code: 'ENOENT' })
})

test('a job that was active when the embedded queue was killed waits again as soon as it is opened', async () => {
  const [dataDir, found] = [join(dir, 'killed'), join(dir, 'found')]
  const backend = await createQueueBackend({ dataDir, clock, logger })
  let finish = () => {}
  const finished = new Promise<void>((resolve) => {
    finish = resolve
  })
  const queue = backend.queue('active')
  await new Promise<void>((resolve) => {
    const process = async () => {
      resolve()
      await finished
    }
    backend.worker('active', process, { concurrency: 1, lockDuration: 600_000 })
    void queue.add('path', {})
  })
  await cp(dataDir, found, { recursive: true })
  await rm(join(found, 'lock'))
  finish()
  await backend.close()

  const reopened = await createQueueBackend({ dataDir: found, clock, logger })
  expect(await reopened.queue('active').getJobCounts('active', 'waiting')).toEqual({ active: 0, waiting: 1 })
  await reopened.close()
})

test('a directory that can not be one is refused by name', async () => {
  const file = join(dir, 'file')
  await writeFile(file, '')
  await expect(createQueueBackend({ dataDir: join(file, 'sub'), clock, logger })).rejects.toMatchObject({
    field: join(file, 'sub'),
  })
})
