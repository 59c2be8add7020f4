// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @notice Signed WAD products with the rounding named. Operands of the ledger are 128-bit, so that products fit 256 bits;
/// anything larger reverts.
library WadMath {
    int256 internal constant WAD = 1e18;

    /// @notice a × b ÷ 1e18, towards −∞.
    function mulFloor(int256 a, int256 b) internal pure returns (int256) {
        return divFloor(a * b);
    }

    /// @notice x ÷ 1e18, towards −∞.
    function divFloor(int256 x) internal pure returns (int256) {
        // ~x is −x − 1: dividing it by truncation and turning back rounds a negative number down.
        return x < 0 ? ~(~x / WAD) : x / WAD;
    }

    /// @notice a × b ÷ 1e18, towards +∞.
    function mulCeil(int256 a, int256 b) internal pure returns (int256 z) {
        int256 product = a * b;
        z = product / WAD;
        if (product % WAD > 0) ++z;
    }

    /// @notice a × b ÷ 1e18, towards 0.
    function mulTrunc(int256 a, int256 b) internal pure returns (int256) {
        return a * b / WAD;
    }

    /// @notice A position's quote with the costs of moving from one cost index to another (all WAD), rounded against its holder.
    function accrued(int256 size, int256 quote, int256 from, int256 to) internal pure returns (int256) {
        return size == 0 || to == from ? quote : quote - mulCeil(size, to - from);
    }
}
