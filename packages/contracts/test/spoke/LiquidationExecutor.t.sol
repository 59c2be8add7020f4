// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILiquidationExecutor} from "../../src/interfaces/ILiquidation.sol";
import {CollateralVault} from "../../src/spoke/CollateralVault.sol";
import {LiquidationExecutor} from "../../src/spoke/LiquidationExecutor.sol";
import {LotFixture} from "./LotFixture.sol";

/// @dev Feed 1 prices ETH (18 decimals) at 2,000 in the settlement token (6 decimals); from +5% to −10% in 1,000 s.
contract LiquidationExecutorTest is LotFixture {
    function setUp() public override {
        super.setUp();
        oracle.update(_flat(_now(), 2_000e8));
        usdc.mint(address(this), 1e15);
        usdc.approve(address(executor), type(uint256).max);
    }

    function test_the_price_falls_from_premium_to_floor() public {
        _open(10e18);
        uint256 openedAt = block.timestamp;
        assertEq(executor.quote(address(eth), 1e18), 2_100e6);
        for (uint256 elapsed = 100; elapsed <= 1_000; elapsed += 100) {
            vm.warp(openedAt + elapsed);
            _refresh(2_000e8);
            assertEq(executor.quote(address(eth), 1e18), 2_100e6 - (300e6 * elapsed) / 1_000);
        }
        assertEq(executor.quote(address(eth), 1e18), 1_800e6, "the floor");
        vm.warp(openedAt + 1_001);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.NoLot.selector, address(eth)));
        executor.quote(address(eth), 1e18);
        _refresh(2_000e8);
        executor.open(address(eth));
        assertEq(executor.quote(address(eth), 1e18), 2_100e6, "anew");
    }

    function test_buy_deposits_the_proceeds_for_the_backstop() public {
        _open(10e18);
        vm.expectEmit(address(executor));
        emit ILiquidationExecutor.LotSold(address(eth), address(this), 4e18, 8_400e6);
        (uint256 bought, uint256 proceeds) = executor.buy(address(eth), 4e18, 8_400e6);
        assertEq(bought, 4e18);
        assertEq(proceeds, 8_400e6);
        assertEq(eth.balanceOf(address(this)), 4e18);
        assertEq(vault.depositedIn(BACKSTOP, address(usdc)), 8_400e6);
        assertEq(usdc.balanceOf(address(vault)), 8_400e6);
        assertEq(usdc.balanceOf(address(executor)), 0);
        (bought,) = executor.buy(address(eth), 100e18, type(uint256).max);
        assertEq(bought, 6e18, "what is left");
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.NoLot.selector, address(eth)));
        executor.buy(address(eth), 1, type(uint256).max);
    }

    function test_refusals() public {
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.NothingToSell.selector, address(eth)));
        executor.open(address(eth));
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.TokenNotListed.selector, address(usdc)));
        executor.open(address(usdc));
        _open(10e18);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.LotOpen.selector, address(eth)));
        executor.open(address(eth));
        vm.expectRevert(
            abi.encodeWithSelector(LiquidationExecutor.ProceedsAboveMax.selector, 2_100e6, 2_100e6 - 1)
        );
        executor.buy(address(eth), 1e18, 2_100e6 - 1);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.NothingToSell.selector, address(eth)));
        executor.buy(address(eth), 0, 1);
        vm.warp(block.timestamp + 121);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.PriceNotFresh.selector, 1));
        executor.buy(address(eth), 1e18, type(uint256).max);
    }

    /// @dev What the old vault paid is sold all the same: it takes no deposits any more, its successor does.
    function test_proceeds_go_into_the_newest_vault() public {
        _open(10e18);
        vm.prank(governance);
        vault.seal();
        CollateralVault next = new CollateralVault(governance, makeAddr("gateway"), 2, "network", vault);
        vm.prank(governance);
        next.setListed(address(usdc), true);
        vm.expectRevert(CollateralVault.VaultSealed.selector);
        executor.buy(address(eth), 1e18, type(uint256).max);
        vaults.open(next);
        executor.buy(address(eth), 1e18, type(uint256).max);
        assertEq(next.depositedIn(BACKSTOP, address(usdc)), 2_100e6);
    }

    /// @dev What arrives during a lot waits, so that dust opened early doesn't put a large lot at the floor at once.
    function test_arrivals_wait_for_the_next_lot() public {
        _open(1);
        eth.mint(address(executor), 10e18);
        vm.warp(block.timestamp + 100);
        _refresh(2_000e8);
        (uint256 bought, uint256 proceeds) = executor.buy(address(eth), 10e18, type(uint256).max);
        assertEq(bought, 1);
        assertEq(proceeds, 1, "rounded up");
        executor.open(address(eth));
        assertEq(executor.quote(address(eth), 1e18), 2_100e6);
    }

    function test_an_unconfirmed_jump_counts_only_upwards() public {
        _open(10e18);
        _refresh(3_000e8);
        assertEq(oracle.price(1).parked, 3_000e18);
        assertGt(executor.quote(address(eth), 1e18), 3_000e6);
        _refresh(2_000e8);
        _refresh(1_000e8);
        assertEq(oracle.price(1).parked, 1_000e18);
        assertGt(executor.quote(address(eth), 1e18), 1_990e6);
    }

    function test_governance() public {
        LiquidationExecutor.Terms memory terms = LiquidationExecutor.Terms(500, 10_000, 1_000);
        vm.expectRevert();
        executor.setTerms(terms);
        vm.startPrank(governance);
        vm.expectRevert(LiquidationExecutor.InvalidTerms.selector);
        executor.setTerms(terms);
        terms = LiquidationExecutor.Terms(0, 0, 0);
        vm.expectRevert(LiquidationExecutor.InvalidTerms.selector);
        executor.setTerms(terms);
        vm.expectRevert(abi.encodeWithSelector(LiquidationExecutor.TokenNotListed.selector, address(usdc)));
        executor.setListing(address(usdc), 1);
    }

    /// @dev Any split of a purchase costs at least as much as the whole, and never less than the floor.
    function testFuzz_splitting_never_pays(uint256 first, uint256 elapsed) public {
        _open(10e18);
        vm.warp(block.timestamp + bound(elapsed, 0, 100));
        first = bound(first, 1, 10e18 - 1);
        uint256 whole = executor.quote(address(eth), 10e18);
        uint256 parts = executor.quote(address(eth), first) + executor.quote(address(eth), 10e18 - first);
        assertGe(parts, whole);
        assertLe(parts, whole + 1);
        assertGe(whole, 18_000e6);
    }

    function _open(uint256 amount) private {
        eth.mint(address(executor), amount);
        vm.expectEmit(address(executor));
        emit ILiquidationExecutor.LotOpened(address(eth), amount, uint64(block.timestamp));
        executor.open(address(eth));
    }

    function _refresh(int64 price) private {
        vm.warp((block.timestamp / SLOT + 1) * SLOT - SLOT);
        (, uint64 seq) = oracle.latest();
        if (_now() <= seq) vm.warp((uint256(seq) + 1) * SLOT);
        oracle.update(_flat(_now(), price));
    }
}
