// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPythReader} from "../../src/interfaces/IPythReader.sol";
import {AggregatorAdapter} from "../../src/oracle/adapters/AggregatorAdapter.sol";
import {FeedReader} from "../../src/oracle/adapters/FeedReader.sol";
import {PythAdapter} from "../../src/oracle/adapters/PythAdapter.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev Feeds 0 and 1 are prices of 10^-8, feed 2 is a rate of 10^-8. Use-age 120 s; ageing 1 % an hour.
contract AdaptersTest is OracleTest {
    bytes32 private constant ETH = 0xff61491a931112ddf1bd8147cd1b641375f79f5825126d665480874634fd0ace;
    bytes32 private constant RATE = keccak256("rate");
    int64 private constant P = 2_000e8;

    AggregatorAdapter private aggregator;
    AggregatorAdapter private rate;
    PythAdapter private pyth;

    function setUp() public {
        _deploy(4, 2);
        feeds.push(SignerEpochs.Feed("RATE", -8, true, 120));
        _open(2, _now() + 1, type(uint48).max);
        vm.warp(block.timestamp + SLOT);
        aggregator = new AggregatorAdapter(oracle, 1, 8, "ETH / USD");
        rate = new AggregatorAdapter(oracle, 2, 6, "Rate");
        PythAdapter.Listing[] memory listings = new PythAdapter.Listing[](2);
        listings[0] = PythAdapter.Listing(ETH, 1);
        listings[1] = PythAdapter.Listing(RATE, 2);
        pyth = new PythAdapter(oracle, listings);
    }

    /* AGGREGATOR */

    function test_aggregator_reads_the_newest_value() public {
        _update(P + 7, -3_500_000, 5);
        (uint80 round, int256 answer, uint256 started, uint256 updated, uint80 inRound) =
            aggregator.latestRoundData();
        assertEq(answer, P + 7);
        assertEq(started, block.timestamp);
        assertEq(updated, block.timestamp);
        assertEq(round, inRound);
        assertEq(aggregator.decimals(), 8);
        assertEq(aggregator.description(), "ETH / USD");
        assertEq(aggregator.version(), 1);
        (, answer,,,) = rate.latestRoundData();
        assertEq(answer, -35_000, "-3.5 % in millionths");

        (, int256 again,,,) = aggregator.getRoundData(round);
        assertEq(again, P + 7);
        _advance(2);
        _update(P + 8, 0, 5);
        (uint80 next,,,,) = aggregator.latestRoundData();
        assertGt(next, round);
        vm.expectRevert(abi.encodeWithSelector(AggregatorAdapter.NoDataForRound.selector, round));
        aggregator.getRoundData(round);
        (, answer,,,) = rate.latestRoundData();
        assertEq(answer, 0, "a rate may be zero");
    }

    function test_aggregator_never_answers_without_a_standing_value() public {
        vm.expectRevert(abi.encodeWithSelector(FeedReader.NoValue.selector, 1));
        aggregator.latestRoundData();
        _update(P, 1, 5);
        // Rounded to nothing it would be a wrong number.
        AggregatorAdapter coarse = new AggregatorAdapter(oracle, 2, 6, "Rate");
        vm.expectRevert(AggregatorAdapter.TooFewDecimals.selector);
        coarse.latestRoundData();

        uint256 at = block.timestamp;
        _advance(121);
        bytes memory stale = abi.encodeWithSelector(FeedReader.StaleValue.selector, 1, at);
        vm.expectRevert(stale);
        aggregator.latestRoundData();
        vm.expectRevert(stale);
        aggregator.getRoundData(uint80(at));
        // Reports that hold the feed don't refresh it.
        _update(0, 1, 0xffff);
        vm.expectRevert(stale);
        aggregator.latestRoundData();

        _advance(2);
        _update(P, 1, 5);
        _advance(2);
        _update((P * 60) / 100, 1, 5); // parked
        vm.expectRevert(abi.encodeWithSelector(FeedReader.UnconfirmedValue.selector, 1));
        aggregator.latestRoundData();
        _advance(30);
        _update((P * 60) / 100, 1, 5);
        (, int256 answer,,,) = aggregator.latestRoundData();
        assertEq(answer, (P * 60) / 100);
    }

    function test_aggregator_decimals() public {
        _update(P + 7, -1, 5);
        (, int256 answer,,,) = new AggregatorAdapter(oracle, 1, 18, "").latestRoundData();
        assertEq(answer, int256(P + 7) * 1e10);
        (, answer,,,) = new AggregatorAdapter(oracle, 1, 0, "").latestRoundData();
        assertEq(answer, 2_000);
        // Towards minus infinity, as Solidity's division isn't.
        (, answer,,,) = rate.latestRoundData();
        assertEq(answer, -1);
        vm.expectRevert(AggregatorAdapter.InvalidDecimals.selector);
        new AggregatorAdapter(oracle, 1, 19, "");
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.UnknownFeed.selector, 3));
        new AggregatorAdapter(oracle, 3, 8, "");
    }

    /* PYTH */

    function test_pyth_reads_and_updates() public {
        assertFalse(pyth.priceFeedExists(ETH));
        bytes[] memory updates = new bytes[](2);
        updates[0] = _signed(P + 7, -3_500_000, 5);
        updates[1] = updates[0]; // not newer
        assertEq(pyth.getUpdateFee(updates), 0);
        pyth.updatePriceFeeds(updates);
        assertTrue(pyth.priceFeedExists(ETH));
        IPythReader.Price memory price = pyth.getPriceNoOlderThan(ETH, 0);
        assertEq(price.price, P + 7);
        assertEq(price.expo, -8);
        assertEq(price.publishTime, block.timestamp);
        assertEq(price.conf, 100_000_001, "5 bps of 2,000.00000007, rounded up");
        price = pyth.getPriceUnsafe(RATE);
        assertEq(price.price, -3_500_000);
        assertEq(price.conf, 50_000, "5 bps of one");

        vm.expectRevert(PythAdapter.FeeNotNeeded.selector);
        pyth.updatePriceFeeds{value: 1}(updates);
        _advance(2);
        updates[1] = hex"00";
        vm.expectRevert();
        pyth.updatePriceFeeds(updates);
    }

    function test_pyth_never_answers_without_a_standing_value() public {
        vm.expectRevert(abi.encodeWithSelector(PythAdapter.UnknownId.selector, bytes32("other")));
        pyth.getPriceUnsafe("other");
        bytes memory none = abi.encodeWithSelector(FeedReader.NoValue.selector, 1);
        vm.expectRevert(none);
        pyth.getPriceUnsafe(ETH);
        vm.expectRevert(none);
        pyth.getPriceNoOlderThan(ETH, 60);
        _update(P, 1, 5);
        uint256 at = block.timestamp;
        _advance(61);
        bytes memory stale = abi.encodeWithSelector(FeedReader.StaleValue.selector, 1, at);
        vm.expectRevert(stale);
        pyth.getPriceNoOlderThan(ETH, 60);
        assertEq(pyth.getPriceNoOlderThan(ETH, 61).price, P);
        _advance(60);
        vm.expectRevert(stale); // 121 s: past the use-age, whatever the reader allows
        pyth.getPriceNoOlderThan(ETH, 1 days);
        // Of whatever age, and it says so; the interval has grown.
        assertEq(pyth.getPriceUnsafe(ETH).publishTime, at);
        assertGt(pyth.getPriceUnsafe(ETH).conf, 100_000_000);

        _update((P * 60) / 100, 1, 5);
        bytes memory unconfirmed = abi.encodeWithSelector(FeedReader.UnconfirmedValue.selector, 1);
        vm.expectRevert(unconfirmed);
        pyth.getPriceUnsafe(ETH);
        vm.expectRevert(unconfirmed);
        pyth.getPriceNoOlderThan(ETH, 1 days);
    }

    function test_pyth_listings() public {
        PythAdapter.Listing[] memory listings = new PythAdapter.Listing[](2);
        (listings[0].id, listings[1].id) = (ETH, ETH);
        vm.expectRevert(abi.encodeWithSelector(PythAdapter.DuplicateId.selector, ETH));
        new PythAdapter(oracle, listings);
        (listings[1].id, listings[1].feed) = (RATE, 9);
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.UnknownFeed.selector, 9));
        new PythAdapter(oracle, listings);
    }

    /* HELPERS */

    function _advance(uint256 time) private {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + 1);
    }

    function _update(int64 price, int64 rate_, uint16 confidence) private {
        assertTrue(oracle.update(_signed(price, rate_, confidence)));
    }

    function _signed(int64 price, int64 rate_, uint16 confidence) private view returns (bytes memory) {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        (prices[1], confidences[1]) = (price, confidence);
        (prices[2], confidences[2]) = (rate_, 5);
        return _report(_now(), prices, confidences);
    }
}
