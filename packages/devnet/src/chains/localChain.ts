import {
  type Chain,
  createTestClient,
  defineChain,
  type Hex,
  type HttpTransport,
  http,
  type PublicActions,
  publicActions,
  type TestClient,
} from 'viem'
import type { ManagedProcess, RunDirectory } from '../processes/index.js'

/** Block gas limit at genesis: a whole deployment fits one block. */
const DEPLOYMENT_GAS_LIMIT = 1_000_000_000n

/** Block gas limit for a network in operation, as on a real chain; see `setBlockGasLimit`. */
export const OPERATION_GAS_LIMIT = 30_000_000n

/** States kept for calls at past blocks; below 16 anvil may lose `latest` while it mines. */
const KEPT_STATES = 128

/** Waits are local: neither viem's 4 s of polling nor its cached block number has a place here. */
const POLLING_INTERVAL_MS = 20
/** A chain that has ended is noticed by its process; one that is only slow, on a machine busy with other work, is waited for. */
const RPC_TIMEOUT_MS = 60_000

export interface LocalChainOptions {
  name: string
  chainId: number
  /** 0 for any free port. */
  port: number
  /** Unix seconds of block 0. */
  genesisTime: number
  /** How many of `localAccounts` the chain funds, with 10,000 ether each. */
  accounts: number
}

export type LocalClient = TestClient<'anvil', HttpTransport, Chain> & PublicActions<HttpTransport, Chain>

export interface MinedBlock {
  number: bigint
  /** Unix seconds. */
  timestamp: number
}

/** One anvil. It mines only when told to: there is neither automine nor anvil's own interval. */
export interface LocalChain {
  name: string
  chainId: number
  rpcUrl: string
  wsUrl: string
  /** Calls of one tick travel as one JSON-RPC batch. No retries: the node is on this machine. */
  client: LocalClient
  /** Timestamp of the newest block that `mine` knows of, unix seconds. */
  lastTimestamp(): number
  /**
   * Mines one block with all that is pending, at `timestamp` (unix seconds) or one second after the last block,
   * whichever is later. Calls queue up: a chain has one miner.
   */
  mine(timestamp?: number): Promise<MinedBlock>
  /** Applies from the next block on. */
  setBlockGasLimit(gasLimit: bigint): Promise<void>
  process: ManagedProcess
  stop(): Promise<void>
}

/** Starts one chain at its genesis. Errors as `startProcess`. */
export async function startLocalChain(
  run: RunDirectory,
  binary: string,
  options: LocalChainOptions,
): Promise<LocalChain> {
  const process = await run.start({
    name: `chain-${options.name}`,
    command: binary,
    args: anvilArguments(options, run.dataDirectory(`chain-${options.name}`)),
    ready: (line) => LISTENING.test(line),
  })
  const port = LISTENING.exec(process.readyLine)![1]
  const rpcUrl = `http://127.0.0.1:${port}`
  const wsUrl = `ws://127.0.0.1:${port}`
  const client = createTestClient({
    mode: 'anvil',
    chain: defineChain({
      id: options.chainId,
      name: options.name,
      nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
      rpcUrls: { default: { http: [rpcUrl], webSocket: [wsUrl] } },
    }),
    transport: http(rpcUrl, { batch: true, retryCount: 0, timeout: RPC_TIMEOUT_MS }),
    pollingInterval: POLLING_INTERVAL_MS,
    cacheTime: 0,
  }).extend(publicActions)
  // anvil prints a line for every call that it answers; over a run that is gigabytes.
  await client.setLoggingEnabled(false)
  return {
    name: options.name,
    chainId: options.chainId,
    rpcUrl,
    wsUrl,
    client,
    process,
    ...miner(client, options),
  }

  function miner(client: LocalClient, { genesisTime }: LocalChainOptions) {
    let last = genesisTime
    let queue: Promise<unknown> = Promise.resolve()
    const mineNext = async (timestamp: number): Promise<MinedBlock> => {
      const next = Math.max(timestamp, last + 1)
      await client.request<{ Method: 'evm_mine'; Parameters: [{ timestamp: Hex }]; ReturnType: string }>({
        method: 'evm_mine',
        params: [{ timestamp: `0x${next.toString(16)}` }],
      })
      last = next
      return { number: await client.getBlockNumber(), timestamp: next }
    }
    return {
      lastTimestamp: () => last,
      mine(timestamp = 0) {
        const mined = queue.then(() => mineNext(timestamp))
        queue = mined.catch(() => {})
        return mined
      },
      setBlockGasLimit: (gasLimit: bigint) => client.setBlockGasLimit({ gasLimit }),
      stop: async () => {
        await process.stop()
      },
    }
  }
}

const LISTENING = /^Listening on 127\.0\.0\.1:(\d+)/

function anvilArguments(options: LocalChainOptions, dataDirectory: string): string[] {
  const flags = {
    '--host': '127.0.0.1',
    '--port': options.port,
    '--chain-id': options.chainId,
    '--timestamp': options.genesisTime,
    '--accounts': options.accounts,
    // From prague on, block hashes go into storage, and anvil's cost of a block grows with the storage.
    '--hardfork': 'cancun',
    '--gas-limit': DEPLOYMENT_GAS_LIMIT,
    // Without these anvil writes every state beyond 500 to the home directory and never removes it.
    '--prune-history': KEPT_STATES,
    '--cache-path': dataDirectory,
  }
  // Deployments travel as one batch, which may exceed 2 MB.
  const switches = ['--no-mining', '--no-request-size-limit']
  return [...switches, ...Object.entries(flags).flatMap(([flag, value]) => [flag, String(value)])]
}
