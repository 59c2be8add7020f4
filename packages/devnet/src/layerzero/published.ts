import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { addressSchema, UserError } from '@clearspan/shared'
import type { Address } from 'viem'

/** What of a chain's published deployments a manifest names, and LayerZero's own workers there. */
const CONTRACTS = {
  endpoint: 'EndpointV2',
  sendUln: 'SendUln302',
  receiveUln: 'ReceiveUln302',
  receiveUlnView: 'ReceiveUln302View',
  executor: 'Executor',
  dvn: 'DVN',
} as const

/** Addresses of one chain; a contract that isn't deployed there is left out. */
export type PublishedAddresses = Partial<Record<keyof typeof CONTRACTS, Address>> & { endpoint: Address }

function directory(): string {
  const { resolve } = createRequire(import.meta.url)
  return join(dirname(resolve('@layerzerolabs/lz-evm-sdk-v2/package.json')), 'deployments')
}

/** Names of the chains that LayerZero publishes deployments of, such as `arbitrum-mainnet`. */
export async function publishedChains(): Promise<string[]> {
  const entries = await readdir(directory(), { withFileTypes: true })
  return entries
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

/**
 * Where LayerZero's contracts are on a chain, by its published deployments. The endpoint id isn't in them: the endpoint itself knows it.
 * @throws UserError for a chain that is not published, or has no EndpointV2.
 */
export async function publishedAddresses(chain: string): Promise<PublishedAddresses> {
  if (!(await publishedChains()).includes(chain))
    throw new UserError(chain, 'is not among the published chains: `clearspan layerzero chains` lists them')
  const found = await Promise.all(
    Object.entries(CONTRACTS).map(async ([name, contract]) => {
      const text = await readFile(join(directory(), chain, `${contract}.json`), 'utf8').catch(() => undefined)
      return text === undefined
        ? []
        : [[name, addressSchema.parse((JSON.parse(text) as { address: unknown }).address)] as const]
    }),
  )
  const { endpoint, ...others } = Object.fromEntries(found.flat()) as Partial<PublishedAddresses>
  if (endpoint === undefined) throw new UserError(chain, 'has no EndpointV2: LayerZero V2 is not there')
  return { endpoint, ...others }
}
