// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IValueOracle} from "../../interfaces/IValueOracle.sol";

/// @title FeedReader
/// @notice What adapters have in common: they return a number that stands, or revert. A reader of one number has no interval
/// to be careful with, so a value that a newer one contradicts (parked) is no number for it.
abstract contract FeedReader {
    /// @notice The feed has no value yet.
    error NoValue(uint256 feed);
    /// @notice The value is older than what is asked for.
    error StaleValue(uint256 feed, uint256 observedAt);
    /// @notice A newer value beyond the jump guard waits for confirmation.
    error UnconfirmedValue(uint256 feed);

    IValueOracle public immutable oracle;

    constructor(IValueOracle oracle_) {
        oracle = oracle_;
    }

    /// @dev A value of any age that nothing contradicts.
    function _standing(uint256 feed) internal view returns (IValueOracle.Value memory value) {
        value = oracle.value(feed);
        if (value.observedAt == 0) revert NoValue(feed);
        if (value.isParked) revert UnconfirmedValue(feed);
    }

    /// @dev One younger than its feed's use-age.
    function _fresh(uint256 feed) internal view returns (IValueOracle.Value memory value) {
        value = _standing(feed);
        if (!value.fresh) revert StaleValue(feed, value.observedAt);
    }
}
