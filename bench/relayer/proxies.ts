import { startProxy } from '../../test/testProxy.js'
import type { RpcUrls } from './ours.js'
import type { Stage } from './stage.js'

/** So many nodes in front of each of both chains that count what they are asked. */
export async function countingProxies(stage: Stage, each: number) {
  const proxies = await Promise.all(
    stage.on.chains.flatMap(({ chainId, rpcUrl }) =>
      Array.from({ length: each }, async () => ({ chainId, ...(await startProxy(rpcUrl)) })),
    ),
  )
  const urls: RpcUrls = {}
  for (const { chainId, url } of proxies) urls[chainId] = [...(urls[chainId] ?? []), url]
  return {
    urls,
    calls: () => proxies.reduce((sum, { asked }) => sum + asked.length, 0),
    close: () => Promise.all(proxies.map((proxy) => proxy.close())),
  }
}
