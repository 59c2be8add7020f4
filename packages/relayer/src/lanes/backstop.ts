import { backstopAbi, clearinghouseAbi } from '@clearspan/contracts'
import { parseEther } from 'viem'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'

/** Smaller sums stay with the Backstop until they are worth a transaction (WAD). */
const LEAST_SWEEP = parseEther('1')

/** Sends the Backstop's collateral to where it is sold, and moves what the sales brought to the fund. */
export async function createBackstopLane(context: LaneContext): Promise<LanePart> {
  const { network, hub, chains } = context
  const { client, senders, feed } = hub
  const { backstop, clearinghouse } = network.hub.contracts
  const assetIds = chains.flatMap(({ chain }) =>
    chain.tokens.filter(({ settlement }) => !settlement).map(({ assetId }) => BigInt(assetId)),
  )
  const book = { address: backstop, abi: backstopAbi } as const

  async function release(): Promise<void> {
    const account = await client.readContract({ ...book, functionName: 'account' })
    const rows = await readAll(
      client,
      assetIds.map((assetId) => {
        const call = { address: clearinghouse, abi: clearinghouseAbi, functionName: 'row' } as const
        return { ...call, args: [account, assetId] } as const
      }),
    )
    const held = assetIds.filter((_, i) => (rows[i]?.claim ?? 0n) > 0n)
    const calls = held.map(
      (assetId) => ({ ...book, functionName: 'releaseCollateral', args: [assetId] }) as const,
    )
    const released = await trySequence(client, calls)
    const sweep = { ...book, functionName: 'sweep' } as const
    const [swept] = await trySequence(client, [sweep])
    const requests = calls
      .filter((_, i) => typeof released[i] === 'bigint' && released[i] > 0n)
      .map((call) => requestOf(call, 'release collateral'))
    // The Backstop's deficit is left to stand: cash that the fund pays in early is not there for the next account.
    if (typeof swept === 'bigint' && swept >= LEAST_SWEEP) requests.push(requestOf(sweep, 'sweep'))
    assertSent(await senders.bulk.sendMany(requests))
  }

  const { lane, ring } = await openLane(context, 'backstop', { release })
  feed.listen({
    addresses: [backstop],
    abi: backstopAbi,
    onLogs(logs) {
      if (logs.length > 0) ring('release')
    },
  })
  return { lane, sweep: () => ring('release') }
}
