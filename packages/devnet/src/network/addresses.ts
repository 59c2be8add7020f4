import { type Address, getContractAddress, type Hex, padHex } from 'viem'

/** Where everything will be: the deployer's next nonces, spoke contracts first, so that those are equal on every chain. */
export function predict(from: Address, nonce: bigint, tokens: readonly string[]) {
  const names = [
    'priceOracle',
    ...tokens.map((symbol) => `token ${symbol}`),
    'spokeGateway',
    'vault',
    'liquidationExecutor',
    'epochRevoker',
    'venueRegistry',
    'governance',
    'riskConfig',
    'books',
    'silence',
    'settlement',
    'lending',
    'deleveraging',
    'clearinghouse',
    'marginEngine',
    'perp',
    'venue',
    'hubGateway',
    'liquidationAuction',
    'backstop',
    'insuranceFund',
    'future',
    'option',
    'rateSwap',
    'dynamicRisk',
    'oracleVenue',
  ] as const
  const addresses = new Map<string, Address>(
    names.map((name, index) => [name, getContractAddress({ from, nonce: nonce + BigInt(index) })]),
  )
  return (name: string): Address => {
    const address = addresses.get(name)
    if (address === undefined) throw new RangeError(`nothing is deployed as ${name}`)
    return address
  }
}

/** Address of a contract by its name in `predict`. */
export type At = ReturnType<typeof predict>

/** An address as LayerZero names a peer. */
export function peer(address: Address): Hex {
  return padHex(address, { size: 32 })
}
