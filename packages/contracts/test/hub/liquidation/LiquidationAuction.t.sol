// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILiquidationAuction} from "../../../src/interfaces/ILiquidation.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Perp} from "../../../src/margin/Perp.sol";
import {LiquidationBase} from "./LiquidationBase.sol";
import {OracleDouble} from "./OracleDouble.sol";
import {auctionTerms} from "./auctionTerms.sol";

/// Alice: 20,000 USDC and 45 ETH long from 2,000. Liquidatable below 1,767.7, insolvent below 1,555.6.
contract LiquidationAuctionTest is LiquidationBase {
    bytes32 private account;
    bytes32 private short;
    bytes32 private bidder;

    function setUp() public override {
        super.setUp();
        account = _trader(alice, 20_000e6);
        short = _trader(bob, 100_000e6);
        bidder = _deposit(carol, usdc, 100_000e6);
        _trade(account, short, 45e18);
    }

    function _all() private view returns (bytes32[] memory accounts) {
        accounts = new bytes32[](5);
        (accounts[0], accounts[1], accounts[2], accounts[3], accounts[4]) =
        (account, short, bidder, fundAccount, backstopAccount);
    }

    /* START */

    function test_updateAndStart_storesThePriceAndOpensInOneCall() public {
        bytes32[] memory accounts = new bytes32[](4);
        (accounts[0], accounts[1], accounts[2], accounts[3]) = (account, short, account, backstopAccount);
        IMarginEngine.Health memory before = _health(account);
        assertGt(before.mm, 0);
        uint256 started = auction.updateAndStart(abi.encode(1, ETH_FEED, 1700e18), accounts);
        assertEq(started, 1, "a healthy account, a repeated one and the backstop are skipped");
        ILiquidationAuction.Auction memory a = auction.auction(account);
        assertEq(a.startedAt, block.timestamp);
        assertFalse(a.insolvent);
        assertEq(auction.auction(short).startedAt, 0);
        assertEq(auction.auction(backstopAccount).startedAt, 0);
        assertEq(_health(account).equity, 6500e18);

        // The same report again is no obstacle, and starts nothing twice.
        assertEq(auction.updateAndStart(abi.encode(1, ETH_FEED, 1500e18), accounts), 0);
        vm.expectRevert(OracleDouble.Malformed.selector);
        auction.updateAndStart("garbage", accounts);
    }

    /// forge-config: default.isolate = true
    function test_updateAndStart_gas() public {
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = account;
        auction.updateAndStart(abi.encode(1, ETH_FEED, 1700e18), accounts);
        vm.snapshotGasLastCall("LiquidationAuction", "update_and_start");
        assertGt(auction.auction(account).startedAt, 0);
    }

    /// forge-config: default.isolate = true
    function test_start_needsABrokenMargin() public {
        assertEq(_start(account), 0);
        _price(1700e18);
        assertEq(_start(account), 1);
        vm.snapshotGasLastCall("LiquidationAuction", "start");
    }

    /* STALE PRICES */

    /// DESIGN §1.4: nothing that an account holds keeps it from being liquidated.
    function test_stale_whatTheAccountHoldsStopsNothing() public {
        _thinClaim(alice, 1000e18);
        _price(1650e18);
        oracle.setStale(THIN_FEED);
        assertEq(_start(account), 1);
        (uint256 taken, uint256 payment,) = _bid(carol, account, 0.1e18);
        assertEq(taken, 0.1e18);
        assertGt(payment, 0);
        assertEq(clearinghouse.row(bidder, THIN).claim, 100e18);
        assertFalse(_health(bidder).fresh);
        _deposit(alice, usdc, 10_000e6);
        auction.end(account);
        assertEq(auction.auction(account).startedAt, 0);
        _assertLedger(_all());
    }

    function test_stale_priceOfThePositionItselfStopsNothing() public {
        _price(1700e18);
        oracle.setStale(ETH_FEED);
        assertEq(_start(account), 1);
        (uint256 taken,,) = _bid(carol, account, WAD);
        assertGt(taken, 0);
        assertGe(_health(bidder).im, 0);
    }

    /// A bidder whose own prices are old may be worth nothing: it takes nobody over.
    function test_stale_bidderIsRefused() public {
        vm.prank(carol);
        clearinghouse.approveVenue(bidder, address(this), type(uint256).max);
        _trade(bidder, short, 1e18);
        _price(1700e18);
        _start(account);
        oracle.setStale(ETH_FEED);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.PricesNotFresh.selector, bidder));
        _bid(carol, account, WAD);
        _price(1700e18);
        _thinClaim(carol, 1);
        oracle.setStale(THIN_FEED);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.PricesNotFresh.selector, bidder));
        _bid(carol, account, WAD);
    }

    /// Who knows the real price would have the fund pay for a deficit that is none. The backstop takes it, after its window.
    function test_stale_fundPaysNoBidder() public {
        _fundWith(50_000e6);
        _thinClaim(alice, 1);
        _price(1500e18);
        oracle.setStale(THIN_FEED);
        assertEq(_start(account), 1);
        assertEq(auction.insolventCount(), 1, "the loss is known");
        (,, uint256 maxFraction) = auction.quote(account);
        assertEq(maxFraction, 0);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.PricesNotFresh.selector, account));
        _bid(carol, account, WAD);
        vm.warp(block.timestamp + WINDOW);
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertEq(auction.insolventCount(), 0);
        _assertLedger(_all());
    }

    /// §6.7: liquidation needs MM < 0 at the favourable end of the price.
    function test_start_givesTheAccountTheFavourableEnd() public {
        _price(1740e18);
        oracle.setConfidence(ETH_FEED, 0.02e18);
        assertEq(_start(account), 0, "1,774.8 would be enough");
        oracle.setConfidence(ETH_FEED, 0.01e18);
        assertEq(_start(account), 1, "1,757.4 is not");
    }

    /* SOLVENT BIDS */

    /// forge-config: default.isolate = true
    function test_bid_restoresTheBufferAndNoMore() public {
        _price(1700e18);
        _start(account);
        vm.warp(block.timestamp + 450);
        _price(1700e18);
        (uint256 share, uint256 fromFund, uint256 maxFraction) = auction.quote(account);
        assertEq(share, 0.89e18);
        assertEq(fromFund, 0);
        // E = 6,500, MM = 6,500 − 12% × 45 × 1,700 = −2,680, BM = −2,680 − 15% × 9,180 = −4,057.
        // Of 5,785 the fund gets a hundredth, the account 5,727.15.
        assertEq(maxFraction, uint256(4057e18) * 1e18 / (4057e18 + 5727.15e18));

        int256 fundCash = clearinghouse.cash(fundAccount);
        vm.expectEmit(true, true, false, false, address(auction));
        emit LiquidationAuction.FeePaid(account, bidder, 0);
        vm.expectEmit(address(auction));
        emit ILiquidationAuction.AuctionEnded(account, false);
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        vm.snapshotGasLastCall("LiquidationAuction", "bid");
        assertEq(clearinghouse.cash(fundAccount), fundCash + int256(payment / 100), "the fund's income");
        assertEq(taken, maxFraction);
        assertApproxEqAbs(payment, taken * 5785, 2);
        assertLe(_bufferMargin(account), 1e12, "passes the buffer");
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12, "falls short of the buffer");
        assertGt(_health(account).mm, 0);
        assertEq(_size(account) + _size(bidder), 45e18);
        assertApproxEqAbs(clearinghouse.cash(bidder), int256(100_000e18 + taken * 20_000 - payment), 1);
        assertEq(auction.auction(account).startedAt, 0, "ended");
        assertEq(auction.auction(account).endedAt, block.timestamp);
        _assertLedger(_all());
    }

    function test_bid_ofAPartRaisesTheRatioAndGoesOn() public {
        _price(1700e18);
        _start(account);
        int256 requirement = _health(account).equity - _health(account).mm;
        int256 before = _bufferMargin(account);
        (uint256 taken,,) = _bid(carol, account, 0.1e18);
        assertEq(taken, 0.1e18);
        int256 after_ = _bufferMargin(account);
        assertGt(after_ * 10, before * 9, "ratio to the remaining requirement");
        assertLt(after_, 0);
        assertApproxEqAbs(_health(account).equity - _health(account).mm, requirement * 9 / 10, 1e6);
        assertGt(auction.auction(account).startedAt, 0);
    }

    function testFuzz_bid_neverPassesTheBuffer(uint256 price, uint256 wait, uint256 fraction) public {
        price = bound(price, 1560e18, 1767e18);
        wait = bound(wait, 0, 2 days);
        fraction = bound(fraction, 0.01e18, WAD);
        _price(price);
        _start(account);
        vm.warp(block.timestamp + wait);
        _price(price);
        IMarginEngine.Health memory h = _health(account);
        int256 before = _bufferMargin(account);
        (uint256 share,, uint256 maxFraction) = auction.quote(account);
        vm.assume(maxFraction == WAD || fraction >= maxFraction || fraction < maxFraction - 0.01e18);
        (uint256 taken, uint256 payment,) = _bid(carol, account, maxFraction == WAD ? WAD : fraction);
        assertGe(payment * WAD, uint256(h.equity) * share / WAD * taken, "never cheaper than its share");
        assertGt(payment, 0);
        if (maxFraction < WAD) assertLe(_bufferMargin(account), 1e12);
        assertGe(_bufferMargin(account) * int256(WAD), before * int256(WAD - taken));
        _assertLedger(_all());
    }

    function test_bid_takesARemainderOfDustToo() public {
        // E = 4.5: almost everything must go, what would remain is less than 100.
        _price(1555_655_555_555_555_555_556);
        _start(account);
        (,, uint256 maxFraction) = auction.quote(account);
        assertEq(maxFraction, WAD);
        vm.expectEmit(address(auction));
        emit ILiquidationAuction.AuctionEnded(account, true);
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        assertEq(taken, WAD);
        assertGt(payment, 0);
        assertEq(_size(account), 0);
        assertEq(uint256(clearinghouse.cash(account)), payment - _feeOf(payment));
    }

    function test_parametersHaveBounds() public {
        for (uint256 n; n < 4; ++n) {
            LiquidationAuction.Parameters memory p = auctionTerms(ETH_FEED);
            if (n == 0) p.feeShare = uint64(auction.MAX_FEE() + 1);
            else if (n == 1) p.bonusShare = uint64(WAD + 1);
            else if (n == 2) p.riseSeconds = 0;
            else p.curve.slowFloor = 0;
            vm.expectRevert(LiquidationAuction.InvalidParameters.selector);
            new LiquidationAuction(
                clearinghouse, engine, oracle, riskConfig, address(fund), address(backstop), p
            );
        }
    }

    function test_bid_refusesWhatItMust() public {
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NoAuction.selector, account));
        _bid(carol, account, WAD);
        _price(1700e18);
        _start(account);

        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NotController.selector, bidder, alice));
        vm.prank(alice);
        auction.bid(account, bidder, WAD, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.InvalidBidder.selector, account));
        vm.prank(alice);
        auction.bid(account, account, WAD, type(uint256).max);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.InvalidBidder.selector, fundAccount));
        vm.prank(address(fund));
        auction.bid(account, fundAccount, WAD, type(uint256).max);

        (,, uint256 maxFraction) = auction.quote(account);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.BidTooSmall.selector, 1, maxFraction));
        _bid(carol, account, 1);
        vm.expectPartialRevert(LiquidationAuction.PaymentTooHigh.selector);
        vm.prank(carol);
        auction.bid(account, bidder, WAD, 1000e18);

        bytes32 poor = _deposit(lp, usdc, 4000e6);
        vm.expectPartialRevert(LiquidationAuction.BidderUnsafe.selector);
        vm.prank(lp);
        auction.bid(account, poor, WAD, type(uint256).max);

        _price(1800e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NotLiquidatable.selector, account));
        _bid(carol, account, WAD);
    }

    /* CURE AND RESUME */

    function test_end_onlyWhenCured() public {
        _price(1700e18);
        _start(account);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NotCured.selector, account));
        auction.end(account);
        _deposit(alice, usdc, 5000e6);
        vm.expectEmit(address(auction));
        emit ILiquidationAuction.AuctionEnded(account, false);
        auction.end(account);
        assertEq(auction.auction(account).startedAt, 0);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NoAuction.selector, account));
        auction.end(account);
    }

    function testFuzz_reopen_withinAnHourResumesThePrice(uint256 open, uint256 pause, uint256 again) public {
        open = bound(open, 0, 13 hours);
        pause = bound(pause, 0, 2 hours);
        again = bound(again, 0, 1 hours);
        _price(1700e18);
        _start(account);
        vm.warp(block.timestamp + open);
        _price(1700e18);
        (uint256 share,,) = auction.quote(account);
        _price(1900e18);
        auction.end(account);
        vm.warp(block.timestamp + pause);
        _price(1700e18);
        _start(account);
        (uint256 reopened,,) = auction.quote(account);
        assertEq(reopened, pause <= 1 hours ? share : 0.98e18);
        vm.warp(block.timestamp + again);
        (uint256 later,,) = auction.quote(account);
        assertLe(later, reopened, "the price rises");
        assertGe(later, 0.3e18);
    }

    /* INSOLVENT */

    function test_insolvent_fundPaysFromTheDeficitUpwards() public {
        _fundWith(50_000e6);
        _price(1500e18);
        _start(account);
        assertTrue(auction.auction(account).insolvent);
        assertEq(auction.insolventCount(), 1);
        (uint256 share, uint256 fromFund, uint256 maxFraction) = auction.quote(account);
        assertEq(share, 0);
        assertEq(fromFund, 2500e18);
        assertEq(maxFraction, WAD);
        vm.warp(block.timestamp + 900);
        _price(1500e18);
        (, fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18 + 67_500e18 * 1 / 100 / 2, "half the bonus");

        (uint256 taken, uint256 payment, uint256 paid) = _bid(carol, account, 0.4e18);
        assertEq(taken, 0.4e18);
        assertEq(payment, 0);
        assertEq(paid, fromFund * 4 / 10);
        assertEq(auction.insolventCount(), 1, "the rest is still insolvent");
        vm.warp(block.timestamp + 1 days);
        _price(1500e18);
        (, fromFund,) = auction.quote(account);
        assertEq(fromFund, uint256(1500e18 + 40_500e18 / 100), "never beyond the bonus");
        _bid(carol, account, WAD);
        assertEq(auction.insolventCount(), 0);
        assertEq(auction.auction(account).startedAt, 0);
        assertEq(_size(account), 0);
        assertEq(clearinghouse.cash(fundAccount), int256(50_000e18 - paid - fromFund));
        _assertLedger(_all());
    }

    function test_insolvent_fractionIsWhatTheFundCanPay() public {
        _fundWith(1000e6);
        _price(1500e18);
        _start(account);
        (,, uint256 maxFraction) = auction.quote(account);
        assertEq(maxFraction, 0.4e18);
        (uint256 taken,, uint256 paid) = _bid(carol, account, WAD);
        assertEq(taken, 0.4e18);
        assertEq(paid, 1000e18);
        assertEq(clearinghouse.cash(fundAccount), 0);
        vm.expectRevert(abi.encodeWithSelector(LiquidationAuction.NothingToTake.selector, account));
        _bid(carol, account, WAD);
        _assertLedger(_all());
    }

    /// What offsets itself is no size: an account can't lift what the fund pays by holding both sides of a price.
    function test_insolvent_bonusIsOnNetSize() public {
        Perp other = new Perp(address(clearinghouse), oracle, riskConfig);
        riskConfig.setInstrument(
            2, IRiskConfig.Instrument(address(other), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
        _fundWith(50_000e6);
        vm.prank(carol);
        clearinghouse.approveVenue(bidder, address(this), type(uint256).max);
        for (uint256 i; i < 10; ++i) {
            clearinghouse.trade(1, bidder, account, 20e18, 2000e18);
            clearinghouse.trade(2, account, bidder, 20e18, 2000e18);
        }
        assertEq(_size(account), -155e18);
        _price(1500e18);
        _start(account);
        vm.warp(block.timestamp + 1 days);
        _price(1500e18);
        (, uint256 fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18 + 67_500e18 / 100);
    }

    /// The payment, too, goes on where it stopped: a moment of solvency costs the next bidder nothing.
    function test_insolvent_paymentResumesWithinAnHour() public {
        _fundWith(50_000e6);
        _price(1500e18);
        _start(account);
        vm.warp(block.timestamp + 900);
        _price(1600e18);
        auction.sync(account);
        assertFalse(auction.auction(account).insolvent);
        vm.warp(block.timestamp + 1 hours);
        _price(1500e18);
        auction.sync(account);
        (, uint256 fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18 + 67_500e18 / 100 / 2);
        // Cured, and insolvent again at once.
        _price(1900e18);
        auction.sync(account);
        _price(1500e18);
        _start(account);
        (, fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18 + 67_500e18 / 100 / 2);
        _price(1600e18);
        auction.sync(account);
        vm.warp(block.timestamp + 1 hours + 1);
        _price(1500e18);
        auction.sync(account);
        (, fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18, "anew");
    }

    /// A turn to insolvency restarts nothing but the fund's payment; a turn back frees the fund's exits.
    function test_sync_marksTheTurnBothWays() public {
        _fundWith(50_000e6);
        _price(1700e18);
        _start(account);
        uint64 startedAt = auction.auction(account).startedAt;
        vm.warp(block.timestamp + 2 hours);
        _price(1500e18);
        assertEq(_start(account), 0, "it is open already");
        assertEq(auction.insolventCount(), 1);
        (, uint256 fromFund,) = auction.quote(account);
        assertEq(fromFund, 2500e18, "the bonus rises from the turn, not from the start");
        _price(1600e18);
        auction.sync(account);
        assertEq(auction.insolventCount(), 0);
        assertEq(auction.auction(account).startedAt, startedAt, "the price goes on");
        _price(1500e18);
        auction.sync(account);
        _price(1900e18);
        auction.sync(account);
        assertEq(auction.insolventCount(), 0);
        assertEq(auction.auction(account).startedAt, 0);
    }
}
