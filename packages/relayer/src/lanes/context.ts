import {
  AlreadyDoneError,
  type Clock,
  createLane,
  type Lane,
  type Logger,
  type Metrics,
  type Network,
  PermanentError,
  type QueueBackend,
  type Random,
  RetryableError,
} from '@clearspan/shared'
import { BaseError } from 'viem'
import type { ChainContext, RelayerKeys } from '../chains/context.js'
import type { RelayerConfig } from '../config.js'
import type { PriceSubscription } from '../prices/subscription.js'
import type { Stages } from '../stages.js'

/** What a job says: `kind` tells which of a lane's works it asks for. Everything else is derived from the chains. */
export type Doorbell = { kind: string }

export interface LaneContext {
  network: Network
  config: RelayerConfig
  keys: RelayerKeys
  chains: readonly ChainContext[]
  hub: ChainContext
  backend: QueueBackend
  prices: PriceSubscription
  stages: Stages
  /** The network's time, by which its blocks are stamped. */
  networkClock: Clock
  /** Real time. */
  clock: Clock
  random: Random
  fetch: typeof globalThis.fetch
  logger: Logger
  metrics: Metrics
}

/** One lane with what wakes it. */
export interface LanePart {
  lane: Lane<Doorbell>
  /** Derives everything again from the chains. */
  sweep(): Promise<void> | void
  /** Why it does nothing, for people; undefined or absent when it works. */
  problem?(): string | undefined
}

/** Longest wait of a retry, in real ms: a doorbell that waits for its retry doesn't start when it is rung. */
export const URGENT_BACKOFF = { firstMs: 100, maxMs: 1_000 }
const BULK_BACKOFF = { firstMs: 250, maxMs: 5_000 }

export interface OpenedLane {
  lane: Lane<Doorbell>
  /** Rings without being waited for; what a lost ring asked for, the next sweep finds. */
  ring(kind: string): void
}

/** Opens a lane whose jobs are one doorbell per kind of work. */
export async function openLane(
  { backend, clock, random, logger, metrics }: LaneContext,
  name: string,
  works: Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>,
  backoff = BULK_BACKOFF,
): Promise<OpenedLane> {
  const lane = await createLane<Doorbell>({
    backend,
    clock,
    random,
    logger,
    metrics,
    name,
    backoff,
    async process({ kind }, signal) {
      const work = works[kind]
      if (work === undefined) throw new PermanentError(`lane ${name} has no work ${kind}`)
      await work(signal).catch((error: unknown) => {
        throw error instanceof BaseError ? new RetryableError(error.shortMessage, { cause: error }) : error
      })
    },
  })
  return {
    lane,
    ring: (kind) => {
      lane.ring(kind, { kind }).catch((err: unknown) => logger.warn({ err, lane: name }, 'ring failed'))
    },
  }
}

/** Throws the first failure that is no success by another's hand. */
export function assertSent(results: readonly PromiseSettledResult<unknown>[]): void {
  const failed = results.find(
    (result): result is PromiseRejectedResult =>
      result.status === 'rejected' && !(result.reason instanceof AlreadyDoneError),
  )
  if (failed) throw failed.reason
}
