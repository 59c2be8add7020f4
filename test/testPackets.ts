import { testReceiverAbi, testReceiverBytecode } from '@clearspan/contracts'
import { createBatch } from '@clearspan/devnet'
import { createChainClient, createLogger, systemClock } from '@clearspan/shared'
import {
  type Address,
  concatHex,
  type Hex,
  keccak256,
  numberToHex,
  pad,
  parseAbi,
  parseEther,
  toHex,
} from 'viem'
import { createWallet } from '../packages/devnet/src/scenario/wallet.js'
import type { TestNetwork } from './testNetwork.js'

const endpointAbi = parseAbi([
  'struct Params { uint32 dstEid; bytes32 receiver; bytes message; bytes options; bool payInLzToken; }',
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'function send(Params params, address refund) payable',
  'event PacketDelivered(Origin origin, address receiver)',
])
const GAS = numberToHex(200_000n, { size: 16 })
/** lzReceive with so much gas, and nothing besides. */
export const PLAIN = concatHex(['0x00030100', numberToHex(17, { size: 1 }), '0x01', GAS])

/** A stranger's packets between chains of a test network, by the chains' places. */
export function createPackets(on: TestNetwork) {
  const logger = createLogger({ name: 'test', level: 'silent' })
  const client = (at: number) => {
    const { chainId, rpcUrl } = on.chains[at]!
    return createChainClient({ chainId, rpcUrls: [rpcUrl], blockMs: on.blockMs })
  }
  const wallets = on.chains.map(({ chainId }, at) =>
    createWallet({
      client: client(at),
      account: on.roles.traders.alice.account,
      chainId,
      clock: systemClock,
      logger,
    }),
  )

  return {
    client,
    /** Who sends them. */
    sender: on.roles.traders.alice.account.address,
    /** Receivers on one chain that store what they get. */
    async deploy(at: number, count: number): Promise<Address[]> {
      await on.producer.halt()
      const batch = await createBatch(on.chains[at]!, on.roles.traders.bob.account)
      const parameters = { abi: testReceiverAbi, bytecode: testReceiverBytecode }
      const receivers = Array.from({ length: count }, (_, i) => batch.create(`receiver ${i}`, parameters))
      await batch.send()
      on.producer.resume()
      return receivers
    },
    /** Sends one packet to each; answers the transactions. */
    async send(
      from: number,
      to: number,
      receivers: readonly Address[],
      text: string,
      options = PLAIN,
    ): Promise<Hex[]> {
      const [source, destination] = [on.network.chains[from]!, on.network.chains[to]!]
      const sent = await wallets[from]!.send(
        receivers.map((receiver) => ({
          to: source.layerzero.endpoint,
          abi: endpointAbi,
          functionName: 'send',
          args: [
            {
              dstEid: destination.eid,
              receiver: pad(receiver),
              message: toHex(text),
              options,
              payInLzToken: false,
            },
            wallets[from]!.address,
          ],
          // More than it costs: the endpoint gives the rest back.
          value: parseEther('0.1'),
        })),
      )
      return sent.map(({ receipt }) => receipt.transactionHash)
    },
    /** Whether this was the last that a receiver got. */
    async has(at: number, receiver: Address, text: string): Promise<boolean> {
      const read = { address: receiver, abi: testReceiverAbi, functionName: 'last' } as const
      return (await client(at).readContract(read)) === keccak256(toHex(text))
    },
    /** Receiver and nonce of each delivery on a chain, in the chain's order, with the sender of its transaction and the gas that this used. */
    async delivered(at: number) {
      const { endpoint } = on.network.chains[at]!.layerzero
      const logs = await client(at).getLogs({
        address: endpoint,
        event: endpointAbi[1],
        fromBlock: 0n,
        strict: true,
      })
      return logs.map(({ args: { origin, receiver }, transactionHash }) => ({
        packet: `${receiver.toLowerCase()} ${origin.nonce}`,
        transactionHash,
      }))
    },
    async close(): Promise<void> {
      for (const wallet of wallets) await wallet.close()
    },
  }
}
