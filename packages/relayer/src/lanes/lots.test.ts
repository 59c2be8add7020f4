import { liquidationExecutorAbi } from '@clearspan/contracts'
import {
  createLogger,
  createMetrics,
  createQueueBackend,
  systemClock,
  systemRandom,
  type TransactionRequest,
} from '@clearspan/shared'
import { type Address, decodeFunctionData, getAddress, numberToHex, pad } from 'viem'
import { expect, it } from 'vitest'
import type { ChainContext } from '../chains/context.js'
import type { LaneContext } from './context.js'
import { createLotsLane } from './lots.js'

const logger = createLogger({ name: 'test', level: 'silent' })
const address = (n: number) => getAddress(pad(numberToHex(n), { size: 20 }))
const tokens = [1, 2].map((n) => ({ address: address(n), settlement: false }))

/** A chain whose executor holds both tokens, sells the first of them already, and opens what it is asked to. */
function chainWith(chainId: number, multicall: (calls: { functionName: string }[]) => Promise<unknown>) {
  const opened: Address[] = []
  const sendMany = async (requests: readonly TransactionRequest[]) => {
    for (const { data = '0x' } of requests) {
      const { args } = decodeFunctionData({ abi: liquidationExecutorAbi, data })
      opened.push((args as readonly [Address])[0])
    }
    return []
  }
  const on = {
    chain: { chainId, contracts: { vault: address(8), liquidationExecutor: address(9) }, tokens },
    client: {
      multicall: ({ contracts }: { contracts: { functionName: string }[] }) => multicall(contracts),
    },
    feed: { listen() {}, onHead() {} },
    senders: { bulk: { sendMany } },
  } as unknown as ChainContext
  return { on, opened }
}

const holding = async (calls: { functionName: string; args?: readonly unknown[] }[]) =>
  calls.map(({ functionName, args }) => {
    if (functionName === 'balanceOf') return 5n
    if (functionName === 'quote' && args?.[0] !== tokens[0]?.address) return { status: 'failure' }
    return { status: 'success', result: 1n }
  })

it('opens the lots of a chain that answers beside one that never does', async () => {
  const backend = await createQueueBackend({ clock: systemClock, logger })
  let asked = () => {}
  const silentAsked = new Promise<void>((resolve) => {
    asked = resolve
  })
  let giveUp = () => {}
  const gone = new Promise<never>((_, reject) => {
    giveUp = () => reject(new Error('the node is gone'))
  })
  const silent = chainWith(1, () => {
    asked()
    return gone
  })
  const live = chainWith(2, holding)
  const context = {
    backend,
    clock: systemClock,
    random: systemRandom,
    logger,
    metrics: createMetrics(),
  } as unknown as LaneContext
  const parts = [await createLotsLane(context, silent.on), await createLotsLane(context, live.on)]
  await parts[0]?.sweep()
  await silentAsked
  await parts[1]?.sweep()
  await expect.poll(() => live.opened).toEqual([tokens[1]?.address])
  giveUp()
  for (const { lane } of parts) await lane.close()
  await backend.close()
})
