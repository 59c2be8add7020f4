// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {PriceReader} from "../../src/examples/PriceReader.sol";
import {AggregatorAdapter} from "../../src/oracle/adapters/AggregatorAdapter.sol";
import {PythAdapter} from "../../src/oracle/adapters/PythAdapter.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev Reports of 5 bps; ageing is 1 % an hour, so none at the age of 0.
contract PriceReaderTest is OracleTest {
    int64 private constant P = 2_000e8;
    PriceReader private reader;

    function setUp() public {
        _deploy(4, 2);
        PythAdapter.Listing[] memory listings = new PythAdapter.Listing[](1);
        listings[0] = PythAdapter.Listing("ETH", 1);
        AggregatorAdapter aggregator = new AggregatorAdapter(oracle, 1, 18, "ETH / USD");
        reader = new PriceReader(oracle, 1, 20, aggregator, new PythAdapter(oracle, 60, listings), "ETH");
    }

    function test_acts_at_the_price_that_its_user_brings() public {
        reader.act(_flat(_now(), P), 3e18);
        _expect(5_997e18, 6_003e18);
        reader.actOnAggregator(_flat(_now(), P), 3e18); // already there
        _expect(6_000e18, 6_000e18);
        _pass(SLOT);
        bytes[] memory updates = new bytes[](1);
        updates[0] = _flat(_now(), P + 1e8);
        reader.actOnPyth(updates, 3e18);
        _expect(6_003e18 - 3.0015e18, 6_003e18 + 3.0015e18);
    }

    function test_takes_no_price_that_may_mislead() public {
        bytes memory report = _flat(_now(), P);
        uint256 at = block.timestamp;
        bytes memory noPrice = abi.encodeWithSelector(PriceReader.NoPrice.selector, at);
        _pass(22); // older than the reader takes, though not than the oracle does
        vm.expectRevert(noPrice);
        reader.act(report, 1e18);
        oracle.update(report);
        vm.expectRevert(noPrice);
        reader.actOnAggregator(report, 1e18);
        bytes[] memory updates = new bytes[](1);
        updates[0] = report;
        vm.expectRevert();
        reader.actOnPyth(updates, 1e18);

        report = _flat(_now(), P);
        reader.act(report, 1e18);
        noPrice = abi.encodeWithSelector(PriceReader.NoPrice.selector, block.timestamp);
        _pass(SLOT);
        report = _flat(_now(), P / 2); // parked
        vm.expectRevert(noPrice);
        reader.act(report, 1e18);
    }

    function _expect(uint256 low, uint256 high) private view {
        (, uint256 gotLow, uint256 gotHigh, uint256 observedAt) = reader.deals(address(this));
        assertEq(gotLow, low);
        assertEq(gotHigh, high);
        assertEq(observedAt, block.timestamp);
    }

    function _pass(uint256 time) private {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + 1);
    }
}
