// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {CLASSES, FeedRisk} from "./FeedRisk.sol";
import {Scenarios} from "./Scenarios.sol";

/// @notice Value V and worst loss L of one underlying, from the PnL of its positions in the scenarios and its credited claims.
///
/// IM takes the lowest V of the price interval, and L as large as it is at the interval's high end; MM the highest V, and L as small as at the
/// low end. L never counts a claim for more than what it is worth: where the ends are so far apart that it would, claims leave IM.
library Losses {
    using FeedRisk for uint256;
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;
    /// @dev Bps that a sale costs on average for each time that it is as large as the market is deep: half of the hundred within which depth is
    /// measured.
    uint256 internal constant IMPACT = 50;
    /// @dev Most that a sale costs on average, bps.
    uint256 internal constant MAX_IMPACT = 1000;
    /// @dev Most that selling one more costs, bps: IMPACT × (2x − 1) where IMPACT × (x − 1) is MAX_IMPACT.
    uint256 internal constant MAX_MARGINAL_IMPACT = 2 * MAX_IMPACT + IMPACT;

    /// @dev A value has no room in 150 bits, a loss in 112 or a price in 127: products and squares of many stay inside a word.
    error OutOfRange();

    /// @notice Adds to running Σ L and Σ L² (WAD, WAD²), which lie side by side: two words a place.
    function add(uint256[4 * CLASSES] memory sums, uint256 place, uint256 loss) internal pure {
        if (loss >> 112 != 0) revert OutOfRange();
        assembly ("memory-safe") {
            let to := add(sums, shl(6, place))
            mstore(to, add(mload(to), loss))
            to := add(to, 0x20)
            mstore(to, add(mload(to), mul(loss, loss)))
        }
    }

    /// @notice √((1−ρ)ΣL² + ρ(ΣL)²), rounded down; ρ in bps.
    function joint(uint256[4 * CLASSES] memory sums, uint256 place, uint256 rho)
        internal
        pure
        returns (uint256)
    {
        uint256 sum;
        uint256 squares;
        assembly ("memory-safe") {
            let from := add(sums, shl(6, place))
            sum := mload(from)
            squares := mload(add(from, 0x20))
        }
        unchecked {
            return (((BPS - rho) * squares + rho * sum * sum) / BPS).sqrt();
        }
    }

    /* DEPTH */

    /// @notice Cost of selling a size (WAD quote), rounded down: of what is x times as large as the market is deep IMPACT × (x − 1), at most
    /// MAX_IMPACT; nothing of what isn't larger. Sizes have no more than 160 bits. @param thinness As FeedRisk.
    function impact(uint256 size, uint256 thinness) internal pure returns (uint256) {
        unchecked {
            return size * _share(size, thinness) / (BPS * WAD);
        }
    }

    /// @notice The same, rounded up.
    function impactUp(uint256 size, uint256 thinness) internal pure returns (uint256) {
        unchecked {
            return (size * _share(size, thinness) + (BPS * WAD - 1)) / (BPS * WAD);
        }
    }

    /// @dev Bps × WAD.
    function _share(uint256 size, uint256 thinness) private pure returns (uint256) {
        unchecked {
            uint256 times = size * thinness / FeedRisk.THIN;
            return ((times.max(WAD) - WAD) * IMPACT).min(MAX_IMPACT * WAD);
        }
    }

    /* STRAIGHT LINES */

    /// @notice Part of the price that a fall takes: the shock or the damped tail, in BPS².
    function fall(uint256 shock, uint256 risk) internal pure returns (uint256) {
        unchecked {
            return (shock.min(BPS) * BPS).max(risk.tailShock().min(BPS) * risk.tailDamping());
        }
    }

    /// @notice The same of a rise.
    function rise(uint256 shock, uint256 risk) internal pure returns (uint256) {
        unchecked {
            return (shock * BPS).max(risk.tailShock() * risk.tailDamping());
        }
    }

    /// @notice The interval's low end is below what a shock, and selling in a thin market, take at its high end: a claim would cost more than
    /// it is worth.
    function isUnsure(Scenarios.Interval memory i, uint256 risk) internal pure returns (bool) {
        unchecked {
            uint256 lost = fall(risk.shockIm(), risk);
            if (risk.thinnessIm() != 0) lost += MAX_MARGINAL_IMPACT * BPS;
            return i.imLow * (BPS * BPS) < i.imHigh * lost;
        }
    }

    /// @notice For IM. @param slope What the position would lose if the price fell to nothing (WAD); negative for a short.
    function adverse(int256 slope, Scenarios.Interval memory i, uint256 shock, uint256 risk)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 size = bounded(slope);
        unchecked {
            if (slope >= 0) {
                value = int256(size * i.imLow / WAD);
                loss = size * fall(shock, risk);
            } else {
                value = -int256((size * i.imHigh + (WAD - 1)) / WAD);
                loss = size * rise(shock, risk);
            }
            loss = (loss * i.imHigh + (BPS * BPS * WAD - 1)) / (BPS * BPS * WAD);
        }
    }

    /// @notice For MM.
    function favourable(int256 slope, Scenarios.Interval memory i, uint256 risk)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 size = bounded(slope);
        unchecked {
            if (slope >= 0) {
                value = int256(size * i.high / WAD);
                loss = size * fall(risk.shockMm(), risk);
            } else {
                value = -int256((size * i.low + (WAD - 1)) / WAD);
                loss = size * rise(risk.shockMm(), risk);
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
        /// Some underlying has a profit.
        bool gains;
    }

    /// @notice For IM: the core grid's loss in the proportion of the shocks. @param factor Of it: 2 for a price that isn't fresh. @param claims WAD token units, credited.
    function adverse(
        Answers memory g,
        uint256 claims,
        Scenarios.Interval memory i,
        uint256 factor,
        uint256 risk
    ) internal pure returns (int256 value, uint256 loss) {
        uint256 tail;
        (value, loss, tail) = _worst(g, claims);
        value = value.min(_at(g, claims, Scenarios.IM_LOW)).min(_at(g, claims, Scenarios.IM_HIGH));
        uint256 grid = risk.gridShock();
        loss = grid == 0 ? 0 : (loss * factor * risk.shockIm()).divUp(grid);
        loss = loss.max((tail * risk.tailDamping()).divUp(BPS));
        loss = ((loss + g.naked) * i.imHigh).divUp(WAD);
    }

    /// @notice For MM: the core grid's loss in the proportion of the shocks.
    function favourable(Answers memory g, uint256 claims, Scenarios.Interval memory i, uint256 risk)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        uint256 tail;
        (value, loss, tail) = _worst(g, claims);
        value = value.max(_at(g, claims, Scenarios.MM_LOW)).max(_at(g, claims, Scenarios.MM_HIGH));
        (uint256 grid, uint256 shock) = (risk.gridShock(), risk.shockMm());
        loss = grid == 0 ? 0 : loss * shock / grid;
        uint256 naked = grid == 0 ? 0 : g.naked * shock / grid;
        loss = (loss.max(tail * risk.tailDamping() / BPS) + naked) * i.low / WAD;
    }

    /// @notice What the underlying would gain if the spot doubled (WAD quote), as it does from the grid's lowest spot to its highest, volatility up.
    function gridSlope(Answers memory g, uint256 claims, uint256 risk) internal pure returns (int256) {
        uint256 shock = risk.gridShock();
        if (shock == 0) return 0;
        uint256 last = Scenarios.GRID + (g.count == Scenarios.GRID + Scenarios.STANDARD ? 4 : 6);
        int256 gain = _at(g, claims, last) - _at(g, claims, Scenarios.GRID);
        bounded(gain);
        return gain * int256(BPS) / int256(2 * shock);
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
