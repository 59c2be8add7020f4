import type { RunDirectory } from '../processes/index.js'
import { anvilBinary } from './anvilBinary.js'
import { type LocalChain, startLocalChain } from './localChain.js'
import { checkPorts } from './ports.js'

/** RPC ports of the local chains, in order, unless a person chooses others. */
export const DEFAULT_RPC_PORTS = [8545, 8546, 8547] as const

export interface ChainChoice {
  name: string
  chainId: number
  /** RPC port, 0 for any free one. */
  port: number
  /** The option that sets the port, for the error that says so. */
  portOption: string
}

/**
 * Starts all chains at one genesis time (unix seconds), or none.
 *
 * Throws UserError, before anything starts, for an occupied port or a missing binary.
 */
export async function startChains(options: {
  run: RunDirectory
  chains: readonly ChainChoice[]
  genesisTime: number
  /** How many of `localAccounts` each chain funds. */
  accounts: number
}): Promise<LocalChain[]> {
  const { run, chains, genesisTime, accounts } = options
  const binary = anvilBinary()
  await checkPorts(chains.map(({ portOption, port }) => ({ option: portOption, port })))
  const started = await Promise.allSettled(
    chains.map(({ name, chainId, port }) =>
      startLocalChain(run, binary, { name, chainId, port, genesisTime, accounts }),
    ),
  )
  const running = started.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = started.find((result) => result.status === 'rejected')
  if (failed) {
    await Promise.all(running.map((chain) => chain.stop()))
    throw failed.reason
  }
  return running
}
