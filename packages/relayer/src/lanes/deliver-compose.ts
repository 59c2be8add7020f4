import { isAnswered, type Logger } from '@clearspan/shared'
import {
  BaseError,
  encodeFunctionData,
  type Hex,
  isAddressEqual,
  keccak256,
  parseEventLogs,
  size,
} from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { endpointAbi, executorAbi, workerMulticallAbi } from '../layerzero/abi.js'
import { composeGas, type DeliveryLimits, type WorkerCall } from '../layerzero/batch.js'
import type { Composes, PaidCall } from '../layerzero/composes.js'
import type { LaneContext } from './context.js'

/** Calls looked at in one round. */
const TURN = 50
const TRANSACTION_GAS = 100_000n
const GAS_PER_BYTE = 40n
/** Of one call, its message aside. */
const CALL_BYTES = 700n

export interface ComposeRoundOptions {
  destination: ChainContext
  composes: Composes
  limits: DeliveryLimits
  log: Logger
}

/** One round of a destination's compose calls: those that would succeed go in one transaction. It answers whether there was any. */
export function createComposeRound(
  { clock, config }: LaneContext,
  { destination, composes, limits, log }: ComposeRoundOptions,
) {
  const { chain, client, senders } = destination
  const { endpoint, executor, workerMulticall } = chain.layerzero

  /** Of calls, what the endpoint has queued: the message's hash, or something else once it is made or gone. */
  const stored = (calls: readonly PaidCall[]) =>
    readAll(
      client,
      calls.map(({ from, to, guid, index }) => {
        const args = [from, to, guid, index] as const
        return { address: endpoint, abi: endpointAbi, functionName: 'composeQueue', args } as const
      }),
    )

  /** Leaves out what is not queued (any more). */
  async function waiting(calls: readonly PaidCall[]): Promise<PaidCall[]> {
    const hashes = await stored(calls)
    return calls.filter((call, i) => {
      if (hashes[i] === keccak256(call.message)) return true
      composes.settle(call)
      return false
    })
  }

  function fail(call: PaidCall, reason: Hex | undefined): void {
    log.warn({ guid: call.guid, index: call.index, failures: call.failures + 1, reason }, 'lzCompose failed')
    composes.postpone(call, clock.now(), true)
  }

  /** Leaves out what would fail, which costs nothing to find out. */
  async function possible(calls: readonly PaidCall[]): Promise<PaidCall[]> {
    const tried = await Promise.all(
      calls.map(async (call) => {
        const { from, to, guid, index, message, option } = call
        const args = [from, to, guid, index, message, '0x'] as const
        const data = encodeFunctionData({ abi: endpointAbi, functionName: 'lzCompose', args })
        const gas = option.gas + composeGas(0n, call)
        const account = option.value > 0n ? senders.bulk.address : executor
        try {
          await client.call({ account, to: endpoint, data, value: option.value, gas })
          return [call]
        } catch (error) {
          if (!(error instanceof BaseError) || !isAnswered(error)) throw error
          fail(call, undefined)
          return []
        }
      }),
    )
    return tried.flat()
  }

  /** Leaves out what brings value while a transaction of ours that nobody waits for may still do so: the Executor keeps what a failed call brings. */
  function affordable(calls: readonly PaidCall[]): PaidCall[] {
    const isSure = senders.bulk.unclaimed(destination.feed.head()?.number ?? 0n) === 0
    return calls.filter(({ option }) => isSure || option.value === 0n)
  }

  /** As many as one transaction takes. */
  function fitting(calls: readonly PaidCall[]): { batch: WorkerCall[]; chosen: PaidCall[]; gas: bigint } {
    const batch: WorkerCall[] = []
    const chosen: PaidCall[] = []
    let [gas, value] = [TRANSACTION_GAS, 0n]
    for (const call of calls) {
      const { from, to, guid, index, message, option } = call
      const gasLimit = composeGas(option.gas, call)
      const needed = (gasLimit * 64n) / 63n + (CALL_BYTES + BigInt(size(message))) * GAS_PER_BYTE
      if (gas + needed > limits.gas || value + option.value > limits.value) continue
      gas += needed
      value += option.value
      const args = [from, to, guid, index, message, '0x', option.gas] as const
      const data = encodeFunctionData({ abi: executorAbi, functionName: 'compose302', args })
      batch.push({ target: executor, data, gasLimit, value: option.value, revertOnError: false })
      chosen.push(call)
    }
    return { batch, chosen, gas }
  }

  return async (): Promise<boolean> => {
    const due = affordable(composes.take(clock.now(), TURN, config.maxExecutions))
    if (due.length === 0) return false
    const { batch, chosen, gas } = fitting(await possible(await waiting(due)))
    if (batch.length === 0) return false
    const value = batch.reduce((sum, { value }) => sum + value, 0n)
    const { receipt } = await senders.bulk.send({
      to: workerMulticall,
      data: encodeFunctionData({ abi: workerMulticallAbi, functionName: 'multiCall', args: [batch] }),
      gas,
      value,
      // What a failed call brings stays with the Executor.
      exclusive: value > 0n,
      label: 'compose',
      abi: workerMulticallAbi,
    })
    const alerts = parseEventLogs({
      abi: endpointAbi,
      eventName: 'LzComposeAlert',
      logs: receipt.logs,
    }).filter(
      ({ address, args }) => isAddressEqual(address, endpoint) && isAddressEqual(args.executor, executor),
    )
    for (const call of await waiting(chosen)) {
      const alert = alerts.find(({ args }) => args.guid === call.guid && args.index === call.index)
      fail(call, alert?.args.reason.slice(0, 514) as Hex | undefined)
    }
    return true
  }
}
