import { lendingVenueAbi, lendingVenueBytecode, venueRegistryAbi } from '@clearspan/contracts'
import { type Address, getContractAddress, parseUnits } from 'viem'
import type { Batch } from '../chains/index.js'
import type { At } from './addresses.js'
import type { DeployOptions } from './deployOptions.js'
import { feedIndex } from './markets.js'
import { VENUE_CAP } from './parameters.js'

/** The chain beside the hub's that has it: collateral lies elsewhere. */
const PLACE = 1

/**
 * The worked remote venue: lends the settlement token to who pledges the first other one, and may have so much of all accounts together.
 * Answers where it is; undefined on every other chain, and where there is nothing to pledge.
 */
export function createLendingVenue(batch: Batch, at: At, { markets }: DeployOptions, index: number) {
  const pledged = markets.tokens.find(({ settlement }) => !settlement)
  const lent = markets.tokens.find(({ settlement }) => settlement)
  if (index !== PLACE || pledged === undefined || lent === undefined) return undefined
  const token = at(`token ${lent.symbol}`)
  const registry = at('venueRegistry')
  const venue = batch.create('LendingVenue', {
    abi: lendingVenueAbi,
    bytecode: lendingVenueBytecode,
    args: [
      registry,
      token,
      at(`token ${pledged.symbol}`),
      at('priceOracle'),
      BigInt(feedIndex(markets, pledged.base)),
      10n ** BigInt(18 + pledged.decimals - lent.decimals),
    ],
  })
  batch.call(registry, {
    abi: venueRegistryAbi,
    functionName: 'setCap',
    args: [firstGateway(registry), token, parseUnits(String(VENUE_CAP), lent.decimals)],
  })
  return venue
}

/** A registry creates nothing but gateways. */
function firstGateway(registry: Address): Address {
  return getContractAddress({ from: registry, nonce: 1n })
}
