// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IReceiveUlnE2} from "@layerzerolabs/lz-evm-messagelib-v2/contracts/uln/interfaces/IReceiveUlnE2.sol";
import {
    ILayerZeroEndpointV2,
    Origin
} from "@layerzerolabs/lz-evm-protocol-v2/contracts/interfaces/ILayerZeroEndpointV2.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {AttestorJobs} from "./AttestorJobs.sol";
import {AttestorOperators} from "./AttestorOperators.sol";

/// @title Attestor
/// @notice A LayerZero DVN whose operators sign the Merkle root of many packets at once. One transaction verifies, commits and executes
/// them, each apart from the others: what one packet's receiver does changes no other packet's result.
///
/// Anyone may deliver: what counts is signed, and a message may be executed by anyone on the endpoint itself. Packets go in the order given;
/// those of one path belong in nonce order. Native drops, values and compose calls stay with an Executor: such a packet comes with no gas, and
/// is only verified and committed.
contract Attestor is AttestorOperators, AttestorJobs, ReentrancyGuardTransient {
    /// @notice A LayerZero packet: `header` is `version u8 | nonce u64 | srcEid u32 | sender b32 | dstEid u32 | receiver b32`.
    struct Packet {
        bytes header;
        bytes message;
        /// What the operators waited for, as the receive library's configuration counts it.
        uint64 confirmations;
        /// lzReceive gas that its options bought, or 0 to leave the execution to others.
        uint256 gas;
    }

    enum Outcome {
        /// Too little gas was left to give it its due; send it again.
        NotReached,
        Executed,
        /// Committed, to be executed by others.
        Committed,
        /// Nothing to do: executed, skipped or burnt before.
        AlreadyDone,
        /// Its receiver's delegate has nilified it: ours is not the place to bring it back.
        Nilified,
        /// The library or the endpoint refused it: another verifier is missing, or the path isn't open.
        VerifyFailed,
        /// lzReceive reverted. The packet is committed, and anyone may try again.
        ExecuteFailed
    }

    /// @notice A packet that wasn't delivered. Successes are seen in the endpoint's events.
    event NotDelivered(bytes32 indexed guid, Outcome outcome);

    error NotAttested();
    error OnlySelf();
    error MalformedHeader(uint256 index);

    uint256 internal constant HEADER_LENGTH = 81;
    /// @dev What the endpoint stores for a nilified packet.
    bytes32 internal constant NIL = bytes32(type(uint256).max);
    /// @notice Gas of verify + commit, with many verifiers configured. A new path asks its receiver, who gets no more than this.
    uint256 public constant VERIFY_GAS = 250_000;
    /// @notice Gas kept for what follows a packet: its own event, and the end of the transaction.
    uint256 public constant RESERVE = 30_000;

    ILayerZeroEndpointV2 public immutable endpoint;

    constructor(
        address owner_,
        ILayerZeroEndpointV2 endpoint_,
        bytes32 networkId_,
        address[] memory operators_,
        uint256 threshold_
    ) AttestorOperators(owner_, networkId_, operators_, threshold_) {
        endpoint = endpoint_;
    }

    /* DELIVERY */

    /// @notice Leaf of the tree that operators sign: hashed twice, so that no inner node can pass for one.
    function leafOf(bytes calldata header, bytes32 payloadHash, uint64 confirmations)
        public
        pure
        returns (bytes32)
    {
        return keccak256(bytes.concat(keccak256(abi.encode(keccak256(header), payloadHash, confirmations))));
    }

    /// @notice Delivers packets that the operators attested. Reverts only if the attestation itself doesn't hold.
    /// @param packets In the order of their leaves.
    /// @param proof Multi-proof of the leaves (OpenZeppelin's layout); empty when all leaves of the tree are here.
    /// @param flags As OpenZeppelin's multi-proof wants them.
    /// @return outcomes One a packet. Whoever sends this learns them from a simulation and from the events.
    function deliver(
        Attestation calldata attestation,
        bytes calldata signatures,
        Packet[] calldata packets,
        bytes32[] calldata proof,
        bool[] calldata flags
    ) external nonReentrant returns (Outcome[] memory outcomes) {
        _checkAttestation(attestation, signatures);
        bytes32[] memory payloadHashes = _prove(attestation.root, packets, proof, flags);
        outcomes = new Outcome[](packets.length);
        for (uint256 n; n < packets.length; ++n) {
            Outcome outcome = _deliver(attestation.receiveLibrary, packets[n], payloadHashes[n]);
            outcomes[n] = outcome;
            if (outcome == Outcome.NotReached) break;
            if (outcome > Outcome.AlreadyDone) emit NotDelivered(_guid(packets[n].header), outcome);
        }
    }

    /// @dev A frame of its own, so that a commit that fails takes the verification back: one that stays could be committed by a stranger
    /// over what a reorganised source sends later.
    function verifyAndCommit(
        address library_,
        bytes calldata header,
        bytes32 payloadHash,
        uint64 confirmations
    ) external {
        if (msg.sender != address(this)) revert OnlySelf();
        IReceiveUlnE2(library_).verify(header, payloadHash, confirmations);
        IReceiveUlnE2(library_).commitVerification(header, payloadHash);
    }

    function _prove(bytes32 root, Packet[] calldata packets, bytes32[] calldata proof, bool[] calldata flags)
        private
        pure
        returns (bytes32[] memory payloadHashes)
    {
        bytes32[] memory leaves = new bytes32[](packets.length);
        payloadHashes = new bytes32[](packets.length);
        for (uint256 n; n < packets.length; ++n) {
            Packet calldata packet = packets[n];
            if (packet.header.length != HEADER_LENGTH) revert MalformedHeader(n);
            payloadHashes[n] = keccak256(abi.encodePacked(_guid(packet.header), packet.message));
            leaves[n] = leafOf(packet.header, payloadHashes[n], packet.confirmations);
        }
        // A proof of nothing proves itself.
        if (leaves.length == 0 || !MerkleProof.multiProofVerifyCalldata(proof, flags, root, leaves)) {
            revert NotAttested();
        }
    }

    function _deliver(address library_, Packet calldata packet, bytes32 payloadHash)
        private
        returns (Outcome)
    {
        (Origin memory origin, address receiver) = _route(packet.header);
        bytes32 stored = endpoint.inboundPayloadHash(receiver, origin.srcEid, origin.sender, origin.nonce);
        if (stored == NIL) return Outcome.Nilified;
        if (stored != payloadHash) {
            if (
                stored == bytes32(0)
                    && origin.nonce <= endpoint.lazyInboundNonce(receiver, origin.srcEid, origin.sender)
            ) return Outcome.AlreadyDone;
            if (!_covers(VERIFY_GAS)) return Outcome.NotReached;
            try this.verifyAndCommit{gas: VERIFY_GAS}(
                library_, packet.header, payloadHash, packet.confirmations
            ) {}
            catch {
                return Outcome.VerifyFailed;
            }
        }
        return packet.gas == 0 ? Outcome.Committed : _execute(origin, receiver, packet);
    }

    function _execute(Origin memory origin, address receiver, Packet calldata packet)
        private
        returns (Outcome)
    {
        if (!_covers(packet.gas)) return Outcome.NotReached;
        bytes memory data =
            abi.encodeCall(endpoint.lzReceive, (origin, receiver, _guid(packet.header), packet.message, ""));
        (address target, uint256 gas_) = (address(endpoint), packet.gas);
        bool executed;
        // No return data: a receiver could make it cost more than the packet's gas.
        assembly ("memory-safe") {
            executed := call(gas_, target, 0, add(data, 32), mload(data), 0, 0)
        }
        return executed ? Outcome.Executed : Outcome.ExecuteFailed;
    }

    /// @dev True if a call now gets `gas_` in full (EIP-150 keeps 1/64 of what is left) and the reserve stays.
    function _covers(uint256 gas_) private view returns (bool) {
        uint256 left = gasleft();
        return gas_ <= type(uint128).max && left - left / 64 >= gas_ + RESERVE;
    }

    /// @dev guid = keccak256(nonce | srcEid | sender | dstEid | receiver): the header without its version.
    function _guid(bytes calldata header) private pure returns (bytes32) {
        return keccak256(header[1:]);
    }

    function _route(bytes calldata header) private pure returns (Origin memory origin, address receiver) {
        origin = Origin({
            srcEid: uint32(bytes4(header[9:13])),
            sender: bytes32(header[13:45]),
            nonce: uint64(bytes8(header[1:9]))
        });
        receiver = address(bytes20(header[61:81]));
    }
}
