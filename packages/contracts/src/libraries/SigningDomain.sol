// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

/// @notice EIP-712 domain `name`, version 1, of the calling contract on its chain and in its network.
library SigningDomain {
    string internal constant VERSION = "1";
    bytes32 private constant TYPEHASH = keccak256(
        "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract,bytes32 salt)"
    );

    /// @param networkId Salt of the domain: two networks may have the same addresses on chains of the same id.
    function separator(string memory name, bytes32 networkId) internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                TYPEHASH,
                keccak256(bytes(name)),
                keccak256(bytes(VERSION)),
                block.chainid,
                address(this),
                networkId
            )
        );
    }

    function digest(string memory name, bytes32 networkId, bytes32 structHash)
        internal
        view
        returns (bytes32)
    {
        return MessageHashUtils.toTypedDataHash(separator(name, networkId), structHash);
    }
}
