// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";

/// @notice Test double: prices are set, not signed. The real oracle has tests of its own.
contract OracleDouble is IPriceOracle {
    mapping(uint256 feed => Price) internal _prices;
    uint256 public feedCount = 4;

    function set(uint256 feed, uint256 price_) external {
        _prices[feed] = Price(price_, 0, block.timestamp, 0, true);
    }

    function set(uint256 feed, uint256 price_, uint256 confidence, uint256 parked, bool fresh) external {
        _prices[feed] = Price(price_, confidence, block.timestamp, parked, fresh);
    }

    function price(uint256 feed) public view returns (Price memory) {
        return _prices[feed];
    }

    function prices(uint256[] calldata feeds) external view returns (Price[] memory list) {
        list = new Price[](feeds.length);
        for (uint256 n; n < feeds.length; ++n) {
            list[n] = _prices[feeds[n]];
        }
    }

    function update(bytes calldata) external pure returns (bool) {
        return false;
    }

    function latest() external pure returns (uint32, uint64) {
        return (1, 1);
    }
}
