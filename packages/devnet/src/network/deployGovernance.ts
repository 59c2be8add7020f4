import {
  clearinghouseAbi,
  collateralVaultAbi,
  futureAbi,
  governanceAbi,
  governanceBytecode,
  optionAbi,
  rateSwapAbi,
  spokeGatewayAbi,
} from '@clearspan/contracts'
import { type Abi, type Address, parseAbi, toFunctionSelector, zeroAddress } from 'viem'
import type { Batch } from '../chains/index.js'
import type { At } from './addresses.js'
import type { DeployOptions } from './deployOptions.js'
import { COUNCIL_DELAY } from './parameters.js'

/** Of LayerZero's endpoint: passes over a packet that nobody has verified. */
const endpointAbi = parseAbi(['function skip(address oapp, uint32 srcEid, bytes32 sender, uint64 nonce)'])
const ownableAbi = parseAbi(['function transferOwnership(address newOwner)'])

interface Power {
  target: Address
  selector: `0x${string}`
}

/** A function by its name, which must be overloaded by none. */
function power(target: Address, abi: Abi, name: string): Power {
  const item = abi.find((one) => one.type === 'function' && one.name === name)
  if (item?.type !== 'function') throw new RangeError(`no function ${name}`)
  return { target, selector: toFunctionSelector(item) }
}

/** Governance of one chain: what its guardian may do at once, and on the hub who gives terms to instruments, at once too. */
export function createGovernance(batch: Batch, at: At, { layerzero, roles }: DeployOptions, index: number) {
  const isHub = index === 0
  const powers = [
    power(layerzero.endpoint, endpointAbi, 'skip'),
    power(at('vault'), collateralVaultAbi, 'halt'),
    ...(isHub ? [power(at('clearinghouse'), clearinghouseAbi, 'pauseNewRisk')] : []),
  ]
  const listings = [
    power(at('future'), futureAbi, 'list'),
    power(at('option'), optionAbi, 'list'),
    power(at('rateSwap'), rateSwapAbi, 'list'),
  ]
  const lister = isHub
    ? { account: roles.lister.account.address, delay: 0, powers: listings }
    : { account: zeroAddress, delay: 0, powers: [] }
  batch.create('Governance', {
    abi: governanceAbi,
    bytecode: governanceBytecode,
    args: [roles.council.account.address, COUNCIL_DELAY, roles.guardian.account.address, powers, lister],
  })
}

/** Last of all: from here on the deployer owns nothing, and is nobody's LayerZero delegate. */
export function handOver(batch: Batch, at: At, { layerzero }: DeployOptions, index: number) {
  const isHub = index === 0
  const oapps = [at('spokeGateway'), at('epochRevoker'), ...(isHub ? [at('hubGateway')] : [])]
  const owned = [
    at('priceOracle'),
    at('vault'),
    at('liquidationExecutor'),
    at('venueRegistry'),
    ...(layerzero.attestor === undefined ? [] : [layerzero.attestor]),
    ...oapps,
    ...(isHub
      ? (
          ['riskConfig', 'clearinghouse', 'backstop', 'future', 'option', 'rateSwap', 'dynamicRisk'] as const
        ).map(at)
      : []),
  ]
  for (const oapp of oapps)
    batch.call(oapp, { abi: spokeGatewayAbi, functionName: 'setDelegate', args: [at('governance')] })
  for (const address of owned)
    batch.call(address, { abi: ownableAbi, functionName: 'transferOwnership', args: [at('governance')] })
}
