import { type Job, type Processor, UnrecoverableError } from 'bullmq'
import type { Clock } from '../clock.js'
import { AlreadyDoneError, PermanentError, RetryableError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Metrics } from '../metrics.js'
import type { QueueJobData } from './backend.js'

/** An error of no declared kind is a defect: worth a few tries, then a person's eyes. */
const UNEXPECTED_ATTEMPTS = 5

export type LaneJob = Job<QueueJobData, void, string>

export type DeadLetterKind = 'permanent' | 'unexpected' | 'stalled'

/** Work that was given up, and why. */
export interface DeadLetter<T> {
  id: string
  key: string
  data: T
  kind: DeadLetterKind
  /** For people; nothing decides by it. */
  reason: string
  attempts: number
  /** Unix milliseconds of real time. */
  failedAt: number
}

/** What a failing job leaves in its progress, because the queue keeps only the text of its error. */
interface Verdict {
  kind: DeadLetterKind
}

function isVerdict(progress: unknown): progress is Verdict {
  return typeof progress === 'object' && progress !== null && 'kind' in progress
}

/** A job of the failed set as a dead letter; without a verdict its worker died too often. */
export function toDeadLetter<T extends QueueJobData>(job: LaneJob): DeadLetter<T> {
  return {
    id: job.id ?? '',
    key: job.name,
    data: job.data as T,
    kind: isVerdict(job.progress) ? job.progress.kind : 'stalled',
    reason: job.failedReason ?? '',
    attempts: job.attemptsMade,
    failedAt: job.finishedOn ?? 0,
  }
}

export interface ProcessorOptions<T extends QueueJobData> {
  /** The lane's name; no `:`. */
  name: string
  /**
   * Does the work, at least once per ring. Resolve or throw AlreadyDoneError for success, RetryableError to be called again with growing
   * waits, PermanentError for a dead letter. The signal aborts on close and when another worker may have taken the job over.
   */
  process: (data: T, signal: AbortSignal) => Promise<void>
  logger: Logger
  metrics: Metrics
  /** Real time: measures how long jobs take. */
  clock: Clock
}

/** The one place where a lane's errors become outcomes: done, retried, or a dead letter. */
export function createProcessor<T extends QueueJobData>({
  name,
  process,
  logger,
  metrics,
  clock,
}: ProcessorOptions<T>): Processor<QueueJobData, void, string> {
  const outcomes = metrics.counter('lane_jobs_total', 'Jobs by lane and outcome', ['lane', 'outcome'])
  const seconds = metrics.histogram('lane_job_seconds', 'Time in the processor', ['lane'])

  async function giveUp(job: LaneJob, kind: DeadLetterKind, err: Error): Promise<never> {
    await job.updateProgress({ kind } satisfies Verdict)
    outcomes.inc({ lane: name, outcome: `dead-${kind}` })
    logger.error({ err, job: job.name, attempts: job.attemptsMade + 1 }, 'dead letter')
    throw new UnrecoverableError(err.message)
  }

  async function judge(job: LaneJob, error: unknown): Promise<void> {
    if (error instanceof AlreadyDoneError) {
      outcomes.inc({ lane: name, outcome: 'already-done' })
      return
    }
    const err = error instanceof Error ? error : new Error(String(error))
    if (error instanceof PermanentError) return giveUp(job, 'permanent', err)
    const expected = error instanceof RetryableError
    if (!expected && job.attemptsMade + 1 >= UNEXPECTED_ATTEMPTS) return giveUp(job, 'unexpected', err)
    outcomes.inc({ lane: name, outcome: expected ? 'retry' : 'unexpected' })
    logger[expected ? 'debug' : 'error']({ err, job: job.name, attempts: job.attemptsMade + 1 }, 'will retry')
    throw err
  }

  // Three parameters: BullMQ hands a signal only to processors that declare it.
  return async (job, _token, signal) => {
    const startedAt = clock.now()
    try {
      await process(job.data as T, signal ?? new AbortController().signal)
      outcomes.inc({ lane: name, outcome: 'done' })
    } catch (error) {
      await judge(job, error)
    } finally {
      seconds.observe({ lane: name }, (clock.now() - startedAt) / 1000)
    }
  }
}
