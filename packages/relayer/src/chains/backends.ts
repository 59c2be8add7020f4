import { UserError } from '@clearspan/shared'

/**
 * Outside local networks: whether no single operator of nodes could decide what happened on a chain. Nodes of one host are one operator's.
 * @throws UserError naming the field, for nodes of which one host makes up more than half.
 */
export function checkBackends(field: string, rpcUrls: readonly string[]): void {
  const hosts = rpcUrls.map((url) => new URL(url).host)
  const most = hosts.find((host) => 2 * hosts.filter((other) => other === host).length > hosts.length)
  if (most === undefined) return
  const count = hosts.filter((host) => host === most).length
  throw new UserError(
    field,
    `names ${most} for ${count} of ${hosts.length} nodes: more than half must agree before anything is attested, so whoever has that host could make up what never happened; name three of different operators (two would agree on all, but bear no failure)`,
  )
}
