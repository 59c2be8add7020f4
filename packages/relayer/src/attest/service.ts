import {
  addressSchema,
  type Clock,
  createChainClient,
  type Logger,
  type Metrics,
  type Network,
  parseConfig,
} from '@clearspan/shared'
import type { LocalAccount } from 'viem'
import { z } from 'zod'
import { checkBackends } from '../chains/backends.js'
import { createQuarantine } from '../chains/quarantine.js'
import { listen } from '../http.js'
import { depthPolicies, depthsSchema } from '../layerzero/depth.js'
import { createOperator } from './operator.js'
import { createAttestServer } from './server.js'

/** How one operator of the Attestor (or signer of the stock DVN) works. */
export const attestConfigSchema = z.strictObject({
  /** RPC URLs by chain id, instead of the manifest's: an operator's nodes should be its own. More than half of a chain's must agree. */
  rpcUrls: z
    .record(z.string().regex(/^[1-9]\d*$/, 'must be a chain id'), z.array(z.url()).min(1))
    .default({}),
  /** How deep packets must lie by their value, by chain id of their source: beside what the relayers' own configuration says. */
  depths: depthsSchema.default({}),
  /** Addresses of the `peer` keys that may ask. */
  askers: z.array(addressSchema).min(1),
  /** Furthest expiry that is signed, seconds of the destination's time. */
  maxLifetimeSeconds: z.number().int().positive().max(86_400).default(7_200),
  http: z.strictObject({ host: z.string().min(1), port: z.number().int().min(0).max(65_535) }),
})

export interface AttestServiceOptions {
  network: Network
  config: z.input<typeof attestConfigSchema>
  /** A key of purpose `attest`. */
  account: LocalAccount
  clock: Clock
  logger: Logger
  metrics: Metrics
}

/** One operator with its HTTP interface. @throws UserError outside a local network for a chain of whose nodes one host has more than half, or a taken port. */
export async function startAttestService(options: AttestServiceOptions) {
  const { network, account, clock, logger, metrics } = options
  const config = parseConfig(attestConfigSchema, options.config, 'attest')
  const depths = depthPolicies('attest.depths', network, config.depths)
  const chains = network.chains.map((chain) => {
    const { chainId, name } = chain
    const rpcUrls = [...new Set(config.rpcUrls[String(chainId)] ?? chain.rpcUrls)]
    if (network.clock === null) checkBackends(`attest.rpcUrls.${chainId}`, rpcUrls)
    const common = { chainId, name, blockMs: 1_000, clock }
    const witnesses = rpcUrls.map((url) => createChainClient({ ...common, rpcUrls: [url] }))
    const quarantine = createQuarantine({ chain: name, nodes: witnesses, clock, logger, metrics })
    const avoid = (node: number) => quarantine.holds(witnesses[node]!)
    const client = createChainClient({ ...common, rpcUrls, avoid })
    return { chain, client, witnesses, quarantine, depth: depths.get(chainId) }
  })
  const operator = createOperator({
    network,
    chains,
    account,
    maxLifetimeSeconds: config.maxLifetimeSeconds,
    clock,
  })
  const { askers, http } = config
  const server = createAttestServer({
    operator,
    networkId: network.networkId,
    askers,
    clock,
    logger,
    metrics,
  })
  const url = await listen(server, http)
  logger.info({ operator: account.address, url }, 'operator started')
  return { url, stop: () => server.close() }
}
