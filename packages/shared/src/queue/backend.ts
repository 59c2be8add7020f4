import {
  createPostgresBackend,
  type Job,
  type Processor,
  Queue,
  Worker,
  type WorkerOptions,
  withBackend,
} from 'bullmq'
import { Redis } from 'ioredis'
import type { Hex } from 'viem'
import type { Clock } from '../clock.js'
import { UserError } from '../errors.js'
import type { Logger } from '../logger.js'
import { openPglitePool } from './pglite-pool.js'

/** A job that takes its process down this often is a dead letter. */
export const STALLED_ATTEMPTS = 5
/** Longest wait for the first answer of Redis, in real milliseconds. */
const REDIS_TIMEOUT_MS = 2_500

export type QueueJobData = Record<string, string>

/** What is used of a BullMQ queue, whatever lies beneath it. */
export type BackendQueue = Pick<
  Queue<QueueJobData, void, string>,
  | 'name'
  | 'add'
  | 'close'
  | 'getFailed'
  | 'getJob'
  | 'getJobCounts'
  | 'getDeduplicationJobId'
  | 'setGlobalConcurrency'
  | 'waitUntilReady'
>

/** What is used of a BullMQ worker, whatever lies beneath it. */
export interface BackendWorker
  extends Pick<Worker, 'close' | 'cancelJob' | 'cancelAllJobs' | 'waitUntilReady'> {
  on(event: 'lockRenewalFailed', listener: (jobIds: string[]) => void): unknown
  on(event: 'failed', listener: (job: Job | undefined, error: Error) => void): unknown
}

export type BackendWorkerOptions = Omit<WorkerOptions, 'connection' | 'prefix'>

/** Where jobs lie: on Redis, shared by processes and machines, or embedded in this process. */
export interface QueueBackend {
  readonly kind: 'redis' | 'embedded'
  /** A queue by name; no `:` in it. */
  queue(name: string): BackendQueue
  worker(
    name: string,
    processor: Processor<QueueJobData, void, string>,
    options: BackendWorkerOptions,
  ): BackendWorker
  /** Closes every queue and worker made here, then the connection. Waits for jobs in progress. Idempotent. */
  close(): Promise<void>
}

export interface QueueBackendOptions {
  /** `redis://` or `rediss://`; absent: embedded. */
  redisUrl?: string | undefined
  /** Directory of the embedded queue; absent: in memory. Not used on Redis. */
  dataDir?: string | undefined
  /** First part of every key on Redis, so that two networks can share one; the embedded queue is one network's own. */
  namespace?: string
  /** Real time. */
  clock: Clock
  logger: Logger
}

/**
 * Opens the queue backend: Redis when a URL is given, else PostgreSQL in this process.
 * @throws UserError('REDIS_URL') within about three seconds when Redis can't be used; UserError(dataDir) when the directory can't.
 */
export async function createQueueBackend(options: QueueBackendOptions): Promise<QueueBackend> {
  return options.redisUrl === undefined ? openEmbedded(options) : openRedis(options, options.redisUrl)
}

interface Closable {
  close(): Promise<unknown>
  on(event: 'error', listener: (error: Error) => void): unknown
}

/** Keeps what a backend handed out, so that nothing outlives it. */
function closables(logger: Logger, closeConnection: () => Promise<unknown>) {
  const queues: Closable[] = []
  const workers: Closable[] = []
  let closing: Promise<void> | undefined
  async function close() {
    await Promise.all(workers.map((worker) => worker.close()))
    await Promise.all(queues.map((queue) => queue.close()))
    await closeConnection()
  }
  function keep<C extends Closable>(list: Closable[], part: C): C {
    part.on('error', (err) => logger.warn({ err }, 'queue error'))
    list.push(part)
    return part
  }
  return {
    queue: <C extends Closable>(part: C) => keep(queues, part),
    worker: <C extends Closable>(part: C) => keep(workers, part),
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

async function openEmbedded({ dataDir, clock, logger }: QueueBackendOptions): Promise<QueueBackend> {
  const connection = await openPglitePool({ dataDir, clock, logger, stalledAttempts: STALLED_ATTEMPTS })
  const Embedded = withBackend(createPostgresBackend)
  const open = closables(logger, () => connection.end())
  return {
    kind: 'embedded',
    queue: (name) => open.queue(new Embedded.Queue<QueueJobData, void, string>(name, { connection })),
    worker: (name, processor, options) =>
      open.worker(new Embedded.Worker(name, processor, { ...options, connection })),
    close: open.close,
  }
}

/** Connects and asks once; a server that is absent, refuses, or is not Redis is the person's to mend. */
async function connectRedis(
  url: string,
  { clock, logger }: Pick<QueueBackendOptions, 'clock' | 'logger'>,
): Promise<Redis> {
  if (!/^rediss?:\/\//.test(url) || !URL.canParse(url))
    throw new UserError('REDIS_URL', 'must look like redis://host:6379 (rediss:// for TLS)')
  let connected = false
  const redis = new Redis(url, {
    lazyConnect: true,
    connectTimeout: REDIS_TIMEOUT_MS,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => (connected ? Math.min(times * 100, 2_000) : null),
  })
  let cause: Error | undefined
  redis.on('error', (err) => {
    if (connected) logger.warn({ err }, 'redis connection error')
    else cause = err
  })
  const over = new AbortController()
  try {
    await Promise.race([
      redis.connect().then(() => redis.ping()),
      clock.sleep(REDIS_TIMEOUT_MS, over.signal).then(() => {
        throw new Error(`no answer in ${REDIS_TIMEOUT_MS} ms`)
      }),
    ])
  } catch (error) {
    redis.disconnect()
    const reason = (cause ?? error) as Error
    throw new UserError(
      'REDIS_URL',
      `Redis can't be used (${reason.message}): start it, correct the URL, or unset it for the embedded queue`,
    )
  } finally {
    over.abort()
  }
  connected = true
  return redis
}

/** First part of a network's keys on Redis. */
export function queueNamespace(networkId: Hex): string {
  return `clearspan-${networkId.slice(2, 10)}`
}

/** Deletes all that a network has left on Redis, once nothing of it runs any more. @throws UserError('REDIS_URL') when Redis can't be used. */
export async function forgetQueues(
  redisUrl: string,
  { namespace, ...options }: { namespace: string; clock: Clock; logger: Logger },
): Promise<void> {
  const redis = await connectRedis(redisUrl, options)
  try {
    for await (const keys of redis.scanStream({ match: `${namespace}:*`, count: 1_000 }))
      if ((keys as string[]).length > 0) await redis.unlink(...(keys as string[]))
  } finally {
    redis.disconnect()
  }
}

async function openRedis(
  { namespace = 'clearspan', clock, logger }: QueueBackendOptions,
  url: string,
): Promise<QueueBackend> {
  const connection = await connectRedis(url, { clock, logger })
  const open = closables(logger, async () => connection.disconnect())
  return {
    kind: 'redis',
    queue: (name) =>
      open.queue(new Queue<QueueJobData, void, string>(name, { connection, prefix: namespace })),
    worker: (name, processor, options) =>
      open.worker(new Worker(name, processor, { ...options, connection, prefix: namespace })),
    close: open.close,
  }
}
