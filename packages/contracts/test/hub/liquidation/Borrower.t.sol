// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Accounts} from "../../../src/libraries/Accounts.sol";
import {ILedger} from "../../../src/interfaces/ILedger.sol";
import {IMarginEngine} from "../../../src/interfaces/IMarginEngine.sol";
import {Backstop} from "../../../src/hub/Backstop.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

/// @notice Alice has 10 WETH and owes 12,000; at 1,500 they are worth 15,000, and her MM is −120. Bob lends 200,000.
contract BorrowerTest is LiquidationBase {
    bytes32 private account;
    bytes32 private lender;
    bytes32 private bidder;

    function setUp() public override {
        super.setUp();
        clearinghouse.setLending(2000, 8000, 0, 1000, 5000);
        account = Accounts.main(alice);
        vm.prank(alice);
        clearinghouse.openRow(account, WETH);
        _deposit(alice, weth, 10e18);
        lender = _trader(bob, 200_000e6);
        bidder = _deposit(carol, usdc, 50_000e6);
        vm.prank(alice);
        clearinghouse.withdraw(account, USDC, alice, 12_000e6);
    }

    function _all() private view returns (bytes32[] memory accounts) {
        accounts = new bytes32[](6);
        (accounts[0], accounts[1], accounts[2]) = (account, lender, bidder);
        (accounts[3], accounts[4]) = (fundAccount, backstopAccount);
        accounts[5] = Accounts.main(address(this));
    }

    /// @dev Exact but for what is rounded off, which nobody has.
    function _assertBacked() private view {
        int256 sum;
        for (uint256 n; n < 6; ++n) {
            sum += clearinghouse.cash(_all()[n]);
        }
        (uint256 warming,,,) = clearinghouse.warmings();
        sum += int256(warming + clearinghouse.pnlPool(PERP));
        int256 right = int256(clearinghouse.backing(USDC)) + clearinghouse.lostBacking();
        assertLe(sum, right);
        assertApproxEqAbs(sum, right, 1e9);
    }

    function _claim(bytes32 of_) private view returns (uint256) {
        return clearinghouse.row(of_, WETH).claim;
    }

    /// Opens the auction at `price` and lets its window pass without a bid.
    function _nobodyBids(uint256 price) private {
        _price(price);
        assertEq(_start(account), 1);
        vm.warp(block.timestamp + WINDOW);
        _price(price);
    }

    /* AUCTION */

    /// Debt goes with the fraction, and what is paid for it repays the rest.
    function test_aBorrowerIsSoldUpToTheBuffer() public {
        _price(1500e18);
        assertEq(_health(account).equity, 3000e18);
        assertEq(_health(account).mm, -120e18);
        assertEq(_start(account), 1);
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        assertGt(taken, 0);
        assertLt(taken, WAD);
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12);
        assertEq(_claim(bidder), 10 * taken);
        assertEq(_claim(account) + _claim(bidder), 10e18);
        uint256 owed = 12_000 * taken;
        assertEq(clearinghouse.cash(account), -12_000e18 + int256(owed + payment - _feeOf(payment)));
        assertEq(clearinghouse.cash(bidder), 50_000e18 - int256(owed + payment));
        assertEq(
            clearinghouse.lending().debt, uint256(-clearinghouse.cash(account)), "the bidder paid his part"
        );
        assertEq(auction.auction(account).startedAt, 0, "ended");
        _assertBacked();
    }

    /// Whoever has claims may take debt over: the payment is his own money, and his margin must hold.
    function test_aBidderWithClaimsTakesDebtOver() public {
        address dave = makeAddr("dave");
        bytes32 other = _deposit(dave, usdc, 1000e6);
        vm.prank(dave);
        clearinghouse.openRow(other, WETH);
        _deposit(dave, weth, 10e18);
        _price(1500e18);
        _start(account);
        uint256 before = clearinghouse.lending().debt;
        (uint256 taken, uint256 payment,) = _bid(dave, account, WAD);
        assertEq(clearinghouse.cash(other), 1000e18 - int256(payment + 12_000 * taken));
        assertLt(clearinghouse.cash(other), 0);
        assertGe(_health(other).im, 0);
        assertLt(clearinghouse.lending().debt, before, "no more is owed in all");
    }

    function test_aBidderWithoutMarginForDebtTakesNone() public {
        address dave = makeAddr("dave");
        bytes32 other = _deposit(dave, usdc, 500e6);
        _price(1500e18);
        _start(account);
        vm.prank(dave);
        vm.expectPartialRevert(LiquidationAuction.BidderUnsafe.selector);
        auction.bid(account, other, WAD, type(uint256).max);
    }

    /// The payment would all go into the debt, and nobody would start a borrower's auction.
    function test_whoeverStartsABorrowersAuctionIsPaid() public {
        address keeper = makeAddr("keeper");
        _price(1500e18);
        vm.fee(20 gwei);
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = account;
        vm.prank(keeper);
        auction.updateAndStart("", accounts);
        (, uint256 owed) = auction.owed(account);
        assertEq(owed, 12e18, "400,000 gas at 20 gwei");
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        assertEq(clearinghouse.cash(Accounts.main(keeper)), 12e18);
        (, owed) = auction.owed(account);
        assertEq(owed, 0);
        payment -= _feeOf(payment);
        assertEq(clearinghouse.cash(account), -12_000e18 + int256(12_000 * taken + payment) - 12e18);
    }

    /// No price moves: time alone.
    function test_interestMakesAnAccountLiquidatable() public {
        clearinghouse.setLending(2000, 8000, 10_000, 10_000, 10_000);
        vm.warp(block.timestamp + 60 days);
        _price(2000e18);
        assertEq(_start(account), 0);
        vm.warp(block.timestamp + 60 days);
        _price(2000e18);
        assertEq(_start(account), 1, "12,000 e^(120/365) exceed 15,840");
        _bid(carol, account, WAD);
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12);
        _assertBacked();
    }

    function test_repayingCures() public {
        _price(1500e18);
        _start(account);
        _deposit(alice, usdc, 121e6);
        auction.end(account);
        assertEq(clearinghouse.cash(account), -11_879e18);
    }

    /* BACKSTOP */

    function test_backstop_buysFromTheFundAndPaysTheDebt() public {
        _fundWith(50_000e6);
        _nobodyBids(1500e18);
        uint256 owed = uint256(-clearinghouse.cash(account));
        int256 had = clearinghouse.cash(fundAccount);
        (uint256 share,, uint256 fraction) = auction.quote(account);
        uint256 equity = uint256(_health(account).equity);
        backstop.takeOver(account);
        assertEq(clearinghouse.cash(backstopAccount), 0, "it borrows nothing");
        assertApproxEqAbs(_claim(backstopAccount), 10 * fraction, 10);
        assertApproxEqAbs(
            had - clearinghouse.cash(fundAccount),
            int256(fraction * (equity * share / WAD * 99 / 100 + owed) / WAD),
            1e4
        );
        assertApproxEqAbs(_bufferMargin(account), 0, 1e12);
        _assertBacked();
    }

    function test_backstop_buysNoMoreDebtThanTheFundCanPay() public {
        _nobodyBids(1500e18);
        vm.expectRevert(abi.encodeWithSelector(Backstop.FundExhausted.selector, account));
        backstop.takeOver(account);
        _fundWith(100e6);
        backstop.takeOver(account);
        assertGt(_claim(backstopAccount), 0);
        assertGe(clearinghouse.cash(backstopAccount), -1);
        assertGe(clearinghouse.cash(fundAccount), 0);
    }

    /// 12,000 owed on 10,000: the fund is out 2,000 once the claims are sold.
    function test_backstop_ofAnInsolventBorrowerTheFundBearsTheDeficit() public {
        _fundWith(50_000e6);
        _nobodyBids(1000e18);
        assertEq(auction.insolventCount(), 1);
        int256 owed = -clearinghouse.cash(account);
        int256 had = clearinghouse.cash(fundAccount);
        backstop.takeOver(account);
        assertEq(auction.insolventCount(), 0);
        assertEq(clearinghouse.cash(account), 0);
        assertEq(_claim(account), 0);
        assertEq(_claim(backstopAccount), 10e18);
        assertEq(clearinghouse.cash(backstopAccount), 0);
        assertEq(clearinghouse.cash(fundAccount), had - owed);
        assertEq(clearinghouse.lending().debt, 0);
        // Sold for what they are worth.
        backstop.releaseCollateral(WETH);
        _depositFor(backstopAccount, usdc, 10_000e6);
        backstop.sweep();
        assertEq(clearinghouse.cash(fundAccount), had - owed + 10_000e18);
        _assertBacked();
    }

    /// What the fund can't pay all cash does, by one ratio; the claims pay the rest of the debt.
    function test_backstop_beyondTheFundAllCashBearsTheDeficit() public {
        _fundWith(500e6);
        _nobodyBids(1000e18);
        uint256 owed = uint256(-clearinghouse.cash(account));
        uint256 rest = owed - 10_500e18;
        (uint256 all,) = clearinghouse.totalCash();
        int256 had = clearinghouse.cash(lender);
        vm.expectEmit(address(clearinghouse));
        emit ILedger.DebtWrittenOff(account, rest - uint256(clearinghouse.cash(fundAccount)) + 500e18);
        backstop.takeOver(account);
        assertApproxEqRel(had - clearinghouse.cash(lender), had * int256(rest) / int256(all), 1e12);
        assertEq(clearinghouse.lostBacking(), 0);
        assertEq(clearinghouse.cash(fundAccount), 0);
        assertEq(clearinghouse.cash(account), 0);
        assertEq(_claim(backstopAccount), 10e18);
        // What came with it and wasn't paid is owed on until the claims are sold, at interest as anybody's.
        assertApproxEqAbs(clearinghouse.cash(backstopAccount), -10_000e18, 10e18);
        _assertBacked();
        backstop.releaseCollateral(WETH);
        _depositFor(backstopAccount, usdc, 10_000e6);
        assertApproxEqAbs(clearinghouse.cash(backstopAccount), 0, 10e18);
        _assertBacked();
    }

    /// The fund pays as soon as it has something.
    function test_backstop_coverPaysItsDebt() public {
        _nobodyBids(1000e18);
        backstop.takeOver(account);
        assertLt(clearinghouse.cash(backstopAccount), 0);
        _depositFor(fundAccount, usdc, 20_000e6);
        uint256 owed = uint256(-clearinghouse.cash(backstopAccount));
        assertEq(backstop.cover(), owed);
        assertEq(clearinghouse.cash(backstopAccount), 0);
        assertEq(clearinghouse.lending().debt, 0);
        assertEq(backstop.cover(), 0);
    }

    /// Account, fund, the other side, warming profit, all cash: each only as far as those before it can't.
    function test_backstop_lossesOfPositionsAreTheOtherSides() public {
        vm.prank(alice);
        clearinghouse.approveVenue(account, address(this), type(uint256).max);
        _trade(account, lender, 0.1e18);
        _nobodyBids(1000e18);
        int256 equity = _health(account).equity;
        assertLt(equity, -2100e18);
        int256 had = clearinghouse.cash(lender);
        backstop.takeOver(account);
        // 0.1 ETH lost 100, which the short side bears, closed at 1,000; all cash bears what is left of the deficit.
        assertEq(_size(lender), 0);
        assertApproxEqAbs(clearinghouse.position(lender, PERP).quote, 200e18 - 100e18 - 100e18, 1e9);
        (uint256 all,) = clearinghouse.totalCash();
        assertApproxEqRel(
            had - clearinghouse.cash(lender), had * (-equity - 100e18) / (int256(all) - equity), 1e15
        );
        assertApproxEqAbs(_health(backstopAccount).equity, 0, 1e12);
        _assertBacked();
    }

    /// Nothing but debt: nobody has anything to take, and yet it is settled.
    function test_backstop_whatOwesAndHasNothing() public {
        _price(1e18);
        _nobodyBids(1e18);
        assertEq(clearinghouse.cash(fundAccount), 0);
        _fundWith(1000e6);
        backstop.takeOver(account);
        assertEq(clearinghouse.cash(account), 0);
        assertEq(auction.insolventCount(), 0);
        IMarginEngine.Health memory h = _health(account);
        assertEq(h.mm, 0);
        _assertBacked();
    }
}
