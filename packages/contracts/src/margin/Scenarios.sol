// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {FeedRisk} from "./FeedRisk.sol";

/// @notice What margin asks modules to price of one underlying: [mid, zero] where all values are straight lines in the spot, and otherwise
/// [mid, IM low, IM high, MM low, MM high, grid...], the grid being spot × implied volatility around mid.
///
/// Standard grid, 12 points: spot −1, −½, 0, ½, 1 shock, volatility up and down; and both tails. Portfolio grid, 22 points beside mid itself:
/// spot −1, −⅔ ... 1 shock, volatility up, as it is and down; and both tails. A tail's volatility is up. A fall stops at zero.
library Scenarios {
    using FeedRisk for uint256;
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    uint256 internal constant MID = 0;
    /// @dev Without a grid.
    uint256 internal constant ZERO = 1;
    uint256 internal constant LINEAR = 2;
    /// @dev With one.
    uint256 internal constant IM_LOW = 1;
    uint256 internal constant IM_HIGH = 2;
    uint256 internal constant MM_LOW = 3;
    uint256 internal constant MM_HIGH = 4;
    uint256 internal constant GRID = 5;
    uint256 internal constant STANDARD = 12;
    uint256 internal constant PORTFOLIO = 22;
    /// @dev The last two of a grid.
    uint256 internal constant TAILS = 2;
    /// @dev A parked value further off than this times the price counts as so far: WAD.
    uint256 internal constant MAX_RATIO = 1000e18;

    /// @notice Ends of a price's interval as WAD fractions of the price; IM's reach to a parked value.
    struct Interval {
        uint256 imLow;
        uint256 imHigh;
        uint256 low;
        uint256 high;
    }

    function setInterval(Interval memory i, IPriceOracle.Price memory price) internal pure {
        (uint256 low, uint256 high) = (WAD.zeroFloorSub(price.confidence), WAD + price.confidence);
        (i.low, i.high) = (low, high);
        (i.imLow, i.imHigh) = (low, high);
        if (price.parked == 0 || price.price == 0) return;
        uint256 parked = price.parked.saturatingMul(WAD);
        i.imLow = low.min(parked / price.price);
        i.imHigh = high.max(parked.divUp(price.price).min(MAX_RATIO));
    }

    /// @notice Scenarios of an underlying.
    function countOf(bool curved, bool portfolioSet) internal pure returns (uint256) {
        if (!curved) return LINEAR;
        return GRID + (portfolioSet ? PORTFOLIO : STANDARD);
    }

    /// @notice Writes the spots (WAD) of one underlying with a grid from place `at` on. @param risk As FeedRisk.
    function fill(
        uint256[] memory spots,
        uint256 at,
        uint256 count,
        IPriceOracle.Price memory price,
        uint256 risk
    ) internal pure {
        uint256 mid = price.price;
        Interval memory i;
        setInterval(i, price);
        spots[at] = mid;
        spots[at + IM_LOW] = mid.fullMulDiv(i.imLow, WAD);
        spots[at + IM_HIGH] = mid.fullMulDiv(i.imHigh, WAD);
        spots[at + MM_LOW] = mid.fullMulDiv(i.low, WAD);
        spots[at + MM_HIGH] = mid.fullMulDiv(i.high, WAD);
        uint256 steps = count == GRID + STANDARD ? 2 : 3;
        uint256 shock = risk.gridShock();
        at = _row(spots, at + GRID, mid, shock, steps, false);
        at = _row(spots, at, mid, shock, steps, false);
        // Its centre is mid as it is, which stands in front of all.
        if (steps == 3) at = _row(spots, at, mid, shock, steps, true);
        uint256 tail = risk.tailShock();
        spots[at] = _moved(mid, tail, 0, 1);
        spots[at + 1] = _moved(mid, tail, 2, 1);
    }

    /// @notice Factor on implied volatility of each scenario, WAD; none for a book without curved instruments.
    /// @param up Bps. @param down Bps.
    function volatilities(uint256 count, uint256 up, uint256 down)
        internal
        pure
        returns (uint256[] memory factors)
    {
        if (count == LINEAR) return factors;
        factors = new uint256[](count);
        uint256 row = count == GRID + STANDARD ? 5 : 7;
        for (uint256 n; n < count; ++n) {
            bool rises = (n >= GRID && n < GRID + row) || n >= count - TAILS;
            bool falls = n >= GRID + row && n < GRID + 2 * row;
            factors[n] = (rises ? BPS + up : falls ? BPS - down : BPS) * (WAD / BPS);
        }
    }

    function _row(uint256[] memory spots, uint256 at, uint256 mid, uint256 shock, uint256 steps, bool hollow)
        private
        pure
        returns (uint256)
    {
        for (uint256 k; k <= 2 * steps; ++k) {
            if (!(hollow && k == steps)) spots[at++] = _moved(mid, shock, k, steps);
        }
        return at;
    }

    /// @dev mid × (1 + shock × (k − steps) ÷ steps), not below 0.
    function _moved(uint256 mid, uint256 shock, uint256 k, uint256 steps) private pure returns (uint256) {
        uint256 unit = BPS * steps;
        return mid.fullMulDiv((unit + shock * k).zeroFloorSub(shock * steps), unit);
    }
}
