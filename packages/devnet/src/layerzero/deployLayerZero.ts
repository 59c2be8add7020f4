import { attestorAbi, attestorBytecode } from '@clearspan/contracts'
import { type Chain as NetworkChain, PermanentError } from '@clearspan/shared'
import {
  type Address,
  type Hex,
  keccak256,
  type PrivateKeyAccount,
  parseEther,
  toHex,
  zeroAddress,
} from 'viem'
import { type Batch, createBatch, type LocalChain } from '../chains/index.js'
import { type LayerZeroArtifacts, layerZeroArtifacts } from './artifacts.js'

/** PriceFeed and the workers' vid count endpoint ids modulo this, as for the V1 ids that they once were. */
const EID_MODULUS = 30_000

const ADMIN_ROLE = keccak256(toHex('ADMIN_ROLE'))

/** Prices of a local network: 1 gwei gas and 2,000 USD a native token everywhere, 20% margin, 10% to the treasury. */
const FEES = {
  treasuryGasLimit: 200_000n,
  treasuryFeeCap: parseEther('0.01'),
  treasuryFeeBps: 1_000n,
  nativeDecimalsRate: 10n ** 18n,
  price: { priceRatio: 10n ** 20n, gasPriceInUnit: 10n ** 9n, gasPerByte: 16 },
  /** In 1e-20 USD. */
  nativePriceUsd: 2_000n * 10n ** 20n,
  multiplierBps: 12_000,
  dvnGas: 150_000n,
  lzReceiveBaseGas: 100_000n,
  lzComposeBaseGas: 60_000n,
  nativeCap: parseEther('1'),
  attestor: parseEther('0.0001'),
}

const MAX_MESSAGE_BYTES = 10_000

export interface LayerZeroChain {
  chain: LocalChain
  /** Endpoint id: ≥ 30000, unique, and not one whose last four digits PriceFeed prices as Arbitrum or Optimism. */
  eid: number
  /** Confirmations that other chains ask for messages from this one. */
  confirmations: number
}

export interface LayerZeroDeployment {
  /** Equal on every chain, and in every run with the same deployer. */
  layerzero: NetworkChain['layerzero'] & { lzExecutor: Address }
  /** Gas of the whole deployment on each chain, in the order given. */
  gasUsed: readonly bigint[]
}

export interface LayerZeroOptions {
  chains: readonly LayerZeroChain[]
  /** Owner of everything; its nonce must be 0 on every chain. */
  deployer: PrivateKeyAccount
  /** The DVN's multisig. */
  dvnSigners: readonly Address[]
  quorum: number
  /** Our own DVN contract, required of every packet: beside the stock one, or alone. Absent: the stock one alone. */
  attestor?: { networkId: Hex; operators: readonly Address[]; threshold: number; alone: boolean } | undefined
  /** Besides the deployer: may call DVN.execute, the Executor, and EssenceDVNWrapper.multiCall. */
  workerAdmins: readonly Address[]
}

/**
 * Deploys LayerZero V2 from the published bytecode on every chain, the Attestor if it is asked for, and joins every pair
 * both ways, with our verifiers required by the default configuration. One block a chain.
 *
 * Throws PermanentError when a transaction reverts, or the deployer has sent from one of the chains before.
 */
export async function deployLayerZero(options: LayerZeroOptions): Promise<LayerZeroDeployment> {
  const artifacts = await layerZeroArtifacts()
  const deployed = await Promise.all(
    options.chains.map(async (local) => {
      const { chain } = local
      const nonce = await chain.client.getTransactionCount({ address: options.deployer.address })
      if (nonce !== 0) {
        throw new PermanentError(
          `the deployer's nonce on ${chain.name} is ${nonce}: addresses would differ between chains`,
        )
      }
      const batch = await createBatch(chain, options.deployer)
      const contracts = addContracts(batch, artifacts, local, options)
      addConfiguration(batch, artifacts, contracts, local, options)
      const { gasUsed } = await batch.send()
      return { contracts, gasUsed }
    }),
  )
  const [first] = deployed
  if (!first) throw new PermanentError('LayerZero needs at least one chain')
  const { endpoint, sendUln, receiveUln, receiveUlnView, dvn, executor, workerMulticall, lzExecutor } =
    first.contracts
  const { attestor } = first.contracts
  return {
    layerzero: {
      endpoint,
      sendUln,
      receiveUln,
      receiveUlnView,
      dvn,
      ...(attestor && { attestor }),
      executor,
      workerMulticall,
      lzExecutor,
    },
    gasUsed: deployed.map(({ gasUsed }) => gasUsed),
  }
}

/** Adds every creation, each with its own initialisation. The order fixes the addresses: append, never insert. */
function addContracts(
  batch: Batch,
  artifacts: LayerZeroArtifacts,
  { eid }: LayerZeroChain,
  { deployer, dvnSigners, quorum, workerAdmins, attestor: attesting }: LayerZeroOptions,
) {
  const owner = deployer.address
  const admins = [owner, ...workerAdmins]
  const create = (name: keyof LayerZeroArtifacts, args: readonly unknown[]) =>
    batch.create(name, { ...artifacts[name], args })
  const initialize = (name: keyof LayerZeroArtifacts, address: Address, args: readonly unknown[]) =>
    batch.call(address, { abi: artifacts[name].abi, functionName: 'initialize', args })

  const endpoint = create('EndpointV2', [eid, owner])
  const sendUln = create('SendUln302', [endpoint, FEES.treasuryGasLimit, FEES.treasuryFeeCap])
  const receiveUln = create('ReceiveUln302', [endpoint])
  const priceFeed = create('PriceFeed', [])
  initialize('PriceFeed', priceFeed, [owner])
  const treasury = create('Treasury', [])
  batch.call(treasury, {
    abi: artifacts.Treasury.abi,
    functionName: 'setNativeFeeBP',
    args: [FEES.treasuryFeeBps],
  })
  const executorFeeLib = create('ExecutorFeeLib', [eid, FEES.nativeDecimalsRate])
  const executor = create('Executor', [])
  // The zero address stands for the V1 receive library, which we do not have.
  initialize('Executor', executor, [endpoint, zeroAddress, [sendUln], priceFeed, owner, admins])
  const dvnFeeLib = create('DVNFeeLib', [eid, FEES.nativeDecimalsRate])
  const vid = eid % EID_MODULUS
  const dvn = create('DVN', [eid, vid, [sendUln], priceFeed, dvnSigners, BigInt(quorum), admins])
  const receiveUlnView = create('ReceiveUln302View', [])
  initialize('ReceiveUln302View', receiveUlnView, [endpoint, receiveUln])
  const lzExecutor = create('LzExecutor', [])
  initialize('LzExecutor', lzExecutor, [receiveUln, receiveUlnView, endpoint])
  const workerMulticall = create('EssenceDVNWrapper', [admins])
  const attestor =
    attesting &&
    batch.create('Attestor', {
      abi: attestorAbi,
      bytecode: attestorBytecode,
      args: [
        owner,
        endpoint,
        attesting.networkId,
        ascending(attesting.operators),
        BigInt(attesting.threshold),
      ],
    })
  return {
    endpoint,
    sendUln,
    receiveUln,
    priceFeed,
    treasury,
    executorFeeLib,
    executor,
    dvnFeeLib,
    dvn,
    receiveUlnView,
    lzExecutor,
    workerMulticall,
    attestor,
  }
}

/** As contracts compare addresses. */
function ascending(addresses: readonly Address[]): Address[] {
  return [...addresses].sort((a, b) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
}

type Contracts = ReturnType<typeof addContracts>

/** Adds roles, fees and the default configuration towards every other chain. */
function addConfiguration(
  batch: Batch,
  artifacts: LayerZeroArtifacts,
  contracts: Contracts,
  local: LayerZeroChain,
  { chains, attestor: attesting }: LayerZeroOptions,
): void {
  const remotes = chains.filter(({ eid }) => eid !== local.eid)
  addWorkers(batch, artifacts, contracts, remotes)
  const call = (
    name: keyof LayerZeroArtifacts,
    address: Address,
    functionName: string,
    args: readonly unknown[],
  ) => batch.call(address, { abi: artifacts[name].abi, functionName, args })
  const { endpoint, sendUln, receiveUln, executor, treasury, dvn, attestor } = contracts
  const verifiers = ascending([...(attesting?.alone ? [] : [dvn]), ...(attestor ? [attestor] : [])])

  // A message is as deep as its source chain asks, so each side of a pair names the other's or its own number.
  const ulnConfig = (confirmations: number) => ({
    confirmations: BigInt(confirmations),
    requiredDVNCount: verifiers.length,
    optionalDVNCount: 0,
    optionalDVNThreshold: 0,
    requiredDVNs: verifiers,
    optionalDVNs: [],
  })
  const outbound = remotes.map(({ eid }) => ({ eid, config: ulnConfig(local.confirmations) }))
  const inbound = remotes.map(({ eid, confirmations }) => ({ eid, config: ulnConfig(confirmations) }))
  const executors = remotes.map(({ eid }) => ({
    eid,
    config: { maxMessageSize: MAX_MESSAGE_BYTES, executor },
  }))
  call('SendUln302', sendUln, 'setDefaultUlnConfigs', [outbound])
  call('SendUln302', sendUln, 'setDefaultExecutorConfigs', [executors])
  call('SendUln302', sendUln, 'setTreasury', [treasury])
  call('ReceiveUln302', receiveUln, 'setDefaultUlnConfigs', [inbound])

  call('EndpointV2', endpoint, 'registerLibrary', [sendUln])
  call('EndpointV2', endpoint, 'registerLibrary', [receiveUln])
  // Last: the endpoint asks a library whether it supports the eid, which it does once it is configured.
  for (const { eid } of remotes) {
    call('EndpointV2', endpoint, 'setDefaultSendLibrary', [eid, sendUln])
    call('EndpointV2', endpoint, 'setDefaultReceiveLibrary', [eid, receiveUln, 0n])
  }
}

function addWorkers(
  batch: Batch,
  artifacts: LayerZeroArtifacts,
  { dvn, dvnFeeLib, executor, executorFeeLib, priceFeed, workerMulticall, attestor, sendUln }: Contracts,
  remotes: readonly LayerZeroChain[],
): void {
  const call = (
    name: keyof LayerZeroArtifacts,
    address: Address,
    functionName: string,
    args: readonly unknown[],
  ) => batch.call(address, { abi: artifacts[name].abi, functionName, args })
  const { price, nativePriceUsd, multiplierBps, dvnGas, lzReceiveBaseGas, lzComposeBaseGas, nativeCap } = FEES

  call('DVN', dvn, 'grantRole', [ADMIN_ROLE, workerMulticall])
  call('Executor', executor, 'grantRole', [ADMIN_ROLE, workerMulticall])
  call('DVN', dvn, 'setWorkerFeeLib', [dvnFeeLib])
  call('Executor', executor, 'setWorkerFeeLib', [executorFeeLib])
  call('PriceFeed', priceFeed, 'setPrice', [remotes.map(({ eid }) => ({ eid: eid % EID_MODULUS, price }))])
  call('PriceFeed', priceFeed, 'setNativeTokenPriceUSD', [nativePriceUsd])
  const common = { multiplierBps, floorMarginUSD: 0n }
  call('DVN', dvn, 'setDstConfig', [remotes.map(({ eid }) => ({ dstEid: eid, gas: dvnGas, ...common }))])
  call('Executor', executor, 'setDstConfig', [
    remotes.map(({ eid }) => ({ dstEid: eid, lzReceiveBaseGas, lzComposeBaseGas, nativeCap, ...common })),
  ])
  if (attestor === undefined) return
  const attesting = { abi: attestorAbi }
  batch.call(attestor, { ...attesting, functionName: 'setSendLibrary', args: [sendUln, true] })
  for (const { eid } of remotes)
    batch.call(attestor, { ...attesting, functionName: 'setDestination', args: [eid, true, FEES.attestor] })
}
