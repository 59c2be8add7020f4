// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";

/// @notice Spot scenarios of one underlying, as one array that every instrument is priced over:
/// [mid, IM low block, IM high block, MM low block, MM high block], a block being
/// [base, −shock/2, +shock/2, −shock, +shock, −tail, +tail] around one end of the price interval.
/// A fall stops at zero. Rounding of a scenario spot is downwards, the same for IM and MM, so that their order is kept.
library Scenarios {
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    uint256 internal constant MID = 0;
    uint256 internal constant IM_LOW = 1;
    uint256 internal constant IM_HIGH = 8;
    uint256 internal constant MM_LOW = 15;
    uint256 internal constant MM_HIGH = 22;
    uint256 internal constant COUNT = 29;
    /// Within a block: the tails, which count at the damping.
    uint256 internal constant TAIL = 5;
    uint256 internal constant BLOCK = 7;

    /// @notice Spots (WAD) of an underlying whose stored price, confidence and parked value are `price`.
    function spots(IPriceOracle.Price memory price, IRiskConfig.Underlying memory u)
        internal
        pure
        returns (uint256[] memory s)
    {
        s = new uint256[](COUNT);
        s[MID] = price.price;
        // A price that isn't fresh may have moved unseen: IM doubles the shock.
        uint256 shockIm = price.fresh ? u.shockIm : 2 * uint256(u.shockIm);
        _fill(s, IM_LOW, low(price), shockIm, u.tailShock);
        _fill(s, IM_HIGH, high(price), shockIm, u.tailShock);
        _fill(s, MM_LOW, _storedLow(price), u.shockMm, u.tailShock);
        _fill(s, MM_HIGH, _storedHigh(price), u.shockMm, u.tailShock);
    }

    /// @notice Lowest value that the oracle leaves possible (WAD): of the interval and of what is parked.
    function low(IPriceOracle.Price memory price) internal pure returns (uint256) {
        uint256 end = _storedLow(price);
        return price.parked == 0 ? end : end.min(price.parked);
    }

    /// @notice Highest value that the oracle leaves possible (WAD).
    function high(IPriceOracle.Price memory price) internal pure returns (uint256) {
        return _storedHigh(price).max(price.parked);
    }

    /// @notice Value (WAD) at the base of the block that starts at `start`, and the worst loss from there, never negative.
    /// @param pnl PnL of all positions at each of the spots.
    /// @param claims WAD token units that count, scaled by credit.
    /// @param damping Weight of the tails, bps. Losses are rounded up.
    function lossOf(uint256[] memory s, int256[] memory pnl, uint256 claims, uint256 start, uint256 damping)
        internal
        pure
        returns (int256 value, uint256 loss)
    {
        value = _value(s, pnl, claims, start);
        int256 worst = value;
        int256 tail = value;
        unchecked {
            for (uint256 n = start + 1; n < start + BLOCK; ++n) {
                int256 v = _value(s, pnl, claims, n);
                if (n < start + TAIL) {
                    if (v < worst) worst = v;
                } else if (v < tail) {
                    tail = v;
                }
            }
        }
        loss = uint256(value - worst).max(uint256(value - tail).mulDivUp(damping, BPS));
    }

    function _value(uint256[] memory s, int256[] memory pnl, uint256 claims, uint256 n)
        private
        pure
        returns (int256)
    {
        return claims == 0 ? pnl[n] : pnl[n] + int256(claims.mulWad(s[n]));
    }

    function _storedLow(IPriceOracle.Price memory price) private pure returns (uint256) {
        return price.price.mulWad(WAD.zeroFloorSub(price.confidence));
    }

    function _storedHigh(IPriceOracle.Price memory price) private pure returns (uint256) {
        return price.price.mulWad(WAD + price.confidence);
    }

    function _fill(uint256[] memory s, uint256 start, uint256 base, uint256 shock, uint256 tail)
        private
        pure
    {
        s[start] = base;
        (s[start + 1], s[start + 2]) = _around(base, shock, 2 * BPS);
        (s[start + 3], s[start + 4]) = _around(base, shock, BPS);
        (s[start + 5], s[start + 6]) = _around(base, tail, BPS);
    }

    function _around(uint256 base, uint256 shock, uint256 unit)
        private
        pure
        returns (uint256 down, uint256 up)
    {
        unchecked {
            // Bases are prices (below 2^128), shocks have 17 bits.
            return (base * unit.zeroFloorSub(shock) / unit, base * (unit + shock) / unit);
        }
    }
}
