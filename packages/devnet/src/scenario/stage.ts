import type { Logger } from '@clearspan/shared'
import type { LocalNetwork } from '../network/localNetwork.js'
import type { Actor } from './cast.js'
import type { PlannedTrader } from './plan.js'

/** What every scene needs. */
export interface Stage {
  network: LocalNetwork
  logger: Logger
  onProgress: (line: string) => void
  /** Ends the story: nobody waits for anything any more. */
  signal: AbortSignal
}

/** A trader of the plan, with an account and wallets. */
export interface Character {
  actor: Actor
  plan: PlannedTrader
}
