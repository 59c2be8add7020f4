// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IValueOracle} from "../../interfaces/IValueOracle.sol";

/// @title FeedReader
/// @notice What adapters have in common: they return a number that stands, or revert. A reader of one number has no interval
/// to be careful with, so a value that a newer one contradicts (parked) is no number for it.
abstract contract FeedReader {
    /// @notice A newer value beyond the jump guard waits for confirmation.
    error UnconfirmedValue(uint256 feed);

    IValueOracle public immutable oracle;

    constructor(IValueOracle oracle_) {
        oracle = oracle_;
    }

    /// @dev A value of any age that nothing contradicts; zeros for none.
    function _standing(uint256 feed) internal view returns (IValueOracle.Value memory value) {
        value = oracle.value(feed);
        if (value.isParked) revert UnconfirmedValue(feed);
    }
}
