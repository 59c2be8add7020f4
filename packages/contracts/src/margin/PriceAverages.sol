// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";

/// @notice A moving average of each feed's price, weighted by time: exponential, so that it is one slot and needs no history.
///
/// What was last observed counts from then on, and what is observed now counts for nothing yet. So a price moves the average only by standing:
/// one that lasted t has the weight 1 − e^(−t ÷ AVERAGING_TIME), whoever observes how often. Of the time since it was observed no more than
/// MAX_STANDING counts, so that nobody observes a spike and lets it count for as long as nobody else observes.
abstract contract PriceAverages {
    using FixedPointMathLib for uint256;

    struct Average {
        /// WAD, as of `at`.
        uint104 average;
        /// WAD, observed then.
        uint104 price;
        /// Seconds; 0: never observed.
        uint40 at;
    }

    /// @notice Seconds in which all but 1 ÷ e of the way to a price that stands is made.
    uint256 public constant AVERAGING_TIME = 1 hours;
    /// @notice Seconds that a price is taken to have stood for if nobody observes it again.
    uint256 public constant MAX_STANDING = 10 minutes;

    mapping(uint256 feed => Average) private _averages;

    /// @return due Half of MAX_STANDING was over.
    function _observe(IPriceOracle source, uint256 feed) internal returns (bool due) {
        uint256 price = source.price(feed).price.min(type(uint104).max);
        Average memory a = _averages[feed];
        if (price == 0 || (price == a.price && a.at == block.timestamp)) return false;
        due = block.timestamp - a.at >= MAX_STANDING / 2;
        _averages[feed] =
            Average(a.at == 0 ? uint104(price) : uint104(_now(a)), uint104(price), uint40(block.timestamp));
    }

    /// @return WAD; 0 for a feed that was never observed.
    function _averageOf(uint256 feed) internal view returns (uint256) {
        return _now(_averages[feed]);
    }

    function _now(Average memory a) private view returns (uint256) {
        if (a.average == a.price) return a.price;
        uint256 stood = (block.timestamp - a.at).min(MAX_STANDING);
        int256 kept = FixedPointMathLib.expWad(-int256(stood * 1e18 / AVERAGING_TIME));
        int256 price = int256(uint256(a.price));
        return uint256(price + (int256(uint256(a.average)) - price) * kept / 1e18);
    }
}
