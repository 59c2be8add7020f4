import { spokeGatewayAbi } from '@clearspan/contracts'
import { type Chain, type ChainClient, createChainClient, type Network, UserError } from '@clearspan/shared'
import {
  type Abi,
  type Address,
  BlockNotFoundError,
  type ContractFunctionArgs,
  type ContractFunctionName,
  type ContractFunctionParameters,
  type ContractFunctionReturnType,
  type Hex,
} from 'viem'
import { readAll } from '../chains/read.js'

/** The block of a chain from which a last word is made. */
export interface PickedBlock {
  eid: number
  number: bigint
  hash: Hex
}

/** A chain as it was in a block. */
export interface ChainAt {
  chain: Chain
  client: ChainClient
  number: bigint
  /** Seconds. */
  time: bigint
}

/** A vault and a token of it, in the order of eid, epoch and token: the same for whoever reads. */
export interface VaultToken {
  at: ChainAt
  vault: Address
  vaultEpoch: number
  token: Address
  decimals: number
}

/** Real milliseconds: an archive is asked for long ranges. */
const TIMEOUT_MS = 60_000

export function clientOf({ chainId, name, rpcUrls }: Chain): ChainClient {
  return createChainClient({ chainId, name, rpcUrls, blockMs: 1_000, timeoutMs: TIMEOUT_MS })
}

/** Of each chain the newest block that is as deep as the manifest wants it. */
export async function finalBlocks(network: Network): Promise<PickedBlock[]> {
  return Promise.all(
    network.chains.map(async (chain) => {
      const client = clientOf(chain)
      const newest = await client.getBlock()
      const depth = BigInt(chain.confirmations - 1)
      const { number, hash } = await client.getBlock({
        blockNumber: newest.number > depth ? newest.number - depth : 0n,
      })
      return { eid: chain.eid, number, hash }
    }),
  )
}

/** Every chain of the network at its picked block. @throws UserError where the node has another block there, or none that deep. */
export async function chainsAt(network: Network, blocks: readonly PickedBlock[]): Promise<ChainAt[]> {
  return Promise.all(
    network.chains.map(async (chain) => {
      const picked = blocks.find(({ eid }) => eid === chain.eid)
      if (picked === undefined) throw new UserError('blocks', `must name one of ${chain.name}`)
      const client = clientOf(chain)
      const [newest, block] = await Promise.all([
        client.getBlockNumber(),
        client.getBlock({ blockNumber: picked.number }).catch((error: unknown) => {
          if (error instanceof BlockNotFoundError) return null
          throw error
        }),
      ])
      const { number } = picked
      if (block?.hash !== picked.hash)
        throw new UserError('blocks', `block ${number} of ${chain.name} is another one here, or none`)
      if (number + BigInt(chain.confirmations - 1) > newest)
        throw new UserError(
          'blocks',
          `block ${number} of ${chain.name} isn't ${chain.confirmations} deep yet`,
        )
      return { chain, client, number, time: block.timestamp }
    }),
  )
}

type Views = 'view' | 'pure'

/** One view of one contract for each list of arguments, as of the picked block. @throws RetryableError */
export async function readEach<const abi extends Abi, name extends ContractFunctionName<abi, Views>>(
  { client, number }: Pick<ChainAt, 'client' | 'number'>,
  contract: { address: Address; abi: abi },
  functionName: name,
  each: readonly ContractFunctionArgs<abi, Views, name>[],
): Promise<ContractFunctionReturnType<abi, Views, name>[]> {
  const calls = each.map((args) => ({ ...contract, functionName, args })) as ContractFunctionParameters[]
  return (await readAll(client, calls, number)) as ContractFunctionReturnType<abi, Views, name>[]
}

/** Every vault of every chain, newest and replaced ones. */
export async function vaultTokens(chains: readonly ChainAt[]): Promise<VaultToken[]> {
  const all = await Promise.all(
    chains.map(async (at) => {
      const gateway = { address: at.chain.contracts.spokeGateway, abi: spokeGatewayAbi } as const
      const [newest] = await readEach(at, gateway, 'epoch', [[]])
      const epochs = Array.from({ length: newest ?? 0 }, (_, i) => [i + 1] as const)
      const vaults = await readEach(at, gateway, 'vaultOf', epochs)
      const tokens = [...at.chain.tokens].sort((a, b) => compare(a.address, b.address))
      return vaults.flatMap((vault, v) =>
        tokens.map(({ address, decimals }) => ({ at, vault, vaultEpoch: v + 1, token: address, decimals })),
      )
    }),
  )
  return all.flat().sort((a, b) => a.at.chain.eid - b.at.chain.eid)
}

const compare = (a: string, b: string) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)
