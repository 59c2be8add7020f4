import { epochRevokerAbi } from '@clearspan/contracts'
import { parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { requestOf } from '../chains/request.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'

/** Carries governance's orders to revoke an epoch of oracle signers from the hub to every other chain. */
export async function createRevocationLane(context: LaneContext): Promise<LanePart> {
  const { hub, chains, config, clock } = context
  const spokes = chains.filter((on) => on !== hub)
  const abi = epochRevokerAbi
  const address = hub.chain.contracts.epochRevoker
  /** Ordered, and not known to have reached every chain. */
  const ordered = new Set<number>()
  /** Real ms, by chain and epoch. */
  const sentAt = new Map<string, number>()

  async function hasHeard({ chain, client }: ChainContext, epoch: number): Promise<boolean> {
    const call = { address: chain.contracts.epochRevoker, abi, functionName: 'ordered' } as const
    return client.readContract({ ...call, args: [epoch] })
  }

  async function send({ chain }: ChainContext, epoch: number): Promise<void> {
    const key = `${chain.chainId} ${epoch}`
    const last = sentAt.get(key)
    if (last !== undefined && clock.now() - last < config.resendMs) return
    const args = [chain.eid, epoch] as const
    const fee = await hub.client.readContract({ address, abi, functionName: 'quote', args })
    const request = requestOf({ address, abi, functionName: 'send', args }, 'revocation')
    // Prices may move until it is mined; the rest is refunded.
    await hub.senders.bulk.send({ ...request, value: fee + fee / 10n })
    sentAt.set(key, clock.now())
  }

  /** A chain that doesn't answer, or can't be sent to, keeps an order from no other. */
  async function bring(epoch: number): Promise<PromiseSettledResult<boolean>[]> {
    const outcomes = await Promise.allSettled(
      spokes.map(async (spoke) => {
        const heard = await hasHeard(spoke, epoch)
        if (!heard) await send(spoke, epoch)
        return heard
      }),
    )
    if (outcomes.every((one) => one.status === 'fulfilled' && one.value)) ordered.delete(epoch)
    return outcomes
  }

  async function carry(): Promise<void> {
    assertSent((await Promise.all([...ordered].map(bring))).flat())
  }

  const { lane, ring } = await openLane(context, 'revocation', { carry })
  hub.feed.listen({
    scrubbed: true,
    addresses: [address],
    abi,
    onLogs(logs) {
      for (const { args } of parseEventLogs({ abi, logs, eventName: 'RevocationOrdered', strict: true }))
        ordered.add(args.epoch)
      if (ordered.size > 0) ring('carry')
    },
  })
  return {
    lane,
    sweep() {
      if (ordered.size > 0) ring('carry')
    },
  }
}
