import {
  clearinghouseAbi,
  collateralVaultAbi,
  epochRevokerAbi,
  hubGatewayAbi,
  spokeGatewayAbi,
} from '@clearspan/contracts'
import { decodeRevert } from '@clearspan/shared'
import { type Abi, type Hex, parseAbi } from 'viem'

/** What LayerZero's endpoint, its applications and their tokens revert with while a packet is delivered. */
const COMMON = parseAbi([
  'error LZ_ComposeExists()',
  'error LZ_ComposeNotFound(bytes32 expected, bytes32 actual)',
  'error LZ_InsufficientFee(uint256 requiredNative, uint256 suppliedNative, uint256 requiredLzToken, uint256 suppliedLzToken)',
  'error LZ_InvalidNonce(uint64 nonce)',
  'error LZ_PayloadHashNotFound(bytes32 expected, bytes32 actual)',
  'error LZ_SendReentrancy()',
  'error LZ_Unauthorized()',
  'error InvalidEndpointCall()',
  'error LzTokenUnavailable()',
  'error NoPeer(uint32 eid)',
  'error NotEnoughNative(uint256 msgValue)',
  'error OnlyEndpoint(address addr)',
  'error OnlyPeer(uint32 eid, bytes32 sender)',
  'error SlippageExceeded(uint256 amountLD, uint256 minAmountLD)',
  'error ERC20InsufficientBalance(address sender, uint256 balance, uint256 needed)',
  'error ERC20InvalidReceiver(address receiver)',
  'error EnforcedPause()',
  'error OwnableUnauthorizedAccount(address account)',
  'error ReentrancyGuardReentrantCall()',
  'error SafeERC20FailedOperation(address token)',
])

const own: Abi = [
  ...hubGatewayAbi,
  ...spokeGatewayAbi,
  ...epochRevokerAbi,
  ...clearinghouseAbi,
  ...collateralVaultAbi,
]
const KNOWN: Abi = [...COMMON, ...own.filter(({ type }) => type === 'error')]

/**
 * Revert data for people to read, such as `OnlyPeer(30101, 0x…)` or `Error(paused)`: whatever text is in it is the receiver's. Undefined for an error
 * that is not known, and for one that was cut off.
 */
export function describeReason(reason: Hex): string | undefined {
  const { name, args } = decodeRevert(reason, KNOWN)
  return name === undefined ? undefined : `${name}(${args.map(String).join(', ')})`
}
