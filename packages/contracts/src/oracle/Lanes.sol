// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @title Lanes
/// @notice Words of three 80-bit lanes `int64 price | uint16 confidence`, the first at bit 176. The low 16 bits are zero as
/// signed and flags in storage: bit j, lane j's value is older than the newest report; bit 3 + j, a newer one is parked.
/// @dev In storage the first lane of the first word is the head, `seq u48 | epoch u32` of the newest report, so that feed i
/// lies at place i + 1. A signed feed's value is stored plus 2^63: in order as an unsigned number, and 0 is no value.
library Lanes {
    uint256 internal constant BITS = 80;
    uint256 internal constant MASK = 0xffffffffffffffffffff;
    uint256 internal constant FIRST = 176;
    uint256 internal constant FLAGS = 0xffff;
    uint256 internal constant LAGGED = 1;
    uint256 internal constant PARKED = 1 << 3;
    /// @dev Confidence that marks a value as unusable in this report.
    uint256 internal constant UNUSABLE = 0xffff;
    /// @dev The sign of a lane's price.
    uint256 internal constant SIGN = 1 << 79;

    uint256 private constant BPS = 10_000;
    /// @dev Of each lane, when its confidence is moved to bit 0 or its price is: literals, as an expression would be worked
    /// out at each call.
    uint256 private constant CONFIDENCES = 0x0000000000000000ffff0000000000000000ffff0000000000000000ffff;
    uint256 private constant ONES = 0x000000000000000000010000000000000000000100000000000000000001;
    uint256 private constant CARRIES = 0x000000000000000100000000000000000001000000000000000000010000;
    uint256 private constant PRICES = 0x0000ffffffffffffffff0000ffffffffffffffff0000ffffffffffffffff;
    uint256 private constant SIGNS = 0x000080000000000000000000800000000000000000008000000000000000;
    uint256 private constant BORROWS = 0x800000000000000000008000000000000000000080000000000000000000;

    function seqOf(uint256 firstWord) internal pure returns (uint256) {
        return firstWord >> 208;
    }

    function epochOf(uint256 firstWord) internal pure returns (uint256) {
        return uint32(firstWord >> FIRST);
    }

    /// @dev The lane at place `place` of its word.
    function at(uint256 word, uint256 place) internal pure returns (uint256) {
        unchecked {
            return (word >> (FIRST - BITS * (place % 3))) & MASK;
        }
    }

    /// @dev An unsigned feed's value is positive: what a quorum signs otherwise is as good as no value.
    function usable(uint256 lane) internal pure returns (bool) {
        unchecked {
            return lane & UNUSABLE != UNUSABLE && (lane >> 16) - 1 < uint64(type(int64).max);
        }
    }

    /// @dev The common case, where a whole word is stored as signed: no lane lags, each is usable and within the guard, which
    /// for 64-bit prices 80 bits apart is three comparisons at once: old * low <= next * BPS <= old * (2 * BPS - low).
    /// Products of a price and up to 2 * BPS stay below bit 79 of their lane, which catches the borrow. low > 0, so a
    /// zero passes only beside a zero, and stays no value.
    /// @param low BPS less the guard's limit.
    function allInside(uint256 old, uint256 next, uint256 low) internal pure returns (bool inside) {
        assembly ("memory-safe") {
            let prices := and(shr(32, next), PRICES)
            let before := and(shr(32, old), PRICES)
            let scaled := mul(prices, BPS)
            // Per lane: a bit stays in BORROWS where the subtraction needs no more than it was lent.
            let lent :=
                and(
                    sub(or(scaled, BORROWS), mul(before, low)),
                    sub(or(mul(before, sub(20000, low)), BORROWS), scaled)
                )
            // A confidence of 0xffff carries when one is added.
            let fails := and(add(and(shr(16, next), CONFIDENCES), ONES), CARRIES)
            fails := or(fails, and(prices, SIGNS))
            fails := or(fails, and(not(lent), BORROWS))
            inside := iszero(or(fails, and(old, FLAGS)))
        }
    }
}
