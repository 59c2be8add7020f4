import { type Logger, systemClock } from '@clearspan/shared'
import type { LocalNetwork } from '../network/localNetwork.js'
import type { Actor } from './cast.js'
import type { PlannedTrader } from './plan.js'

/** What every scene needs. */
export interface Stage {
  network: LocalNetwork
  logger: Logger
  onProgress: (line: string) => void
  signal?: AbortSignal | undefined
}

/** A trader of the plan, with an account and wallets. */
export interface Character {
  actor: Actor
  plan: PlannedTrader
}

/** Real time since `began`, for a person. */
export function since(began: number): string {
  return `${((systemClock.now() - began) / 1000).toFixed(1)} s`
}
