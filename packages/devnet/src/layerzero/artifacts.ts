import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import type { Abi, Hex } from 'viem'

interface Artifact {
  abi: Abi
  bytecode: Hex
}

/** The published contracts that a chain needs, by their place in the package. */
const PATHS = {
  EndpointV2: 'EndpointV2.sol/EndpointV2',
  SendUln302: 'uln/uln302/SendUln302.sol/SendUln302',
  ReceiveUln302: 'uln/uln302/ReceiveUln302.sol/ReceiveUln302',
  ReceiveUln302View: 'uln/uln302/ReceiveUln302View.sol/ReceiveUln302View',
  PriceFeed: 'PriceFeed.sol/PriceFeed',
  Treasury: 'Treasury.sol/Treasury',
  Executor: 'Executor.sol/Executor',
  ExecutorFeeLib: 'ExecutorFeeLib.sol/ExecutorFeeLib',
  DVN: 'uln/dvn/DVN.sol/DVN',
  DVNFeeLib: 'uln/dvn/DVNFeeLib.sol/DVNFeeLib',
  LzExecutor: 'uln/LzExecutor.sol/LzExecutor',
  EssenceDVNWrapper: 'lowlat/EssenceDVNWrapper.sol/EssenceDVNWrapper',
} as const

export type LayerZeroArtifacts = Record<keyof typeof PATHS, Artifact>

/**
 * Reads LayerZero's published bytecode from where it is installed. It is never copied into this repository: its
 * licence asks a copy to carry it.
 */
export async function layerZeroArtifacts(): Promise<LayerZeroArtifacts> {
  const { resolve } = createRequire(import.meta.url)
  const entries = await Promise.all(
    Object.entries(PATHS).map(async ([name, path]) => {
      const file = resolve(`@layerzerolabs/lz-evm-sdk-v2/artifacts/contracts/${path}.json`)
      return [name, JSON.parse(await readFile(file, 'utf8'))] as const
    }),
  )
  return Object.fromEntries(entries) as LayerZeroArtifacts
}
