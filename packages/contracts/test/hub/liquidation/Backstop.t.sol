// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {AuctionMath} from "../../../src/hub/AuctionMath.sol";
import {Backstop} from "../../../src/hub/Backstop.sol";
import {IBackstop, ILiquidationAuction} from "../../../src/interfaces/ILiquidation.sol";
import {ILedger} from "../../../src/interfaces/ILedger.sol";
import {IHubGateway, ILocalChain} from "../../../src/interfaces/IGateways.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../../src/libraries/Accounts.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// Alice: 10,000 USDC, 10 WETH and 55 ETH long from 2,000.
contract BackstopTest is LiquidationBase {
    bytes32 private account;
    bytes32 private short;

    function setUp() public override {
        super.setUp();
        account = _trader(alice, 10_000e6);
        vm.prank(alice);
        clearinghouse.openRow(account, WETH);
        _deposit(alice, weth, 10e18);
        short = _trader(bob, 200_000e6);
        _trade(account, short, 55e18);
    }

    function _all() private view returns (bytes32[] memory accounts) {
        accounts = new bytes32[](4);
        (accounts[0], accounts[1], accounts[2], accounts[3]) = (account, short, fundAccount, backstopAccount);
    }

    /// Opens the auction at `price` and lets its window pass without a bid.
    function _nobodyBids(uint256 price) private {
        _price(price);
        assertEq(_start(account), 1);
        vm.warp(block.timestamp + WINDOW);
        _price(price);
    }

    function _setCap(uint128 cap) private {
        IRiskConfig.Instrument memory i = riskConfig.instrument(PERP);
        i.backstopCap = cap;
        riskConfig.setInstrument(PERP, i);
    }

    /* TAKE OVER */

    function test_takeOver_waitsForTheWindow() public {
        vm.expectRevert(abi.encodeWithSelector(Backstop.NoAuction.selector, account));
        backstop.takeOver(account);
        _fundWith(50_000e6);
        _price(1700e18);
        _start(account);
        uint256 until = block.timestamp + WINDOW;
        vm.warp(until - 1);
        _price(1700e18);
        vm.expectRevert(abi.encodeWithSelector(Backstop.WindowOpen.selector, account, until));
        backstop.takeOver(account);
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(Backstop.NotLiquidatable.selector, account));
        this.takeOverAt(2000e18);
        _price(1700e18);
        oracle.setStale(ETH_FEED);
        backstop.takeOver(account);
        assertGt(_size(backstopAccount), 0, "an old price stops nothing");
    }

    function takeOverAt(uint256 price) external {
        _price(price);
        backstop.takeOver(account);
    }

    function test_takeOver_solvent_paysFromTheFundUpToTheBuffer() public {
        _fundWith(50_000e6);
        _nobodyBids(1700e18);
        int256 equity = _health(account).equity;
        assertEq(equity, 10_500e18);
        (uint256 share,, uint256 fraction) = auction.quote(account);
        assertLt(share, 0.8e18, "an hour down the curve");
        int256 total = int256(fund.totalAssets());
        backstop.takeOver(account);
        uint256 payment = 50_000e18 - uint256(clearinghouse.cash(fundAccount));
        assertApproxEqAbs(payment, fraction * 10_500 * share / WAD * 99 / 100, 1e4, "without its own fee");
        assertLe(_bufferMargin(account), 1e12);
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12);
        assertEq(auction.auction(account).startedAt, 0, "ended");
        assertApproxEqAbs(_size(backstopAccount), int256(fraction * 55), 1e3);
        assertEq(_size(account) + _size(backstopAccount), 55e18);
        // It bought below equity: the gain is not the fund's until it is swept.
        assertEq(int256(fund.totalAssets()), total - int256(payment / 1e12) - 1);
        _assertLedger(_all());
    }

    /// What its book needs for margin stays with it.
    function test_sweep_leavesTheMarginOfWhatItHolds() public {
        _fundWith(50_000e6);
        _nobodyBids(1700e18);
        backstop.takeOver(account);
        _depositFor(backstopAccount, usdc, 20_000e6);
        int256 im = _health(backstopAccount).im;
        assertGt(im, 0);
        assertLt(uint256(im), clearinghouse.freeCash(backstopAccount));
        assertEq(backstop.sweep(), uint256(im));
        assertEq(_health(backstopAccount).im, 0);
        assertEq(backstop.sweep(), 0);
    }

    function test_takeOver_solvent_smallerWhenTheFundIsPoor_neverFree() public {
        _nobodyBids(1700e18);
        vm.expectRevert(abi.encodeWithSelector(Backstop.FundExhausted.selector, account));
        backstop.takeOver(account);
        _fundWith(100e6);
        backstop.takeOver(account);
        assertLt(clearinghouse.cash(fundAccount), 1e6);
        assertGe(clearinghouse.cash(fundAccount), 0);
        assertGt(_size(backstopAccount), 0);
        assertGt(auction.auction(account).startedAt, 0, "goes on");
        _assertLedger(_all());
    }

    function test_takeOver_keepsWithinTheCaps() public {
        _fundWith(50_000e6);
        _setCap(5e18);
        _nobodyBids(1700e18);
        backstop.takeOver(account);
        assertApproxEqAbs(_size(backstopAccount), 5e18, 100);
        assertLe(_size(backstopAccount), 5e18);
        assertGt(auction.auction(account).startedAt, 0);
        _setCap(uint128(uint256(_size(backstopAccount))));
        vm.expectRevert(abi.encodeWithSelector(Backstop.BackstopFull.selector, account, PERP));
        backstop.takeOver(account);
        // Insolvent, it is closed against the other side, which is charged nothing: the fund pays.
        uint256 full = uint256(_size(backstopAccount));
        uint256 left = uint256(_size(account));
        _price(1200e18);
        auction.sync(account);
        int256 other = _health(short).equity;
        vm.expectEmit(true, true, false, false, address(clearinghouse));
        emit ILedger.Deleveraged(PERP, account, 0, 0, 0, 0, 0);
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertApproxEqAbs(_size(backstopAccount), int256(full), 1, "at its cap");
        assertApproxEqAbs(_size(short), -int256(full), 10, "the rest is closed");
        assertApproxEqAbs(_health(short).equity, other, 1e4, "at the mark");
        assertEq(clearinghouse.cash(fundAccount) > 0, true);
        (uint256 scale,) = clearinghouse.sideOf(PERP, false);
        assertApproxEqAbs(scale, 1e36 * full / (full + left), 1e18);
        _assertLedger(_all());
    }

    /// The price that positions are closed at must be one.
    function test_takeOver_closesNothingAtAnOldPrice() public {
        _fundWith(50_000e6);
        _nobodyBids(1200e18);
        _setCap(0);
        oracle.setStale(ETH_FEED);
        vm.expectRevert(abi.encodeWithSelector(Backstop.BackstopFull.selector, account, PERP));
        backstop.takeOver(account);
        _price(1200e18);
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertEq(_size(backstopAccount), 0);
        assertEq(_size(short), 0);
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 10e18, "claims go as ever");
        _assertLedger(_all());
    }

    /// The fund has nothing: what the account lacks the other side pays, and nobody carries the position on.
    function test_takeOver_withoutAFund_closesAtTheBankruptcyPrice() public {
        _nobodyBids(1500e18);
        // 10,000 + 10 × 1,500 − 55 × 500 = −2,500.
        int256 other = _health(short).equity;
        vm.expectEmit(address(clearinghouse));
        emit ILedger.LossSocialised(PERP, false, 2500e18, 2499999999999999999975);
        vm.expectEmit(address(clearinghouse));
        emit ILedger.Deleveraged(PERP, account, 55e18, 55e18, 1500e18, 0, 0);
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertEq(_size(short), 0, "closed");
        assertEq(_size(backstopAccount), 0);
        assertApproxEqAbs(other - _health(short).equity, 2500e18, 1e3);
        assertApproxEqAbs(_health(backstopAccount).equity, 0, 1e3);
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 10e18);
        assertEq(clearinghouse.instrumentsOf(account).length, 0);
        (uint256 long, uint256 shorts) = clearinghouse.openInterest(PERP);
        assertEq(long + shorts, 0);
        assertEq(auction.insolventCount(), 0);
        // Whatever the price does now is nobody's loss.
        int256 equity = _health(short).equity;
        _price(500e18);
        assertEq(_health(short).equity, equity);
        // The winner is paid by what the account had, and keeps its profit but for what was charged.
        assertEq(clearinghouse.settlePnl(backstopAccount, PERP), -10_000e18);
        assertEq(clearinghouse.settlePnl(short, PERP), 10_000e18);
        assertApproxEqAbs(
            clearinghouse.position(short, PERP).quote, 15_000e18, 1e3, "the rest when the WETH are sold"
        );
        _assertLedger(_all());
    }

    /// Who bears it is the backstop, whose loss is the fund's: no one else is there.
    function test_takeOver_whereTheBackstopIsTheOtherSide() public {
        _fundWith(50_000e6);
        _nobodyBids(1200e18);
        backstop.takeOver(account);
        assertEq(_size(backstopAccount), 55e18);
        account = _trader(carol, 10_000e6);
        _trade(short, account, 20e18);
        _nobodyBids(5000e18);
        int256 had = clearinghouse.cash(fundAccount) + _health(backstopAccount).equity;
        int256 others = _health(short).equity;
        int256 deficit = -_health(account).equity;
        assertGt(deficit, clearinghouse.cash(fundAccount));
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertApproxEqAbs(_size(backstopAccount), 35e18, 1);
        assertEq(_size(short), -35e18);
        assertEq(_health(short).equity, others, "on the same side");
        assertApproxEqAbs(
            had - clearinghouse.cash(fundAccount) - _health(backstopAccount).equity, deficit, 1e4
        );
        assertEq(auction.insolventCount(), 0);
        _assertLedger(_all());
    }

    /// A borrower whose short covered a part of her claims is being auctioned when it is closed.
    function test_takeOver_closesWhatIsBeingAuctioned() public {
        clearinghouse.setLending(2000, 8000, 0, 1000, 5000);
        bytes32 other = Accounts.main(carol);
        vm.startPrank(carol);
        clearinghouse.openRow(other, WETH);
        clearinghouse.approveVenue(other, address(this), type(uint256).max);
        vm.stopPrank();
        _deposit(carol, weth, 10e18);
        vm.prank(carol);
        clearinghouse.withdraw(other, USDC, carol, 11_000e6);
        _trade(short, other, 1e18);
        _price(1100e18);
        assertEq(_start(other), 1);
        _nobodyBids(1100e18);
        int256 equity = _health(other).equity;
        int256 deficit = -_health(account).equity;
        assertGt(equity, 0);
        backstop.takeOver(account);
        assertEq(_size(other), 0);
        assertEq(_size(short), 0);
        assertApproxEqAbs(equity - _health(other).equity, deficit / 55, 1e9, "its share");
        assertGt(auction.auction(other).startedAt, 0, "goes on");
        (uint256 taken,,) = _bid(bob, other, WAD);
        assertGt(taken, 0);
        assertApproxEqAbs(
            clearinghouse.row(short, WETH).claim + clearinghouse.row(other, WETH).claim, 10e18, 1
        );
        assertGe(_bufferMargin(other), -1e12);
    }

    /// A token's cap holds back the token; the position closes.
    function test_takeOver_closesWhereATokenHasNoRoom() public {
        IRiskConfig.Asset memory a = riskConfig.asset(WETH);
        (a.matureCap, a.matureRate) = (0, 0);
        riskConfig.setAsset(WETH, a);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        assertEq(_size(account), 0);
        assertEq(_size(short), 0);
        assertEq(clearinghouse.row(account, WETH).claim, 10e18);
        assertApproxEqAbs(_health(account).equity, 0, 1e3, "charged");
        assertGt(auction.auction(account).startedAt, 0, "its claims wait");
        vm.expectRevert(abi.encodeWithSelector(Backstop.BackstopFullOfToken.selector, account, WETH));
        backstop.takeOver(account);
        _assertLedger(_all());
    }

    /// As much of a token as may mature at once, which is what a forged or broken one is let cost.
    function test_takeOver_keepsWithinTheCapOfAToken() public {
        _fundWith(50_000e6);
        IRiskConfig.Asset memory a = riskConfig.asset(WETH);
        (a.matureCap, a.matureRate) = (1e18, 1);
        riskConfig.setAsset(WETH, a);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 1e18);
        assertApproxEqAbs(_size(backstopAccount), 5.5e18, 1e3);
        vm.expectRevert(abi.encodeWithSelector(Backstop.BackstopFullOfToken.selector, account, WETH));
        backstop.takeOver(account);
        backstop.releaseCollateral(WETH);
        backstop.takeOver(account);
        assertApproxEqAbs(clearinghouse.row(backstopAccount, WETH).claim, 1e18, 1e3, "room again");
        _assertLedger(_all());
    }

    function test_takeOver_insolvent_fundPaysTheDeficitAndNobodyElse() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        // 10,000 + 10 × 1,500 − 55 × 500 = −2,500.
        assertEq(_health(account).equity, -2500e18);
        assertEq(auction.insolventCount(), 1);
        int256 other = _health(short).equity;
        int256 bufferBefore =
            AuctionMath.bufferMargin(-2500e18, _health(account).mm, riskConfig.global().bufferBps);
        vm.expectEmit(address(backstop));
        emit IBackstop.TakenOver(account, WAD, 0, 2500e18, 0, -2500e18, bufferBefore, 0);
        vm.expectEmit(address(auction));
        emit ILiquidationAuction.AuctionEnded(account, true);
        backstop.takeOver(account);
        assertEq(clearinghouse.cash(fundAccount), 47_500e18);
        assertEq(_health(short).equity, other, "untouched");
        assertEq(_health(account).equity, 0);
        assertEq(_size(account), 0);
        assertEq(_health(backstopAccount).equity, 0, "what was taken is worth what was paid");
        assertEq(auction.insolventCount(), 0);
        assertEq(auction.auction(account).startedAt, 0);
        _assertLedger(_all());
    }

    /// Loss order: the fund to its last unit, then the other side, by no more than what is left.
    function test_takeOver_insolvent_socialisesOnlyWhatTheFundCannotPay() public {
        _fundWith(2000e6);
        _nobodyBids(1500e18);
        int256 other = _health(short).equity;
        backstop.takeOver(account);
        assertEq(clearinghouse.cash(fundAccount), 0);
        int256 charged = other - _health(short).equity;
        assertApproxEqAbs(charged, 500e18, 1e6);
        assertLe(charged, 500e18 + 60, "a haircut above the loss");
        assertApproxEqAbs(_health(backstopAccount).equity, 0, 1e6);
        assertEq(auction.insolventCount(), 0);
        _assertLedger(_all());
    }

    function testFuzz_takeOver_insolvent_lossOrder(uint256 price, uint256 fundCash) public {
        price = bound(price, 800e18, 1538e18);
        fundCash = bound(fundCash, 1e6, 50_000e6);
        _fundWith(fundCash);
        _nobodyBids(price);
        int256 equity = _health(account).equity;
        uint256 deficit = uint256(-equity);
        int256 other = _health(short).equity;
        backstop.takeOver(account);
        uint256 available = fundCash * 1e12;
        uint256 fromFund = deficit < available ? deficit : available;
        assertEq(uint256(clearinghouse.cash(fundAccount)), available - fromFund);
        int256 charged = other - _health(short).equity;
        // A unit bears no more than it is worth.
        uint256 due = FixedPointMathLib.min(deficit - fromFund, 55 * price);
        assertApproxEqAbs(charged, int256(due), 1e3);
        assertLe(charged, int256(due) + 1e3);
        _assertLedger(_all());
    }

    /// What is under regression stays behind and nobody pays for it.
    function test_takeOver_leavesWhatIsUnderRegression() public {
        _fundWith(50_000e6);
        vm.warp(block.timestamp + 1);
        vm.prank(address(hubGateway));
        clearinghouse.receiveCounter(EID, 1, uint64(block.timestamp), address(weth), account, 3e18);
        _nobodyBids(1700e18);
        // Offered: 10,000 + 3 × 1,700 − 55 × 300 = −1,400, though with all ten WETH it is worth 10,500.
        // By now the seven have faded from it.
        assertApproxEqAbs(_health(account).equity, -1400e18, 1700);
        assertTrue(auction.auction(account).insolvent, "the loss is knowable");
        vm.expectRevert(abi.encodeWithSelector(Backstop.RegressionPending.selector, account));
        backstop.takeOver(account);
        clearinghouse.bookRegression(account, WETH);
        assertEq(_health(account).equity, -1400e18);
        backstop.takeOver(account);
        assertEq(clearinghouse.row(account, WETH).claim, 0);
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 3e18);
        assertEq(clearinghouse.cash(fundAccount), 48_600e18);
        _assertLedger(_all());
    }

    /// Nothing blocks liquidation, and nobody is given what was the account's: what others pay for it they have of its claims.
    function test_takeOver_whileTheClaimsChainIsSilent() public {
        _fundWith(50_000e6);
        vm.mockCall(address(hubGateway), abi.encodeCall(ILocalChain.localEid, ()), abi.encode(999));
        riskConfig.setSilence(IRiskConfig.Silence(10 minutes, 1 hours, 1 hours));
        _price(1700e18);
        assertEq(_start(account), 1);
        vm.warp(block.timestamp + WINDOW);
        _price(1700e18);
        uint256[] memory ids = new uint256[](1);
        ids[0] = WETH;
        assertEq(clearinghouse.watch(ids), 1);
        // Offered: 10,000 − 55 × 300 = −6,500; the ten WETH are worth 17,000.
        backstop.takeOver(account);
        assertEq(clearinghouse.cash(fundAccount), 43_500e18);
        assertApproxEqAbs(clearinghouse.row(backstopAccount, WETH).claim, uint256(10e18) * 6500 / 17_000, 100);
        assertEq(
            clearinghouse.row(account, WETH).claim + clearinghouse.row(backstopAccount, WETH).claim, 10e18
        );
        assertEq(clearinghouse.position(account, PERP).size, 0);
        _assertLedger(_all());
    }

    function test_quote_ofAPartlyRegressedAccountIsThatOfTheRest() public {
        bytes32 bidder = _deposit(carol, usdc, 100_000e6);
        vm.warp(block.timestamp + 1);
        vm.prank(address(hubGateway));
        clearinghouse.receiveCounter(EID, 1, uint64(block.timestamp), address(weth), account, 9e18);
        _price(1700e18);
        _start(account);
        (uint256 share,, uint256 maxFraction) = auction.quote(account);
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        assertEq(taken, maxFraction);
        assertApproxEqAbs(payment, taken * 8800 * share / WAD, 1e4);
        assertApproxEqAbs(clearinghouse.row(bidder, WETH).claim, taken * 9, 1e3);
        assertLe(_bufferMargin(account), 1e12);
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12, "one worst scenario: exact");
    }

    /* COLLATERAL AND CASH */

    /// The whole circle: claims released to the executor, sold for USDC, proceeds back to the backstop and swept to the fund.
    function test_collateral_becomesTheFundsCash() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        assertEq(backstop.releaseCollateral(WETH), 10e18);
        assertEq(backstop.releaseCollateral(WETH), 0, "once");
        IHubGateway.ReleaseKey[] memory keys = new IHubGateway.ReleaseKey[](1);
        keys[0] = IHubGateway.ReleaseKey(backstopAccount, address(executor), WETH);
        hubGateway.sendReleases(EID, keys);
        assertEq(weth.balanceOf(address(executor)), 10e18);

        // A released lot counts for nothing until its proceeds are in: the fund is worth that much less meanwhile.
        assertEq(_health(backstopAccount).equity, -15_000e18);
        assertEq(fund.totalAssets(), 32_500e6);
        assertEq(backstop.cover(), 15_000e18);
        assertEq(fund.totalAssets(), 32_500e6, "covering moves value, and changes none");
        assertEq(backstop.cover(), 0);

        executor.open(address(weth));
        usdc.mint(carol, 20_000e6);
        vm.startPrank(carol);
        usdc.approve(address(executor), type(uint256).max);
        (, uint256 proceeds) = executor.buy(address(weth), 10e18, type(uint256).max);
        vm.stopPrank();
        _report(backstopAccount, usdc);
        assertEq(_health(backstopAccount).equity, int256(proceeds * 1e12));

        // 55 ETH long keep what an ordinary account would need.
        IMarginEngine.Health memory h = _health(backstopAccount);
        uint256 swept = backstop.sweep();
        assertEq(swept, h.im > 0 ? uint256(h.im) : 0);
        _price(3000e18);
        clearinghouse.settlePnl(short, PERP);
        clearinghouse.settlePnl(backstopAccount, PERP);
        swept = backstop.sweep();
        assertGt(swept, 0);
        assertGe(_health(backstopAccount).im, 0);
        oracle.setStale(ETH_FEED);
        vm.expectRevert(abi.encodeWithSelector(Backstop.PricesNotFresh.selector, backstopAccount));
        backstop.sweep();
        _assertLedger(_all());
    }

    /// What is sold leaves its row to the next: nobody fills the backstop's list with what it takes.
    function test_releaseCollateral_closesTheRow() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        assertEq(clearinghouse.assetsOf(backstopAccount).length, 1);
        backstop.releaseCollateral(WETH);
        assertEq(clearinghouse.assetsOf(backstopAccount).length, 0);
        assertFalse(clearinghouse.row(backstopAccount, WETH).open);
        // Another one brings it back.
        bytes32 other = _trader(carol, 10_000e6);
        vm.prank(carol);
        clearinghouse.openRow(other, WETH);
        _deposit(carol, weth, 10e18);
        _price(2000e18);
        _trade(other, short, 55e18);
        account = other;
        _nobodyBids(1500e18);
        backstop.takeOver(other);
        assertEq(clearinghouse.assetsOf(backstopAccount).length, 1);
        assertEq(backstop.releaseCollateral(WETH), 10e18);
    }

    function test_releaseCollateral_releasesWhatIsNotUnderRegression() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        _depositFor(backstopAccount, weth, 4e18);
        vm.warp(block.timestamp + 1);
        vm.prank(address(hubGateway));
        clearinghouse.receiveCounter(EID, 1, uint64(block.timestamp), address(weth), backstopAccount, 1e18);
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 14e18);
        assertEq(backstop.releaseCollateral(WETH), 11e18);
        assertEq(backstop.releaseCollateral(WETH), 0);
    }

    /// Its claims are shares, as everybody's: where tokens are missing they are worth less than their number.
    function test_releaseCollateral_releasesWhatIsLeftWhereTokensAreMissing() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        backstop.takeOver(account);
        vm.prank(address(vault));
        weth.transfer(address(1), 1e18);
        _report(backstopAccount, weth);
        uint256 state = vm.snapshotState();
        assertEq(backstop.releaseCollateral(WETH), 9e18, "of ten");
        assertEq(clearinghouse.row(backstopAccount, WETH).claim, 0);

        vm.revertToState(state);
        vm.warp(block.timestamp + 1 hours);
        clearinghouse.repair(WETH);
        assertEq(backstop.releaseCollateral(WETH), 9e18, "written off, too");
    }

    function test_releaseCollateral_needsAnExecutor() public {
        backstop.setExecutor(EID, address(0));
        vm.expectRevert(abi.encodeWithSelector(Backstop.NoExecutor.selector, EID));
        backstop.releaseCollateral(WETH);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        vm.prank(alice);
        backstop.setExecutor(EID, alice);
    }
}
