// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {WarmingBook} from "./WarmingBook.sol";

/// @notice Who controls an account, and its cash.
abstract contract Control is WarmingBook, IClearinghouse {
    /* ACCOUNTS */

    /// @inheritdoc IClearinghouse
    function isController(bytes32 account, address who) public view returns (bool) {
        return _isController(account, who);
    }

    /* CASH */

    /// @inheritdoc IClearinghouse
    function cash(bytes32 account) external view returns (int256) {
        return _cash(account);
    }

    /// @inheritdoc IClearinghouse
    function freeCash(bytes32 account) external view returns (uint256) {
        return _freeCash(account);
    }
}
