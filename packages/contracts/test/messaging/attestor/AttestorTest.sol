// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {
    ILayerZeroEndpointV2,
    MessagingParams
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Attestor} from "../../../src/messaging/Attestor.sol";
import {AttestorOperators} from "../../../src/messaging/AttestorOperators.sol";
import {IUlnAdmin, LayerZeroTest, UlnConfig, UlnConfigParam} from "../../utils/LayerZeroTest.sol";

/// @notice Two chains whose only verifier is an Attestor of three operators, two of whom must sign.
abstract contract AttestorTest is LayerZeroTest {
    uint32 internal constant HERE = 30901;
    uint32 internal constant THERE = 30902;
    bytes32 internal constant NETWORK = keccak256("network");
    uint128 internal constant GAS = 100_000;
    uint128 internal constant FEE = 0.001 ether;

    /// Verifies what was sent here, there.
    Attestor internal attestor;
    /// Is paid here for what is verified there.
    Attestor internal jobs;
    address internal sender = makeAddr("sender");
    /// Ascending by address.
    uint256[] internal keys;

    function setUp() public virtual {
        uint32[] memory eids = new uint32[](2);
        (eids[0], eids[1]) = (HERE, THERE);
        _deployLayerZero(eids);
        keys = [uint256(0xa1), 0xa2, 0xa3];
        _sortKeys();
        jobs = new Attestor(address(this), _stack(HERE).endpoint, NETWORK, _operators(), 2);
        attestor = new Attestor(address(this), _stack(THERE).endpoint, NETWORK, _operators(), 2);
        jobs.setSendLibrary(_stack(HERE).sendUln, true);
        jobs.setDestination(THERE, true, FEE);
        address[] memory required = new address[](1);
        required[0] = address(jobs);
        _verifiers(_stack(HERE).sendUln, THERE, required);
        required[0] = address(attestor);
        _verifiers(_stack(THERE).receiveUln, HERE, required);
        vm.deal(sender, 100 ether);
        vm.warp(1_700_000_000);
        vm.recordLogs();
    }

    function _verifiers(address library_, uint32 remote, address[] memory required) internal {
        UlnConfigParam[] memory uln = new UlnConfigParam[](1);
        uln[0] = UlnConfigParam(
            remote, UlnConfig(CONFIRMATIONS, uint8(required.length), 0, 0, required, new address[](0))
        );
        IUlnAdmin(library_).setDefaultUlnConfigs(uln);
    }

    /* OPERATORS */

    function _sortKeys() private {
        for (uint256 i; i < keys.length; ++i) {
            for (uint256 j = i + 1; j < keys.length; ++j) {
                if (vm.addr(keys[j]) < vm.addr(keys[i])) (keys[i], keys[j]) = (keys[j], keys[i]);
            }
        }
    }

    function _operators() internal view returns (address[] memory operators) {
        operators = new address[](keys.length);
        for (uint256 i; i < keys.length; ++i) {
            operators[i] = vm.addr(keys[i]);
        }
    }

    function _attest(bytes32 root) internal view returns (AttestorOperators.Attestation memory) {
        return AttestorOperators.Attestation(
            root, _stack(THERE).receiveUln, uint64(block.timestamp + 10 minutes), attestor.operatorSet()
        );
    }

    function _sign(uint256 key, AttestorOperators.Attestation memory a) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, attestor.attestationDigest(a));
        return abi.encodePacked(r, s, v);
    }

    function _signatures(AttestorOperators.Attestation memory a) internal view returns (bytes memory) {
        return bytes.concat(_sign(keys[0], a), _sign(keys[1], a));
    }

    /* PACKETS */

    function _send(address receiver, bytes memory message) internal returns (Attestor.Packet memory) {
        return _send(receiver, message, GAS);
    }

    function _send(address receiver, bytes memory message, uint128 gas_)
        internal
        returns (Attestor.Packet memory)
    {
        ILayerZeroEndpointV2 endpoint = _stack(HERE).endpoint;
        bytes memory options = abi.encodePacked(uint16(3), uint8(1), uint16(17), uint8(1), gas_);
        MessagingParams memory params =
            MessagingParams(THERE, bytes32(uint256(uint160(receiver))), message, options, false);
        uint256 fee = endpoint.quote(params, sender).nativeFee;
        vm.prank(sender);
        endpoint.send{value: fee}(params, sender);
        Packet[] memory sent = _sentPackets();
        return Attestor.Packet(sent[0].header, message, CONFIRMATIONS, sent[0].gas);
    }

    function _leaf(Attestor.Packet memory packet) internal view returns (bytes32) {
        bytes32 guid = this.guidOf(packet.header);
        return attestor.leafOf(
            packet.header, keccak256(abi.encodePacked(guid, packet.message)), packet.confirmations
        );
    }

    function guidOf(bytes calldata header) external pure returns (bytes32) {
        return keccak256(header[1:]);
    }

    /* TREES: as OpenZeppelin's tools lay them out, leaves last and turned round */

    function _tree(Attestor.Packet[] memory packets) internal view returns (bytes32[] memory tree) {
        uint256 count = packets.length;
        tree = new bytes32[](2 * count - 1);
        for (uint256 i; i < count; ++i) {
            tree[tree.length - 1 - i] = _leaf(packets[i]);
        }
        for (uint256 i = count - 1; i > 0; --i) {
            tree[i - 1] = Hashes.commutativeKeccak256(tree[2 * i - 1], tree[2 * i]);
        }
    }

    /// @dev Proof that leaf `index` of `count` is in the tree, as a multi-proof of one leaf.
    function _proof(bytes32[] memory tree, uint256 index)
        internal
        pure
        returns (bytes32[] memory proof, bool[] memory flags)
    {
        uint256 node = tree.length - 1 - index;
        uint256 depth;
        for (uint256 n = node; n > 0; n = (n - 1) / 2) {
            ++depth;
        }
        (proof, flags) = (new bytes32[](depth), new bool[](depth));
        for (uint256 n; n < depth; ++n) {
            proof[n] = tree[node % 2 == 1 ? node + 1 : node - 1];
            node = (node - 1) / 2;
        }
    }

    function _allFlags(uint256 leaves) internal pure returns (bool[] memory flags) {
        flags = new bool[](leaves - 1);
        for (uint256 n; n < flags.length; ++n) {
            flags[n] = true;
        }
    }

    /* DELIVERY */

    function _deliverAll(Attestor.Packet[] memory packets) internal returns (Attestor.Outcome[] memory) {
        AttestorOperators.Attestation memory a = _attest(_tree(packets)[0]);
        return attestor.deliver(a, _signatures(a), packets, new bytes32[](0), _allFlags(packets.length));
    }

    function _one(Attestor.Packet memory packet) internal pure returns (Attestor.Packet[] memory packets) {
        packets = new Attestor.Packet[](1);
        packets[0] = packet;
    }

    function _deliverOne(Attestor.Packet memory packet) internal returns (Attestor.Outcome) {
        return _deliverAll(_one(packet))[0];
    }
}
