import type { Random } from '../random.js'
import { type QueueBackend, type QueueJobData, STALLED_ATTEMPTS } from './backend.js'
import { createBells } from './bells.js'
import { ringDoorbell } from './doorbell.js'
import { createProcessor, type DeadLetter, type ProcessorOptions, toDeadLetter } from './processor.js'

const BACKOFF = { firstMs: 250, maxMs: 30_000 }
/** A job is restarted elsewhere when its worker has not been heard for so long, in real milliseconds. */
const LOCK_MS = 6_000
const STALL_CHECK_MS = 2_000
/** Nobody else has the embedded queue: what a killed process left is taken up as it opens, and what a slow one holds is nobody's to take. */
const EMBEDDED_LOCK = { lockDuration: 3_600_000, skipStalledCheck: true }

/** One queue and one worker at a time: jobs of a lane never overlap, lanes never wait on one another. */
export interface Lane<T extends QueueJobData> {
  readonly name: string
  /**
   * Asks for the work of `key`. While it waits (or waits to be retried) a second ring only replaces its data; while it runs, it
   * runs once more afterwards with the last data. Resolves when the queue holds the request.
   * @throws TypeError for data that is not strings or holds U+0000, which the embedded queue can't store.
   */
  ring(key: string, data: T): Promise<void>
  /** Newest first. */
  deadLetters(limit?: number): Promise<DeadLetter<T>[]>
  /** Rings a dead letter's key again with its data, unless newer work for that key is queued already. False when there is no such letter. */
  replay(id: string): Promise<boolean>
  counts(): Promise<{ waiting: number; active: number; delayed: number; dead: number }>
  /** Aborts the running job's signal, waits for it, and ends. Idempotent. */
  close(): Promise<void>
}

export interface LaneOptions<T extends QueueJobData> extends ProcessorOptions<T> {
  backend: QueueBackend
  /** Names jobs: must repeat itself neither after a restart nor in another process of the same queue. */
  random: Random
  /** First and longest wait before a retry, in real milliseconds; it doubles in between. */
  backoff?: { firstMs: number; maxMs: number }
}

/** Opens a lane, one of a name in a process. On Redis one job of a lane runs at a time among all processes; embedded there is only this one. */
export async function createLane<T extends QueueJobData>(options: LaneOptions<T>): Promise<Lane<T>> {
  const { backend, name, random, backoff = BACKOFF } = options
  const logger = options.logger.child({ lane: name })
  const queue = backend.queue(name)
  await queue.waitUntilReady()
  // Embedded, one worker of concurrency 1 is enough; there, a global limit makes idle workers spin (BullMQ 6.7).
  if (backend.kind === 'redis') await queue.setGlobalConcurrency(1)
  const bells = createBells((key, data) => ringDoorbell(queue, key, data, random), {
    seesAll: backend.kind === 'embedded',
  })
  const process = createProcessor({ ...options, logger })
  const work: typeof process = (job, token, signal) => {
    bells.started(job.name)
    return process(job, token, signal)
  }
  const worker = backend.worker(name, work, {
    concurrency: 1,
    ...(backend.kind === 'embedded' ? EMBEDDED_LOCK : { lockDuration: LOCK_MS }),
    stalledInterval: STALL_CHECK_MS,
    maxStalledCount: STALLED_ATTEMPTS,
    settings: {
      backoffStrategy: (attemptsMade) => Math.min(backoff.maxMs, backoff.firstMs * 2 ** (attemptsMade - 1)),
    },
  })
  worker.on('lockRenewalFailed', (ids) => {
    for (const id of ids) worker.cancelJob(id, 'lock lost')
  })
  // Failed without a start: its process was killed too often.
  worker.on('failed', (job) => {
    if (job !== undefined) bells.started(job.name)
  })
  await worker.waitUntilReady()

  async function ring(key: string, data: QueueJobData): Promise<void> {
    assertStorable(data)
    await bells.ring(key, data)
  }
  let closing: Promise<void> | undefined
  return {
    name,
    ring,
    deadLetters: async (limit = 100) => (await queue.getFailed(0, limit - 1)).map(toDeadLetter<T>),
    async replay(id) {
      const job = await queue.getJob(id)
      if (job === undefined || (await job.getState()) !== 'failed') return false
      if ((await queue.getDeduplicationJobId(job.name)) === null) await ring(job.name, job.data)
      await job.remove()
      return true
    },
    async counts() {
      const { waiting = 0, active = 0, delayed = 0, failed = 0 } = await queue.getJobCounts()
      return { waiting, active, delayed, dead: failed }
    },
    close() {
      closing ??= (async () => {
        worker.cancelAllJobs('closing')
        await worker.close()
        await queue.close()
      })()
      return closing
    },
  }
}

function assertStorable(data: QueueJobData): void {
  for (const [field, value] of Object.entries(data)) {
    if (typeof value !== 'string' || value.includes('\u0000'))
      throw new TypeError(`job field ${field} must be a string without U+0000`)
  }
}
