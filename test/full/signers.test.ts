import { testReceiverAbi, testReceiverBytecode } from '@clearspan/contracts'
import { createBatch, localAccounts } from '@clearspan/devnet'
import { createChainClient, createLogger, createQueueBackend, systemClock } from '@clearspan/shared'
import {
  type Address,
  concatHex,
  keccak256,
  numberToHex,
  pad,
  parseAbi,
  parseEther,
  recoverTransactionAddress,
  toHex,
} from 'viem'
import { expect, test } from 'vitest'
import { createWallet } from '../../packages/devnet/src/scenario/wallet.js'
import { temporaryDirectory } from '../clearspan.js'
import { createTestRelayer, startOperators, startTestNetwork } from '../testNetwork.js'
import { type Fault, startProxy } from '../testProxy.js'

// Several signers of one destination on real chains, one of whose transactions its node takes and never passes on.
const TEST_TIMEOUT_MS = 600_000
const PATIENCE = { timeout: 280_000 }
const SIGNERS = 3
const RECEIVERS = 6
const EACH = 5
const endpointAbi = parseAbi([
  'struct Params { uint32 dstEid; bytes32 receiver; bytes message; bytes options; bool payInLzToken; }',
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'function send(Params params, address refund) payable',
  'event PacketDelivered(Origin origin, address receiver)',
])
const logger = createLogger({ name: 'test', level: 'silent' })

test(
  'a signer whose transactions are never mined stops nothing: others deliver what it was at, each packet once',
  async () => {
    const dir = await temporaryDirectory()
    const on = await startTestNetwork({
      directory: dir.path,
      chains: ['alpha', 'beta'],
      delivery: 'attestor',
      moreAdmins: SIGNERS - 1,
    })
    const operators = await startOperators(on)
    const [alpha, beta] = on.network.chains
    const stuck = on.roles.relayer.bulk.account.address
    let isStuck = true
    const swallow: Fault = async (request, ask) => {
      if (request.method !== 'eth_sendRawTransaction' || !isStuck) return ask(request)
      const [raw] = request.params as [`0x02${string}`]
      const from = await recoverTransactionAddress({ serializedTransaction: raw })
      return from === stuck ? { id: request.id, result: keccak256(raw) } : ask(request)
    }
    const proxy = await startProxy(on.chains[0]!.rpcUrl, swallow)
    const backend = await createQueueBackend({ clock: systemClock, logger })
    const moreSigners = localAccounts(on.roles.count + SIGNERS - 1).slice(on.roles.count)
    const relayer = createTestRelayer(
      on,
      backend,
      {
        roles: ['relayer'],
        operators: operators.known,
        rpcUrls: { [String(alpha!.chainId)]: [proxy.url] },
        stuckAfterMs: 1_500,
        // Work for more than two signers at once.
        batch: { packets: 5 },
      },
      moreSigners,
    )
    const client = createChainClient({
      chainId: alpha!.chainId,
      rpcUrls: [on.chains[0]!.rpcUrl],
      blockMs: on.blockMs,
    })
    const wallet = createWallet({
      client: createChainClient({
        chainId: beta!.chainId,
        rpcUrls: [on.chains[1]!.rpcUrl],
        blockMs: on.blockMs,
      }),
      account: on.roles.traders.alice.account,
      chainId: beta!.chainId,
      clock: systemClock,
      logger,
    })
    try {
      await on.producer.halt()
      const batch = await createBatch(on.chains[0]!, on.roles.traders.bob.account)
      const receivers = Array.from({ length: RECEIVERS }, (_, i) =>
        batch.create(`receiver ${i}`, { abi: testReceiverAbi, bytecode: testReceiverBytecode }),
      )
      await batch.send()
      on.producer.resume()
      await relayer.start()
      const gas = numberToHex(200_000n, { size: 16 })
      const options = concatHex(['0x00030100', numberToHex(17, { size: 1 }), '0x01', gas])
      const message = (i: number) => toHex(`packet ${i}`)
      const sendTo = (receiver: Address, i: number) => ({
        to: beta!.layerzero.endpoint,
        abi: endpointAbi,
        functionName: 'send',
        args: [
          { dstEid: alpha!.eid, receiver: pad(receiver), message: message(i), options, payInLzToken: false },
          wallet.address,
        ],
        value: parseEther('0.01'),
      })
      for (let i = 0; i < EACH; i++) await wallet.send(receivers.map((receiver) => sendTo(receiver, i)))

      await expect.poll(() => relayer.packets().alpha, PATIENCE).toEqual([])
      const nonceOf = (address: Address) => client.getTransactionCount({ address })
      expect(await nonceOf(stuck)).toBe(0)
      for (const { address } of moreSigners) expect(await nonceOf(address)).toBeGreaterThan(0)
      // Once its node passes transactions on, its nonces are used up, by nothing that is done twice.
      isStuck = false
      await expect.poll(() => nonceOf(stuck), PATIENCE).toBeGreaterThan(0)
      const delivered = await client.getLogs({
        address: alpha!.layerzero.endpoint,
        event: endpointAbi[1],
        fromBlock: 0n,
        strict: true,
      })
      const packets = delivered.map(({ args }) => `${args.receiver} ${args.origin.nonce}`)
      expect(new Set(packets).size).toBe(RECEIVERS * EACH)
      expect(packets).toHaveLength(RECEIVERS * EACH)
      for (const address of receivers) {
        const last = await client.readContract({ address, abi: testReceiverAbi, functionName: 'last' })
        expect(last).toBe(keccak256(message(EACH - 1)))
      }
    } finally {
      await relayer.stop()
      await backend.close()
      await wallet.close()
      await proxy.close()
      await operators.stop()
      await on.stop()
      await dir.remove()
    }
  },
  TEST_TIMEOUT_MS,
)
