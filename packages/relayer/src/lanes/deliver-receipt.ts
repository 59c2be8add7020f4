import { attestorAbi } from '@clearspan/contracts'
import type { Chain } from '@clearspan/shared'
import { type Address, type Hex, isAddressEqual, type Log, parseEventLogs } from 'viem'
import { type Outcome, outcomeOf } from '../attest/outcome.js'
import { endpointAbi, executorAbi, receiveUlnAbi } from '../layerzero/abi.js'
import { beginning } from './deliver-trial.js'

/** What a delivering transaction's logs say of packets, beside what the endpoint's views say. */
export type DeliveryEvent =
  /** Our stock DVN's verification stands. */
  | { kind: 'verified'; header: Hex; payloadHash: Hex }
  /** The Attestor didn't deliver it. */
  | { kind: 'not-delivered'; guid: Hex; outcome: Outcome }
  /** lzReceive failed in our executor's hands; `reason` is the beginning of its revert data. */
  | { kind: 'alert'; guid: Hex; reason: Hex; gas: bigint }
  /** Our executor has made its native drops. */
  | { kind: 'dropped'; origin: { srcEid: number; sender: Hex; nonce: bigint }; receiver: Address }

/** Reads events of the contracts that may emit them alone: receivers run in the same transaction, and anyone may make the endpoint emit an alert. */
export function deliveryEvents(logs: readonly Log[], layerzero: Chain['layerzero']): DeliveryEvent[] {
  const { attestor, dvn, endpoint, executor, receiveUln } = layerzero
  const abi = [...endpointAbi, ...receiveUlnAbi, ...executorAbi, ...attestorAbi]
  return parseEventLogs({ abi, logs: [...logs], strict: true }).flatMap((log): DeliveryEvent[] => {
    const isFrom = (emitter: Address | undefined) =>
      emitter !== undefined && isAddressEqual(log.address, emitter)
    switch (log.eventName) {
      case 'PayloadVerified':
        if (!isFrom(receiveUln) || !isAddressEqual(log.args.dvn, dvn)) return []
        return [{ kind: 'verified', header: log.args.header, payloadHash: log.args.proofHash }]
      case 'NotDelivered':
        if (!isFrom(attestor)) return []
        return [{ kind: 'not-delivered', guid: log.args.guid, outcome: outcomeOf(log.args.outcome) }]
      case 'NativeDropApplied':
        if (!isFrom(executor)) return []
        return [{ kind: 'dropped', origin: log.args.origin, receiver: log.args.oapp }]
      case 'LzReceiveAlert': {
        if (!isFrom(endpoint) || !isAddressEqual(log.args.executor, executor)) return []
        const { guid, reason, gas } = log.args
        return [{ kind: 'alert', guid, reason: beginning(reason), gas }]
      }
      default:
        return []
    }
  })
}
