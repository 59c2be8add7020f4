// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";

/// @notice The simplest curved instrument: a unit is worth spot² × volatility ÷ anchor.
contract Quadratic is IInstrument {
    uint256 public immutable anchor;
    IPriceOracle internal immutable _oracle;
    uint256 internal immutable _feed;

    constructor(IPriceOracle oracle, uint256 feed, uint256 anchor_) {
        (_oracle, _feed, anchor) = (oracle, feed, anchor_);
    }

    function pnl(
        Holding[] calldata holdings,
        uint256 count,
        uint256[] calldata spots,
        uint256[] calldata volatilities
    ) external view returns (int256[] memory values, bool fresh) {
        fresh = _oracle.price(_feed).fresh;
        values = new int256[](spots.length);
        for (uint256 n; n < holdings.length; ++n) {
            Holding calldata h = holdings[n];
            for (uint256 k; k < count; ++k) {
                uint256 place = h.underlying * count + k;
                int256 unit = int256(spots[place] * spots[place] / anchor * volatilities[k] / 1e18);
                int256 product = h.size * unit;
                int256 value = product / 1e18;
                if (product % 1e18 < 0) --value;
                values[place] += value + h.quote;
            }
        }
    }

    function mark(uint256) external view returns (uint256 price, bool fresh) {
        IPriceOracle.Price memory p = _oracle.price(_feed);
        return (p.price * p.price / anchor, p.fresh);
    }

    function settlement(uint256) external pure returns (bool, uint256) {
        return (false, 0);
    }

    function isLinear() external pure returns (bool) {
        return false;
    }

    function costIndex(uint256) external pure returns (int256) {
        return 0;
    }

    function accrue(uint256) external pure returns (int256) {
        return 0;
    }

    function onTrade(uint256, uint256, uint256) external {}
}
