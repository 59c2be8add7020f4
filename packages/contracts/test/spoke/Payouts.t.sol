// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Test} from "forge-std/Test.sol";
import {ICollateralVault} from "../../src/interfaces/ICollateralVault.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {PayoutQueue} from "../../src/spoke/PayoutQueue.sol";
import {UnrulyToken} from "./Tokens.sol";

/// @dev At once 1,000, and 1 more a second; of small payouts (up to 10) 100 at once, and 0.1 a second.
contract PayoutsTest is Test {
    bytes32 private constant WHALE = "whale";
    bytes32 private constant OTHER = "other";

    address private immutable governance = makeAddr("governance");
    address private immutable gateway = makeAddr("gateway");
    address private immutable whale = makeAddr("whale");
    address private immutable other = makeAddr("other");

    CollateralVault private vault;
    UnrulyToken private token;
    uint64 private time;

    function setUp() public {
        vault = new CollateralVault(governance, gateway, 1, "network", ICollateralVault(address(0)));
        token = new UnrulyToken();
        vm.startPrank(governance);
        vault.setListed(address(token), true);
        vault.setLimits(address(token), _limit(1000e6, 1e6), _limit(100e6, 0.1e6));
        vm.stopPrank();
        token.mint(address(this), 1e15);
        token.approve(address(vault), type(uint256).max);
        vault.deposit(WHALE, address(token), 100_000e6);
        vault.deposit(OTHER, address(token), 100_000e6);
    }

    /* ORDER */

    function test_within_the_bucket_everything_leaves_at_once() public {
        _release(OTHER, other, 1000e6);
        assertEq(token.balanceOf(other), 1000e6);
        (uint256 waiting,) = vault.queueOf(OTHER, address(token), other);
        assertEq(waiting, 0);
    }

    function test_who_comes_first_leaves_first() public {
        vm.expectEmit(address(vault));
        emit PayoutQueue.PayoutQueued(WHALE, address(token), whale, 5000e6);
        _release(WHALE, whale, 5000e6);
        assertEq(token.balanceOf(whale), 1000e6, "what is there at once");
        _release(OTHER, other, 500e6);
        (uint256 waiting, uint256 at) = vault.queueOf(OTHER, address(token), other);
        assertEq(waiting, 500e6);
        assertEq(at, block.timestamp + 4500);
        vm.warp(block.timestamp + 4000);
        assertEq(_pay(OTHER, other), 0, "not before the whale's last");
        vm.warp(block.timestamp + 250);
        assertEq(_pay(OTHER, other), 250e6, "anyone pushes the remainder, as it comes");
        vm.warp(at);
        assertEq(_pay(OTHER, other), 250e6);
        // The whale's share is its own, however late it is fetched.
        assertEq(_pay(WHALE, whale), 4000e6);
        assertEq(_pay(WHALE, whale), 0);
    }

    function test_small_payouts_have_their_own_bucket() public {
        _release(WHALE, whale, 100_000e6);
        for (uint256 i = 1; i <= 10; ++i) {
            _release(bytes32(i), vm.addr(i), 10e6);
            assertEq(token.balanceOf(vm.addr(i)), 10e6);
        }
        _release(OTHER, other, 10e6);
        assertEq(token.balanceOf(other), 0, "that is all for now");
        vm.warp(block.timestamp + 100);
        assertEq(_pay(OTHER, other), 10e6);
        // The whale itself has a small one too, to another address or to the same.
        _release(WHALE, other, 5e6);
        _release(WHALE, whale, 100_005e6);
        vm.warp(block.timestamp + 100);
        assertEq(_pay(WHALE, other), 5e6);
        assertEq(_pay(WHALE, whale), 105e6, "100 more of its turn, and 5");
    }

    function test_what_follows_of_the_same_payout_takes_its_place_after_it() public {
        _release(WHALE, whale, 2000e6);
        _release(WHALE, whale, 3000e6);
        _release(OTHER, other, 100e6);
        vm.warp(block.timestamp + 1100);
        assertEq(_pay(WHALE, whale), 1000e6);
        assertEq(_pay(OTHER, other), 100e6);
        vm.warp(block.timestamp + 900);
        assertEq(_pay(WHALE, whale), 900e6);
        vm.warp(block.timestamp + 100);
        assertEq(_pay(WHALE, whale), 100e6);
    }

    function test_deposits_let_as_much_leave() public {
        _release(WHALE, whale, 5000e6);
        vault.deposit(OTHER, address(token), 700e6);
        assertEq(_pay(WHALE, whale), 700e6);
        // A full bucket has no room for more.
        vm.warp(block.timestamp + 1 days);
        vault.deposit(OTHER, address(token), 50_000e6);
        _pay(WHALE, whale);
        _release(OTHER, other, 20_000e6);
        assertEq(token.balanceOf(other), 1000e6);
    }

    function test_a_regression_takes_back_what_waits() public {
        _release(WHALE, whale, 5000e6);
        _release(WHALE, whale, 1500e6);
        vm.warp(block.timestamp + 1 days);
        assertEq(_pay(WHALE, whale), 500e6);
        assertEq(_pay(WHALE, whale), 0);
        _release(WHALE, whale, 5000e6);
        assertEq(token.balanceOf(whale), 5000e6, "it had its turn");
    }

    /// @dev A forged hub takes what the limits let it, and delays others by what lies there at most.
    function test_a_forged_release_stands_in_nobodys_way_for_long() public {
        _release("forged", makeAddr("thief"), type(uint128).max);
        assertEq(token.balanceOf(makeAddr("thief")), 1000e6);
        _release("forged", makeAddr("thief"), 0);
        uint256 held = token.balanceOf(address(vault));
        _release(OTHER, other, 500e6);
        vm.warp(block.timestamp + held / 1e6 + 500);
        _pay(OTHER, other);
        vm.warp(block.timestamp + 500);
        _pay(OTHER, other);
        assertEq(token.balanceOf(other), 500e6);
        assertEq(_pay("forged", makeAddr("thief")), 0);
    }

    /* PAYOUTS THAT FAIL */

    function test_a_failing_payout_keeps_its_turn_and_holds_nobody_up() public {
        token.setManner(whale, UnrulyToken.Manner.Revert);
        _release(WHALE, whale, 1000e6);
        vm.warp(block.timestamp + 500);
        for (uint256 i; i < 5; ++i) {
            assertEq(_pay(WHALE, whale), 0);
        }
        _release(OTHER, other, 500e6);
        assertEq(token.balanceOf(other), 500e6, "trying again empties no bucket");
        token.setManner(whale, UnrulyToken.Manner.Good);
        assertEq(_pay(WHALE, whale), 1000e6);
    }

    function test_only_its_recipient_redirects_a_payout() public {
        token.setManner(whale, UnrulyToken.Manner.Revert);
        _release(WHALE, whale, 3000e6);
        address safe = makeAddr("safe");
        vm.prank(other);
        vault.redirect(address(token), other);
        assertEq(_pay(WHALE, whale), 0, "a stranger redirects his own");
        vm.expectEmit(address(vault));
        emit ICollateralVault.Redirected(address(token), whale, safe);
        vm.prank(whale);
        vault.redirect(address(token), safe);
        vm.expectEmit(address(vault));
        emit ICollateralVault.PaidOut(WHALE, address(token), whale, 1000e6, 1000e6);
        assertEq(_pay(WHALE, whale), 1000e6);
        vm.warp(block.timestamp + 2000);
        assertEq(_pay(WHALE, whale), 2000e6, "the remainder follows");
        assertEq(token.balanceOf(safe), 3000e6);
        assertEq(_pay(WHALE, whale), 0);
        assertEq(_pay(WHALE, safe), 0, "nothing is owed to it by its own name");
        assertEq(vault.paidOut(WHALE, address(token), whale), 3000e6);
        // And back to itself.
        token.setManner(whale, UnrulyToken.Manner.Good);
        vm.prank(whale);
        vault.redirect(address(token), whale);
        vm.warp(block.timestamp + 1000);
        _release(WHALE, whale, 3100e6);
        assertEq(token.balanceOf(whale), 100e6);
        // Each token by itself.
        vm.prank(whale);
        vault.redirect(makeAddr("another token"), safe);
        assertEq(vault.recipientOf(address(token), whale), whale);
    }

    function test_redirect_refuses() public {
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.InvalidRecipient.selector, address(0)));
        vault.redirect(address(token), address(0));
        vm.expectRevert(abi.encodeWithSelector(CollateralVault.InvalidRecipient.selector, address(vault)));
        vault.redirect(address(token), address(vault));
    }

    function test_a_successor_follows_its_predecessors_limits_and_redirections() public {
        vm.prank(whale);
        vault.redirect(address(token), other);
        CollateralVault next = new CollateralVault(governance, gateway, 2, "network", vault);
        CollateralVault last = new CollateralVault(governance, gateway, 3, "network", next);
        vm.startPrank(governance);
        next.setListed(address(token), true);
        last.setListed(address(token), true);
        vm.stopPrank();
        (PayoutQueue.Limit memory large, PayoutQueue.Limit memory small) = last.limits(address(token));
        assertEq(abi.encode(large, small), abi.encode(_limit(1000e6, 1e6), _limit(100e6, 0.1e6)));
        token.approve(address(last), 2000e6);
        last.deposit(WHALE, address(token), 2000e6);
        vm.prank(gateway);
        last.receiveRelease(WHALE, address(token), whale, 2000e6, 2000e6, 1);
        assertEq(token.balanceOf(other), 1000e6, "its own bucket, full at first");
        vm.prank(whale);
        next.redirect(address(token), whale);
        assertEq(last.recipientOf(address(token), whale), whale);
        assertEq(vault.recipientOf(address(token), whale), other);
        // Listing again takes no limits back.
        vm.startPrank(governance);
        last.setLimits(address(token), _limit(1e6, 1e6), _limit(1e6, 1e6));
        last.setListed(address(token), false);
        last.setListed(address(token), true);
        (large,) = last.limits(address(token));
        assertEq(large.cap, 1e6);
    }

    /* LIMITS */

    function test_limits_change_under_way() public {
        _release(WHALE, whale, 5000e6);
        vm.warp(block.timestamp + 100);
        vm.prank(governance);
        vault.setLimits(address(token), _limit(10e6, 10e6), _limit(100e6, 0.1e6));
        assertEq(_pay(WHALE, whale), 100e6);
        vm.warp(block.timestamp + 100);
        assertEq(_pay(WHALE, whale), 1000e6);
    }

    function test_limits_refuse() public {
        PayoutQueue.Limit memory good = _limit(1e6, 1e6);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this)));
        vault.setLimits(address(token), good, good);
        vm.startPrank(governance);
        PayoutQueue.Limit[3] memory bad = [_limit(0, 1e6), _limit(7 days + 1, 1), _limit(1, 0)];
        for (uint256 i; i < 3; ++i) {
            vm.expectRevert(PayoutQueue.InvalidLimit.selector);
            vault.setLimits(makeAddr("empty"), bad[i], good);
            vm.expectRevert(PayoutQueue.InvalidLimit.selector);
            vault.setLimits(makeAddr("empty"), good, bad[i]);
        }
        // 200,000 lie there: in 30 days they can leave at 0.0772 a second.
        vm.expectRevert(abi.encodeWithSelector(PayoutQueue.LimitTooTight.selector, 200_000e6));
        vault.setLimits(address(token), _limit(1e6, 0.0771e6), good);
        vault.setLimits(address(token), _limit(1e6, 0.0772e6), good);
        PayoutQueue.Limit memory most = _limit(type(uint96).max, type(uint96).max);
        vault.setLimits(address(token), most, most);
        vm.stopPrank();
        vm.warp(block.timestamp + 1000 days);
        _release(WHALE, whale, 100_000e6);
        assertEq(token.balanceOf(whale), 100_000e6);
    }

    /* HALT */

    function test_payouts_are_halted_for_three_days_in_thirty() public {
        bytes memory notOwner =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, address(this));
        vm.expectRevert(notOwner);
        vault.halt();
        vm.expectRevert(notOwner);
        vault.resume();
        vm.startPrank(governance);
        vm.expectRevert(PayoutQueue.NotHalted.selector);
        vault.resume();
        uint256 at = block.timestamp;
        vault.halt();
        vm.stopPrank();
        _release(WHALE, whale, 5000e6);
        _release(OTHER, other, 1000e6);
        assertEq(token.balanceOf(whale) + token.balanceOf(other), 0);
        vault.deposit(OTHER, address(token), 1e6);
        vm.warp(at + 72 hours - 1);
        assertEq(_pay(OTHER, other), 0);
        vm.warp(at + 72 hours);
        assertEq(_pay(OTHER, other), 1000e6);
        assertEq(_pay(WHALE, whale), 5000e6);
        vm.startPrank(governance);
        vm.expectRevert(abi.encodeWithSelector(PayoutQueue.HaltedRecently.selector, at + 30 days));
        vault.halt();
        vm.warp(at + 30 days);
        vault.halt();
        vault.resume();
        vm.stopPrank();
        _release(WHALE, whale, 5100e6);
        assertEq(token.balanceOf(whale), 5100e6);
        vm.prank(governance);
        vm.expectRevert(abi.encodeWithSelector(PayoutQueue.HaltedRecently.selector, at + 60 days));
        vault.halt();
    }

    /* HELPERS */

    function _limit(uint96 cap, uint96 rate) private pure returns (PayoutQueue.Limit memory) {
        return PayoutQueue.Limit(cap, rate);
    }

    function _release(bytes32 account, address to, uint128 value) private {
        vm.prank(gateway);
        vault.receiveRelease(account, address(token), to, value, 0, ++time);
    }

    function _pay(bytes32 account, address to) private returns (uint256) {
        return vault.pay(account, address(token), to);
    }
}
