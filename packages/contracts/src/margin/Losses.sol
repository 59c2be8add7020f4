// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Scenarios} from "./Scenarios.sol";

/// @notice Value V and worst loss L of one underlying, from the PnL of its positions in the scenarios and its credited claims.
///
/// IM takes the lowest V of the price interval, and L as large as it is at the interval's high end; MM the highest V, and L as small as at the
/// low end. L never counts a claim for more than what it is worth: where the ends are so far apart that it would, claims leave IM.
library Losses {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    /// @dev A value has no room in 150 bits, a loss in 112 or a price in 127: products and squares of many stay inside a word.
    error OutOfRange();

    /// @notice Running Σ L and Σ L² (WAD, WAD²).
    struct Sums {
        uint256 sum;
        uint256 squares;
    }

    function add(Sums memory sums, uint256 loss) internal pure {
        if (loss >> 112 != 0) revert OutOfRange();
        unchecked {
            sums.sum += loss;
            sums.squares += loss * loss;
        }
    }

    /// @notice √((1−ρ)ΣL² + ρ(ΣL)²), rounded down; ρ in bps.
    function joint(Sums memory sums, uint256 rho) internal pure returns (uint256) {
        unchecked {
            return (((BPS - rho) * sums.squares + rho * sums.sum * sums.sum) / BPS).sqrt();
        }
    }

    /* STRAIGHT LINES */

    /// @notice Part of the price that a fall takes: the shock or the damped tail, in BPS².
    function fall(uint256 shock, uint256 shocks) internal pure returns (uint256) {
        unchecked {
            uint256 tail = uint16(shocks >> 32);
            return (shock.min(BPS) * BPS).max(tail.min(BPS) * uint16(shocks >> 48));
        }
    }

    /// @notice The same of a rise.
    function rise(uint256 shock, uint256 shocks) internal pure returns (uint256) {
        unchecked {
            return (shock * BPS).max(uint256(uint16(shocks >> 32)) * uint16(shocks >> 48));
        }
    }

    /// @notice The interval's low end is below what a shock takes at its high end: a claim would cost more than it is worth.
    function isUnsure(Scenarios.Interval memory i, uint256 shocks) internal pure returns (bool) {
        unchecked {
            return i.imLow * (BPS * BPS) < i.imHigh * fall(uint16(shocks), shocks);
        }
    }

    /// @notice For IM. @param slope What the position would lose if the price fell to nothing (WAD); negative for a short.
    function adverse(int256 slope, Scenarios.Interval memory i, uint256 shock, uint256 shocks)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 size = bounded(slope);
        unchecked {
            if (slope >= 0) {
                value = int256(size * i.imLow / WAD);
                loss = size * fall(shock, shocks);
            } else {
                value = -int256((size * i.imHigh + (WAD - 1)) / WAD);
                loss = size * rise(shock, shocks);
            }
            loss = (loss * i.imHigh + (BPS * BPS * WAD - 1)) / (BPS * BPS * WAD);
        }
    }

    /// @notice For MM.
    function favourable(int256 slope, Scenarios.Interval memory i, uint256 shocks)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 size = bounded(slope);
        unchecked {
            if (slope >= 0) {
                value = int256(size * i.high / WAD);
                loss = size * fall(uint16(shocks >> 16), shocks);
            } else {
                value = -int256((size * i.low + (WAD - 1)) / WAD);
                loss = size * rise(uint16(shocks >> 16), shocks);
            }
            loss = loss * i.low / (BPS * BPS * WAD);
        }
    }

    /// @notice |x|.
    function bounded(int256 x) internal pure returns (uint256 size) {
        size = x.abs();
        if (size >> 150 != 0) revert OutOfRange();
    }

    /* GRIDS */

    /// @notice What modules were asked and have answered, `count` places an underlying; `at` is the first of the one that is looked at.
    struct Answers {
        uint256[] spots;
        int256[] pnl;
        /// All that modules needed beside the spots is.
        bool fresh;
        uint256 at;
        uint256 count;
        /// Held back for naked shorts, WAD.
        uint256 naked;
    }

    /// @notice For IM. @param factor Of the core grid's loss: 2 for a price that isn't fresh. @param claims WAD token units, credited.
    function adverse(
        Answers memory g,
        uint256 claims,
        Scenarios.Interval memory i,
        uint256 factor,
        uint256 shocks
    ) internal pure returns (int256 value, uint256 loss) {
        uint256 tail;
        (value, loss, tail) = _worst(g, claims);
        value = value.min(_at(g, claims, Scenarios.IM_LOW)).min(_at(g, claims, Scenarios.IM_HIGH));
        loss = (loss * factor).max((tail * uint16(shocks >> 48)).divUp(BPS));
        loss = ((loss + g.naked) * i.imHigh).divUp(WAD);
    }

    /// @notice For MM: the core grid's loss in the proportion of the shocks.
    function favourable(Answers memory g, uint256 claims, Scenarios.Interval memory i, uint256 shocks)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 tail;
        (value, loss, tail) = _worst(g, claims);
        value = value.max(_at(g, claims, Scenarios.MM_LOW)).max(_at(g, claims, Scenarios.MM_HIGH));
        (uint256 shockIm, uint256 shockMm) = (uint16(shocks), uint16(shocks >> 16));
        loss = shockIm == 0 ? 0 : loss * shockMm / shockIm;
        uint256 naked = shockIm == 0 ? 0 : g.naked * shockMm / shockIm;
        loss = (loss.max(tail * uint16(shocks >> 48) / BPS) + naked) * i.low / WAD;
    }

    /// @dev Value at mid, and the worst losses from there in the core of the grid and at its tails.
    function _worst(Answers memory g, uint256 claims)
        private
        pure
        returns (int256 value, uint256 core, uint256 tail)
    {
        value = _at(g, claims, Scenarios.MID);
        int256 worst = value;
        uint256 tails = g.count - Scenarios.TAILS;
        for (uint256 k = Scenarios.GRID; k < tails; ++k) {
            worst = worst.min(_at(g, claims, k));
        }
        core = bounded(value - worst);
        worst = value.min(_at(g, claims, tails)).min(_at(g, claims, tails + 1));
        tail = bounded(value - worst);
    }

    function _at(Answers memory g, uint256 claims, uint256 k) private pure returns (int256) {
        return g.pnl[g.at + k] + int256(claims.mulWad(g.spots[g.at + k]));
    }
}
