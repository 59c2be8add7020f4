// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ISpokeGateway} from "../../src/interfaces/IGateways.sol";
import {SpokeGateway} from "../../src/messaging/SpokeGateway.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {GatewayFixture} from "./GatewayFixture.sol";

/// @notice What the oracle's nodes and governance do when a hub is dead: the tree of exits, written apart from the contract's own, and its signatures.
abstract contract ExitFixture is GatewayFixture {
    uint64 internal constant SILENCE = 14 days;

    ISpokeGateway.Exit[] internal exits;
    uint32[] internal eids;

    function _addExit(uint32 eid, bytes32 account, address exitToken, address recipient, uint256 released)
        internal
    {
        eids.push(eid);
        exits.push(ISpokeGateway.Exit(1, account, exitToken, recipient, uint128(released)));
    }

    function _leaves() private view returns (bytes32[] memory level) {
        level = new bytes32[](exits.length);
        for (uint256 i; i < exits.length; ++i) {
            ISpokeGateway.Exit memory e = exits[i];
            level[i] = keccak256(
                bytes.concat(
                    keccak256(abi.encode(eids[i], e.vaultEpoch, e.account, e.token, e.recipient, e.released))
                )
            );
        }
    }

    /// @dev A level's odd last goes up as it is.
    function _up(bytes32[] memory level) private pure returns (bytes32[] memory next) {
        next = new bytes32[]((level.length + 1) / 2);
        for (uint256 i; i < next.length; ++i) {
            if (2 * i + 1 == level.length) {
                next[i] = level[2 * i];
                continue;
            }
            (bytes32 a, bytes32 b) = (level[2 * i], level[2 * i + 1]);
            next[i] = a < b ? keccak256(bytes.concat(a, b)) : keccak256(bytes.concat(b, a));
        }
    }

    function _root() internal view returns (bytes32) {
        bytes32[] memory level = _leaves();
        while (level.length > 1) level = _up(level);
        return level[0];
    }

    function _proof(uint256 index) internal view returns (bytes32[] memory proof) {
        bytes32[] memory level = _leaves();
        proof = new bytes32[](256);
        uint256 length;
        for (; level.length > 1; index /= 2) {
            if (index ^ 1 < level.length) proof[length++] = level[index ^ 1];
            level = _up(level);
        }
        assembly ("memory-safe") {
            mstore(proof, length)
        }
    }

    /// @dev Signatures of the first nodes, `bitmap u32 | signatures`.
    function _sign(uint256 count, uint32 hubEpoch, uint32 version, uint64 hubTime, bytes32 root)
        internal
        view
        returns (bytes memory signatures)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,bytes32 salt)"),
                keccak256("Clearspan"),
                keccak256("1"),
                bytes32("network")
            )
        );
        bytes32 exits_ = keccak256(
            abi.encode(
                keccak256("Exits(uint32 hubEpoch,uint32 version,uint64 hubTime,bytes32 root)"),
                hubEpoch,
                version,
                hubTime,
                root
            )
        );
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, exits_));
        signatures = abi.encodePacked(uint32((1 << count) - 1));
        for (uint256 i; i < count; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(nodeKeys[i], digest);
            signatures =
                abi.encodePacked(signatures, r, bytes32(uint256(s) | (v == 28 ? uint256(1) << 255 : 0)));
        }
    }

    function _openExits(SpokeGateway g, uint32 version, uint64 hubTime) internal {
        bytes32 root = _root();
        bytes memory signatures = _sign(3, 1, version, hubTime, root);
        vm.prank(governance);
        g.openExits(version, hubTime, root, signatures);
    }

    function _end(SpokeGateway g, CollateralVault v) internal {
        vm.startPrank(governance);
        if (!v.isSealed()) v.seal();
        g.endHub();
        vm.stopPrank();
    }

    function _exit(SpokeGateway g, uint256 index) internal {
        g.exit(exits[index], _proof(index));
    }
}
