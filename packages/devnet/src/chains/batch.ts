import { PermanentError } from '@clearspan/shared'
import {
  type Abi,
  type Address,
  BaseError,
  type ContractConstructorArgs,
  type ContractFunctionArgs,
  type ContractFunctionName,
  decodeErrorResult,
  type EncodeDeployDataParameters,
  type EncodeFunctionDataParameters,
  encodeDeployData,
  encodeFunctionData,
  getContractAddress,
  type Hash,
  type Hex,
  keccak256,
  type PrivateKeyAccount,
  parseGwei,
  type TransactionReceipt,
} from 'viem'
import type { LocalChain } from './localChain.js'

/** A generous limit instead of an estimate: an estimate would need the transactions before it to be mined. */
const DEFAULT_GAS = 8_000_000n

type Writes = 'nonpayable' | 'payable'

type CreateParameters<abi extends Abi | readonly unknown[]> = EncodeDeployDataParameters<
  abi,
  ContractConstructorArgs<abi>
> & {
  /** Gas limit; 8,000,000 if left out. */
  gas?: bigint
}

type CallParameters<
  abi extends Abi | readonly unknown[],
  functionName extends ContractFunctionName<abi, Writes>,
> = EncodeFunctionDataParameters<abi, functionName> & {
  args?: ContractFunctionArgs<abi, Writes, functionName>
  /** Wei; 0 if left out. */
  value?: bigint
  /** Gas limit; 8,000,000 if left out. */
  gas?: bigint
}

export interface BatchResult {
  /** One for every `create` and `call`, in order. */
  receipts: readonly TransactionReceipt[]
  gasUsed: bigint
}

/**
 * Transactions of one account to one chain, mined together in one block.
 *
 * @example
 * const batch = await createBatch(chain, deployer)
 * const oracle = batch.create('PriceOracle', { abi: priceOracleAbi, bytecode: priceOracleBytecode, args: [networkId] })
 * batch.call(oracle, { abi: priceOracleAbi, functionName: 'setFeeds', args: [feeds] })
 * await batch.send()
 */
export interface Batch {
  /** Adds a creation and returns where the contract will be: a function of the account and its nonce alone. */
  create<const abi extends Abi | readonly unknown[]>(
    label: string,
    parameters: CreateParameters<abi>,
  ): Address
  /** Adds a call; errors name it by the label that the address was created with, and the function. */
  call<const abi extends Abi | readonly unknown[], functionName extends ContractFunctionName<abi, Writes>>(
    address: Address,
    parameters: CallParameters<abi, functionName>,
  ): void
  /**
   * Signs and sends everything added so far, mines it, and checks every receipt. The batch may then be filled again.
   * Throws PermanentError, with the label and the reason, for a transaction that the node refused or the first one that
   * reverted; a batch that failed is of no further use.
   */
  send(): Promise<BatchResult>
}

interface Entry {
  label: string
  to: Address | null
  data: Hex
  value: bigint
  gas: bigint
}

/**
 * Starts a batch at the account's next nonce. The account must send nothing else until `send` has resolved. Contracts
 * have equal addresses on all chains when each chain's batches add the same number of transactions before each create.
 */
export async function createBatch(chain: LocalChain, account: PrivateKeyAccount): Promise<Batch> {
  const from = account.address
  let nonce = await chain.client.getTransactionCount({ address: from, blockTag: 'pending' })
  let entries: Entry[] = []
  const labels = new Map<Address, string>()
  // A revert reason may come from a contract further down, so all known ABIs can decode it.
  const abis = new Set<Abi>()

  return {
    create(label, { gas = DEFAULT_GAS, ...parameters }) {
      const address = getContractAddress({ from, nonce: BigInt(nonce + entries.length) })
      labels.set(address, label)
      abis.add(parameters.abi as Abi)
      const data = encodeDeployData(parameters as EncodeDeployDataParameters)
      entries.push({ label, to: null, data, value: 0n, gas })
      return address
    },
    call(address, { gas = DEFAULT_GAS, value = 0n, ...parameters }) {
      abis.add(parameters.abi as Abi)
      const label = `${labels.get(address) ?? address}.${parameters.functionName}`
      const data = encodeFunctionData(parameters as EncodeFunctionDataParameters)
      entries.push({ label, to: address, data, value, gas })
    },
    async send() {
      const sending = entries
      entries = []
      const hashes = await sendAll(chain, account, sending, nonce)
      nonce += sending.length
      const receipts = await mineAll(chain, hashes)
      const reverted = receipts.findIndex(({ status }) => status === 'reverted')
      if (reverted >= 0) {
        const reason = await revertReason(chain, hashes[reverted]!, [...abis])
        throw new PermanentError(`${sending[reverted]!.label} reverted on ${chain.name}: ${reason}`)
      }
      return { receipts, gasUsed: receipts.reduce((sum, { gasUsed }) => sum + gasUsed, 0n) }
    },
  }
}

async function sendAll(
  chain: LocalChain,
  account: PrivateKeyAccount,
  entries: readonly Entry[],
  firstNonce: number,
): Promise<Hash[]> {
  const { baseFeePerGas } = await chain.client.getBlock()
  const tip = parseGwei('1')
  const maxFeePerGas = 2n * (baseFeePerGas ?? 0n) + tip
  const signed = await Promise.all(
    entries.map((entry, index) =>
      account.signTransaction({
        ...entry,
        chainId: chain.chainId,
        nonce: firstNonce + index,
        type: 'eip1559',
        maxFeePerGas,
        maxPriorityFeePerGas: tip,
      }),
    ),
  )
  // One tick, hence one JSON-RPC batch.
  await Promise.all(
    signed.map(async (serializedTransaction, index) => {
      try {
        await chain.client.sendRawTransaction({ serializedTransaction })
      } catch (error) {
        // viem's long message would repeat the whole bytecode.
        const why = error instanceof BaseError ? error.details || error.shortMessage : String(error)
        throw new PermanentError(`${entries[index]!.label} was refused by ${chain.name}: ${why}`, {
          cause: error,
        })
      }
    }),
  )
  return signed.map((transaction) => keccak256(transaction))
}

/** Mines until every transaction has a receipt: one block, unless the block gas limit asks for more. */
async function mineAll(chain: LocalChain, hashes: readonly Hash[]): Promise<TransactionReceipt[]> {
  const receipts: TransactionReceipt[] = []
  while (receipts.length < hashes.length) {
    const { number } = await chain.mine()
    const known = receipts.length
    receipts.push(...(await minedReceipts(chain, hashes.slice(known))))
    if (receipts.length === known) {
      throw new PermanentError(
        `block ${number} of ${chain.name} took no transaction of the batch; is its gas limit too low?`,
      )
    }
  }
  return receipts
}

/** The receipts of one account's transactions in nonce order, up to the first that is not mined. */
async function minedReceipts(chain: LocalChain, hashes: readonly Hash[]): Promise<TransactionReceipt[]> {
  const found = await Promise.allSettled(hashes.map((hash) => chain.client.getTransactionReceipt({ hash })))
  const missing = found.findIndex(({ status }) => status === 'rejected')
  const mined = missing < 0 ? found : found.slice(0, missing)
  return mined.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
}

async function revertReason(chain: LocalChain, hash: Hash, abis: readonly Abi[]): Promise<string> {
  const trace = await chain.client.request<{
    Method: 'debug_traceTransaction'
    Parameters: [Hash, { tracer: 'callTracer' }]
    ReturnType: { output?: Hex; error?: string }
  }>({ method: 'debug_traceTransaction', params: [hash, { tracer: 'callTracer' }] })
  const { output = '0x', error = 'no reason given' } = trace
  // First Error(string) and Panic(uint256), which every ABI knows.
  for (const abi of [[], ...abis]) {
    try {
      const { errorName, args } = decodeErrorResult({ abi, data: output })
      return `${errorName}(${(args ?? []).map(String).join(', ')})`
    } catch {}
  }
  return output === '0x' ? error : `${error} ${output}`
}
