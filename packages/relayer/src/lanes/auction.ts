import { backstopAbi, liquidationAuctionAbi } from '@clearspan/contracts'
import type { Hex } from 'viem'
import { readAll } from '../chains/read.js'
import { type Call, requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'
import type { KeeperBook } from './keeper-book.js'

/** Auctions looked at in one job. */
const LOOKUP = 20

/** Ends auctions of accounts that are healthy again, keeps their mark of insolvency true, and hands to the Backstop what nobody took in time. */
export async function createAuctionLane(context: LaneContext, book: KeeperBook): Promise<LanePart> {
  const { network, hub } = context
  const { client, senders, feed } = hub
  const { liquidationAuction, backstop } = network.hub.contracts
  const auction = { address: liquidationAuction, abi: liquidationAuctionAbi } as const
  let offset = 0

  async function settle(): Promise<void> {
    const open = [...book.auctions]
    if (open.length === 0) return
    // One window after another, so that the first ones can't keep the others from being looked at.
    offset %= open.length
    const accounts = [...open.slice(offset), ...open.slice(0, offset)].slice(0, LOOKUP)
    offset += LOOKUP
    const states = await readAll(
      client,
      accounts.map((account) => ({ ...auction, functionName: 'auction', args: [account] }) as const),
    )
    for (const [i, account] of accounts.entries())
      if (states[i]?.startedAt === 0n) book.auctions.delete(account)
    // The contracts decide; of the two only one can succeed for an account.
    const steps = accounts
      .filter((account) => book.auctions.has(account))
      .flatMap((account) => [
        step({ ...auction, functionName: 'end', args: [account] } as const),
        step({ address: backstop, abi: backstopAbi, functionName: 'takeOver', args: [account] } as const),
      ])
    const flips = await flipping(states, accounts)
    const possible = await Promise.all(
      steps.map(async ({ call }) => (await trySequence(client, [call]))[0] !== undefined),
    )
    const chosen = steps.filter((_, i) => possible[i]).map(({ request }) => request)
    assertSent(await senders.bulk.sendMany([...chosen, ...flips]))
  }

  /** Auctions that have become insolvent, or stopped being so: the fund's exits depend on it. */
  async function flipping(
    states: readonly { startedAt: bigint; insolvent: boolean }[],
    accounts: readonly Hex[],
  ) {
    const requests = await Promise.all(
      accounts.map(async (account, i) => {
        const sync = { ...auction, functionName: 'sync', args: [account] } as const
        const view = { ...auction, functionName: 'auction', args: [account] } as const
        const after = (await trySequence(client, [sync, view]))[1] as (typeof states)[number] | undefined
        const flips = after && after.startedAt > 0n && after.insolvent !== states[i]?.insolvent
        return flips ? [requestOf(sync, 'sync')] : []
      }),
    )
    return requests.flat()
  }

  const { lane, ring } = await openLane(context, 'auction', { settle })
  feed.onHead(() => {
    if (book.auctions.size > 0) ring('settle')
  })
  return { lane, sweep: () => ring('settle') }
}

/** A call both as it is tried and as it is sent. */
function step<C extends Call>(call: C) {
  return { call, request: requestOf(call, call.functionName) }
}
