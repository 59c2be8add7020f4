import type { LocalNetwork } from '../network/localNetwork.js'

/** What a developer needs to use a running network: URLs, addresses, funded accounts. */
export function describeNetwork(network: LocalNetwork): string {
  const { manifest, roles, relayerUrl, keeperUrl } = network
  const column = (entries: Readonly<Record<string, string | undefined>>) =>
    Object.entries(entries).flatMap(([name, value]) =>
      value === undefined ? [] : [`  ${name.padEnd(22)} ${value}`],
    )
  const [first] = manifest.chains
  const accounts = [roles.maker, roles.bidder, roles.underwriter, ...Object.values(roles.traders)]
  return [
    'RUNNING until Ctrl-C',
    ...manifest.chains.map(
      ({ name, chainId, eid, rpcUrls }) => `  ${name.padEnd(8)} chain ${chainId}  eid ${eid}  ${rpcUrls[0]}`,
    ),
    `  relayer  ${relayerUrl}/status`,
    `  keeper   ${keeperUrl}/status`,
    ...manifest.oracle.nodes.map(({ url }, index) => `  oracle ${index} ${url}/reports/latest`),
    '',
    'contracts on every chain',
    ...column({ endpoint: first!.layerzero.endpoint, ...first!.contracts }),
    ...column(Object.fromEntries(first!.tokens.map(({ symbol, address }) => [symbol, address]))),
    ...manifest.chains.flatMap(({ name, contracts: { lendingVenue } }) =>
      lendingVenue === undefined ? [] : [`contracts on ${name}`, ...column({ lendingVenue })],
    ),
    `contracts on ${manifest.chains.find(({ chainId }) => chainId === manifest.hub.chainId)!.name}`,
    ...column(manifest.hub.contracts),
    ...column(
      Object.fromEntries(
        manifest.hub.instruments.map(({ id, symbol, feed }) => [symbol, `instrument ${id} on ${feed}`]),
      ),
    ),
    '',
    'accounts, funded on every chain; everybody knows these keys, so never use them elsewhere',
    ...accounts.map(({ name, account, key }) => `  ${name.padEnd(12)} ${account.address}  ${key}`),
    '',
  ].join('\n')
}
