import { marginEngineAbi, priceOracleAbi } from '@clearspan/contracts'
import { type ChainClient, type Logger, RetryableError } from '@clearspan/shared'
import { type Address, BaseError, type Hex, RpcRequestError } from 'viem'
import { type Moment, trySequence } from '../chains/simulate.js'
import { batches } from './counters.js'
import type { AccountRisk } from './ranking.js'

/** Accounts of one call: each reads prices and parameters of its whole portfolio. */
const ACCOUNTS_PER_CALL = 20
export const ACCOUNTS_PER_REQUEST = 100

export interface Simulation {
  client: ChainClient
  contracts: { priceOracle: Address; marginEngine: Address }
  /** Stored before accounts are valued; undefined: the prices are those on chain. */
  report: Hex | undefined
  /** Its time must not be before the block's. */
  moment: Moment
  logger: Logger
}

/**
 * Health of accounts after the report, all in one state. An account whose health can't be computed is logged, left out, and hides no other.
 * @throws RetryableError when the node fails.
 */
export async function risksOf(simulation: Simulation, accounts: readonly Hex[]): Promise<AccountRisk[]> {
  const groups = batches(accounts, ACCOUNTS_PER_CALL)
  const results = await valued(simulation, groups).catch((error: unknown) => {
    // A node that answers may bear less than all accounts in one request, but one account it bears.
    if (accounts.length > 1 && isRefused(error)) return undefined
    throw error
  })
  if (results === undefined) return halves(simulation, accounts)
  const risks: AccountRisk[] = []
  for (const [i, group] of groups.entries()) {
    const healths = results[i]
    if (healths !== undefined)
      for (const [j, account] of group.entries()) {
        const health = healths[j]
        if (health) risks.push({ account, mm: health.mm })
      }
    else if (group.length > 1) risks.push(...(await halves(simulation, group)))
    else simulation.logger.error({ account: group[0] }, "an account's health can't be computed")
  }
  return risks
}

/** One after the other: a node that refuses everything is soon left alone. */
async function halves(simulation: Simulation, accounts: readonly Hex[]): Promise<AccountRisk[]> {
  const risks: AccountRisk[] = []
  for (const half of batches(accounts, Math.ceil(accounts.length / 2)))
    risks.push(...(await risksOf(simulation, half)))
  return risks
}

/** Healths of each group; undefined for one in which a call reverts. */
async function valued(
  { client, contracts, report, moment }: Simulation,
  groups: readonly (readonly Hex[])[],
): Promise<(readonly { mm: bigint }[] | undefined)[]> {
  const oracle = { address: contracts.priceOracle, abi: priceOracleAbi, functionName: 'update' } as const
  const engine = {
    address: contracts.marginEngine,
    abi: marginEngineAbi,
    functionName: 'accountsHealth',
  } as const
  const update = report === undefined ? [] : [{ ...oracle, args: [report] } as const]
  const calls = groups.map((group) => ({ ...engine, args: [group] }) as const)
  const results = await trySequence(client, [...update, ...calls], moment)
  return results.slice(update.length) as (readonly { mm: bigint }[] | undefined)[]
}

/** Whether the node answered, with an error. */
function isRefused(error: unknown): boolean {
  return (
    error instanceof RetryableError &&
    error.cause instanceof BaseError &&
    error.cause.walk((inner) => inner instanceof RpcRequestError) !== null
  )
}
