import { isAnswered, revertOf } from '@clearspan/shared'
import { type Address, BaseError, encodeFunctionData, type Hex, hexToBytes, size, sliceHex } from 'viem'
import type { ChainContext } from '../chains/context.js'
import { endpointAbi } from '../layerzero/abi.js'
import { receiveGas, type Step, wordToAddress } from '../layerzero/batch.js'
import type { PaidCall } from '../layerzero/composes.js'
import type { Failure } from '../layerzero/pending.js'

/** Bytes of revert data that are kept: a receiver may answer with as many as its gas pays for. */
const REASON_BYTES = 256
/** Gas of a transaction before its call begins, and per byte of its data. */
const TRANSACTION_GAS = 21_000n
const ZERO_BYTE_GAS = 4n
const BYTE_GAS = 16n
/** How much more gas tells one that has too little from one that fails anyhow. */
const PLENTY = 10n

/**
 * Tries lzReceive of a packet that is committed, without sending anything. A failure costs its receiver's gas each time that it is sent, and the
 * Executor's transaction succeeds all the same: so what is committed already is sent only when it would succeed.
 * @throws BaseError when the node fails.
 */
export async function tryReceive(
  destination: Destination,
  { entry, boost }: Step,
): Promise<Failure | undefined> {
  const { packet, options } = entry
  const { srcEid, sender, nonce, guid, message } = packet
  const data = encodeFunctionData({
    abi: endpointAbi,
    functionName: 'lzReceive',
    args: [{ srcEid, sender, nonce }, wordToAddress(packet.receiver), guid, message, '0x'],
  })
  return tryCall(destination, { data, gas: receiveGas(entry, boost), value: options.value })
}

/** Tries lzCompose of a call that is queued, as `tryReceive` does. @throws BaseError when the node fails. */
export async function tryCompose(destination: Destination, call: PaidCall): Promise<Failure | undefined> {
  const { from, to, guid, index, message, option } = call
  const args = [from, to, guid, index, message, '0x'] as const
  const data = encodeFunctionData({ abi: endpointAbi, functionName: 'lzCompose', args })
  return tryCall(destination, { data, gas: option.gas, value: option.value })
}

type Destination = Pick<ChainContext, 'chain' | 'client' | 'senders'>

/** Calls the endpoint as our executor would, with exactly this much gas, and with plenty where that doesn't say why it fails. */
async function tryCall(
  { chain, client, senders }: Destination,
  { data, gas, value }: { data: Hex; gas: bigint; value: bigint },
): Promise<Failure | undefined> {
  const { endpoint, executor } = chain.layerzero
  // Only the sender of transactions surely has the value to bring.
  const account: Address = value > 0n ? senders.bulk.address : executor
  // Exactly what is gone before the call begins, so that one with too little gas fails here too.
  const before = hexToBytes(data).reduce(
    (sum, byte) => sum + (byte === 0 ? ZERO_BYTE_GAS : BYTE_GAS),
    TRANSACTION_GAS,
  )
  async function attempt(limit: bigint): Promise<Hex | undefined> {
    try {
      await client.call({ account, to: endpoint, data, gas: limit + before, value })
      return undefined
    } catch (error) {
      if (!(error instanceof BaseError) || !isAnswered(error)) throw error
      return beginning(revertOf(error, [])?.data ?? '0x')
    }
  }
  const reason = await attempt(gas)
  if (reason === undefined) return undefined
  if (reason !== '0x') return { kind: 'reverted', reason }
  return { kind: (await attempt(gas * PLENTY)) === undefined ? 'out-of-gas' : 'silent', reason }
}

/** What is kept of revert data. */
export function beginning(reason: Hex): Hex {
  return size(reason) > REASON_BYTES ? sliceHex(reason, 0, REASON_BYTES) : reason
}
