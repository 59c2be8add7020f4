// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILiquidationAuction} from "../../../src/interfaces/ILiquidation.sol";
import {InsuranceFund} from "../../../src/hub/InsuranceFund.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// DESIGN §6.1, 7 and 8 under random prices, trades, bids, takeovers and fund flows. The contract is its own handler: what
/// holds over one action is asserted inside it.
contract LiquidationInvariants is LiquidationBase {
    /// Rounding of a bid, WAD settlement units: a millionth of one.
    int256 private constant DUST = 1e12;

    address[3] private owners;
    bytes32[] private all;
    bytes32 private bidder;
    /// Enters the fund only to leave it.
    address private passer = makeAddr("passer");
    /// Into the fund, ever, token units.
    uint256 private deposited;
    mapping(bytes32 account => uint256) private openedAt;
    mapping(bytes32 account => uint256) private lastShare;

    function setUp() public override {
        super.setUp();
        owners = [alice, bob, makeAddr("dave")];
        for (uint256 i; i < owners.length; ++i) {
            bytes32 account = _trader(owners[i], 50_000e6);
            vm.prank(owners[i]);
            clearinghouse.openRow(account, WETH);
            _deposit(owners[i], weth, 5e18);
            all.push(account);
        }
        bidder = _deposit(carol, usdc, 2_000_000e6);
        _fundWith(3000e6);
        deposited = 3000e6;
        all.push(bidder);
        all.push(fundAccount);
        all.push(backstopAccount);
        _trade(all[0], all[1], 130e18);

        // One account holds a little of what may have no fresh price.
        _thinClaim(alice, 1e18);

        bytes4[] memory selectors = new bytes4[](11);
        selectors[0] = this.movePrice.selector;
        selectors[1] = this.wait.selector;
        selectors[2] = this.trade.selector;
        selectors[3] = this.start.selector;
        selectors[4] = this.bidFor.selector;
        selectors[5] = this.takeOver.selector;
        selectors[6] = this.settle.selector;
        selectors[7] = this.backstopCash.selector;
        selectors[8] = this.fundFlow.selector;
        selectors[9] = this.crash.selector;
        selectors[10] = this.silence.selector;
        targetSelector(FuzzSelector(address(this), selectors));
        targetContract(address(this));
    }

    /* ACTIONS */

    function movePrice(uint256 step, uint256 confidence) external {
        uint256 price = oracle.price(ETH_FEED).price * bound(step, 960, 1050) / 1000;
        _price(price < 300e18 ? 300e18 : price > 8000e18 ? 8000e18 : price);
        oracle.setConfidence(ETH_FEED, bound(confidence, 0, 0.01e18));
        _observe();
    }

    function crash(uint256 step) external {
        uint256 price = oracle.price(ETH_FEED).price * bound(step, 850, 950) / 1000;
        _price(price < 300e18 ? 2000e18 : price);
        _startAll();
    }

    /// The feed of one asset falls silent, and only that: nobody's liquidation may depend on it.
    function silence(uint256 which) external {
        if (which % 2 == 0) oracle.setStale(THIN_FEED);
        else oracle.set(THIN_FEED, WAD);
        _observe();
    }

    function wait(uint256 time) external {
        _warp(block.timestamp + bound(time, 1, 90 minutes));
        _price(oracle.price(ETH_FEED).price);
        _observe();
    }

    function trade(uint256 buyer, uint256 seller, uint256 size) external {
        bytes32 a = all[buyer % 3];
        bytes32 b = all[seller % 3];
        uint256 price = oracle.price(ETH_FEED).price;
        // Refused when a side would not be safe.
        try clearinghouse.trade(PERP, a, b, bound(size, 0.1e18, 60e18), price) {} catch {}
        _observe();
    }

    function start(uint256 topUp) external {
        if (topUp % 4 == 0) _depositFor(all[topUp % 3], usdc, bound(topUp, 1e6, 5000e6));
        _startAll();
    }

    function bidFor(uint256 which, uint256 fraction) external {
        bytes32 account = all[which % 3];
        if (auction.auction(account).startedAt == 0 || _health(account).mm >= 0) return;
        IMarginEngine.Health memory h = _health(account);
        int256 before = _bufferMargin(account);
        uint256 fundCash = uint256(clearinghouse.cash(fundAccount));
        (uint256 share, uint256 fromFund, uint256 maxFraction) = auction.quote(account);
        if (maxFraction == 0) return;
        vm.prank(carol);
        try auction.bid(
            account, bidder, maxFraction == WAD ? WAD : bound(fraction, 0.05e18, WAD), type(uint256).max
        ) returns (
            uint256 taken, uint256 payment, uint256 paid
        ) {
            if (h.equity > 0) {
                assertEq(paid, 0, "a solvent account costs the fund nothing");
                assertGt(payment, 0, "taken for nothing");
                assertGe(payment * WAD + WAD, uint256(h.equity) * share / WAD * taken, "below its price");
                if (maxFraction < WAD) assertLe(_bufferMargin(account), DUST, "passes the buffer");
                assertGe(
                    _bufferMargin(account) + DUST, before * int256(WAD - taken) / int256(WAD), "ratio falls"
                );
            } else {
                assertEq(payment, 0);
                assertLe(paid, fundCash);
                assertLe(paid, fromFund);
                assertLe(fromFund, uint256(-h.equity) + h.notional / 100, "more than deficit and bonus");
            }
        } catch {}
        _observe();
    }

    function takeOver(uint256 which) external {
        bytes32 account = all[which % 3];
        IMarginEngine.Health memory h = _health(account);
        uint256 fundCash = uint256(clearinghouse.cash(fundAccount));
        int256 others = _equityOfOthers(account);
        try backstop.takeOver(account) {
            assertLt(h.mm, 0, "liquidated without need");
            uint256 paid = fundCash - uint256(clearinghouse.cash(fundAccount));
            int256 charged = others - _equityOfOthers(account);
            if (h.equity > 0) {
                assertApproxEqAbs(charged, 0, uint256(DUST), "others pay for a solvent account");
                assertGt(paid, 0, "taken for nothing");
                assertLe(_bufferMargin(account), _health(account).equity / 100 + 100e18, "passes the buffer");
            } else {
                uint256 deficit = uint256(-h.equity);
                assertLe(paid, deficit, "more than the deficit");
                if (deficit <= fundCash) {
                    assertApproxEqAbs(charged, 0, uint256(DUST), "the fund comes first");
                } else {
                    assertLe(charged, int256(deficit - fundCash) + DUST, "a haircut above the loss");
                }
            }
        } catch {}
        _observe();
    }

    function settle(uint256 which) external {
        clearinghouse.settlePnl(all[which % all.length], PERP);
        _observe();
    }

    function backstopCash(uint256 what) external {
        uint256 total = fund.totalAssets();
        if (!_health(backstopAccount).fresh) {
            // Sold, it needs no price any more.
            backstop.releaseCollateral(THIN);
            assertTrue(_health(backstopAccount).fresh);
        } else if (what % 3 == 0) {
            backstop.cover();
            assertApproxEqAbs(fund.totalAssets(), total, 1);
        } else if (what % 3 == 1) {
            backstop.sweep();
            assertGe(fund.totalAssets(), total);
        } else {
            // The lot is worth nothing until its proceeds are in.
            backstop.releaseCollateral(WETH);
            assertLe(fund.totalAssets(), total);
        }
        _observe();
    }

    function fundFlow(uint256 what, uint256 amount) external {
        if (what % 4 == 0) {
            _depositOrRefused(bound(amount, 1e6, 10_000e6));
        } else if (what % 4 == 1 && fund.balanceOf(lp) > 0) {
            vm.startPrank(lp);
            fund.cancelRedeem();
            _warp(fund.requestRedeem(fund.balanceOf(lp)));
            vm.stopPrank();
            _price(oracle.price(ETH_FEED).price);
        } else if (what % 4 == 2) {
            _passThrough(bound(amount, 1e6, 10_000e6));
        }
        uint256 ripe = fund.maxRedeem(lp);
        if (auction.insolventCount() > 0) assertEq(ripe, 0, "an exit while a loss is known");
        if (ripe > 0) {
            uint256 rate = fund.convertToAssets(1e18);
            uint256 part = bound(amount, 1, ripe);
            vm.prank(lp);
            fund.redeem(part, lp, lp);
            assertGe(fund.convertToAssets(1e18) + 1, rate, "an exit costs those who stay");
        }
        _observe();
    }

    /// Whoever comes just before a sweep and leaves as soon as it may gains nothing by it.
    function _passThrough(uint256 amount) private {
        if (fund.maxDeposit(passer) == 0) return;
        usdc.mint(passer, amount);
        vm.startPrank(passer);
        usdc.approve(address(fund), amount);
        uint256 shares = fund.deposit(amount, passer);
        deposited += amount;
        backstop.sweep();
        assertLe(fund.convertToAssets(shares), amount + 1, "bought into a gain");
        _warp(fund.requestRedeem(shares));
        _price(oracle.price(ETH_FEED).price);
        if (fund.maxRedeem(passer) == shares) assertLe(fund.redeem(shares, passer, passer), amount + 1);
        // What a known loss keeps in goes to who stays.
        fund.cancelRedeem();
        fund.transfer(lp, fund.balanceOf(passer));
        vm.stopPrank();
    }

    /// Into a fund that takes it, at its worth; else refused as wiped out (prices are fresh here).
    function _depositOrRefused(uint256 amount) private {
        if (!_health(backstopAccount).fresh) return;
        bool open = fund.maxDeposit(lp) != 0;
        usdc.mint(lp, amount);
        vm.startPrank(lp);
        usdc.approve(address(fund), amount);
        if (!open) vm.expectPartialRevert(InsuranceFund.FundWiped.selector);
        uint256 shares = fund.deposit(amount, lp);
        vm.stopPrank();
        if (!open) return;
        deposited += amount;
        assertLe(fund.convertToAssets(shares), amount, "a deposit is worth more at once");
    }

    /* INVARIANTS */
    function invariant_ledgerAndFund() public view {
        assertLe(fund.totalSupply(), deposited * 1e9, "shares out of proportion to deposits");
        _assertLedger(all);
        assertGe(clearinghouse.cash(fundAccount), 0, "the fund is negative");
        assertEq(auction.auction(fundAccount).startedAt, 0);
        assertEq(auction.auction(backstopAccount).startedAt, 0);
        uint256 marked;
        for (uint256 i; i < 3; ++i) {
            ILiquidationAuction.Auction memory a = auction.auction(all[i]);
            if (a.insolvent) ++marked;
            assertTrue(a.startedAt != 0 || !a.insolvent, "a mark without an auction");
        }
        assertEq(auction.insolventCount(), marked);
    }

    /* INTERNAL */

    function _startAll() private {
        bool[3] memory open;
        int256[3] memory mm;
        for (uint256 i; i < 3; ++i) {
            open[i] = auction.auction(all[i]).startedAt != 0;
            mm[i] = _health(all[i]).mm;
        }
        auction.updateAndStart("", all);
        for (uint256 i; i < 3; ++i) {
            bool opened = auction.auction(all[i]).startedAt != 0;
            assertEq(opened, mm[i] < 0, "an auction where, and only where, MM < 0");
            if (opened && !open[i]) _observeOpening(all[i]);
        }
        _observe();
    }

    /// The price at a new opening, too, is not above the last one seen if that opening was within an hour.
    function _observeOpening(bytes32 account) private {
        _observePrice(account);
        openedAt[account] = block.timestamp;
    }

    function _observe() private {
        for (uint256 i; i < 3; ++i) {
            if (auction.auction(all[i]).startedAt != 0) _observePrice(all[i]);
        }
    }

    /// The curve itself, so that it is followed while the account is insolvent too.
    function _observePrice(bytes32 account) private {
        uint256 share = auction.shareAt(block.timestamp - auction.auction(account).startedAt);
        assertGt(share, 0, "free while solvent");
        bool recent = openedAt[account] != 0 && block.timestamp - openedAt[account] <= 1 hours;
        if (recent) assertLe(share, lastShare[account], "the price rises");
        lastShare[account] = share;
    }

    /// Of everybody but the account, the fund and the backstop.
    function _equityOfOthers(bytes32 account) private view returns (int256 sum) {
        for (uint256 i; i < 4; ++i) {
            if (all[i] != account) sum += _health(all[i]).equity;
        }
    }
}
