export {
  createQueueBackend,
  forgetQueues,
  type QueueBackend,
  type QueueBackendOptions,
  type QueueJobData,
  queueNamespace,
} from './backend.js'
export { createLane, type Lane, type LaneOptions } from './lane.js'
export type { DeadLetter, DeadLetterKind } from './processor.js'
