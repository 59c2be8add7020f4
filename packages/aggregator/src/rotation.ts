import type { Clock, Logger, OracleNetwork } from '@clearspan/shared'
import type { OracleNodeConfig } from './config.js'
import type { HandoverArchive } from './handover/archive.js'
import type { HandoverCollector } from './handover/collector.js'
import type { Journal } from './observation/journal.js'
import { KEPT_SLOTS } from './report/machine.js'

/** The next epoch's sources are opened so long before its first slot, ms of network time. */
const WARM_UP_MS = 120_000
const LAST_SLOT = 2n ** 64n - 1n

type Range = { first: bigint; last: bigint }

export interface SlotsParameters {
  config: Pick<OracleNodeConfig, 'oracle' | 'firstSeq' | 'lastSeq' | 'next'>
  journal: Pick<Journal, 'successors'>
  archive: Pick<HandoverArchive, 'all'>
}

/**
 * Which slots this node signs for which epoch. A node that has signed a handover, or knows it finished, signs nothing of older epochs from its
 * first slot on, whatever happens to it then: 2f + 1 such promises leave the old epoch no quorum, so no slot has two reports.
 */
export function createSlots({ config, journal, archive }: SlotsParameters) {
  const { oracle, next } = config

  function successors(): { epoch: number; firstSeq: bigint }[] {
    const finished = archive.all().map((one) => ({
      epoch: one.oracle.epoch,
      firstSeq: BigInt(one.firstSeq),
    }))
    const byTimelock =
      next?.by === 'timelock' ? [{ epoch: next.oracle.epoch, firstSeq: BigInt(next.firstSeq) }] : []
    return [...journal.successors(), ...finished, ...byTimelock]
  }

  /** Up to its own last slot, as far as no later epoch has taken them. */
  function range(epoch: number, first = 0, last?: number): Range {
    const firsts = successors().flatMap((one) => (one.epoch > epoch ? one.firstSeq - 1n : []))
    const end = [...firsts, last === undefined ? LAST_SLOT : BigInt(last)].reduce((a, b) => (b < a ? b : a))
    return { first: BigInt(first), last: end }
  }

  return {
    /** Of the present epoch. */
    present(): Range {
      // An epoch that this very node has helped to open begins where that was signed to.
      const own = successors().find(({ epoch }) => epoch === oracle.epoch)
      return range(oracle.epoch, config.firstSeq ?? Number(own?.firstSeq ?? 0), config.lastSeq)
    },
    /** Of the next one; null until it is sure to begin. */
    following(): Range | null {
      if (!next || !successors().some(({ epoch }) => epoch === next.oracle.epoch)) return null
      return range(next.oracle.epoch, next.firstSeq, next.lastSeq)
    },
  }
}

export interface RotationParameters {
  oracle: OracleNetwork
  next: NonNullable<OracleNodeConfig['next']>
  slots: Pick<ReturnType<typeof createSlots>, 'following'>
  /** Absent where no handover is needed. */
  collector: HandoverCollector | undefined
  networkClock: Clock
  logger: Logger
  /** This node's part in the next epoch; null when it leaves. */
  openNext: (() => Promise<void>) | null
  /** The present epoch has had its last slot, and the last signatures of it have come. */
  retire: () => Promise<void>
}

/** Leads one node from its epoch to the next. Resolves when nothing is left to do, or when aborted. */
export async function rotate(parameters: RotationParameters, signal: AbortSignal): Promise<void> {
  const { oracle, next, slots, collector, networkClock, logger } = parameters
  const { slotMs } = oracle
  let openNext = parameters.openNext
  let isRetired = false

  async function step(): Promise<void> {
    await collector?.step()
    const now = networkClock.now()
    if (openNext && now >= next.firstSeq * slotMs - WARM_UP_MS) {
      const open = openNext
      openNext = null
      await open()
    }
    const isOver = now >= (next.firstSeq + Number(KEPT_SLOTS) + 1) * slotMs
    if (!isRetired && isOver && slots.following() !== null) {
      isRetired = true
      await parameters.retire()
    }
  }

  const isDone = () =>
    isRetired && openNext === null && (collector?.status().state ?? 'finished') === 'finished'
  while (!signal.aborted && !isDone()) {
    await step().catch((err: unknown) => logger.error({ err }, 'step to the next epoch failed'))
    await networkClock.sleep(slotMs - (networkClock.now() % slotMs), signal).catch(() => {})
  }
}
