// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";

/// @notice A bucket that starts full and refills with time: bounds how much of one token a broken chain can turn into credit.
library Bucket {
    struct State {
        /// Token decimals.
        uint128 level;
        /// Seconds; 0 while untouched, which means full.
        uint64 updatedAt;
    }

    /// @notice What the bucket holds now (token decimals), never above `cap`.
    function available(State memory self, uint128 cap, uint128 rate) internal view returns (uint128) {
        if (self.updatedAt == 0) return cap;
        uint256 refilled = self.level + uint256(rate) * (block.timestamp - self.updatedAt);
        return uint128(FixedPointMathLib.min(refilled, cap));
    }

    /// @notice Takes up to `wanted`; returns what it gave.
    function take(State storage self, uint128 wanted, uint128 cap, uint128 rate) internal returns (uint128) {
        uint128 level = available(self, cap, rate);
        uint128 given = uint128(FixedPointMathLib.min(wanted, level));
        self.level = level - given;
        self.updatedAt = uint64(block.timestamp);
        return given;
    }
}
