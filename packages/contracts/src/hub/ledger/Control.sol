// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {LedgerBase} from "./LedgerBase.sol";

/// @notice Who controls an account, and its cash.
abstract contract Control is LedgerBase, IClearinghouse {
    /* ACCOUNTS */

    /// @inheritdoc IClearinghouse
    function setDelegate(bytes32 account, address delegate, bool allowed) external onlyOwnerOf(account) {
        isDelegate[account][delegate] = allowed;
        emit DelegateSet(account, delegate, allowed);
    }

    /// @inheritdoc IClearinghouse
    function isController(bytes32 account, address who) public view returns (bool) {
        return _isController(account, who);
    }

    /* CASH */

    /// @inheritdoc IClearinghouse
    function cash(bytes32 account) external view returns (int256) {
        return _accounts[account].cash;
    }

    /// @inheritdoc IClearinghouse
    function freeCash(bytes32 account) external view returns (uint256) {
        return _freeCash(account);
    }

    /// @inheritdoc IClearinghouse
    function transferCash(bytes32 from, bytes32 to, uint256 amount) external onlyOwnerOf(from) {
        _moveCash(from, to, amount);
        if (_owes(from)) _requireMargin(from, true);
    }

    /// @inheritdoc IClearinghouse
    function moveCash(bytes32 from, bytes32 to, uint256 amount) external onlyLiquidation {
        _moveCash(from, to, amount);
    }
}
