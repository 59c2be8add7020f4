// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroEndpointV2,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {Test, Vm} from "forge-std/Test.sol";

struct UlnConfig {
    uint64 confirmations;
    uint8 requiredDVNCount;
    uint8 optionalDVNCount;
    uint8 optionalDVNThreshold;
    address[] requiredDVNs;
    address[] optionalDVNs;
}

struct UlnConfigParam {
    uint32 eid;
    UlnConfig config;
}

struct ExecutorConfig {
    uint32 maxMessageSize;
    address executor;
}

struct ExecutorConfigParam {
    uint32 eid;
    ExecutorConfig config;
}

struct Price {
    uint128 priceRatio;
    uint64 gasPriceInUnit;
    uint32 gasPerByte;
}

struct PriceParam {
    uint32 eid;
    Price price;
}

struct DvnDstConfig {
    uint32 dstEid;
    uint64 gas;
    uint16 multiplierBps;
    uint128 floorMarginUSD;
}

struct ExecutorDstConfig {
    uint32 dstEid;
    uint64 lzReceiveBaseGas;
    uint64 lzComposeBaseGas;
    uint16 multiplierBps;
    uint128 floorMarginUSD;
    uint128 nativeCap;
}

struct DvnExecuteParam {
    uint32 vid;
    address target;
    bytes callData;
    uint256 expiration;
    bytes signatures;
}

struct ExecutionParams {
    address receiver;
    Origin origin;
    bytes32 guid;
    bytes message;
    bytes extraData;
    uint256 gasLimit;
}

interface IPriceFeedAdmin {
    function initialize(address priceUpdater) external;
    function setPrice(PriceParam[] calldata prices) external;
    function setNativeTokenPriceUSD(uint128 price) external;
}

interface IUlnAdmin {
    function setDefaultUlnConfigs(UlnConfigParam[] calldata params) external;
    function setDefaultExecutorConfigs(ExecutorConfigParam[] calldata params) external;
    function setTreasury(address treasury) external;
    function verify(bytes calldata header, bytes32 payloadHash, uint64 confirmations) external;
    function commitVerification(bytes calldata header, bytes32 payloadHash) external;
}

interface IDvn {
    function setWorkerFeeLib(address lib) external;
    function setDstConfig(DvnDstConfig[] calldata params) external;
    function execute(DvnExecuteParam[] calldata params) external;
}

interface IExecutor {
    function initialize(
        address endpoint,
        address receiveUln301,
        address[] calldata messageLibs,
        address priceFeed,
        address roleAdmin,
        address[] calldata admins
    ) external;
    function setWorkerFeeLib(address lib) external;
    function setDstConfig(ExecutorDstConfig[] calldata params) external;
    function execute302(ExecutionParams calldata params) external payable;
}

/// @notice Whole LayerZero V2 stacks, from the published bytecode, side by side in one EVM: what a message goes through here is
/// what it goes through on a chain, but for the block in between.
abstract contract LayerZeroTest is Test {
    struct Stack {
        uint32 eid;
        ILayerZeroEndpointV2 endpoint;
        address sendUln;
        address receiveUln;
        address dvn;
        address executor;
    }

    /// @notice A message as PacketSent carries it.
    struct Packet {
        uint64 nonce;
        uint32 srcEid;
        address sender;
        uint32 dstEid;
        address receiver;
        bytes32 guid;
        bytes message;
        bytes header;
        /// lzReceive gas that its options bought.
        uint256 gas;
    }

    uint32 internal constant HUB = 30_901;
    uint32 internal constant SPOKE = 30_902;
    uint64 internal constant CONFIRMATIONS = 3;
    uint256 private constant QUORUM = 2;
    string private constant ARTIFACTS = "node_modules/@layerzerolabs/lz-evm-sdk-v2/artifacts/contracts/";

    Stack[] internal stacks;
    uint256[] private _dvnKeys;

    /// @dev A hub and a spoke, at a time of the present.
    function _deployTwoChains() internal {
        vm.warp(1_700_000_000);
        uint32[] memory eids = new uint32[](2);
        (eids[0], eids[1]) = (HUB, SPOKE);
        _deployLayerZero(eids);
    }

    /// @dev Deploys one stack for each eid (30000 or more, apart modulo 30000) and joins every pair.
    function _deployLayerZero(uint32[] memory eids) internal {
        // Ascending by address, as the DVN wants the signatures.
        _dvnKeys = [uint256(0xd1), 0xd2];
        if (vm.addr(_dvnKeys[0]) > vm.addr(_dvnKeys[1])) _dvnKeys = [uint256(0xd2), 0xd1];
        for (uint256 i; i < eids.length; ++i) {
            _deployStack(eids[i], eids);
        }
    }

    function _stack(uint32 eid) internal view returns (Stack memory) {
        for (uint256 i; i < stacks.length; ++i) {
            if (stacks[i].eid == eid) return stacks[i];
        }
        revert("no such stack");
    }

    /* DEPLOYMENT */

    function _create(string memory path, bytes memory arguments) private returns (address) {
        return vm.deployCode(string.concat(ARTIFACTS, path, ".json"), arguments);
    }

    function _deployStack(uint32 eid, uint32[] memory eids) private {
        Stack memory stack;
        stack.eid = eid;
        address endpoint = _create("EndpointV2.sol/EndpointV2", abi.encode(eid, address(this)));
        stack.endpoint = ILayerZeroEndpointV2(endpoint);
        stack.sendUln =
            _create("uln/uln302/SendUln302.sol/SendUln302", abi.encode(endpoint, 200_000, 0.01 ether));
        stack.receiveUln = _create("uln/uln302/ReceiveUln302.sol/ReceiveUln302", abi.encode(endpoint));
        address priceFeed = _create("PriceFeed.sol/PriceFeed", "");
        IPriceFeedAdmin(priceFeed).initialize(address(this));
        _deployWorkers(stack, priceFeed);
        address treasury = _create("Treasury.sol/Treasury", "");
        IUlnAdmin(stack.sendUln).setTreasury(treasury);
        IPriceFeedAdmin(priceFeed).setNativeTokenPriceUSD(2_000e20);
        stack.endpoint.registerLibrary(stack.sendUln);
        stack.endpoint.registerLibrary(stack.receiveUln);
        for (uint256 i; i < eids.length; ++i) {
            if (eids[i] != eid) _join(stack, priceFeed, eids[i]);
        }
        stacks.push(stack);
    }

    function _deployWorkers(Stack memory stack, address priceFeed) private {
        address[] memory libs = new address[](1);
        libs[0] = stack.sendUln;
        address[] memory admins = new address[](1);
        admins[0] = address(this);
        address[] memory signers = new address[](QUORUM);
        for (uint256 i; i < QUORUM; ++i) {
            signers[i] = vm.addr(_dvnKeys[i]);
        }
        stack.dvn = _create(
            "uln/dvn/DVN.sol/DVN",
            abi.encode(stack.eid, stack.eid % 30_000, libs, priceFeed, signers, uint64(QUORUM), admins)
        );
        IDvn(stack.dvn)
            .setWorkerFeeLib(_create("uln/dvn/DVNFeeLib.sol/DVNFeeLib", abi.encode(stack.eid, 1e18)));
        stack.executor = _create("Executor.sol/Executor", "");
        IExecutor(stack.executor)
            .initialize(address(stack.endpoint), address(0), libs, priceFeed, address(this), admins);
        IExecutor(stack.executor)
            .setWorkerFeeLib(_create("ExecutorFeeLib.sol/ExecutorFeeLib", abi.encode(stack.eid, 1e18)));
    }

    function _join(Stack memory stack, address priceFeed, uint32 remote) private {
        PriceParam[] memory prices = new PriceParam[](1);
        prices[0] = PriceParam(remote % 30_000, Price(1e20, 1e9, 16));
        IPriceFeedAdmin(priceFeed).setPrice(prices);
        DvnDstConfig[] memory dvn = new DvnDstConfig[](1);
        dvn[0] = DvnDstConfig(remote, 150_000, 12_000, 0);
        IDvn(stack.dvn).setDstConfig(dvn);
        ExecutorDstConfig[] memory executor = new ExecutorDstConfig[](1);
        executor[0] = ExecutorDstConfig(remote, 100_000, 60_000, 12_000, 0, 1 ether);
        IExecutor(stack.executor).setDstConfig(executor);

        UlnConfigParam[] memory uln = new UlnConfigParam[](1);
        address[] memory required = new address[](1);
        required[0] = stack.dvn;
        uln[0] = UlnConfigParam(remote, UlnConfig(CONFIRMATIONS, 1, 0, 0, required, new address[](0)));
        IUlnAdmin(stack.sendUln).setDefaultUlnConfigs(uln);
        IUlnAdmin(stack.receiveUln).setDefaultUlnConfigs(uln);
        ExecutorConfigParam[] memory executorConfig = new ExecutorConfigParam[](1);
        executorConfig[0] = ExecutorConfigParam(remote, ExecutorConfig(10_000, stack.executor));
        IUlnAdmin(stack.sendUln).setDefaultExecutorConfigs(executorConfig);
        // Last: the endpoint asks the libraries whether they support the eid.
        stack.endpoint.setDefaultSendLibrary(remote, stack.sendUln);
        stack.endpoint.setDefaultReceiveLibrary(remote, stack.receiveUln, 0);
    }

    /* DELIVERY */

    /// @dev Packets sent since vm.recordLogs or the last call.
    function _sentPackets() internal returns (Packet[] memory packets) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        packets = new Packet[](logs.length);
        uint256 count;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].topics[0] != ILayerZeroEndpointV2.PacketSent.selector) continue;
            (bytes memory encoded, bytes memory options,) = abi.decode(logs[i].data, (bytes, bytes, address));
            packets[count++] = this.decodePacket(encoded, options);
        }
        assembly ("memory-safe") {
            mstore(packets, count)
        }
    }

    /// @dev Packet `version u8 | nonce u64 | srcEid u32 | sender b32 | dstEid u32 | receiver b32 | guid b32 | message`;
    /// options with one lzReceive: `0x0003 | worker u8 | size u16 | type u8 | gas u128`.
    function decodePacket(bytes calldata encoded, bytes calldata options)
        external
        pure
        returns (Packet memory packet)
    {
        packet.nonce = uint64(bytes8(encoded[1:9]));
        packet.srcEid = uint32(bytes4(encoded[9:13]));
        packet.sender = address(bytes20(encoded[25:45]));
        packet.dstEid = uint32(bytes4(encoded[45:49]));
        packet.receiver = address(bytes20(encoded[61:81]));
        packet.guid = bytes32(encoded[81:113]);
        packet.message = encoded[113:];
        packet.header = encoded[:81];
        require(options.length == 22, "one lzReceive option");
        packet.gas = uint128(bytes16(options[6:22]));
    }

    /// @dev What workers do: attest, commit, execute with the gas bought. True if lzReceive succeeded.
    function _deliver(Packet memory packet) internal returns (bool delivered) {
        _commit(packet);
        delivered = _execute(packet, packet.gas);
    }

    function _commit(Packet memory packet) internal {
        Stack memory stack = _stack(packet.dstEid);
        bytes32 payloadHash = keccak256(abi.encodePacked(packet.guid, packet.message));
        DvnExecuteParam[] memory params = new DvnExecuteParam[](1);
        params[0].vid = packet.dstEid % 30_000;
        params[0].target = stack.receiveUln;
        params[0].callData = abi.encodeCall(IUlnAdmin.verify, (packet.header, payloadHash, CONFIRMATIONS));
        params[0].expiration = block.timestamp + 1 hours;
        bytes32 hash = keccak256(
            abi.encodePacked(params[0].vid, params[0].target, params[0].expiration, params[0].callData)
        );
        hash = keccak256(abi.encodePacked("\x19Ethereum Signed Message:\n32", hash));
        for (uint256 i; i < QUORUM; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(_dvnKeys[i], hash);
            params[0].signatures = bytes.concat(params[0].signatures, abi.encodePacked(r, s, v));
        }
        IDvn(stack.dvn).execute(params);
        IUlnAdmin(stack.receiveUln).commitVerification(packet.header, payloadHash);
    }

    /// @dev False if lzReceive reverted: the packet stays executable by anyone.
    function _execute(Packet memory packet, uint256 gas_) internal returns (bool) {
        Stack memory stack = _stack(packet.dstEid);
        bytes32 sender = bytes32(uint256(uint160(packet.sender)));
        IExecutor(stack.executor)
            .execute302(
                ExecutionParams(
                    packet.receiver,
                    Origin(packet.srcEid, sender, packet.nonce),
                    packet.guid,
                    packet.message,
                    "",
                    gas_
                )
            );
        return stack.endpoint.inboundPayloadHash(packet.receiver, packet.srcEid, sender, packet.nonce) == 0;
    }
}
