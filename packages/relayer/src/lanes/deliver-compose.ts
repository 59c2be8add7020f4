import type { Chain, Logger } from '@clearspan/shared'
import { encodeFunctionData, isAddressEqual, keccak256, type Log, parseEventLogs, size } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { readAll } from '../chains/read.js'
import { endpointAbi, executorAbi, workerMulticallAbi } from '../layerzero/abi.js'
import { composeGas, type DeliveryLimits, type WorkerCall } from '../layerzero/batch.js'
import type { Composes, PaidCall, QueuedCall } from '../layerzero/composes.js'
import type { Failure } from '../layerzero/pending.js'
import type { LaneContext } from './context.js'
import { beginning, tryCompose } from './deliver-trial.js'
import { inWords } from './deliver-view.js'

/** Calls looked at in one round. */
const TURN = 50
/** Dead letters that one sweep asks the destination about. */
const DEAD_CHECKED = 300
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

/** Makes a destination's compose calls: those that would succeed go in one transaction. */
export function createComposeRound(
  { clock, config }: LaneContext,
  { destination, composes, limits, log }: ComposeRoundOptions,
) {
  const { chain, feed, senders } = destination
  const { executor, workerMulticall } = chain.layerzero

  /** Leaves out what is not queued (any more). */
  async function waiting(calls: readonly PaidCall[]): Promise<PaidCall[]> {
    const head = feed.head()?.number ?? 0n
    const hashes = await queuedHashes(destination, calls)
    return calls.filter((call, i) => {
      if (hashes[i] === keccak256(call.message)) return true
      composes.settle(call, head)
      return false
    })
  }

  function fail(call: PaidCall, failure: Failure | undefined): void {
    const { guid, index } = call
    composes.fail(call, clock.now(), failure)
    const failures = call.failures + 1
    const what = failures < config.maxExecutions ? 'lzCompose failed' : 'dead letter'
    log.warn({ guid, index, failures, ...(failure && inWords(failure)) }, what)
  }

  /** Leaves out what would fail, which costs nothing to find out. */
  async function possible(calls: readonly PaidCall[]): Promise<PaidCall[]> {
    const tried = await Promise.all(
      calls.map(async (call) => {
        const failure = await tryCompose(destination, call)
        if (failure === undefined) return [call]
        fail(call, failure)
        return []
      }),
    )
    return tried.flat()
  }

  /** Leaves out what brings value while a transaction of ours that nobody waits for may still do so: the Executor keeps what a failed call brings. */
  function affordable(calls: readonly PaidCall[]): PaidCall[] {
    const isSure = senders.bulk.unclaimed(feed.head()?.number ?? 0n) === 0
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

  /** From what is due to one mined transaction; answers whether there was any, or nothing had to be sent, so that more may be done at once. */
  async function round(): Promise<boolean> {
    const due = affordable(composes.take(clock.now(), TURN))
    if (due.length === 0) return false
    const open = await waiting(due)
    if (open.length === 0) return true
    const { batch, chosen, gas } = fitting(await possible(open))
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
    const alerts = composeAlerts(receipt.logs, chain.layerzero)
    for (const call of await waiting(chosen)) {
      const alert = alerts.find(({ guid, index }) => guid === call.guid && index === call.index)
      const reason = beginning(alert?.reason ?? '0x')
      fail(call, reason === '0x' ? undefined : { kind: 'reverted', reason })
    }
    return true
  }

  return {
    round,
    /** Somebody else may have made a dead letter. */
    async settleDead(): Promise<void> {
      await waiting(composes.dead().slice(0, DEAD_CHECKED))
    },
  }
}

/**
 * Of calls, what the endpoint has queued, now or as of a block: the message's hash, or something else once it is made or gone.
 * @throws RetryableError when the node fails.
 */
export function queuedHashes(
  { client, chain }: Pick<ChainContext, 'client' | 'chain'>,
  calls: readonly QueuedCall[],
  blockNumber?: bigint,
) {
  const common = {
    address: chain.layerzero.endpoint,
    abi: endpointAbi,
    functionName: 'composeQueue',
  } as const
  return readAll(
    client,
    calls.map(({ from, to, guid, index }) => ({ ...common, args: [from, to, guid, index] as const })),
    blockNumber,
  )
}

/** Of our executor, as the endpoint alone says: composers run in the same transaction, and anyone may make the endpoint name another executor. */
function composeAlerts(logs: readonly Log[], { endpoint, executor }: Chain['layerzero']) {
  return parseEventLogs({ abi: endpointAbi, eventName: 'LzComposeAlert', logs: [...logs] }).flatMap(
    ({ address, args }) =>
      isAddressEqual(address, endpoint) && isAddressEqual(args.executor, executor) ? [args] : [],
  )
}
