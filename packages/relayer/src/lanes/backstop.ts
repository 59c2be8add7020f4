import {
  backstopAbi,
  clearinghouseAbi,
  collateralVaultAbi,
  liquidationExecutorAbi,
} from '@clearspan/contracts'
import { erc20Abi, isAddressEqual, parseEther, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'

/** Smaller sums stay with the Backstop until they are worth a transaction (WAD). */
const LEAST_SWEEP = parseEther('1')

/** Sends the Backstop's collateral to where it is sold, opens the sales, and moves what they brought to the fund. */
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

  /** Chains whose executor holds something: its lots end, and must be opened anew. */
  const selling = new Set<ChainContext>()
  const works = Object.fromEntries(
    chains.map((on) => [
      `open-${on.chain.chainId}`,
      async () => {
        if (await openLots(on)) selling.add(on)
        else selling.delete(on)
      },
    ]),
  )
  const { lane, ring } = await openLane(context, 'backstop', { release, ...works })
  for (const on of chains) {
    on.feed.listen({
      addresses: [on.chain.contracts.vault],
      abi: collateralVaultAbi,
      onLogs(logs) {
        const paid = parseEventLogs({ abi: collateralVaultAbi, logs, eventName: 'PaidOut' })
        const executor = on.chain.contracts.liquidationExecutor
        if (paid.some(({ args }) => isAddressEqual(args.recipient, executor)))
          ring(`open-${on.chain.chainId}`)
      },
    })
    on.feed.onHead(() => {
      if (selling.has(on)) ring(`open-${on.chain.chainId}`)
    })
  }
  feed.listen({
    addresses: [backstop],
    abi: backstopAbi,
    onLogs(logs) {
      if (logs.length > 0) ring('release')
    },
  })
  return {
    lane,
    sweep() {
      ring('release')
      for (const work of Object.keys(works)) ring(work)
    },
  }
}

/** Opens a sale of every token that the executor holds and does not sell yet. Answers whether it holds any. */
async function openLots({ chain, client, senders }: ChainContext): Promise<boolean> {
  const executor = chain.contracts.liquidationExecutor
  const tokens = chain.tokens.filter(({ settlement }) => !settlement).map(({ address }) => address)
  if (tokens.length === 0) return false
  const balances = await readAll(
    client,
    tokens.map(
      (address) => ({ address, abi: erc20Abi, functionName: 'balanceOf', args: [executor] }) as const,
    ),
  )
  const sale = { address: executor, abi: liquidationExecutorAbi } as const
  const held = tokens.filter((_, i) => (balances[i] ?? 0n) > 0n)
  const openings = held.map((token) => ({ ...sale, functionName: 'open', args: [token] }) as const)
  const quotes = held.map((token) => ({ ...sale, functionName: 'quote', args: [token, 1n] }) as const)
  const [quoted, opened] = await Promise.all([trySequence(client, quotes), trySequence(client, openings)])
  // A token that has a quote is being sold: opening it again would begin its price anew.
  const possible = openings.filter((_, i) => quoted[i] === undefined && opened[i] !== undefined)
  assertSent(await senders.bulk.sendMany(possible.map((call) => requestOf(call, 'open lot'))))
  return held.length > 0
}
