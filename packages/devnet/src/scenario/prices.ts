import { iPriceOracleAbi } from '@clearspan/contracts'
import type { LocalNetwork } from '../network/localNetwork.js'

const WAD = 10n ** 18n

export function hubClient(network: LocalNetwork) {
  const { chainId } = network.manifest.hub
  return network.chains.find((chain) => chain.chainId === chainId)!.client
}

/** The hub's stored price of a base in USD, WAD. */
export async function oraclePrice(network: LocalNetwork, base: string): Promise<bigint> {
  const hub = network.manifest.chains.find(({ chainId }) => chainId === network.manifest.hub.chainId)!
  const feed = network.markets.feeds.findIndex(({ name }) => name === `${base}/USD`)
  const { price } = await hubClient(network).readContract({
    address: hub.contracts.priceOracle,
    abi: iPriceOracleAbi,
    functionName: 'price',
    args: [BigInt(feed)],
  })
  return price
}

/** Units of a token (its decimals) that are worth `usd` at `price` (WAD). */
export function unitsWorth(usd: number, price: bigint, decimals: number): bigint {
  const wad = (BigInt(Math.round(usd * 100)) * 10n ** 16n * WAD) / price
  return wad / 10n ** BigInt(18 - decimals)
}
