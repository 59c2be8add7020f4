import { type Chain, type Logger, UserError } from '@clearspan/shared'
import { agreedAnswer, type Backends } from './agreed.js'

type Asked = Backends & { chain: Pick<Chain, 'chainId' | 'name'> }

/** @throws UserError for a node that serves another chain. One that doesn't answer is named in the log, and refuses nobody the start. */
export async function checkChainIds(chains: readonly Asked[], logger: Logger): Promise<void> {
  await Promise.all(
    chains.map(async ({ chain, witnesses }) => {
      const told = await Promise.allSettled(witnesses.map((witness) => witness.getChainId()))
      for (const [node, one] of told.entries())
        if (one.status === 'fulfilled') assertSame(chain, one.value, `node ${node}`)
        else logger.warn({ chain: chain.name, node, err: one.reason }, 'node does not answer')
      if (told.every(({ status }) => status === 'rejected'))
        logger.error({ chain: chain.name }, 'no node answers, what needs the chain waits for one')
    }),
  )
}

/** The same by a majority of nodes, for a chain that didn't answer then. @throws UserError, RetryableError while no majority answers. */
export async function checkChainId({ chain, ...backends }: Asked): Promise<void> {
  assertSame(
    chain,
    await agreedAnswer(backends, (client) => client.getChainId()),
    'the majority of its nodes',
  )
}

function assertSame({ chainId, name }: Asked['chain'], found: number, who: string): void {
  if (found !== chainId)
    throw new UserError(
      `relayer.rpcUrls.${chainId}`,
      `${who} serves chain ${found}, and ${name} is chain ${chainId}: name nodes of it, here or in the manifest`,
    )
}
