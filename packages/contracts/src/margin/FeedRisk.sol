// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

/// @dev Risk classes there are.
uint256 constant CLASSES = 4;

/// @notice What margin needs of one underlying, in a word of 128 bits: two feeds are one read of storage.
///
/// `thinnessMm u27 | thinnessIm u27 | class u2 | tailDamping u14 | tailShock u16 | shockMm u14 | gridShock u14 | shockIm u14`, from the low end
/// shockIm. Shocks and damping in bps. Thinness is THIN ÷ depth, the depth in whole quote units; 0: as deep as need be.
/// Always shockMm <= gridShock <= shockIm and thinnessMm <= thinnessIm.
library FeedRisk {
    /// @dev Thinness of a market that is one quote unit deep; the least depth is 1024 units.
    uint256 internal constant THIN = 1 << 37;
    uint256 internal constant MAX_THINNESS = (1 << 27) - 1;
    /// @dev Of shocks and damping.
    uint256 internal constant MASK = (1 << 14) - 1;

    /// @notice As the core of a grid is scaled for IM; what straight lines lose.
    function shockIm(uint256 word) internal pure returns (uint256) {
        return word & MASK;
    }

    /// @notice What the scenarios of a grid move the spot by. It only ramps, as MM comes of it too.
    function gridShock(uint256 word) internal pure returns (uint256) {
        return (word >> 14) & MASK;
    }

    function shockMm(uint256 word) internal pure returns (uint256) {
        return (word >> 28) & MASK;
    }

    function tailShock(uint256 word) internal pure returns (uint256) {
        return uint16(word >> 42);
    }

    function tailDamping(uint256 word) internal pure returns (uint256) {
        return (word >> 58) & MASK;
    }

    function class(uint256 word) internal pure returns (uint256) {
        return (word >> 72) & 3;
    }

    function thinnessIm(uint256 word) internal pure returns (uint256) {
        return (word >> 74) & MAX_THINNESS;
    }

    function thinnessMm(uint256 word) internal pure returns (uint256) {
        return (word >> 101) & MAX_THINNESS;
    }

    /// @notice With all three shocks times `share` bps, rounded down.
    function scaled(uint256 word, uint256 share) internal pure returns (uint256) {
        unchecked {
            uint256 shocks = (word & MASK) * share / 10_000 | (((word >> 14) & MASK) * share / 10_000) << 14
                | (((word >> 28) & MASK) * share / 10_000) << 28;
            return (word >> 42 << 42) | shocks;
        }
    }
}
