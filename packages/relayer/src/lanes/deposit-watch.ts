import { collateralVaultAbi } from '@clearspan/contracts'
import type { Address } from 'viem'
import { createBackoff } from '../backoff.js'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import type { LaneContext } from './context.js'

/** A chain whose totals its logs don't explain is read again after waits of up to so many sweeps. */
const LONGEST_WAIT_SWEEPS = 64
/** Amounts missed that are remembered. */
const WAITS_KEPT = 100

/** Finds deposits that no log has shown: a vault's total of a token is the sum of its accounts' counters. */
export interface DepositWatch {
  /** A counter as it was just read, token units. */
  note(id: string, token: Address, owned: bigint): void
  /** Has the chain read again when a total has been larger than its known counters at two looks. @throws RetryableError when the node fails. */
  findMissed(): Promise<void>
}

export function createDepositWatch(
  { config, clock, logger }: Pick<LaneContext, 'config' | 'clock' | 'logger'>,
  { chain, client, feed }: Pick<ChainContext, 'chain' | 'client' | 'feed'>,
): DepositWatch {
  const counters = new Map<string, { token: string; owned: bigint }>()
  const { sweepMs } = config
  const waits = { firstMs: sweepMs, maxMs: LONGEST_WAIT_SWEEPS * sweepMs, keys: WAITS_KEPT }
  const backoff = createBackoff(waits)
  let before: ReadonlySet<string> = new Set()

  /** `token:amount` of each total that the known counters don't add up to. */
  async function missing(): Promise<string[]> {
    const totals = await readAll(
      client,
      chain.tokens.map(({ address }) => {
        const call = { address: chain.contracts.vault, abi: collateralVaultAbi } as const
        return { ...call, functionName: 'totals', args: [address] } as const
      }),
    )
    const known = new Map<string, bigint>()
    for (const { token, owned } of counters.values()) known.set(token, (known.get(token) ?? 0n) + owned)
    return chain.tokens.flatMap(({ address, symbol }, i) => {
      const lack = (totals[i]?.[0] ?? 0n) - (known.get(address.toLowerCase()) ?? 0n)
      return lack > 0n ? [`${symbol}:${lack}`] : []
    })
  }

  return {
    note: (id, token, owned) => void counters.set(id, { token: token.toLowerCase(), owned }),
    async findMissed() {
      if (feed.head() === undefined) return
      const now = await missing()
      // Once may be a deposit of this moment, whose log or counter has not been read yet.
      const lasting = now.filter((amount) => before.has(amount))
      before = new Set(now)
      for (const amount of lasting) {
        if (!backoff.ready(amount, clock.now())) continue
        logger.warn({ chain: chain.name, amount }, 'deposits missed, reading the chain again')
        feed.reread(0n)
      }
    },
  }
}
