import { type ChainClient, createLogger, createMetrics, type Metrics, systemClock } from '@clearspan/shared'
import { type Address, getAddress, type Hex, numberToHex, pad } from 'viem'
import { createQuarantine } from '../chains/quarantine.js'
import { encodePacket, type Packet } from '../layerzero/packet.js'
import type { OperatorChain } from './operator.js'

export const address = (n: number): Address => getAddress(pad(numberToHex(n), { size: 20 }))

export const layerzero = {
  endpoint: address(0xe0),
  sendUln: address(0xe1),
  receiveUln: address(0xe2),
  receiveUlnView: address(0xe3),
  dvn: address(0xe4),
  attestor: address(0xe5),
  executor: address(0xe6),
  workerMulticall: address(0xe7),
}

/** A block that a node shows, and what it says was sent in it. */
export interface ShownBlock {
  number: bigint
  hash: Hex
  packets: readonly Packet[]
  /** Library that the packets went through. */
  sendUln?: Address
}

/** A node as it answers about one block, the height of its chain and what paths from there ask for. */
export function node(head: bigint, block?: ShownBlock, confirmations = 1n): ChainClient {
  return {
    multicall: async ({ contracts }: { contracts: unknown[] }) =>
      contracts.map(() => ulnConfig(confirmations)),
    getBlockNumber: async () => head,
    getBlock: async () => ({ hash: block?.hash, timestamp: 1_000n }),
    getLogs: async ({ blockHash }: { blockHash: Hex }) =>
      block?.hash !== blockHash
        ? []
        : block.packets.map((packet) => ({
            address: layerzero.endpoint,
            args: { encodedPayload: encodePacket(packet), sendLibrary: block.sendUln ?? layerzero.sendUln },
          })),
  } as unknown as ChainClient
}

const ulnConfig = (confirmations: bigint) => ({ confirmations, requiredDVNs: [], optionalDVNs: [] })

export interface FakeChain {
  eid: number
  witnesses?: readonly ChainClient[]
  /** What senders, or receivers, of this chain ask for. */
  confirmations?: bigint
  operatorSet?: number
  isOperator?: (who: Address) => boolean
  threshold?: number
  /** Where its quarantine counts. */
  metrics?: Metrics
}

/** A chain whose contracts answer what an operator asks. */
export function fakeChain(fake: FakeChain): OperatorChain {
  const answers: Record<string, (args: readonly unknown[]) => unknown> = {
    getUlnConfig: () => ulnConfig(fake.confirmations ?? 1n),
    operatorSet: () => fake.operatorSet ?? 1,
    isOperator: ([who]) => fake.isOperator?.(who as Address) ?? true,
    threshold: () => fake.threshold ?? 2,
    vid: () => 7,
  }
  const client = {
    getBlock: async () => ({ timestamp: 1_000n }),
    multicall: async ({ contracts }: { contracts: { functionName: string; args?: readonly unknown[] }[] }) =>
      contracts.map(({ functionName, args = [] }) => answers[functionName]?.(args)),
  }
  const chain = {
    name: `chain ${fake.eid}`,
    chainId: fake.eid + 1_000,
    eid: fake.eid,
    confirmations: 1,
    layerzero,
  }
  const { witnesses = [client as unknown as ChainClient], metrics = createMetrics() } = fake
  const logger = createLogger({ name: 'test', level: 'silent' })
  const quarantine = createQuarantine({
    chain: chain.name,
    nodes: witnesses,
    clock: systemClock,
    logger,
    metrics,
  })
  return { chain, client, witnesses, quarantine } as unknown as OperatorChain
}
