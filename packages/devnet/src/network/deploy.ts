import { type Chain, type Hub, PermanentError } from '@clearspan/shared'
import { createBatch } from '../chains/index.js'
import { predict } from './addresses.js'
import { createGovernance, handOver } from './deployGovernance.js'
import { configureHub, createHub } from './deployHub.js'
import type { DeployOptions } from './deployOptions.js'
import { configureSpoke, createSpoke } from './deploySpoke.js'
import { createLendingVenue } from './deployVenue.js'
import { assetId, feedIndex } from './markets.js'

export interface Deployment {
  chains: Chain[]
  hub: Hub
}

/** Deploys and configures Clearspan on every chain, one block each, and hands it to governance. Throws PermanentError, by label, for what reverts. */
export async function deployClearspan(options: DeployOptions): Promise<Deployment> {
  const { chains, roles, markets, layerzero } = options
  const deployer = roles.deployer.account
  const symbols = markets.tokens.map(({ symbol }) => symbol)
  const nonces = await Promise.all(
    chains.map(({ chain }) => chain.client.getTransactionCount({ address: deployer.address })),
  )
  const [nonce] = nonces
  if (nonce === undefined || nonces.some((other) => other !== nonce))
    throw new PermanentError('the deployer has sent a different number of transactions on each chain')
  const at = predict(deployer.address, BigInt(nonce), symbols)
  const venues = await Promise.all(
    chains.map(async ({ chain }, index) => {
      const batch = await createBatch(chain, deployer)
      createSpoke(batch, at, options)
      createGovernance(batch, at, options, index)
      if (index === 0) createHub(batch, at, options)
      configureSpoke(batch, at, options, index)
      if (index === 0) configureHub(batch, at, options)
      const venue = createLendingVenue(batch, at, options, index)
      handOver(batch, at, options, index)
      await batch.send()
      return venue
    }),
  )
  return {
    chains: chains.map(({ chain, eid, confirmations }, index) => ({
      name: chain.name,
      chainId: chain.chainId,
      eid,
      rpcUrls: [chain.rpcUrl],
      confirmations,
      layerzero,
      contracts: {
        priceOracle: at('priceOracle'),
        vault: at('vault'),
        spokeGateway: at('spokeGateway'),
        liquidationExecutor: at('liquidationExecutor'),
        epochRevoker: at('epochRevoker'),
        venueRegistry: at('venueRegistry'),
        governance: at('governance'),
        ...(venues[index] && { lendingVenue: venues[index] }),
      },
      tokens: markets.tokens.map(({ symbol, decimals, base, settlement }, token) => ({
        symbol,
        address: at(`token ${symbol}`),
        decimals,
        assetId: assetId(markets, index, token),
        feed: `${base}/USD`,
        settlement,
      })),
    })),
    hub: {
      chainId: chains[0]!.chain.chainId,
      contracts: {
        clearinghouse: at('clearinghouse'),
        hubGateway: at('hubGateway'),
        riskConfig: at('riskConfig'),
        marginEngine: at('marginEngine'),
        perp: at('perp'),
        future: at('future'),
        option: at('option'),
        rateSwap: at('rateSwap'),
        venue: at('venue'),
        oracleVenue: at('oracleVenue'),
        liquidationAuction: at('liquidationAuction'),
        backstop: at('backstop'),
        insuranceFund: at('insuranceFund'),
      },
      instruments: markets.instruments.map(({ id, symbol, base }) => ({
        id,
        symbol,
        feed: markets.feeds[feedIndex(markets, base)]!.name,
      })),
    },
  }
}
