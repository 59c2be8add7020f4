// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPyth} from "@pythnetwork/pyth-sdk-solidity/IPyth.sol";
import {PythErrors} from "@pythnetwork/pyth-sdk-solidity/PythErrors.sol";
import {PythStructs} from "@pythnetwork/pyth-sdk-solidity/PythStructs.sol";
import {IAggregatorV2} from "../../src/interfaces/IAggregatorV2.sol";
import {IAggregatorV3} from "../../src/interfaces/IAggregatorV3.sol";
import {AggregatorAdapter} from "../../src/oracle/adapters/AggregatorAdapter.sol";
import {FeedReader} from "../../src/oracle/adapters/FeedReader.sol";
import {PythAdapter} from "../../src/oracle/adapters/PythAdapter.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {AdapterTest} from "./AdapterTest.sol";

contract AdaptersTest is AdapterTest {
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
        vm.expectRevert(abi.encodeWithSelector(AggregatorAdapter.NoValue.selector, 1));
        aggregator.latestRoundData();
        _update(P, 1, 5);
        // Rounded to nothing it would be a wrong number.
        AggregatorAdapter coarse = new AggregatorAdapter(oracle, 2, 6, "Rate");
        vm.expectRevert(AggregatorAdapter.TooFewDecimals.selector);
        coarse.latestRoundData();

        uint256 at = block.timestamp;
        _advance(121);
        bytes memory stale = abi.encodeWithSelector(AggregatorAdapter.StaleValue.selector, 1, at);
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

    function test_aggregator_by_its_older_interface() public {
        _update(P + 7, -3_500_000, 5);
        assertEq(aggregator.latestAnswer(), P + 7);
        assertEq(rate.latestAnswer(), -35_000);
        assertEq(aggregator.latestTimestamp(), block.timestamp);
        uint256 round = aggregator.latestRound();
        assertEq(aggregator.getAnswer(round), P + 7);
        assertEq(aggregator.getTimestamp(round), block.timestamp);
        // A number that only 80 bits of name a round is none.
        uint256 wide = round + (1 << 80);
        vm.expectRevert(abi.encodeWithSelector(AggregatorAdapter.NoDataForRound.selector, wide));
        aggregator.getAnswer(wide);
        vm.expectRevert(abi.encodeWithSelector(AggregatorAdapter.NoDataForRound.selector, round - 2));
        aggregator.getTimestamp(round - 2);

        _advance(121);
        bytes[5] memory calls = [
            abi.encodeCall(IAggregatorV2.latestAnswer, ()),
            abi.encodeCall(IAggregatorV2.latestTimestamp, ()),
            abi.encodeCall(IAggregatorV2.latestRound, ()),
            abi.encodeCall(IAggregatorV2.getAnswer, (round)),
            abi.encodeCall(IAggregatorV2.getTimestamp, (round))
        ];
        for (uint256 i; i < calls.length; ++i) {
            (bool ok, bytes memory reason) = address(aggregator).staticcall(calls[i]);
            assertFalse(ok);
            assertEq(reason, abi.encodeWithSelector(AggregatorAdapter.StaleValue.selector, 1, round));
        }
    }

    /// @dev Of Chainlink's AggregatorV2V3Interface: an interface of our own with another signature would be another function.
    function test_aggregator_has_the_selectors_of_chainlink() public pure {
        assertEq(IAggregatorV3.decimals.selector, bytes4(0x313ce567));
        assertEq(IAggregatorV3.description.selector, bytes4(0x7284e416));
        assertEq(IAggregatorV3.version.selector, bytes4(0x54fd4d50));
        assertEq(IAggregatorV3.getRoundData.selector, bytes4(0x9a6fc8f5));
        assertEq(IAggregatorV3.latestRoundData.selector, bytes4(0xfeaf968c));
        assertEq(IAggregatorV2.latestAnswer.selector, bytes4(0x50d25bcd));
        assertEq(IAggregatorV2.latestTimestamp.selector, bytes4(0x8205bf6a));
        assertEq(IAggregatorV2.latestRound.selector, bytes4(0x668a0f02));
        assertEq(IAggregatorV2.getAnswer.selector, bytes4(0xb5ab58dc));
        assertEq(IAggregatorV2.getTimestamp.selector, bytes4(0xb633620c));
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
        PythStructs.Price memory price = pyth.getPriceNoOlderThan(ETH, 0);
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
        vm.expectRevert(PythErrors.PriceFeedNotFound.selector);
        pyth.getPriceUnsafe("other");
        bytes memory none = abi.encodeWithSelector(PythErrors.PriceFeedNotFound.selector);
        vm.expectRevert(none);
        pyth.getPriceUnsafe(ETH);
        vm.expectRevert(none);
        pyth.getPriceNoOlderThan(ETH, 60);
        _update(P, 1, 5);
        uint256 at = block.timestamp;
        _advance(61);
        bytes memory stale = abi.encodeWithSelector(PythErrors.StalePrice.selector);
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

    function test_pyth_says_which_averages_it_lacks() public {
        _update(P, 1, 5);
        IPyth real = IPyth(address(pyth));
        bytes memory ema = abi.encodeWithSelector(PythAdapter.NoMovingAverage.selector);
        vm.expectRevert(ema);
        real.getEmaPriceUnsafe(ETH);
        vm.expectRevert(ema);
        real.getEmaPriceNoOlderThan(ETH, 60);
        vm.expectRevert(ema);
        pyth.getEmaPrice(ETH);
        bytes memory twap = abi.encodeWithSelector(PythAdapter.NoTimeWeightedAverage.selector);
        vm.expectRevert(twap);
        real.getTwapUpdateFee(new bytes[](0));
        vm.expectRevert(twap);
        real.parseTwapPriceFeedUpdates(new bytes[](0), new bytes32[](0));
        // Where the average is a part of an answer, no check of age or of confidence takes it for one.
        PythStructs.PriceFeed memory whole = pyth.queryPriceFeed(ETH);
        assertEq(whole.id, ETH);
        assertEq(whole.price.price, P);
        assertEq(whole.emaPrice.price, 0);
        assertEq(whole.emaPrice.conf, type(uint64).max);
        assertEq(whole.emaPrice.publishTime, 0);
    }

    function test_pyth_updates_only_what_is_older_than_the_caller_knows() public {
        IPyth real = IPyth(address(pyth));
        (bytes[] memory updates, bytes32[] memory ids) = _bring(_signed(P, 1, 5));
        uint64[] memory times = new uint64[](1);
        real.updatePriceFeedsIfNecessary(updates, ids, times); // there is none: even time 0 is news
        assertEq(pyth.getPriceUnsafe(ETH).price, P);
        times[0] = uint64(block.timestamp);
        vm.expectRevert(PythErrors.NoFreshUpdate.selector);
        real.updatePriceFeedsIfNecessary(updates, ids, times);
        vm.expectRevert(PythErrors.InvalidArgument.selector);
        real.updatePriceFeedsIfNecessary(updates, ids, new uint64[](2));

        _advance(2);
        (updates,) = _bring(_signed((P * 60) / 100, 1, 5));
        times[0] = uint64(block.timestamp);
        real.updatePriceFeedsIfNecessary(updates, ids, times); // parked
        _advance(32);
        (updates,) = _bring(_signed((P * 60) / 100, 1, 5));
        times[0] = uint64(block.timestamp);
        real.updatePriceFeedsIfNecessary(updates, ids, times); // what is parked is still confirmed this way
        assertEq(pyth.getPriceUnsafe(ETH).price, (P * 60) / 100);
    }

    function test_pyth_parses_what_it_stores() public {
        IPyth real = IPyth(address(pyth));
        uint64 at = uint64(block.timestamp);
        (bytes[] memory updates, bytes32[] memory ids) = _bring(_signed(P, 1, 5));
        bytes memory outside = abi.encodeWithSelector(PythErrors.PriceFeedNotFoundWithinRange.selector);
        vm.expectRevert(outside);
        real.parsePriceFeedUpdates(updates, ids, at + 1, at + 9);
        vm.expectRevert(outside);
        real.parsePriceFeedUpdates(updates, ids, at - 9, at - 1);
        assertFalse(pyth.priceFeedExists(ETH), "what reverts stores nothing");
        PythStructs.PriceFeed[] memory parsed = real.parsePriceFeedUpdates(updates, ids, at, at);
        assertEq(parsed.length, 1);
        assertEq(parsed[0].id, ETH);
        assertEq(parsed[0].price.price, P);
        assertEq(parsed[0].price.publishTime, at);
        assertEq(parsed[0].emaPrice.conf, type(uint64).max);

        // The first at or after a time: one slot later may be the second.
        assertEq(real.parsePriceFeedUpdatesUnique(updates, ids, at - 1, at + 9)[0].price.price, P);
        vm.expectRevert(outside);
        real.parsePriceFeedUpdatesUnique(updates, ids, at - 2, at + 9);
        uint64[] memory slots;
        (parsed, slots) = real.parsePriceFeedUpdatesWithConfig(updates, ids, at - 1, at, true, false, false);
        assertEq(parsed[0].price.price, P);
        assertEq(slots[0], at / SLOT);
        vm.expectRevert(outside);
        real.parsePriceFeedUpdatesWithConfig(updates, ids, at - 2, at, true, false, true);
        vm.expectRevert(PythErrors.InvalidArgument.selector);
        real.parsePriceFeedUpdatesWithConfig(updates, ids, at, at, false, true, true);

        ids[0] = "other";
        vm.expectRevert(outside);
        real.parsePriceFeedUpdates(updates, ids, 0, type(uint64).max);
        vm.expectRevert(PythAdapter.FeeNotNeeded.selector);
        real.parsePriceFeedUpdates{value: 1}(updates, ids, at, at);
    }

    /// @dev A report that isn't stored isn't verified, so nothing that it says is ever answered.
    function test_pyth_parses_nothing_out_of_a_report_that_was_overtaken() public {
        IPyth real = IPyth(address(pyth));
        uint64 at = uint64(block.timestamp);
        (bytes[] memory overtaken, bytes32[] memory ids) = _bring(_signed(P, 1, 5));
        _advance(2);
        _update(P + 1, 1, 5);
        vm.expectRevert(PythErrors.PriceFeedNotFoundWithinRange.selector);
        real.parsePriceFeedUpdates(overtaken, ids, at, at);
        assertEq(real.parsePriceFeedUpdates(overtaken, ids, at, at + 2)[0].price.price, P + 1);
        _advance(2);
        (overtaken,) = _bring(_signed((P * 60) / 100, 1, 5));
        vm.expectRevert(abi.encodeWithSelector(FeedReader.UnconfirmedValue.selector, 1));
        real.parsePriceFeedUpdates(overtaken, ids, at, at + 9);
    }

    function _bring(bytes memory report) private pure returns (bytes[] memory updates, bytes32[] memory ids) {
        (updates, ids) = (new bytes[](1), new bytes32[](1));
        (updates[0], ids[0]) = (report, ETH);
    }

    function test_pyth_listings() public {
        PythAdapter.Listing[] memory listings = new PythAdapter.Listing[](2);
        (listings[0].id, listings[1].id) = (ETH, ETH);
        vm.expectRevert(abi.encodeWithSelector(PythAdapter.DuplicateId.selector, ETH));
        new PythAdapter(oracle, 60, listings);
        (listings[1].id, listings[1].feed) = (RATE, 9);
        vm.expectRevert(abi.encodeWithSelector(SignerEpochs.UnknownFeed.selector, 9));
        new PythAdapter(oracle, 60, listings);
    }
}
