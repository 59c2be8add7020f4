// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AggregatorAdapter} from "../../src/oracle/adapters/AggregatorAdapter.sol";
import {PythAdapter} from "../../src/oracle/adapters/PythAdapter.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev Feeds 0 and 1 are prices of 10^-8, feed 2 is a rate of 10^-8. Use-age 120 s; ageing 1 % an hour.
abstract contract AdapterTest is OracleTest {
    bytes32 internal constant ETH = 0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace;
    bytes32 internal constant RATE = keccak256("rate");
    int64 internal constant P = 2_000e8;

    AggregatorAdapter internal aggregator;
    AggregatorAdapter internal rate;
    PythAdapter internal pyth;

    function setUp() public virtual {
        _deploy(4, 2);
        feeds.push(SignerEpochs.Feed("RATE", -8, true, 120));
        _open(2, _now() + 1, type(uint48).max);
        vm.warp(block.timestamp + SLOT);
        aggregator = new AggregatorAdapter(oracle, 1, 8, "ETH / USD");
        rate = new AggregatorAdapter(oracle, 2, 6, "Rate");
        PythAdapter.Listing[] memory listings = new PythAdapter.Listing[](2);
        listings[0] = PythAdapter.Listing(ETH, 1);
        listings[1] = PythAdapter.Listing(RATE, 2);
        pyth = new PythAdapter(oracle, 60, listings);
    }

    function _advance(uint256 time) internal {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + 1);
    }

    function _update(int64 price, int64 rate_, uint16 confidence) internal {
        assertTrue(oracle.update(_signed(price, rate_, confidence)));
    }

    function _signed(int64 price, int64 rate_, uint16 confidence) internal view returns (bytes memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        (prices[1], confidences[1]) = (price, confidence);
        (prices[2], confidences[2]) = (rate_, 5);
        return _report(_now(), prices, confidences);
    }
}
