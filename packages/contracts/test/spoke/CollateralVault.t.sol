// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {FeeToken, UnrulyToken} from "./Tokens.sol";

contract CollateralVaultTest is Test {
    address private immutable governance = makeAddr("governance");
    address private immutable gateway = makeAddr("gateway");
    address private immutable alice = makeAddr("alice");
    bytes32 private constant ACCOUNT = "account";

    CollateralVault private vault;
    UnrulyToken private token;

    function setUp() public {
        vault = new CollateralVault(governance, gateway, 3, "network", ICollateralVault(address(0)));
        token = new UnrulyToken();
        vm.prank(governance);
        vault.setListed(address(token), true);
        token.mint(address(this), 1_000e6);
        token.approve(address(vault), type(uint256).max);
    }

    /* DEPOSITS */

    function test_deposit() public {
        vm.expectEmit(address(vault));
        emit ICollateralVault.Deposited(ACCOUNT, address(token), address(this), 10e6, 10e6);
        assertEq(vault.deposit(ACCOUNT, address(token), 10e6), 10e6);
        assertEq(vault.deposit(ACCOUNT, address(token), 5e6), 15e6);
        vault.deposit("other", address(token), 1e6);
        assertEq(vault.depositedIn(ACCOUNT, address(token)), 15e6);
        _expectTotals(16e6, 0, 0);
        assertEq(vault.epoch(), 3);
    }

    function test_deposit_refuses() public {
        vm.expectRevert(CollateralVault.ZeroAmount.selector);
        vault.deposit(ACCOUNT, address(token), 0);
        FeeToken fee = new FeeToken();
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.TokenNotListed.selector, address(fee)));
        vault.deposit(ACCOUNT, address(fee), 100);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        vault.setListed(address(fee), true);
        vm.prank(governance);
        vault.setListed(address(fee), true);
        fee.mint(address(this), 100);
        fee.approve(address(vault), 100);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.AmountMismatch.selector, 99, 100));
        vault.deposit(ACCOUNT, address(fee), 100);
    }

    /// @dev What isn't deposited is nobody's: it shows in no counter, and only covers a shortfall.
    function test_a_gift_is_no_deposit() public {
        vault.deposit(ACCOUNT, address(token), 10e6);
        token.transfer(address(vault), 5e6);
        _expectTotals(10e6, 0, 0);
        token.burn(address(vault), 7e6);
        _expectTotals(10e6, 0, 2e6);
    }

    function test_totals_of_what_is_no_token() public view {
        (uint128 totalIn, uint128 totalOut, uint128 shortfall) = vault.totals(address(0xdead));
        assertEq(totalIn + totalOut + shortfall, 0);
    }

    /* RELEASES */

    function test_release_pays_the_difference() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        vm.expectEmit(address(vault));
        emit ICollateralVault.ReleaseReceived(ACCOUNT, address(token), alice, 30e6, 10);
        vm.expectEmit(address(vault));
        emit ICollateralVault.PaidOut(ACCOUNT, address(token), alice, 30e6, 30e6);
        _release(30e6, 100e6, 10);
        _release(30e6, 100e6, 10); // again
        _release(50e6, 100e6, 11);
        _release(40e6, 100e6, 10); // late
        assertEq(token.balanceOf(alice), 50e6);
        (uint128 value, uint64 time) = vault.released(ACCOUNT, address(token), alice);
        assertEq(value, 50e6);
        assertEq(time, 11);
        _expectTotals(100e6, 50e6, 0);
        assertEq(vault.pay(ACCOUNT, address(token), alice), 0);
    }

    function test_newest_wins_and_ties_go_to_the_larger() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        _release(20e6, 100e6, 10);
        _release(25e6, 100e6, 10);
        _release(24e6, 100e6, 10);
        _expectReleased(25e6, 10);
        // A newer, smaller value is the truth after a reorg of the hub. What was paid stays paid, and counts.
        _release(5e6, 100e6, 12);
        _expectReleased(5e6, 12);
        _release(60e6, 100e6, 11);
        _expectReleased(5e6, 12);
        assertEq(token.balanceOf(alice), 25e6);
        _release(40e6, 100e6, 13);
        assertEq(token.balanceOf(alice), 40e6);
    }

    function test_only_the_gateway() public {
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.OnlyGateway.selector, address(this)));
        vault.receiveRelease(ACCOUNT, address(token), alice, 1, 1, 1);
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.OnlySelf.selector, address(this)));
        vault.transferOut(token, alice, 1);
    }

    /// @dev A hub that credited deposits which this vault never saw gets nothing, until it says less or the vault has more.
    function test_a_hub_that_believes_in_more_is_paid_nothing() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        _release(30e6, 101e6, 10);
        assertEq(vault.pay(ACCOUNT, address(token), alice), 0);
        assertEq(token.balanceOf(alice), 0);
        vault.deposit("other", address(token), 1e6);
        assertEq(vault.pay(ACCOUNT, address(token), alice), 30e6);
        _release(40e6, 200e6, 11);
        assertEq(token.balanceOf(alice), 30e6);
        _release(40e6, 101e6, 12);
        assertEq(token.balanceOf(alice), 40e6);
    }

    /* PAYOUTS THAT FAIL */

    function test_failing_payouts_change_nothing_and_can_be_repeated() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        for (uint256 i = 1; i <= 4; ++i) {
            token.setManner(alice, UnrulyToken.Manner(i));
            vm.expectEmit(address(vault));
            emit ICollateralVault.PayoutFailed(ACCOUNT, address(token), alice, 30e6);
            uint256 gas = gasleft();
            _release(30e6, 100e6, uint64(i));
            assertLt(gas - gasleft(), 400_000, "neither bomb nor loop costs more than its share");
            assertEq(vault.paidOut(ACCOUNT, address(token), alice), 0);
            _expectTotals(100e6, 0, 0);
            assertEq(vault.pay(ACCOUNT, address(token), alice), 0);
        }
        token.setManner(alice, UnrulyToken.Manner.Good);
        vm.prank(makeAddr("anyone"));
        assertEq(vault.pay(ACCOUNT, address(token), alice), 30e6);
        assertEq(token.balanceOf(alice), 30e6);
    }

    function test_a_shortage_is_skipped_like_any_failure() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        token.burn(address(vault), 80e6);
        _release(30e6, 100e6, 1);
        assertEq(token.balanceOf(alice), 0);
        _expectTotals(100e6, 0, 80e6);
        _release(20e6, 100e6, 2);
        assertEq(token.balanceOf(alice), 20e6);
        _expectTotals(100e6, 20e6, 80e6);
    }

    function test_no_reentrance() public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        token.setManner(alice, UnrulyToken.Manner.CallBack);
        bytes[2] memory calls = [
            abi.encodeCall(vault.pay, (ACCOUNT, address(token), alice)),
            abi.encodeCall(vault.deposit, (ACCOUNT, address(token), 1))
        ];
        for (uint128 i; i < 2; ++i) {
            token.setCallBack(address(vault), calls[i]);
            _release(30e6 * (i + 1), 100e6, uint64(i + 1));
            assertTrue(token.called());
            assertFalse(token.calledBack());
            assertEq(token.balanceOf(alice), 30e6 * (i + 1));
        }
    }

    /// @dev Too little gas for the transfer reverts the whole, to be tried again with more: nobody can make a payout fail by being stingy.
    function testFuzz_any_gas(uint256 gas_) public {
        vault.deposit(ACCOUNT, address(token), 100e6);
        token.setManner(alice, UnrulyToken.Manner.Revert);
        _release(30e6, 100e6, 1);
        token.setManner(alice, UnrulyToken.Manner.Hungry);
        gas_ = bound(gas_, 10_000, 300_000);
        (bool ok, bytes memory result) =
            address(vault).call{gas: gas_}(abi.encodeCall(vault.pay, (ACCOUNT, address(token), alice)));
        bool paid = ok && abi.decode(result, (uint256)) == 30e6;
        assertEq(paid, ok, "it pays or it reverts");
        assertEq(token.balanceOf(alice), paid ? 30e6 : 0);
        assertEq(vault.paidOut(ACCOUNT, address(token), alice), paid ? 30e6 : 0);
    }

    /* HELPERS */

    function _release(uint128 value, uint128 credited, uint64 time) private {
        vm.prank(gateway);
        vault.receiveRelease(ACCOUNT, address(token), alice, value, credited, time);
    }

    function _expectReleased(uint128 value, uint64 time) private view {
        (uint128 v, uint64 t) = vault.released(ACCOUNT, address(token), alice);
        assertEq(v, value);
        assertEq(t, time);
    }

    function _expectTotals(uint256 totalIn, uint256 totalOut, uint256 shortfall) private view {
        (uint128 a, uint128 b, uint128 c) = vault.totals(address(token));
        assertEq(a, totalIn, "in");
        assertEq(b, totalOut, "out");
        assertEq(c, shortfall, "shortfall");
    }
}
