// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../interfaces/IPriceOracle.sol";

/// @notice Local networks and tests only: prices that anyone sets, for what is compared with the contracts from outside.
contract TestOracle is IPriceOracle {
    Price[] internal _list;

    /// @notice Replaces the prices of all feeds.
    function set(Price[] calldata list) external {
        delete _list;
        for (uint256 n; n < list.length; ++n) {
            _list.push(list[n]);
        }
    }

    function price(uint256 feed) external view returns (Price memory) {
        return _list[feed];
    }

    function prices(uint256[] calldata feeds) external view returns (Price[] memory list) {
        list = new Price[](feeds.length);
        for (uint256 n; n < feeds.length; ++n) {
            list[n] = _list[feeds[n]];
        }
    }

    function feedCount() external view returns (uint256) {
        return _list.length;
    }

    function update(bytes calldata) external pure returns (bool) {
        return false;
    }

    function latest() external pure returns (uint32, uint64) {
        return (0, 0);
    }
}
