// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {Settlement} from "../../src/hub/Settlement.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubFixture} from "./HubFixture.sol";

contract PositionsTest is HubFixture {
    address internal carol = makeAddr("carol");
    bytes32 internal carolAccount = Accounts.main(carol);

    function setUp() public override {
        super.setUp();
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 10_000);
        _approve(carol);
    }

    /* TRADES */

    function test_tradeIsZeroSum() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 3e18, 2010e18);
        IClearinghouse.Position memory long = hub.position(aliceAccount, ETH_PERP);
        IClearinghouse.Position memory short = hub.position(bobAccount, ETH_PERP);
        assertEq(long.size, 3e18);
        assertEq(long.quote, -6030e18);
        assertEq(short.size, -3e18);
        assertEq(short.quote, 6030e18);
        (uint256 longs, uint256 shorts) = hub.openInterest(ETH_PERP);
        assertEq(longs, 3e18);
        assertEq(shorts, 3e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 10_000e18 - 30e18);
    }

    function test_onlyListedAndApprovedVenues() public {
        vm.expectRevert(LedgerBase.UnlistedVenue.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.prank(alice);
        hub.approveVenue(aliceAccount, venue, 3000e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        assertEq(hub.venueAllowance(aliceAccount, venue), 1000e18);
        assertEq(hub.venueAllowance(bobAccount, venue), type(uint256).max);
        vm.prank(venue);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.VenueNotApproved.selector, aliceAccount, 1000e18, 2000e18)
        );
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.approveVenue(aliceAccount, venue, 1);
        vm.prank(alice);
        vm.expectRevert();
        hub.setVenue(alice, true);
    }

    function test_tradeRefusesBadArguments() public {
        vm.startPrank(venue);
        vm.expectRevert(LedgerBase.SameAccount.selector);
        hub.trade(ETH_PERP, aliceAccount, aliceAccount, 1e18, 2000e18);
        vm.expectRevert(LedgerBase.ZeroValue.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 0, 2000e18);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.UnknownInstrument.selector, 9));
        hub.trade(9, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.PriceOutsideBand.selector, 2041e18, 2000e18));
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2041e18);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.PriceOutsideBand.selector, 1959e18, 2000e18));
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 1959e18);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.stopPrank();
    }

    function test_openInterestCapLetsReduce() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 2e18, 2000e18);
        config.setInstrument(
            ETH_PERP, IRiskConfig.Instrument(address(perp), uint16(FEED_ETH), 1e18, 1000e18, 200)
        );
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.OpenInterestCap.selector, 2.5e18, 1e18));
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 0.5e18, 2000e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 0.5e18, 2000e18);
        (uint256 long,) = hub.openInterest(ETH_PERP);
        assertEq(long, 1.5e18);
    }

    function test_newRiskNeedsMarginAndReducingDoesNot() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 20e18, 2000e18);
        oracle.set(FEED_ETH, 1800e18);
        assertLt(engine.accountHealth(aliceAccount).im, 0);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.trade(ETH_PERP, bobAccount, aliceAccount, 81e18, 1800e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 1800e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 30e18);
    }

    /// A pair of accounts of one owner could otherwise sell its loss to the fund: close below the oracle what is worth little.
    function test_reducingBelowTheOracleNeedsTheEquityThatItGivesAway() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 1770e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 800e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.InsufficientEquity.selector, aliceAccount, -600e18));
        hub.trade(ETH_PERP, bobAccount, aliceAccount, 40e18, 1735e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 20e18, 1735e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 100e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 20e18, 1770e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 100e18);
    }

    function test_insolventShortMayReduceAtTheOracleOnly() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 2300e18);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.InsufficientEquity.selector);
        hub.trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 2301e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 2300e18);
        assertEq(hub.position(bobAccount, ETH_PERP).size, -30e18);
    }

    /// DESIGN §1.4: getting out stays live; the last price bounds it, and what it gives away is the account's own.
    function test_atAStalePriceBothSidesMayOnlyReduce() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 1770e18, 0, 0, false);
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 1770e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 30e18);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.PriceOutsideBand.selector);
        hub.trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 1770e18 * 103 / 100);
        fundCash(carolAccount, 10_000);
        vm.prank(carol);
        hub.approveVenue(carolAccount, venue, type(uint256).max);
        vm.prank(venue);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.trade(ETH_PERP, carolAccount, aliceAccount, 10e18, 1770e18);
        vm.prank(venue);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 1770e18);
    }

    /// The real price may be anywhere: a side that the last one leaves with nothing would close at the fund's expense.
    function test_atAStalePriceNoSideClosesWithoutEquity() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 1700e18, 0, 0, false);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.InsufficientEquity.selector);
        hub.trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 1700e18);
    }

    function test_delegateSetsNoVenueLimit() public {
        vm.prank(alice);
        hub.setDelegate(aliceAccount, carol, true);
        vm.prank(carol);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.approveVenue(aliceAccount, venue, 1);
    }

    function test_closingRealisesAndLeavesTheList() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 2e18, 2000e18);
        assertEq(hub.instrumentsOf(aliceAccount).length, 1);
        oracle.set(FEED_ETH, 2100e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 2e18, 2100e18);
        assertEq(money(aliceAccount), 10_200e18);
        assertEq(hub.cash(bobAccount), 9800e18);
        assertEq(hub.instrumentsOf(aliceAccount).length, 0);
        assertEq(hub.instrumentsOf(bobAccount).length, 0);
        assertEq(hub.pnlPool(ETH_PERP), 0);
    }

    function test_closedLossBeyondCashStaysADebt() public {
        fundCash(carolAccount, 500);
        trade(ETH_PERP, carolAccount, bobAccount, 2e18, 2000e18);
        oracle.set(FEED_ETH, 1700e18);
        trade(ETH_PERP, bobAccount, carolAccount, 2e18, 1700e18);
        assertEq(hub.cash(carolAccount), 0);
        assertEq(hub.position(carolAccount, ETH_PERP).quote, -100e18);
        assertEq(hub.instrumentsOf(carolAccount).length, 1);
        assertEq(money(bobAccount), 10_500e18, "only what was paid");
        assertEq(hub.position(bobAccount, ETH_PERP).quote, 100e18);
        // A later deposit pays it.
        fundCash(carolAccount, 700);
        assertEq(hub.settlePnl(carolAccount, ETH_PERP), -100e18);
        assertEq(hub.settlePnl(bobAccount, ETH_PERP), 100e18);
        assertEq(hub.instrumentsOf(carolAccount).length, 0);
    }

    /// A loss that isn't paid in cash is lent by the winners, for nothing: up to a quarter of the claims that stand for it.
    function test_debtToThePoolBoundsNewRisk() public {
        openRow(carol, WETH);
        counter(WETH, carolAccount, 20e18);
        trade(ETH_PERP, carolAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 1700e18);
        assertGt(engine.accountHealth(carolAccount).im, 0);
        vm.prank(venue);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.ExcessiveDebt.selector, carolAccount, 12_000e18, 22_000e18)
        );
        hub.trade(ETH_PERP, carolAccount, bobAccount, 0.01e18, 1700e18);
        vm.prank(carol);
        vm.expectPartialRevert(LedgerBase.ExcessiveDebt.selector);
        hub.withdraw(carolAccount, WETH, carol, 1);
        // Getting out is always free, closed debts are debts, and cash pays them.
        trade(ETH_PERP, bobAccount, carolAccount, 40e18, 1700e18);
        assertEq(hub.position(carolAccount, ETH_PERP).quote, -12_000e18);
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.ExcessiveDebt.selector);
        hub.trade(ETH_PERP, carolAccount, bobAccount, 0.01e18, 1700e18);
        fundCash(carolAccount, 3500);
        trade(ETH_PERP, carolAccount, bobAccount, 0.01e18, 1700e18);
    }

    function testFuzz_tradesKeepSumsZero(uint256 seed) public {
        fundCash(carolAccount, 10_000);
        bytes32[3] memory who = [aliceAccount, bobAccount, carolAccount];
        for (uint256 n; n < 12; ++n) {
            uint256 r = uint256(keccak256(abi.encode(seed, n)));
            vm.warp(block.timestamp + r % 1 hours);
            uint256 mid = 1900e18 + (r >> 8) % 200e18;
            oracle.set(FEED_ETH, mid);
            vm.prank(venue);
            try hub.trade(
                ETH_PERP, who[r % 3], who[(r + 1) % 3], 1 + (r >> 16) % 5e18, mid * (9900 + r % 200) / 10_000
            ) {}
                catch {}
            if (r % 4 == 0) hub.settlePnl(who[r % 3], ETH_PERP);
        }
        int256 sizes;
        int256 quotes;
        for (uint256 n; n < 3; ++n) {
            IClearinghouse.Portfolio memory p = hub.portfolio(who[n]);
            if (p.sizes.length == 0) continue;
            sizes += p.sizes[0];
            quotes += p.quotes[0];
        }
        assertEq(sizes, 0);
        assertLe(quotes, int256(hub.pnlPool(ETH_PERP)));
        assertGt(quotes + 1000, int256(hub.pnlPool(ETH_PERP)), "only roundings");
    }

    /* SETTLEMENT */

    function test_settlementPaysWinnersOnlyWhatLosersPaid() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2000e18);
        oracle.set(FEED_ETH, 2100e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), 0, "nobody has paid yet");
        assertEq(hub.settlePnl(bobAccount, ETH_PERP), -1000e18);
        assertEq(hub.pnlPool(ETH_PERP), 1000e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), 1000e18);
        assertEq(money(aliceAccount), 11_000e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), 0);
        oracle.set(FEED_ETH, 2100e18, 0, 0, false);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.settlePnl(bobAccount, ETH_PERP);
    }

    function test_regressedCashPaysNoLosses() public {
        fundCash(carolAccount, 1000);
        trade(ETH_PERP, carolAccount, bobAccount, 2e18, 2000e18);
        vm.warp(block.timestamp + 1);
        fundCash(carolAccount, 0);
        oracle.set(FEED_ETH, 1900e18);
        assertEq(hub.settlePnl(carolAccount, ETH_PERP), 0);
        assertEq(hub.cash(carolAccount), 1000e18);
    }

    /* LIQUIDATION */

    function test_transferFractionIsOnlyForLiquidation() public {
        vm.startPrank(alice);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.transferFraction(bobAccount, aliceAccount, 1e18, 0);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.moveCash(bobAccount, aliceAccount, 1);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.socialise(bobAccount, 1);
        vm.stopPrank();
    }

    function testFuzz_transferFractionMovesTheSameShareOfAll(uint256 fraction) public {
        fraction = bound(fraction, 1, 1e18);
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 7e18 + 1);
        fundCash(carolAccount, 5000);
        trade(ETH_PERP, aliceAccount, bobAccount, 3e18 + 7, 2000e18);
        trade(BTC_PERP, bobAccount, aliceAccount, 0.1e18, 40_000e18);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, carolAccount, fraction, 100e18);
        uint256 moved = 10_000e18 * fraction / 1e18;
        assertEq(hub.cash(carolAccount), 4900e18 + int256(moved));
        assertEq(hub.cash(aliceAccount), 10_100e18 - int256(moved));
        assertEq(hub.row(carolAccount, WETH).claim, (7e18 + 1) * fraction / 1e18);
        assertEq(hub.row(carolAccount, WETH).claim + hub.row(aliceAccount, WETH).claim, 7e18 + 1);
        int256 size = hub.position(carolAccount, ETH_PERP).size;
        assertEq(size, (3e18 + 7) * int256(fraction) / 1e18);
        assertEq(size + hub.position(aliceAccount, ETH_PERP).size, 3e18 + 7);
        assertEq(
            hub.position(carolAccount, BTC_PERP).size + hub.position(aliceAccount, BTC_PERP).size, -0.1e18
        );
        assertEq(
            hub.position(carolAccount, BTC_PERP).quote + hub.position(aliceAccount, BTC_PERP).quote, 4000e18
        );
    }

    function test_transferOfAllLeavesNothing() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 7e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 3e18, 2000e18);
        vm.prank(backstop);
        hub.transferFraction(aliceAccount, backstopAccount, 1e18, 0);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(hub.row(aliceAccount, WETH).claim, 0);
        assertEq(hub.instrumentsOf(aliceAccount).length, 0);
        assertEq(hub.position(backstopAccount, ETH_PERP).quote, -6000e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 0);
    }

    function test_transferNetsAgainstTheReceiver() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 3e18, 2000e18);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, bobAccount, 1e18, 0);
        (uint256 long, uint256 short) = hub.openInterest(ETH_PERP);
        assertEq(long, 0);
        assertEq(short, 0);
        assertEq(hub.instrumentsOf(bobAccount).length, 0);
    }

    function test_transferLeavesWhatRegressed() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 10e18);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 4e18);
        fundCash(aliceAccount, 3000);
        vm.startPrank(auction);
        hub.transferFraction(aliceAccount, bobAccount, 1e18, 0);
        assertEq(hub.row(bobAccount, WETH).claim, 4e18);
        assertEq(hub.cash(bobAccount), 13_000e18);
        vm.expectRevert(Settlement.FractionAboveOne.selector);
        hub.transferFraction(aliceAccount, bobAccount, 1e18 + 1, 0);
        vm.expectPartialRevert(LedgerBase.InsufficientCash.selector);
        hub.transferFraction(aliceAccount, bobAccount, 0, 13_001e18);
        vm.stopPrank();
    }

    function test_receiverMayHoldTwiceTheRows() public {
        config.setGlobal(IRiskConfig.Global(5000, 3000, 0, 1500, 1, 1 hours));
        fundCash(carolAccount, 10_000);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        trade(BTC_PERP, carolAccount, backstopAccountWithCash(), 0.1e18, 40_000e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.TooManyRows.selector, carolAccount));
        hub.trade(ETH_PERP, carolAccount, bobAccount, 1e18, 2000e18);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, carolAccount, 1e18, 0);
        assertEq(hub.instrumentsOf(carolAccount).length, 2);
    }

    function backstopAccountWithCash() internal returns (bytes32) {
        fundCash(backstopAccount, 10_000);
        _approve(backstop);
        return backstopAccount;
    }

    function testFuzz_socialiseNeverChargesMoreThanItWritesOff(uint256 amount, uint256 fall) public {
        fall = bound(fall, 1, 500e18);
        amount = bound(amount, 0, 10_000e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 7e18 + 3, 2000e18);
        trade(BTC_PERP, bobAccount, aliceAccount, 0.1e18, 40_000e18);
        oracle.set(FEED_ETH, 2000e18 - fall);
        int256 equity = engine.accountHealth(aliceAccount).equity;
        int256 equityBob = engine.accountHealth(bobAccount).equity;
        vm.prank(backstop);
        uint256 charged = hub.socialise(aliceAccount, amount);
        uint256 loss = uint256(10_000e18 - equity);
        assertLe(charged, amount);
        assertLe(charged, loss + 1);
        assertApproxEqAbs(charged, amount < loss ? amount : loss, 10, "all of it, up to the loss");
        assertEq(engine.accountHealth(aliceAccount).equity, equity + int256(charged));
        int256 paid = equityBob - engine.accountHealth(bobAccount).equity;
        assertApproxEqAbs(uint256(paid), charged, 1);
        assertGe(paid, int256(charged), "the ledger never loses by rounding");
    }

    function test_socialiseChargesHoldersOfTheOtherSidePerUnit() public {
        fundCash(carolAccount, 10_000);
        trade(ETH_PERP, aliceAccount, bobAccount, 3e18, 2000e18);
        trade(ETH_PERP, aliceAccount, carolAccount, 1e18, 2000e18);
        oracle.set(FEED_ETH, 1500e18);
        vm.prank(auction);
        assertEq(hub.socialise(aliceAccount, 400e18), 400e18);
        assertEq(engine.accountHealth(bobAccount).equity, 10_000e18 + 1500e18 - 300e18);
        assertEq(engine.accountHealth(carolAccount).equity, 10_000e18 + 500e18 - 100e18);
        // Positions opened afterwards owe nothing.
        trade(ETH_PERP, aliceAccount, carolAccount, 1e18, 1500e18);
        assertEq(engine.accountHealth(carolAccount).equity, 10_400e18);
    }
}
