// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ERC4626} from "@openzeppelin/contracts/token/ERC20/extensions/ERC4626.sol";
import {InsuranceFund} from "../../../src/hub/InsuranceFund.sol";
import {Accounts} from "../../../src/libraries/Accounts.sol";
import {LiquidationBase} from "./LiquidationBase.sol";

contract InsuranceFundTest is LiquidationBase {
    uint256 private shares;

    function setUp() public override {
        super.setUp();
        _fundWith(10_000e6);
        shares = fund.balanceOf(lp);
    }

    function _request(uint256 amount) private returns (uint64 ripeAt) {
        vm.prank(lp);
        return fund.requestRedeem(amount);
    }

    function _redeem(uint256 amount) private returns (uint256) {
        vm.prank(lp);
        return fund.redeem(amount, lp, lp);
    }

    /// Alice and Bob trade and Alice ends insolvent by 2,500 (as in LiquidationAuctionTest).
    function _insolvent() private returns (bytes32 account) {
        account = _trader(alice, 20_000e6);
        _trade(account, _trader(bob, 100_000e6), 45e18);
        _price(1500e18);
        _start(account);
    }

    /* DEPOSIT */

    function test_deposit_isCashInTheHubAtOnce() public view {
        assertEq(fund.decimals(), 12);
        assertEq(shares, 10_000e12);
        assertEq(clearinghouse.cash(fundAccount), 10_000e18);
        assertEq(clearinghouse.backing(USDC), 10_000e18);
        assertEq(usdc.balanceOf(address(vault)), 10_000e6);
        assertEq(usdc.balanceOf(address(fund)), 0);
        assertEq(fund.totalAssets(), 10_000e6);
    }

    function test_deposit_revertsWhenTheBucketHasNoRoom() public {
        usdc.mint(lp, 20_000_000e6);
        vm.startPrank(lp);
        usdc.approve(address(fund), type(uint256).max);
        vm.expectPartialRevert(InsuranceFund.DepositNotMatured.selector);
        fund.deposit(20_000_000e6, lp);
        vm.stopPrank();
        assertEq(fund.totalAssets(), 10_000e6);
        assertEq(usdc.balanceOf(lp), 20_000_000e6, "all or nothing");
    }

    /// A gift raises the price for those who are in, and none of it goes to who comes next.
    function test_deposit_afterAGift() public {
        usdc.mint(address(this), 10_000e6);
        usdc.approve(address(vault), 10_000e6);
        vault.deposit(fundAccount, address(usdc), 10_000e6);
        usdc.mint(carol, 10_000e6);
        vm.startPrank(carol);
        usdc.approve(address(fund), 10_000e6);
        vm.stopPrank();
        _report(fundAccount, usdc);
        assertEq(fund.totalAssets(), 20_000e6);
        vm.prank(carol);
        fund.deposit(10_000e6, carol);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(lp)), 20_000e6, 1);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(carol)), 10_000e6, 1);
    }

    /// Nobody buys into a gain that is there already and not swept in yet.
    function test_deposit_paysForWhatTheBackstopHolds() public {
        _depositFor(backstopAccount, usdc, 5000e6);
        assertEq(fund.totalAssets(), 10_000e6, "not the leavers' yet");
        usdc.mint(carol, 90_000e6);
        vm.startPrank(carol);
        usdc.approve(address(fund), type(uint256).max);
        assertEq(fund.previewDeposit(45_000e6), fund.deposit(45_000e6, carol));
        uint256 wanted = fund.previewDeposit(45_000e6);
        assertApproxEqAbs(fund.previewMint(wanted), 45_000e6, 1);
        fund.mint(wanted, carol);
        vm.stopPrank();
        backstop.sweep();
        assertEq(fund.totalAssets(), 105_000e6);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(carol)), 90_000e6, 2);
        assertApproxEqAbs(fund.convertToAssets(shares), 15_000e6, 2);
    }

    /// A lot on its way to be sold counts for nothing to who leaves, and in full to who comes.
    function test_deposit_paysForLotsOnTheirWay() public {
        _depositFor(backstopAccount, weth, 5e18);
        vm.prank(address(backstop));
        clearinghouse.openRow(backstopAccount, WETH);
        clearinghouse.mature(backstopAccount, WETH);
        assertEq(backstop.releaseCollateral(WETH), 5e18);
        assertEq(backstop.unsold(), 10_000e18);
        assertEq(fund.totalAssets(), 10_000e6);
        assertApproxEqAbs(fund.previewDeposit(1000e6), shares / 20, 1e12);
        _warp(block.timestamp + 1 days);
        assertEq(backstop.unsold(), uint256(10_000e18) * 2 / 3);
        // A crumb doesn't bring back what has faded.
        _depositFor(backstopAccount, weth, 1);
        vm.prank(address(backstop));
        clearinghouse.openRow(backstopAccount, WETH);
        clearinghouse.mature(backstopAccount, WETH);
        assertEq(backstop.releaseCollateral(WETH), 1);
        _warp(block.timestamp + 1 days);
        assertApproxEqAbs(backstop.unsold(), uint256(10_000e18) * 4 / 9, 2000);
        _warp(block.timestamp + 2 days);
        assertEq(backstop.unsold(), 0, "sold by now");
        assertApproxEqAbs(fund.previewDeposit(1000e6), shares / 10, 1e12);
    }

    function testFuzz_mint_andRedeemNeverProfit(uint256 amount) public {
        amount = bound(amount, 1e12, 1_000_000e12);
        usdc.mint(carol, 2_000_000e6);
        vm.startPrank(carol);
        usdc.approve(address(fund), type(uint256).max);
        uint256 paid = fund.mint(amount, carol);
        fund.requestRedeem(amount);
        _warp(block.timestamp + COOL_DOWN);
        _price(2000e18);
        uint256 got = fund.redeem(amount, carol, carol);
        vm.stopPrank();
        assertLe(got, paid);
        assertGe(got + 2, paid);
        assertEq(usdc.balanceOf(carol), 2_000_000e6 - paid + got);
    }

    /* A FUND THAT IS WIPED OUT */

    /// Takes all that the fund has, as a loss would.
    function _wipe() private {
        uint256 all = uint256(clearinghouse.cash(fundAccount));
        vm.prank(address(auction));
        clearinghouse.moveCash(fundAccount, Accounts.main(makeAddr("winner")), all);
    }

    function _expectRefused(int256 value) private {
        usdc.mint(carol, 1000e6);
        vm.startPrank(carol);
        usdc.approve(address(fund), 1000e6);
        assertEq(fund.maxDeposit(carol), 0);
        assertEq(fund.maxMint(carol), 0);
        vm.expectRevert(abi.encodeWithSelector(InsuranceFund.FundWiped.selector, value, fund.totalSupply()));
        fund.deposit(1000e6, carol);
        vm.expectRevert(abi.encodeWithSelector(InsuranceFund.FundWiped.selector, value, fund.totalSupply()));
        fund.mint(1000e12, carol);
        vm.stopPrank();
    }

    function test_wiped_takesNoDepositsUntilItsPriceIsBackAboveTheFloor() public {
        _wipe();
        _expectRefused(0);
        // A thousandth of what the shares cost.
        _depositFor(fundAccount, usdc, 10e6);
        assertEq(fund.maxDeposit(carol), type(uint256).max);
        _fundWith(1000e6);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(lp) - shares), 1000e6, 1);
    }

    function test_wiped_staysShutJustBelowTheFloor() public {
        _wipe();
        _depositFor(fundAccount, usdc, 10e6 - 1);
        _expectRefused(int256(10e18 - 1e12));
    }

    function test_wiped_opensWhenAllHaveLeft() public {
        _warp(_request(shares));
        _wipe();
        assertEq(_redeem(shares), 0);
        _fundWith(1000e6);
        assertEq(fund.convertToAssets(fund.balanceOf(lp)), 1000e6);
    }

    /// However often it is wiped out: shares grow with what is deposited, not with the number of losses.
    function test_wiped_manyTimes_sharesStayInProportionToDeposits() public {
        uint256 deposited = 10_000e6;
        for (uint256 i; i < 20; ++i) {
            _wipe();
            // What opens it again, as a gift.
            _depositFor(fundAccount, usdc, fund.totalSupply() / 1e9 + 1);
            _fundWith(1000e6);
            deposited += 1000e6;
            assertLe(fund.totalSupply(), deposited * 1e9);
        }
        uint256 all = fund.balanceOf(lp);
        _warp(_request(all));
        _price(2000e18);
        uint256 assets = fund.totalAssets();
        assertApproxEqAbs(_redeem(all), assets, 1);
        assertEq(fund.totalSupply(), 0);
    }

    /// What is deposited would go to the backstop's deficit, even where no shares are left to price it.
    function test_wiped_byTheBackstopsDeficit() public {
        bytes32 account = _insolvent();
        _warp(block.timestamp + WINDOW);
        _price(1500e18);
        backstop.takeOver(account);
        _warp(_request(shares));
        _price(1500e18);
        _redeem(shares);
        assertEq(fund.totalSupply(), 0);
        assertGt(fund.maxDeposit(lp), 0);
        _price(1000e18);
        int256 value = clearinghouse.cash(fundAccount) + _health(backstopAccount).equity;
        assertLt(value, 0);
        _expectRefused(value);
    }

    /* EXIT */

    function test_redeem_paysFromTheVaultAfterTheCoolDown() public {
        assertEq(fund.maxRedeem(lp), 0);
        uint64 ripeAt = _request(shares / 2);
        assertEq(ripeAt, block.timestamp + COOL_DOWN);
        _warp(ripeAt - 1);
        assertEq(fund.maxWithdraw(lp), 0);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxRedeem.selector, lp, shares / 2, 0));
        _redeem(shares / 2);
        _warp(ripeAt);
        assertEq(fund.maxRedeem(lp), shares / 2);
        assertEq(fund.maxWithdraw(lp), 5000e6);
        assertEq(_redeem(shares / 4), 2500e6);
        assertEq(usdc.balanceOf(lp), 2500e6, "in the same transaction");
        vm.prank(lp);
        assertEq(fund.withdraw(2500e6, carol, lp), shares / 4);
        assertEq(usdc.balanceOf(carol), 2500e6);
        assertEq(fund.maxRedeem(lp), 0, "the rest was never requested");
        assertEq(clearinghouse.cash(fundAccount), 5000e18);
        assertEq(clearinghouse.backing(USDC), 5000e18);
    }

    function test_redeem_closesAgainAfterTheExitWindow() public {
        uint64 ripeAt = _request(shares);
        _warp(ripeAt + EXIT_WINDOW);
        assertEq(fund.maxRedeem(lp), shares);
        _warp(ripeAt + EXIT_WINDOW + 1);
        assertEq(fund.maxRedeem(lp), 0);
    }

    function test_redeem_byAnotherNeedsAnAllowance() public {
        _warp(_request(shares));
        vm.expectRevert();
        vm.prank(carol);
        fund.redeem(shares, carol, lp);
        vm.prank(lp);
        fund.approve(carol, shares);
        vm.prank(carol);
        fund.redeem(shares, carol, lp);
        assertEq(usdc.balanceOf(carol), 10_000e6);
    }

    /// §6.8: no fund exit between a loss being knowable and charged; and shares in cool-down bear it.
    function test_redeem_waitsWhileALossIsKnown_thenBearsIt() public {
        _warp(_request(shares));
        _price(2000e18);
        bytes32 account = _insolvent();
        assertEq(auction.insolventCount(), 1);
        assertEq(fund.maxRedeem(lp), 0);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxRedeem.selector, lp, shares, 0));
        _redeem(shares);
        _warp(block.timestamp + WINDOW);
        _price(1500e18);
        backstop.takeOver(account);
        assertEq(fund.totalAssets(), 7500e6);
        assertApproxEqAbs(_redeem(shares), 7500e6, 1);
    }

    function test_redeem_atTheLowestPriceSeen() public {
        uint64 ripeAt = _request(shares / 2);
        bytes32 account = _insolvent();
        _warp(block.timestamp + WINDOW);
        _price(1500e18);
        backstop.takeOver(account);
        fund.observe(lp);
        // What the backstop loses and regains in between doesn't come back to who is leaving, but to who stays.
        _depositFor(backstopAccount, usdc, 2500e6);
        _warp(ripeAt);
        _price(2500e18);
        clearinghouse.settlePnl(Accounts.main(bob), PERP);
        clearinghouse.settlePnl(backstopAccount, PERP);
        backstop.sweep();
        assertGt(fund.totalAssets(), 7500e6);
        uint256 expected = 3750e6;
        assertApproxEqAbs(fund.maxWithdraw(lp), expected, 1);
        assertApproxEqAbs(_redeem(shares / 2), expected, 1);
        assertGt(fund.convertToAssets(shares / 2), expected);
    }

    function test_observe_neverRaisesThePrice() public {
        _warp(_request(shares));
        (,, uint256 rate) = fund.exits(lp);
        _depositFor(fundAccount, usdc, 10_000e6);
        fund.observe(lp);
        (,, uint256 seen) = fund.exits(lp);
        assertEq(seen, rate);
        _price(2000e18);
        assertEq(_redeem(shares), 10_000e6);
    }

    /// While backing is suspect an exit by the vault would leave in kind, with what others keep for the fund: it goes into an account.
    function test_redeem_notWhileCashLeavesInKind() public {
        _warp(_request(shares));
        _price(2000e18);
        vm.mockCall(
            address(clearinghouse),
            abi.encodeWithSelector(clearinghouse.suspectAssets.selector),
            abi.encode(uint256(WETH))
        );
        assertEq(fund.maxRedeem(lp), 0);
        assertEq(fund.maxWithdraw(lp), 0);
        vm.prank(lp);
        assertEq(fund.redeemToAccount(shares, Accounts.main(carol)), 10_000e6);
    }

    /// A request that is renewed for ever would be a way out before every loss. It earns nothing: what it missed stays missed.
    function test_request_thatIsNotUsedForgoesWhatTheFundEarned() public {
        usdc.mint(carol, 10_000e6);
        vm.startPrank(carol);
        usdc.approve(address(fund), 10_000e6);
        fund.deposit(10_000e6, carol);
        vm.stopPrank();
        _warp(_request(shares));
        _depositFor(fundAccount, usdc, 10_000e6);
        assertApproxEqAbs(fund.convertToAssets(shares), 15_000e6, 1);
        _request(1);
        assertApproxEqRel(fund.balanceOf(lp), shares / 2, 1e12);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(lp)), 10_000e6, 2);
        assertApproxEqAbs(fund.convertToAssets(fund.balanceOf(carol)), 20_000e6, 2);
        (uint128 waiting,,) = fund.exits(lp);
        assertEq(waiting, 1);
    }

    function test_request_thatIsNotUsedKeepsItsSharesWhileNothingIsEarned() public {
        _warp(_request(shares));
        _price(2000e18);
        vm.prank(lp);
        fund.cancelRedeem();
        assertEq(fund.balanceOf(lp), shares);
    }

    /* EXIT INTO AN ACCOUNT */

    /// As when others have withdrawn here what was deposited elsewhere: the cash goes where its owner can withdraw it.
    function test_redeemToAccount_needsNoBackingHere() public {
        bytes32 account = Accounts.main(carol);
        vm.prank(lp);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxRedeem.selector, lp, shares, 0));
        fund.redeemToAccount(shares, account);
        _warp(_request(shares));
        vm.mockCall(
            address(clearinghouse),
            abi.encodeWithSelector(clearinghouse.backing.selector, fund.assetId()),
            abi.encode(uint256(0))
        );
        assertEq(fund.maxRedeem(lp), 0);
        vm.prank(lp);
        assertEq(fund.redeemToAccount(shares / 2, account), 5000e6);
        assertEq(clearinghouse.cash(account), 5000e18);
        assertEq(clearinghouse.cash(fundAccount), 5000e18);
        assertEq(fund.balanceOf(lp), shares / 2);
        (uint128 waiting,,) = fund.exits(lp);
        assertEq(waiting, shares / 2, "what has left no longer waits");
        _insolvent();
        vm.prank(lp);
        vm.expectRevert(abi.encodeWithSelector(ERC4626.ERC4626ExceededMaxRedeem.selector, lp, shares / 2, 0));
        fund.redeemToAccount(shares / 2, account);
    }

    /// A deficit of the backstop lowers the price at once; a gain only when it is swept in.
    function test_totalAssets_followsTheBackstopDownAndNotUp() public {
        bytes32 account = _insolvent();
        _warp(block.timestamp + WINDOW);
        _price(1500e18);
        backstop.takeOver(account);
        assertEq(fund.totalAssets(), 7500e6);
        _price(1400e18);
        assertEq(fund.totalAssets(), 3000e6);
        _price(1600e18);
        assertEq(fund.totalAssets(), 7500e6);
        _price(1000e18);
        assertEq(fund.totalAssets(), 0, "never negative");
    }

    function test_staleBackstop_closesTheDoorsBothWays() public {
        bytes32 account = _insolvent();
        _warp(block.timestamp + WINDOW);
        _price(1500e18);
        backstop.takeOver(account);
        _warp(_request(shares));
        oracle.setStale(ETH_FEED);
        assertEq(fund.maxRedeem(lp), 0);
        assertEq(fund.maxDeposit(lp), 0);
        assertEq(fund.maxMint(lp), 0);
        _price(1500e18);
        assertEq(fund.maxRedeem(lp), shares);
    }

    function test_maxRedeem_withinWhatTheHubsChainHolds() public {
        // As when others have withdrawn here what was deposited elsewhere.
        _warp(_request(shares));
        vm.mockCall(
            address(clearinghouse),
            abi.encodeWithSelector(clearinghouse.backing.selector, USDC),
            abi.encode(uint256(4000e18))
        );
        assertApproxEqAbs(fund.maxWithdraw(lp), 4000e6, 1);
        assertLe(fund.maxWithdraw(lp), 4000e6);
    }

    function test_redeem_isAllOrNothingWhenTheVaultDoesNotPay() public {
        _warp(_request(shares));
        vm.mockCallRevert(address(usdc), abi.encodeWithSelector(IERC20.transfer.selector), "");
        vm.expectPartialRevert(InsuranceFund.PayoutIncomplete.selector);
        _redeem(shares);
        vm.clearMockedCalls();
        assertEq(_redeem(shares), 10_000e6);
    }

    /* SHARES IN COOL-DOWN */

    function test_sharesInCoolDown_stay() public {
        _request(shares * 3 / 4);
        vm.expectRevert(abi.encodeWithSelector(InsuranceFund.SharesInCoolDown.selector, lp, shares * 3 / 4));
        vm.prank(lp);
        fund.transfer(carol, shares / 2);
        vm.prank(lp);
        fund.transfer(carol, shares / 4);
        vm.prank(lp);
        fund.cancelRedeem();
        vm.prank(lp);
        fund.transfer(carol, shares * 3 / 4);
        assertEq(fund.balanceOf(carol), shares);
    }

    function test_requestRedeem_ofMoreThanOneHas() public {
        vm.expectRevert(abi.encodeWithSelector(InsuranceFund.InvalidShares.selector, shares + 1, shares));
        _request(shares + 1);
        vm.expectRevert(abi.encodeWithSelector(InsuranceFund.InvalidShares.selector, 0, shares));
        _request(0);
    }

    /// The first depositor's price cannot be inflated at a later one's expense.
    function test_firstDeposit_cannotBeInflated() public {
        _warp(_request(shares));
        _redeem(shares);
        assertEq(fund.totalSupply(), 0);
        usdc.mint(carol, 1);
        vm.startPrank(carol);
        usdc.approve(address(fund), 1);
        fund.deposit(1, carol);
        vm.stopPrank();
        _depositFor(fundAccount, usdc, 1000e6);
        _fundWith(1000e6);
        assertGe(fund.convertToAssets(fund.balanceOf(lp)), 999e6);
        assertLt(fund.convertToAssets(fund.balanceOf(carol)), 501e6);
    }
}
