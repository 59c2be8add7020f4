import { collateralVaultAbi, liquidationExecutorAbi } from '@clearspan/contracts'
import { erc20Abi, isAddressEqual, parseEventLogs } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { requestOf } from '../chains/request.js'
import { trySequence } from '../chains/simulate.js'
import { assertSent, type LaneContext, type LanePart, openLane } from './context.js'

/** Opens the sales of one chain's executor. Each chain has its own: one that doesn't answer keeps no other from selling. */
export async function createLotsLane(context: LaneContext, on: ChainContext): Promise<LanePart> {
  const { vault, liquidationExecutor } = on.chain.contracts
  /** The executor holds something: its lots end, and must be opened anew. */
  let selling = false
  const { lane, ring } = await openLane(context, `lots-${on.chain.chainId}`, {
    async open() {
      selling = await openLots(on)
    },
  })
  on.feed.listen({
    addresses: [vault],
    abi: collateralVaultAbi,
    onLogs(logs) {
      const paid = parseEventLogs({ abi: collateralVaultAbi, logs, eventName: 'PaidOut' })
      if (paid.some(({ args }) => isAddressEqual(args.recipient, liquidationExecutor))) ring('open')
    },
  })
  on.feed.onHead(() => {
    if (selling) ring('open')
  })
  return { lane, sweep: () => ring('open') }
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
