export {
  createQueueBackend,
  type QueueBackend,
  type QueueBackendOptions,
  type QueueJobData,
} from './backend.js'
export { createLane, type Lane, type LaneOptions } from './lane.js'
export type { DeadLetter, DeadLetterKind } from './processor.js'
