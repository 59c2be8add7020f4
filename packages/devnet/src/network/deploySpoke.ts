import {
  collateralVaultAbi,
  collateralVaultBytecode,
  epochRevokerAbi,
  epochRevokerBytecode,
  liquidationExecutorAbi,
  liquidationExecutorBytecode,
  priceOracleAbi,
  priceOracleBytecode,
  spokeGatewayAbi,
  spokeGatewayBytecode,
  testTokenAbi,
  testTokenBytecode,
  venueRegistryAbi,
  venueRegistryBytecode,
} from '@clearspan/contracts'
import { accountId, oracleConfigHash } from '@clearspan/shared'
import { parseUnits, stringToHex, zeroAddress } from 'viem'
import type { Batch } from '../chains/index.js'
import { type At, peer } from './addresses.js'
import type { DeployOptions } from './deployOptions.js'
import { feedIndex, settlementOf } from './markets.js'
import { EPOCH, jumpGuard, LOT_TERMS, PAYOUT_LIMITS } from './parameters.js'

const EPOCH_SLOTS = 10_000_000n

/** What every chain has: oracle, tokens, gateway, vault, executor, revoker, registry of venues. */
export function createSpoke(
  batch: Batch,
  at: At,
  { chains, layerzero, roles, markets, timing, networkId }: DeployOptions,
) {
  const owner = roles.deployer.account.address
  batch.create('PriceOracle', {
    abi: priceOracleAbi,
    bytecode: priceOracleBytecode,
    args: [networkId, owner, timing.slotSeconds, jumpGuard(timing)],
  })
  for (const { symbol, decimals } of markets.tokens) {
    batch.create(`TestToken ${symbol}`, {
      abi: testTokenAbi,
      bytecode: testTokenBytecode,
      args: [`Test ${symbol}`, symbol, decimals],
    })
  }
  batch.create('SpokeGateway', {
    abi: spokeGatewayAbi,
    bytecode: spokeGatewayBytecode,
    args: [
      layerzero.endpoint,
      owner,
      at('vault'),
      chains[0]!.eid,
      EPOCH,
      BigInt(timing.skew),
      at('priceOracle'),
      zeroAddress,
    ],
  })
  batch.create('CollateralVault', {
    abi: collateralVaultAbi,
    bytecode: collateralVaultBytecode,
    args: [owner, at('spokeGateway'), EPOCH, networkId, zeroAddress],
  })
  batch.create('LiquidationExecutor', {
    abi: liquidationExecutorAbi,
    bytecode: liquidationExecutorBytecode,
    args: [
      owner,
      at('priceOracle'),
      at('spokeGateway'),
      at(`token ${settlementOf(markets)}`),
      accountId(at('backstop')),
      { ...LOT_TERMS, duration: timing.lotSeconds },
    ],
  })
  batch.create('EpochRevoker', {
    abi: epochRevokerAbi,
    bytecode: epochRevokerBytecode,
    args: [layerzero.endpoint, owner, at('priceOracle'), chains[0]!.eid],
  })
  batch.create('VenueRegistry', {
    abi: venueRegistryAbi,
    bytecode: venueRegistryBytecode,
    args: [owner, at('spokeGateway')],
  })
}

/** Whole tokens in the token's own units. */
function limitIn({ cap, rate }: { cap: bigint; rate: bigint }, decimals: number) {
  return { cap: parseUnits(String(cap), decimals), rate: parseUnits(String(rate), decimals) }
}

/** Signers and feeds, listed tokens, the ways from and to the hub. */
export function configureSpoke(
  batch: Batch,
  at: At,
  { chains, markets, timing, oracle }: DeployOptions,
  index: number,
) {
  batch.call(at('priceOracle'), {
    abi: priceOracleAbi,
    functionName: 'openEpoch',
    args: [
      {
        epoch: oracle.epoch,
        firstSeq: 1n,
        lastSeq: BigInt(Math.floor(chains[index]!.chain.lastTimestamp() / timing.slotSeconds)) + EPOCH_SLOTS,
        configHash: oracleConfigHash(oracle),
        signers: oracle.nodes.map(({ signer }) => signer),
        feeds: markets.feeds.map(({ name, exponent, signed }) => ({
          name: stringToHex(name, { size: 32 }),
          exponent,
          isSigned: signed ?? false,
          useAge: timing.useAge,
        })),
      },
    ],
  })
  for (const { symbol, base, decimals, settlement } of markets.tokens) {
    const token = at(`token ${symbol}`)
    const vault = { abi: collateralVaultAbi }
    batch.call(at('vault'), { ...vault, functionName: 'setListed', args: [token, true] })
    const [large, small] = [limitIn(PAYOUT_LIMITS.large, decimals), limitIn(PAYOUT_LIMITS.small, decimals)]
    batch.call(at('vault'), { ...vault, functionName: 'setLimits', args: [token, large, small] })
    if (settlement) continue
    batch.call(at('liquidationExecutor'), {
      abi: liquidationExecutorAbi,
      functionName: 'setListing',
      args: [at(`token ${symbol}`), feedIndex(markets, base)],
    })
  }
  batch.call(at('spokeGateway'), {
    abi: spokeGatewayAbi,
    functionName: 'setPeer',
    args: [chains[0]!.eid, peer(at('hubGateway'))],
  })
  batch.call(at('priceOracle'), {
    abi: priceOracleAbi,
    functionName: 'setRevoker',
    args: [at('epochRevoker')],
  })
  // The hub sends to the others, and those hear the hub; it needs no way to itself.
  for (const { eid } of index === 0 ? chains.slice(1) : chains.slice(0, 1))
    batch.call(at('epochRevoker'), {
      abi: epochRevokerAbi,
      functionName: 'setPeer',
      args: [eid, peer(at('epochRevoker'))],
    })
}
