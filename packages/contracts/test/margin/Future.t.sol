// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {CashSettled} from "../../src/margin/CashSettled.sol";
import {Dated} from "../../src/margin/Dated.sol";
import {Linear} from "../../src/margin/Linear.sol";
import {DatedFixture} from "./DatedFixture.sol";

contract FutureTest is DatedFixture {
    /// A smaller position isn't less risk where it covered another: who was healthy would be liquidatable by an own act.
    function test_reducingWhatCoversAnotherNeedsHealth() public {
        for (uint256 n; n < 10; ++n) {
            trade(ETH_FUTURE, aliceAccount, bobAccount, 200e18, 2000e18);
            trade(ETH_PERP, bobAccount, aliceAccount, 200e18, 2000e18);
        }
        assertGt(engine.accountHealth(aliceAccount).mm, 0);
        int256 unhedged = engine.accountHealth(aliceAccount).mm;
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.RiskNotReduced.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 2000e18, 2000e18);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.RiskNotReduced.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1999e18, 2000e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 200e18, 2000e18);
        assertLt(engine.accountHealth(aliceAccount).mm, unhedged);
    }

    function test_unhealthyReducesWhatIsRiskAndNothingElse() public {
        for (uint256 n; n < 10; ++n) {
            trade(ETH_FUTURE, aliceAccount, bobAccount, 200e18, 2000e18);
            trade(ETH_PERP, bobAccount, aliceAccount, 180e18, 2000e18);
        }
        oracle.set(FEED_ETH, 1550e18);
        int256 mm = engine.accountHealth(aliceAccount).mm;
        assertLt(mm, 0);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.RiskNotReduced.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 1550e18);
        trade(ETH_FUTURE, bobAccount, aliceAccount, 100e18, 1550e18);
        assertGt(engine.accountHealth(aliceAccount).mm, mm);
    }

    function _list(uint256 id, uint256 expiry_, uint256 feed) private {
        future.list(id, uint40(expiry_), uint16(feed), uint16(FEED_FIXING));
    }

    function test_listsOnceAndOnlyWhatRiskConfigKnows() public {
        vm.expectRevert(abi.encodeWithSelector(Dated.ForeignInstrument.selector, ETH_PERP));
        _list(ETH_PERP, expiry, FEED_ETH);
        vm.expectRevert(abi.encodeWithSelector(Dated.ForeignInstrument.selector, 99));
        _list(99, expiry, FEED_ETH);
        vm.expectRevert(abi.encodeWithSelector(Dated.AlreadyListed.selector, ETH_FUTURE));
        _list(ETH_FUTURE, expiry + 1, FEED_ETH);

        uint256 id = listFor(address(future), FEED_BTC);
        vm.expectRevert(abi.encodeWithSelector(Dated.FeedMismatch.selector, FEED_ETH, FEED_BTC));
        _list(id, expiry, FEED_ETH);
        vm.expectRevert(abi.encodeWithSelector(Dated.InvalidExpiry.selector, block.timestamp));
        _list(id, block.timestamp, FEED_BTC);
        uint256 tooFar = block.timestamp + future.MAX_LIFE() + 1;
        vm.expectRevert(abi.encodeWithSelector(Dated.InvalidExpiry.selector, tooFar));
        _list(id, tooFar, FEED_BTC);
        oracle.set(FEED_BTC, 0);
        vm.expectRevert(abi.encodeWithSelector(Dated.NoPrice.selector, FEED_BTC));
        _list(id, expiry, FEED_BTC);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        _list(id, expiry, FEED_BTC);
    }

    function test_unlistedHasNoPrice() public {
        uint256 id = listFor(address(future), FEED_ETH);
        bytes memory unlisted = abi.encodeWithSelector(Dated.Unlisted.selector, id);
        vm.expectRevert(unlisted);
        future.mark(id);
        vm.expectRevert(unlisted);
        future.pnl(holding(id, 1e18, 0), 1, one(1e18), new uint256[](0));
        vm.expectRevert(unlisted);
        future.settlement(id);
        vm.expectRevert(unlisted);
        future.onTrade(id, 1, 1);
        vm.prank(venue);
        vm.expectRevert(unlisted);
        hub.trade(id, aliceAccount, bobAccount, 1e18, 2000e18);
    }

    function test_isWorthTheSpotUntilFixedAndThenTheFixing() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 10e18, 2000e18);
        oracle.set(FEED_ETH, 2100e18);
        assertEq(engine.accountHealth(aliceAccount).pnl, 1000e18);
        assertLt(engine.accountHealth(aliceAccount).im, engine.accountHealth(aliceAccount).equity);
        vm.warp(expiry);
        oracle.set(FEED_ETH, 2200e18);
        assertEq(engine.accountHealth(aliceAccount).pnl, 2000e18, "expired, not fixed: the spot");
        expireAt(2150e18);
        assertEq(future.fix(ETH_FUTURE), 2150e18);
        oracle.set(FEED_ETH, 3000e18);
        assertEq(engine.accountHealth(aliceAccount).pnl, 1500e18, "the fixing, whatever the spot");
        assertEq(engine.accountHealth(bobAccount).pnl, -1500e18);
        (uint256 price, bool fresh) = future.mark(ETH_FUTURE);
        assertEq(price, 2150e18);
        assertTrue(fresh);
    }

    function test_fixingIsTheFirstSignedAtOrAfterExpiryForEver() public {
        oracle.set(FEED_FIXING, 1900e18);
        vm.expectRevert(abi.encodeWithSelector(CashSettled.NotFixed.selector, ETH_FUTURE));
        future.fix(ETH_FUTURE);
        vm.warp(expiry - 1);
        oracle.set(FEED_FIXING, 1950e18);
        vm.warp(expiry + 1 hours);
        vm.expectRevert(abi.encodeWithSelector(CashSettled.NotFixed.selector, ETH_FUTURE));
        future.fix(ETH_FUTURE);
        assertEq(future.accrue(ETH_FUTURE), 0);
        (bool settled,) = future.settlement(ETH_FUTURE);
        assertFalse(settled, "a value from before the expiry settles nothing");
        oracle.set(FEED_FIXING, 2010e18);
        vm.prank(carol);
        assertEq(future.fix(ETH_FUTURE), 2010e18);
        vm.warp(block.timestamp + 1 days);
        oracle.set(FEED_FIXING, 2500e18);
        assertEq(future.fix(ETH_FUTURE), 2010e18, "again: the same");
        future.accrue(ETH_FUTURE);
        (, uint256 price) = future.settlement(ETH_FUTURE);
        assertEq(price, 2010e18);
    }

    function test_nobodyTradesAfterExpiry() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.warp(expiry);
        oracle.set(FEED_ETH, 2000e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(Dated.Expired.selector, ETH_FUTURE));
        hub.trade(ETH_FUTURE, bobAccount, aliceAccount, 1e18, 2000e18);
    }

    function testFuzz_pnlRoundsDownAndHasNoRoomForMore(int128 size, int128 quote, uint120 spot) public {
        vm.assume(size != type(int128).min && quote != type(int128).min);
        int256 product = int256(size) * int256(uint256(spot));
        int256 floor = product / 1e18 - (product % 1e18 < 0 ? int256(1) : int256(0));
        assertEq(_pnl(size, quote, spot), floor + quote);
        expireAt(spot);
        if (spot != 0) future.fix(ETH_FUTURE);
        assertEq(_pnl(size, quote, spot), floor + quote, "fixed");
    }

    function test_refusesWhatItCannotPrice() public {
        _refuses(Linear.TooLarge.selector, 1 << 127, 0, 1);
        _refuses(Linear.TooLarge.selector, 1, 0, 1 << 127);
        expireAt(2000e18);
        future.fix(ETH_FUTURE);
        _refuses(Linear.TooLarge.selector, 1, 1 << 127, 1);
        IInstrument.Holding[] memory holdings = holding(ETH_FUTURE, 1, 0);
        holdings[0].underlying = 1;
        vm.expectRevert(abi.encodeWithSelector(Linear.UnknownUnderlying.selector, 1));
        future.pnl(holdings, 1, one(1), new uint256[](0));
    }

    function _refuses(bytes4 selector, int256 size, int256 quote, uint256 spot) private {
        vm.expectRevert(selector);
        future.pnl(holding(ETH_FUTURE, size, quote), 1, one(spot), new uint256[](0));
    }

    function _pnl(int256 size, int256 quote, uint256 spot) private view returns (int256) {
        (int256[] memory values,) =
            future.pnl(holding(ETH_FUTURE, size, quote), 1, one(spot), new uint256[](0));
        return values[0];
    }
}
