import { iInstrumentAbi, iPriceOracleAbi, iRiskConfigAbi } from '@clearspan/contracts'
import type { LocalNetwork } from '../network/localNetwork.js'

const WAD = 10n ** 18n

export function hubClient(network: LocalNetwork) {
  const { chainId } = network.manifest.hub
  return network.chains.find((chain) => chain.chainId === chainId)!.client
}

/** The hub's stored price of a base in USD, WAD. */
export function oraclePrice(network: LocalNetwork, base: string): Promise<bigint> {
  return feedValue(network, `${base}/USD`)
}

/** What the hub's oracle holds of a feed, WAD of its quote; 0 before the first value. */
export async function feedValue(network: LocalNetwork, name: string): Promise<bigint> {
  const hub = network.manifest.chains.find(({ chainId }) => chainId === network.manifest.hub.chainId)!
  const { price } = await hubClient(network).readContract({
    address: hub.contracts.priceOracle,
    abi: iPriceOracleAbi,
    functionName: 'price',
    args: [BigInt(feedAt(network, name))],
  })
  return price
}

/** Index of a feed on chain. */
export function feedAt({ markets }: LocalNetwork, name: string): number {
  return markets.feeds.findIndex((feed) => feed.name === name)
}

/** Value of one unit of an instrument now, WAD. Throws while its terms aren't listed. */
export async function markOf(network: LocalNetwork, instrumentId: number): Promise<bigint> {
  const { riskConfig } = network.manifest.hub.contracts
  const hub = hubClient(network)
  const args = [BigInt(instrumentId)] as const
  const { module: address } = await hub.readContract({
    address: riskConfig,
    abi: iRiskConfigAbi,
    functionName: 'instrument',
    args,
  })
  const [price] = await hub.readContract({ address, abi: iInstrumentAbi, functionName: 'mark', args })
  return price
}

/** Units of a token (its decimals) that are worth `usd` at `price` (WAD). */
export function unitsWorth(usd: number, price: bigint, decimals: number): bigint {
  const wad = (BigInt(Math.round(usd * 100)) * 10n ** 16n * WAD) / price
  return wad / 10n ** BigInt(18 - decimals)
}
