// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Account identifiers: owner address in the high 20 bytes, sub-account number in the low 12.
library Accounts {
    function owner(bytes32 account) internal pure returns (address) {
        return address(bytes20(account));
    }

    /// @notice The owner's account number 0: what contracts that own one account use.
    function main(address who) internal pure returns (bytes32) {
        return bytes32(bytes20(who));
    }
}
