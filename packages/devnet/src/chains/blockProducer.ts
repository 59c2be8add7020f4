import type { Clock, Logger } from '@clearspan/shared'
import { everyTick } from '../everyTick.js'
import type { LocalChain } from './localChain.js'

export type ProducibleChain = Pick<LocalChain, 'name' | 'chainId' | 'lastTimestamp' | 'mine'>

export interface BlockProducer {
  /** Silences one chain, or all: its RPC answers, its blocks stop. Resolves when no block of it is under way. */
  halt(chainId?: number): Promise<void>
  /** Ends the silence of one chain, or of all. */
  resume(chainId?: number): void
  /** Resolves when nothing is under way any more. */
  stop(): Promise<void>
}

/**
 * Interval mining for all chains: a block every `intervalMs` real ms, the chains in staggered phases as unrelated
 * chains would be, stamped with the network's time in whole seconds. A block is awaited before the next is due, and
 * ticks that a slow machine missed are dropped, not made up. A chain whose last block already carries the present
 * second waits, so that no block is ever from the future.
 */
export function startBlockProducer(options: {
  chains: readonly ProducibleChain[]
  /** The network's time. */
  clock: Clock
  /** Real ms. */
  intervalMs: number
  logger: Logger
  /** Real time. */
  realClock: Clock
}): BlockProducer {
  const { chains, clock, intervalMs, logger, realClock } = options
  const stopped = new AbortController()
  const start = realClock.now()
  const producers = chains.map((chain, index) => {
    const producer = {
      chainId: chain.chainId,
      halted: false,
      underWay: Promise.resolve(),
      ended: Promise.resolve(),
    }
    const produce = async () => {
      const now = Math.floor(clock.now() / 1000)
      if (producer.halted || now <= chain.lastTimestamp()) return
      try {
        await chain.mine(now)
      } catch (err) {
        if (!stopped.signal.aborted) logger.error({ err, chain: chain.name }, 'a block could not be mined')
      }
    }
    producer.ended = everyTick({
      clock: realClock,
      firstMs: start + ((index + 1) * intervalMs) / chains.length,
      intervalMs,
      signal: stopped.signal,
      run: () => (producer.underWay = produce()),
    })
    return producer
  })
  const chosen = (chainId?: number) =>
    producers.filter((producer) => chainId === undefined || producer.chainId === chainId)

  return {
    async halt(chainId) {
      for (const producer of chosen(chainId)) producer.halted = true
      await Promise.all(chosen(chainId).map((producer) => producer.underWay))
    },
    resume(chainId) {
      for (const producer of chosen(chainId)) producer.halted = false
    },
    async stop() {
      stopped.abort()
      await Promise.all(producers.map((producer) => producer.ended))
    },
  }
}
