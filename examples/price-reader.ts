// A user's transaction that carries its own price. Against a local network that `start` keeps up:
//   npx tsx examples/price-reader.ts .clearspan/network.json
// On its second chain it deploys PriceReader (packages/contracts/src/examples) with its adapters, and acts once on each new report.
import { resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  aggregatorAdapterAbi,
  aggregatorAdapterBytecode,
  priceReaderAbi,
  priceReaderBytecode,
  pythAdapterAbi,
  pythAdapterBytecode,
} from '@clearspan/contracts'
import { localAccounts } from '@clearspan/devnet'
import { followReports } from '@clearspan/sdk'
import { networkSchema, readJson } from '@clearspan/shared'
import {
  type Abi,
  type Address,
  createPublicClient,
  createWalletClient,
  defineChain,
  encodeFunctionData,
  type Hex,
  http,
  type LocalAccount,
  type PublicClient,
  parseEther,
} from 'viem'

/** Pyth's id of ETH/USD: a protocol of Pyth's is built with it. */
const PYTH_ETH = '0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace'

/** One account on one chain. */
export function connect(chainId: number, rpcUrl: string, account: LocalAccount) {
  const chain = defineChain({
    id: chainId,
    name: String(chainId),
    nativeCurrency: { name: 'Ether', symbol: 'ETH', decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  })
  const transport = http(rpcUrl)
  const pollingInterval = 100
  const client: PublicClient = createPublicClient({ chain, transport, pollingInterval })
  return { client, wallet: createWalletClient({ account, chain, transport, pollingInterval }) }
}

export type Connection = ReturnType<typeof connect>

/** Deploys the reader of a feed, with an adapter of either kind. @param maxAge Seconds of a price that it acts on. */
export async function deployReader(
  { client, wallet }: Connection,
  { oracle, feed, maxAge }: { oracle: Address; feed: bigint; maxAge: bigint },
): Promise<Address> {
  const deploy = async (abi: Abi, bytecode: Hex, args: unknown[]) => {
    const hash = await wallet.deployContract({ abi, bytecode, args })
    return (await client.waitForTransactionReceipt({ hash })).contractAddress!
  }
  const aggregator = await deploy(aggregatorAdapterAbi, aggregatorAdapterBytecode, [oracle, feed, 18, 'ETH'])
  const pyth = await deploy(pythAdapterAbi, pythAdapterBytecode, [oracle, maxAge, [{ id: PYTH_ETH, feed }]])
  return deploy(priceReaderAbi, priceReaderBytecode, [oracle, feed, maxAge, aggregator, pyth, PYTH_ETH])
}

/** One transaction: the report, and the action on it. Answers what the action was priced at. */
export async function act(
  { client, wallet }: Connection,
  reader: Address,
  encoded: Hex,
  amount: bigint,
  by: 'act' | 'actOnAggregator' | 'actOnPyth' = 'act',
) {
  const contract = { address: reader, abi: priceReaderAbi } as const
  const data =
    by === 'actOnPyth'
      ? encodeFunctionData({ ...contract, functionName: by, args: [[encoded], amount] })
      : encodeFunctionData({ ...contract, functionName: by, args: [encoded, amount] })
  // What an update costs depends on the block that it lands in: another report may be there, and intervals widen with time.
  const gas = await client.estimateGas({ account: wallet.account, to: reader, data })
  const hash = await wallet.sendTransaction({ to: reader, data, gas: (gas * 3n) / 2n })
  const { status, gasUsed } = await client.waitForTransactionReceipt({ hash })
  if (status !== 'success') throw new Error(`${by} reverted: ${hash}`)
  const [, low, high, observedAt] = await client.readContract({
    ...contract,
    functionName: 'deals',
    args: [wallet.account.address],
  })
  return { low, high, observedAt, gasUsed }
}

async function main(file: string): Promise<void> {
  const network = await readJson(resolve(file), networkSchema)
  const chain = network.chains[1]!
  const [account] = localAccounts(1)
  const connection = connect(chain.chainId, chain.rpcUrls[0]!, account!)
  const feed = network.oracle.feeds.findIndex(({ name }) => name === 'ETH/USD')
  const maxAge = BigInt((5 * network.oracle.slotMs) / 1000)
  const oracle = chain.contracts.priceOracle
  const reader = await deployReader(connection, { oracle, feed: BigInt(feed), maxAge })
  for await (const { seq, encoded } of followReports(network)) {
    const { low, high, gasUsed } = await act(connection, reader, encoded, parseEther('1'))
    console.log(`slot ${seq}: 1 ETH is worth ${low} to ${high} (WAD), ${gasUsed} gas`)
  }
}

const [, script, file] = process.argv
if (script === fileURLToPath(import.meta.url)) await main(file ?? '.clearspan/network.json')
