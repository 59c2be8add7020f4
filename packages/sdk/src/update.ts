import { priceOracleAbi } from '@clearspan/contracts'
import type { SignedReport } from '@clearspan/shared'
import { type Address, encodeFunctionData, type Hex } from 'viem'

/** A call as transactions and batches (ERC-5792, ERC-4337, Multicall3) take it. */
export interface ContractCall {
  to: Address
  data: Hex
}

/**
 * The call that brings a report to a chain's oracle, to go before the call that reads it, in one transaction. It changes nothing, and doesn't revert,
 * where the chain has this report or a newer one; it reverts with ReportTooOld past the chain's accept-age. Leave it more gas than was estimated: what
 * it costs depends on the block that it lands in.
 * @param priceOracle `contracts.priceOracle` of the chain in the network's manifest.
 */
export function updateCall(priceOracle: Address, { encoded }: Pick<SignedReport, 'encoded'>): ContractCall {
  return {
    to: priceOracle,
    data: encodeFunctionData({ abi: priceOracleAbi, functionName: 'update', args: [encoded] }),
  }
}
