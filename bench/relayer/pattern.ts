import type { LocalChain } from '@clearspan/devnet'
import type { QueueBackend } from '@clearspan/shared'
import {
  type Abi,
  type Address,
  concatHex,
  createPublicClient,
  createWalletClient,
  encodeFunctionData,
  encodePacked,
  type Hex,
  http,
  keccak256,
  parseAbi,
  size,
  sliceHex,
} from 'viem'
import type { Stage } from './stage.js'

// What relayer engines in public do, for comparison: one queue for everything, three jobs at a time, one wallet that has each receipt before
// it sends the next transaction, and LayerZero's stock delivery of three: DVN.execute, commitVerification, Executor.execute302.
const CONCURRENCY = 3
const ATTEMPTS = 3
/** As often as ours looks: a quarter of a block. */
const POLL_MS = 125
const RECEIVE_GAS = 100_000n
/** An estimate can't see what lzReceive needs inside the Executor. */
const EXECUTE_GAS = 300_000n
const LIFETIME_S = 3_600n

const abi = parseAbi([
  'struct ExecuteParam { uint32 vid; address target; bytes callData; uint256 expiration; bytes signatures; }',
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'struct ExecutionParams { address receiver; Origin origin; bytes32 guid; bytes message; bytes extraData; uint256 gasLimit; }',
  'event PacketSent(bytes encodedPayload, bytes options, address sendLibrary)',
  'function execute(ExecuteParam[] params)',
  'function vid() view returns (uint32)',
  'function verify(bytes header, bytes32 payloadHash, uint64 confirmations)',
  'function commitVerification(bytes header, bytes32 payloadHash)',
  'function execute302(ExecutionParams params) payable',
])

/** One transaction. */
export interface Step {
  /** Block of the destination with the transaction before it; undefined for the first, which the packet itself makes due. */
  after: bigint | undefined
  /** Unix ms. */
  broadcastAt: number
  missedFirstBlock: boolean
}

export interface Pattern {
  /** Steps of each delivered packet, by guid. */
  steps(): ReadonlyMap<Hex, Step[]>
  /** Of a job, the last one. */
  failure(): Error | undefined
  stop(): Promise<void>
}

export async function startPattern(
  stage: Stage,
  backend: QueueBackend,
  rpcUrls: readonly [source: string, destination: string],
): Promise<Pattern> {
  const { on, source, destination } = stage
  const clientOf = ({ client }: LocalChain, url: string) =>
    createPublicClient({ chain: client.chain, transport: http(url), pollingInterval: POLL_MS, cacheTime: 0 })
  const [reader, there] = [clientOf(source, rpcUrls[0]), clientOf(destination, rpcUrls[1])]
  const wallet = createWalletClient({
    account: on.roles.relayer.bulk.account,
    chain: destination.client.chain,
    transport: http(rpcUrls[1]),
  })
  const { dvn, receiveUln, executor, endpoint } = on.network.chains[0]!.layerzero
  const vid = await there.readContract({ address: dvn, abi, functionName: 'vid' })
  const done = new Map<Hex, Step[]>()
  const queue = backend.queue('relay')
  await queue.waitUntilReady()
  let walletTurn: Promise<unknown> = Promise.resolve()

  /** The wallet's worker: one transaction, its receipt, the next. */
  function send(address: Address, functionName: string, args: readonly unknown[], gas?: bigint) {
    const turn = walletTurn.then(async () => {
      const head = await there.getBlockNumber()
      const call = { address, abi: abi as Abi, functionName, args, ...(gas && { gas }) }
      const hash = await wallet.writeContract(call)
      const broadcastAt = Date.now()
      const { blockNumber, status } = await there.waitForTransactionReceipt({ hash })
      if (status !== 'success') throw new Error(`${functionName} reverted`)
      return { broadcastAt, blockNumber, missedFirstBlock: blockNumber > head + 1n }
    })
    walletTurn = turn.catch(() => {})
    return turn
  }

  async function deliver(encoded: Hex): Promise<void> {
    const header = sliceHex(encoded, 0, 81)
    const guid = sliceHex(encoded, 81, 113)
    const payloadHash = keccak256(sliceHex(encoded, 81))
    const { timestamp } = await there.getBlock()
    const expiration = timestamp + LIFETIME_S
    const param = await signVerification({ header, payloadHash, expiration })
    const steps: Step[] = []
    let after: bigint | undefined
    const step = async (...call: Parameters<typeof send>) => {
      const { blockNumber, ...sent } = await send(...call)
      steps.push({ after, ...sent })
      after = blockNumber
    }
    await step(dvn, 'execute', [[param]])
    await step(receiveUln, 'commitVerification', [header, payloadHash])
    const origin = {
      srcEid: Number(sliceHex(header, 9, 13)),
      sender: sliceHex(header, 13, 45),
      nonce: BigInt(sliceHex(header, 1, 9)),
    }
    const message = size(encoded) > 113 ? sliceHex(encoded, 113) : '0x'
    const receiver = sliceHex(header, 61, 81)
    const params = { receiver, origin, guid, message, extraData: '0x', gasLimit: RECEIVE_GAS }
    await step(executor, 'execute302', [params], EXECUTE_GAS)
    done.set(guid, steps)
  }

  async function signVerification(claim: { header: Hex; payloadHash: Hex; expiration: bigint }) {
    const { header, payloadHash, expiration } = claim
    const callData = encodeFunctionData({ abi, functionName: 'verify', args: [header, payloadHash, 1n] })
    const raw = keccak256(
      encodePacked(['uint32', 'address', 'uint256', 'bytes'], [vid, receiveUln, expiration, callData]),
    )
    const signers = on.roles.relayer.dvnSigners
      .map(({ account }) => account)
      .sort((a, b) => (a.address.toLowerCase() < b.address.toLowerCase() ? -1 : 1))
    const signatures = concatHex(
      await Promise.all(signers.map((signer) => signer.signMessage({ message: { raw } }))),
    )
    return { vid, target: receiveUln, callData, expiration, signatures }
  }

  let failure: Error | undefined
  const worker = backend.worker('relay', async ({ data }) => deliver(data.packet as Hex), {
    concurrency: CONCURRENCY,
  })
  worker.on('failed', (_job, error) => {
    failure = error
  })
  await worker.waitUntilReady()
  let stopped = false
  let next = (await reader.getBlockNumber()) + 1n
  const watching = watch()

  async function watch(): Promise<void> {
    while (!stopped) {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
      const head = await reader.getBlockNumber()
      if (head < next) continue
      const logs = await reader.getLogs({
        address: endpoint,
        event: abi[0],
        fromBlock: next,
        toBlock: head,
        strict: true,
      })
      for (const { args } of logs)
        await queue.add('packet', { packet: args.encodedPayload }, { attempts: ATTEMPTS })
      next = head + 1n
    }
  }

  return {
    steps: () => done,
    failure: () => failure,
    async stop() {
      stopped = true
      await watching
      await backend.close()
    },
  }
}
