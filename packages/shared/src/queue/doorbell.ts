import { ErrorCode } from 'bullmq'
import type { Random } from '../random.js'
import type { BackendQueue, QueueJobData } from './backend.js'
import type { LaneJob } from './processor.js'

/** Retryable work is retried until the world changes; this only satisfies the queue's counter. */
const ATTEMPTS = 1_000_000
/** Dead letters kept per lane; a doorbell that always fails must not fill the disk. */
const DEAD_LETTERS_KEPT = 1_000

/** 106 random bits, since jobs of earlier runs and of other processes lie in the same queue; the dash because BullMQ takes no number. */
function newJobId(random: Random): string {
  const half = () => Math.floor(random.next() * 2 ** 53).toString(36)
  return `${half()}-${half()}`
}

function addJob(
  queue: Pick<BackendQueue, 'add'>,
  key: string,
  data: QueueJobData,
  jobId: string,
): Promise<LaneJob> {
  return queue.add(key, data, {
    jobId,
    deduplication: { id: key, keepLastIfActive: true },
    attempts: ATTEMPTS,
    backoff: { type: 'custom' },
    removeOnComplete: true,
    removeOnFail: { count: DEAD_LETTERS_KEPT },
  })
}

/**
 * BullMQ keeps the last data only of a job that is active at that instant; one that waits keeps its first. So the waiting job's data
 * is replaced, and since it may start in between, the ring counts only once it is certain that a start after it reads the new data:
 * either the job was still not started after the write, or it was active before a second ring, which BullMQ then stores as its successor
 * (a restart in between would itself have read the data written before).
 */
export async function ringDoorbell(
  queue: Pick<BackendQueue, 'add'>,
  key: string,
  data: QueueJobData,
  random: Random,
): Promise<void> {
  let activeId: string | undefined
  for (;;) {
    const jobId = newJobId(random)
    const job = await addJob(queue, key, data, jobId)
    if (job.id === jobId) return
    if (!(await replaceData(job, data))) continue
    const state = await job.getState()
    if (state === 'waiting' || state === 'delayed' || state === 'prioritized') return
    if (state !== 'active') continue
    if (activeId === job.id) return
    activeId = job.id
  }
}

/** False when the job has ended and is gone. */
async function replaceData(job: LaneJob, data: QueueJobData): Promise<boolean> {
  try {
    await job.updateData(data)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === ErrorCode.JobNotExist) return false
    throw error
  }
}
