import { parseAbi } from 'viem'

/** The few functions and events of LayerZero's published contracts that delivering needs. */
export const endpointAbi = parseAbi([
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'event PacketSent(bytes encodedPayload, bytes options, address sendLibrary)',
  'event PacketVerified(Origin origin, address receiver, bytes32 payloadHash)',
  'event PacketDelivered(Origin origin, address receiver)',
  'event LzReceiveAlert(address indexed receiver, address indexed executor, Origin origin, bytes32 guid, uint256 gas, uint256 value, bytes message, bytes extraData, bytes reason)',
  'event ComposeSent(address from, address to, bytes32 guid, uint16 index, bytes message)',
  'event LzComposeAlert(address indexed from, address indexed to, address indexed executor, bytes32 guid, uint16 index, uint256 gas, uint256 value, bytes message, bytes extraData, bytes reason)',
  'function composeQueue(address from, address to, bytes32 guid, uint16 index) view returns (bytes32)',
  'function lzCompose(address from, address to, bytes32 guid, uint16 index, bytes message, bytes extraData) payable',
  'function lzReceive(Origin origin, address receiver, bytes32 guid, bytes message, bytes extraData) payable',
  'function outboundNonce(address sender, uint32 dstEid, bytes32 receiver) view returns (uint64)',
  'function inboundNonce(address receiver, uint32 srcEid, bytes32 sender) view returns (uint64)',
  'function inboundPayloadHash(address receiver, uint32 srcEid, bytes32 sender, uint64 nonce) view returns (bytes32)',
])

export const sendUlnAbi = parseAbi([
  'event DVNFeePaid(address[] requiredDVNs, address[] optionalDVNs, uint256[] fees)',
  'event ExecutorFeePaid(address executor, uint256 fee)',
])

/** Of both libraries: what sender and receiver of a path ask for. */
export const ulnConfigAbi = parseAbi([
  'struct UlnConfig { uint64 confirmations; uint8 requiredDVNCount; uint8 optionalDVNCount; uint8 optionalDVNThreshold; address[] requiredDVNs; address[] optionalDVNs; }',
  'function getUlnConfig(address oapp, uint32 remoteEid) view returns (UlnConfig)',
])

export const receiveUlnAbi = parseAbi([
  'event PayloadVerified(address dvn, bytes header, uint256 confirmations, bytes32 proofHash)',
  'function verify(bytes header, bytes32 payloadHash, uint64 confirmations)',
  'function commitVerification(bytes header, bytes32 payloadHash)',
])

export const receiveUlnViewAbi = parseAbi([
  'function verifiable(bytes header, bytes32 payloadHash) view returns (uint8)',
])

export const dvnAbi = parseAbi([
  'struct ExecuteParam { uint32 vid; address target; bytes callData; uint256 expiration; bytes signatures; }',
  'function execute(ExecuteParam[] params)',
  'function vid() view returns (uint32)',
  'function quorum() view returns (uint64)',
  'function isSigner(address signer) view returns (bool)',
])

export const executorAbi = parseAbi([
  'struct Origin { uint32 srcEid; bytes32 sender; uint64 nonce; }',
  'struct ExecutionParams { address receiver; Origin origin; bytes32 guid; bytes message; bytes extraData; uint256 gasLimit; }',
  'struct NativeDropParams { address receiver; uint256 amount; }',
  'event NativeDropApplied(Origin origin, uint32 dstEid, address oapp, NativeDropParams[] params, bool[] success)',
  'function execute302(ExecutionParams params) payable',
  'function nativeDropAndExecute302(NativeDropParams[] drops, uint256 dropGasLimit, ExecutionParams params) payable',
  'function compose302(address from, address to, bytes32 guid, uint16 index, bytes message, bytes extraData, uint256 gasLimit) payable',
])

export const workerMulticallAbi = parseAbi([
  'struct Call { address target; bytes data; uint256 gasLimit; uint256 value; bool revertOnError; }',
  'function multiCall(Call[] calls) payable returns (bool[] successes, bytes[] results)',
  'error CallReverted(uint256 index, bytes result)',
  'error NotEnoughGas(uint256 index, uint256 requested, uint256 available)',
])
