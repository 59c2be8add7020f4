import { collateralVaultAbi, venueGatewayAbi, venueRegistryAbi } from '@clearspan/contracts'
import { type Address, type Hex, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import { createDirtyKeys, createTurns } from './counters.js'

/** Allocations looked at in one job, and offered in one. */
const LOOKUP = 100
const OFFERS = 20
/** As VenueGateway's: from a refusal until what was refused goes back. Seconds of the chain's time. */
const PATIENCE = 86_400n

interface Allocation {
  gateway: Address
  account: Hex
  token: Address
}

/**
 * Hands the venues of one chain what its vault has paid to their gateways, and gives back what they have refused for a day. Of venues that
 * governance has never given a cap nobody pays the gas: anyone may open one.
 */
export async function createOffersLane(context: LaneContext, on: ChainContext): Promise<LanePart> {
  const { chain, client, feed, senders } = on
  const { vault, venueRegistry } = chain.contracts
  const abi = [...collateralVaultAbi, ...venueRegistryAbi] as const
  const capped = new Set<string>()
  const paid = createDirtyKeys<Allocation>()
  const inTurns = createTurns(OFFERS)

  async function offer(): Promise<void> {
    const taken = paid.take(LOOKUP)
    const head = feed.head()
    if (taken.length === 0 || head === undefined) return
    const epoch = await client.readContract({
      address: vault,
      abi: collateralVaultAbi,
      functionName: 'epoch',
    })
    const [amounts, allocations] = await Promise.all([
      readAll(
        client,
        taken.map(({ key: { gateway, account, token } }) => {
          const call = { address: gateway, abi: venueGatewayAbi, functionName: 'pending' } as const
          return { ...call, args: [epoch, account, token] } as const
        }),
      ),
      readAll(
        client,
        taken.map(({ key: { gateway, account, token } }) => {
          const call = { address: gateway, abi: venueGatewayAbi, functionName: 'allocations' } as const
          return { ...call, args: [epoch, account, token] } as const
        }),
      ),
    ])
    const waiting = inTurns(
      taken.flatMap(({ id, key, touched }, i) => {
        if (amounts[i] === 0n) paid.clean(id, touched)
        if (amounts[i] === undefined || amounts[i] === 0n) return []
        return [{ ...key, refusedAt: allocations[i]?.[1] ?? 0n }]
      }),
    )
    const calls = waiting.map(({ gateway, account, token }) => {
      const call = { address: gateway, abi: venueGatewayAbi, functionName: 'offer' } as const
      return { ...call, args: [epoch, account, token] } as const
    })
    const results = await trySequence(client, calls)
    const useful = calls.filter((_, i) => {
      const { refusedAt = 0n } = waiting[i] ?? {}
      // The first refusal begins the day, and after it the next offer gives back: between them a refusal changes nothing.
      const isDue = refusedAt === 0n || head.timestamp >= refusedAt + PATIENCE
      return results[i] === true || (results[i] === false && isDue)
    })
    assertSent(await senders.bulk.sendMany(useful.map((call) => requestOf(call, 'offer'))))
  }

  const { lane, ring } = await openLane(context, `offers-${chain.chainId}`, { offer })
  feed.listen({
    // What was paid before there was a cap, too.
    scrubbed: true,
    addresses: [vault, venueRegistry],
    abi,
    onLogs(logs) {
      for (const { eventName, args } of parseEventLogs({ abi, logs, strict: true })) {
        if (eventName === 'CapSet' && args.cap > 0n) capped.add(idOf(args.gateway, args.token))
        if (eventName !== 'PaidOut' || !capped.has(idOf(args.recipient, args.token))) continue
        const { recipient: gateway, account, token } = args
        paid.touch(`${account}:${idOf(gateway, token)}`, { gateway, account, token }, undefined)
        ring('offer')
      }
    },
  })
  return {
    lane,
    sweep() {
      paid.markAll()
      ring('offer')
    },
  }
}

function idOf(gateway: Address, token: Address): string {
  return `${gateway}:${token}`.toLowerCase()
}
