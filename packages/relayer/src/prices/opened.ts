import { priceOracleAbi } from '@clearspan/contracts'
import type { OpenedEpoch } from '@clearspan/shared'
import type { ChainContext } from '../chains/context.js'

/** The newest epoch that a chain's oracle has opened. */
export async function openedEpoch({
  chain,
  client,
}: Pick<ChainContext, 'chain' | 'client'>): Promise<OpenedEpoch> {
  const oracle = { address: chain.contracts.priceOracle, abi: priceOracleAbi } as const
  const [epoch] = await client.readContract({ ...oracle, functionName: 'openedEpoch' })
  const [configHash, [firstSeq, lastSeq]] = await Promise.all([
    client.readContract({ ...oracle, functionName: 'configHash', args: [BigInt(epoch)] }),
    client.readContract({ ...oracle, functionName: 'epochSlots', args: [epoch] }),
  ])
  return { epoch, configHash, firstSeq, lastSeq }
}
