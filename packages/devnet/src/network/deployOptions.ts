import type { Chain, OracleNetwork } from '@clearspan/shared'
import type { Hex } from 'viem'
import type { LocalChain } from '../chains/index.js'
import type { LocalMarkets } from './markets.js'
import type { LocalRoles } from './roles.js'
import type { Timing } from './timing.js'

/** What a deployment is made of. */
export interface DeployOptions {
  /** The first is the hub's. */
  chains: readonly { chain: LocalChain; eid: number; confirmations: number }[]
  layerzero: Chain['layerzero']
  roles: LocalRoles
  markets: LocalMarkets
  timing: Timing
  networkId: Hex
  oracle: OracleNetwork
}
