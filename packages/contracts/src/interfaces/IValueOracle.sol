// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "./IPriceOracle.sol";

/// @notice Reads feeds of any kind: those that may be negative too.
interface IValueOracle is IPriceOracle {
    /// @notice A feed's value as an interval, in WAD of its quote.
    struct Value {
        int256 value;
        /// Half width of the interval (WAD of the quote): signed confidence plus widening by age.
        uint256 confidence;
        /// Seconds; start of the slot of the stored value. 0: the feed has none yet.
        uint256 observedAt;
        /// A newer value beyond the jump guard, waiting for confirmation, if `isParked`.
        int256 parked;
        bool isParked;
        /// The value exists and is younger than the feed's use-age.
        bool fresh;
    }

    /// @notice Zeros for a feed without a value. Reverts for an unknown feed.
    function value(uint256 feed) external view returns (Value memory);

    /// @notice One unit of the feed's signed value is 10^exponent of its quote.
    function exponent(uint256 feed) external view returns (int8);
}
