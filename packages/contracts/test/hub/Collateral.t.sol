// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Books} from "../../src/hub/Books.sol";
import {Collateral} from "../../src/hub/ledger/Collateral.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {ILedger} from "../../src/interfaces/ILedger.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "./HubFixture.sol";

contract CollateralTest is HubFixture {
    function test_settlementTokenBecomesCashWithoutARow() public {
        counter(USDC_A, aliceAccount, 1_000_000_007);
        assertEq(hub.cash(aliceAccount), 1_000_000_007e12);
        assertEq(hub.backing(USDC_A), 1_000_000_007e12);
        assertEq(hub.creditedTotal(USDC_A), 1_000_000_007);
    }

    function test_otherTokensNeedARow() public {
        counter(WETH, aliceAccount, 3e18);
        assertEq(hub.row(aliceAccount, WETH).immature, 3e18);
        assertEq(hub.mature(aliceAccount, WETH), 0);
        openRow(alice, WETH);
        assertEq(hub.mature(aliceAccount, WETH), 3e18);
        assertEq(hub.row(aliceAccount, WETH).claim, 3e18);
        assertEq(hub.assetsOf(aliceAccount).length, 1);
    }

    function test_onlyControllersOpenRows() public {
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.openRow(aliceAccount, WETH);
        vm.prank(alice);
        hub.setDelegate(aliceAccount, bob, true);
        vm.prank(bob);
        hub.openRow(aliceAccount, WETH);
        vm.prank(alice);
        vm.expectRevert(Collateral.RowAlreadyOpen.selector);
        hub.openRow(aliceAccount, WETH);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.UnknownAsset.selector, 9));
        hub.openRow(aliceAccount, 9);
    }

    function test_rowCap() public {
        config.setGlobal(IRiskConfig.Global(5000, 3000, 0, 1500, 1, 1 hours));
        openRow(alice, WETH);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.TooManyRows.selector, aliceAccount));
        hub.openRow(aliceAccount, WBTC);
    }

    function test_onlyGateway() public {
        address usdc = token(USDC_A);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.receiveCounter(A, 1, 1, usdc, aliceAccount, 1);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.receiveTotals(A, 1, 1, usdc, 1, 0, 0);
    }

    /// @dev DESIGN §6.3: whatever the order and however often, only the newest counts.
    function testFuzz_deliveryOrderIsIrrelevant(uint256 seed) public {
        uint128[5] memory values;
        uint128 newest;
        for (uint256 n; n < 5; ++n) {
            values[n] = uint128(uint256(keccak256(abi.encode(seed, n))) % 1e12);
        }
        newest = values[4];
        for (uint256 k; k < 12; ++k) {
            uint256 n = uint256(keccak256(abi.encode(seed, "order", k))) % 5;
            counterAt(USDC_A, aliceAccount, values[n], uint64(block.timestamp - 100 + n));
        }
        counterAt(USDC_A, aliceAccount, newest, uint64(block.timestamp - 96));
        assertEq(hub.row(aliceAccount, USDC_A).target, newest);
        assertEq(hub.creditedTotal(USDC_A), newest);
        uint256 regressed = hub.portfolio(aliceAccount).impaired[0];
        assertEq(uint256(hub.cash(aliceAccount)) - regressed, uint256(newest) * 1e12);
        assertEq(uint256(hub.cash(aliceAccount)), hub.backing(USDC_A));
    }

    function test_tiesTakeTheLarger() public {
        counter(USDC_A, aliceAccount, 5e6);
        counter(USDC_A, aliceAccount, 4e6);
        assertEq(hub.row(aliceAccount, USDC_A).target, 5e6);
        counter(USDC_A, aliceAccount, 6e6);
        assertEq(hub.row(aliceAccount, USDC_A).target, 6e6);
    }

    function test_timesBeyondSkewAreIgnored() public {
        counterAt(USDC_A, aliceAccount, 5e6, uint64(block.timestamp + hub.MAX_SKEW() + 1));
        assertEq(hub.row(aliceAccount, USDC_A).target, 0);
        counterAt(USDC_A, aliceAccount, 5e6, uint64(block.timestamp + hub.MAX_SKEW()));
        assertEq(hub.row(aliceAccount, USDC_A).target, 5e6);
    }

    function test_epochsOpenInOrderAndCountApart() public {
        fundCash(aliceAccount, 10);
        address usdc = token(USDC_A);
        IRiskConfig.Asset memory next = config.asset(USDC_A);
        next.epoch = 2;
        config.setAsset(6, next);
        vm.expectRevert(Books.EpochNotAnnounced.selector);
        hub.openEpoch(A, 2);
        _second(usdc, 7e6);
        assertEq(hub.cash(aliceAccount), 10e18, "heard of, not opened");
        vm.expectRevert(Books.EpochOutOfOrder.selector);
        hub.openEpoch(A, 3);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        hub.openEpoch(A, 2);
        hub.openEpoch(A, 2);
        _second(usdc, 7e6);
        assertEq(hub.cash(aliceAccount), 17e18, "cash is one");
        assertEq(hub.creditedTotal(USDC_A), 10e6, "counters are not");
        assertEq(hub.creditedTotal(6), 7e6);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Collateral.InsufficientBacking.selector, 6, 7e6, 8e6));
        hub.withdraw(aliceAccount, 6, alice, 8e6);
        hub.withdraw(aliceAccount, 6, alice, 7e6);
        hub.withdraw(aliceAccount, USDC_A, alice, 10e6);
        vm.stopPrank();
        assertEq(hub.released(aliceAccount, alice, USDC_A), 10e6);
        assertEq(hub.released(aliceAccount, alice, 6), 7e6);
    }

    function _second(address usdc, uint128 value) private {
        vm.prank(gateway);
        hub.receiveCounter(A, 2, uint64(block.timestamp), usdc, aliceAccount, value);
    }

    function test_unlistedTokenIsCreditedOnceListed() public {
        address late = makeAddr("late");
        vm.prank(gateway);
        hub.receiveCounter(A, 1, uint64(block.timestamp), late, aliceAccount, 7e6);
        _list(A, "late", 6, FEED_USDC, true, 10_000, 10_000, USDC_CAP);
        vm.warp(block.timestamp + 1);
        vm.prank(gateway);
        hub.receiveCounter(A, 1, uint64(block.timestamp), late, aliceAccount, 7e6);
        assertEq(hub.cash(aliceAccount), 7e18);
    }

    function test_maturingBucketBoundsCredit() public {
        counter(USDC_A, aliceAccount, type(uint128).max);
        counter(USDC_A, bobAccount, type(uint128).max);
        assertEq(hub.cash(aliceAccount), int256(uint256(USDC_CAP) * 1e12));
        assertEq(hub.cash(bobAccount), 0);
        assertEq(hub.creditedTotal(USDC_A), type(uint128).max);
        vm.warp(block.timestamp + 10);
        assertEq(hub.mature(bobAccount, USDC_A), USDC_CAP / 10_000);
        vm.warp(block.timestamp + 1_000_000);
        assertEq(hub.mature(bobAccount, USDC_A), USDC_CAP, "never above the cap");
    }

    function test_regressionTakesImmatureFirst() public {
        counter(WETH, aliceAccount, 3e18);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 1e18);
        IClearinghouse.Row memory r = hub.row(aliceAccount, WETH);
        assertEq(r.immature, 1e18);
        assertEq(r.credited, 1e18);
        assertEq(r.regressedSince, 0);
        assertEq(hub.suspicions(A), 0);
    }

    function test_regressedCashNeitherLeavesNorCounts() public {
        fundCash(aliceAccount, 100);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 40);
        assertEq(hub.cash(aliceAccount), 100e18);
        assertEq(engine.accountHealth(aliceAccount).im, 40e18);
        vm.prank(alice);
        vm.expectRevert(
            abi.encodeWithSelector(LedgerBase.InsufficientCash.selector, aliceAccount, 40e18, 41e18)
        );
        hub.withdraw(aliceAccount, USDC_A, alice, 41e6);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_A, alice, 40e6);
        assertEq(hub.cash(aliceAccount), 60e18);
    }

    function test_regressionStopsTheChainUntilRestored() public {
        fundCash(aliceAccount, 100);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 40);
        fundCash(bobAccount, 50);
        counter(USDC_B, bobAccount, 5e6);
        assertEq(hub.cash(bobAccount), 5e18, "only the other chain matures");
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 100);
        assertEq(hub.row(aliceAccount, USDC_A).regressedSince, 0);
        assertEq(hub.mature(bobAccount, USDC_A), 50e6);
        assertEq(hub.cash(aliceAccount), 100e18);
    }

    /// A unit that is missing of one token is that token's affair.
    function test_shortfallStopsItsOwnTokenOnly() public {
        openRow(alice, WETH);
        address usdc = token(USDC_A);
        vm.prank(gateway);
        hub.receiveTotals(A, 1, uint64(block.timestamp), usdc, 10, 0, 1);
        fundCash(aliceAccount, 5);
        assertEq(hub.cash(aliceAccount), 0);
        counter(WETH, aliceAccount, 1e18);
        assertEq(hub.row(aliceAccount, WETH).claim, 1e18, "another token of the chain");
        counter(USDC_B, aliceAccount, 5e6);
        assertEq(hub.cash(aliceAccount), 5e18, "the same token on another chain");
        vm.prank(gateway);
        hub.receiveTotals(A, 1, uint64(block.timestamp + 1), usdc, 10, 0, 0);
        assertEq(hub.mature(aliceAccount, USDC_A), 5e6);
    }

    /// Of claims everybody bears the same share, whoever leaves first; of cash the fund does, and gets it back.
    function test_shortfallIsSharedProRata() public {
        openRow(alice, WETH);
        openRow(bob, WETH);
        counter(WETH, aliceAccount, 6e18);
        counter(WETH, bobAccount, 4e18);
        _short(WETH, 1e18);
        assertEq(hub.portfolio(aliceAccount).impaired[0], 0.6e18);
        assertEq(hub.portfolio(bobAccount).claims[0], 4e18);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 2.7e18);
        assertEq(hub.row(aliceAccount, WETH).claim, 3e18);
        assertEq(hub.portfolio(bobAccount).impaired[0], 0.4e18, "who stays is not worse off");
        vm.prank(bob);
        vm.expectPartialRevert(Collateral.InsufficientClaim.selector);
        hub.withdraw(bobAccount, WETH, bob, 3.6e18 + 1);
        vm.prank(bob);
        hub.withdraw(bobAccount, WETH, bob, 3.6e18);
        assertEq(hub.row(bobAccount, WETH).claim, 0);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 2.7e18);
        (int256 net, uint256 claims,,,) = hub.vaulted(WETH);
        assertEq(net, 1e18, "what is missing");
        assertEq(claims, 0);
    }

    function test_shortfallIsWrittenOffAndTakenBack() public {
        openRow(alice, WETH);
        openRow(bob, WETH);
        counter(WETH, aliceAccount, 10e18);
        _short(WETH, 1e18);
        counter(WETH, bobAccount, 9e18);
        assertEq(hub.row(bobAccount, WETH).claim, 0, "who comes later doesn't bear it");
        hub.repair(WETH);
        assertEq(hub.portfolio(aliceAccount).claims[0], 10e18, "not before the delay");
        assertEq(_written(WETH), 0);
        vm.warp(block.timestamp + 1 hours - 1);
        hub.repair(WETH);
        assertEq(_written(WETH), 0, "nor a second before");
        vm.warp(block.timestamp + 1);
        hub.repair(WETH);
        assertEq(hub.portfolio(aliceAccount).claims[0], 9e18);
        assertEq(hub.portfolio(aliceAccount).impaired[0], 0);
        hub.mature(bobAccount, WETH);
        assertEq(hub.portfolio(bobAccount).claims[0], 9e18, "a token buys what is worth a token");
        assertEq(hub.portfolio(aliceAccount).claims[0], 9e18);
        vm.prank(bob);
        hub.withdraw(bobAccount, WETH, bob, 9e18);
        vm.warp(block.timestamp + 1);
        _short(WETH, 0);
        hub.repair(WETH);
        assertEq(hub.portfolio(aliceAccount).claims[0], 10e18);
    }

    /// A dust shortfall of long ago is no reason to write a new one off at once.
    function test_aGrowingShortfallWaitsAnew() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 10e18);
        _short(WETH, 1);
        vm.warp(block.timestamp + 1 days);
        hub.repair(WETH);
        _short(WETH, 9e18);
        hub.repair(WETH);
        assertEq(_written(WETH), 1, "not with what was written off before");
        // What fades in a second.
        assertEq(hub.portfolio(aliceAccount).claims[0], 10e18 - 9e18 / 3600);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(WETH);
        assertEq(hub.portfolio(aliceAccount).claims[0], 1e18);
    }

    /// What is found needs no delay, however lately more was missing.
    function test_whatIsFoundIsTakenBackAtOnce() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 10e18);
        _short(WETH, 4e18);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(WETH);
        vm.warp(block.timestamp + 1);
        _short(WETH, 6e18);
        vm.warp(block.timestamp + 1);
        _short(WETH, 1e18);
        hub.repair(WETH);
        assertEq(_written(WETH), 1e18);
    }

    function _written(uint256 assetId) private view returns (uint128 written) {
        (,, written,,) = hub.vaulted(assetId);
    }

    /// Shares that are worth next to nothing are not sold: their number would fit no slot, and its message would revert.
    function test_nobodyBuysIntoAVaultThatLostAll() public {
        openRow(alice, WETH);
        openRow(bob, WETH);
        counter(WETH, aliceAccount, 1000e18);
        _short(WETH, 1000e18 - 1);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(WETH);
        vm.warp(block.timestamp + 1 days);
        counter(WETH, bobAccount, 1000e18);
        assertEq(hub.row(bobAccount, WETH).immature, 1000e18);
        vm.warp(block.timestamp + 1);
        _short(WETH, 0);
        hub.repair(WETH);
        assertGt(hub.mature(bobAccount, WETH), 0);
    }

    function test_shortfallOfCashIsTheFundsThenEverybodys() public {
        fundCash(aliceAccount, 100);
        counter(USDC_B, fundAccount, 30e6);
        counter(USDC_B, bobAccount, 50e6);
        _short(USDC_A, 40e6);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Collateral.InsufficientBacking.selector, USDC_A, 60e6, 61e6));
        hub.withdraw(aliceAccount, USDC_A, alice, 61e6);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        assertEq(hub.cash(fundAccount), 0);
        assertEq(hub.lostBacking(), 0, "10 of 150 were everybody's");
        assertApproxEqAbs(uint256(hub.cash(aliceAccount)), uint256(100e18) * 140 / 150, 100);
        assertApproxEqAbs(uint256(hub.cash(bobAccount)), uint256(50e18) * 140 / 150, 100);
        (uint256 total, uint256 index) = hub.totalCash();
        assertEq(total, 140e18);
        assertEq(index, uint256(1e18) * 140 / 150);
        assertEq(hub.backing(USDC_A), 60e18);
        fundCash(aliceAccount, 120);
        assertApproxEqAbs(
            uint256(hub.cash(aliceAccount)),
            uint256(100e18) * 140 / 150 + 20e18,
            100,
            "what comes later is whole"
        );
        vm.warp(block.timestamp + 1);
        _short(USDC_A, 15e6);
        hub.repair(USDC_A);
        assertEq(hub.cash(fundAccount), 25e18, "what comes back is the fund's first");
        assertEq(hub.lostBacking(), 0);
        assertEq(hub.backing(USDC_A), 105e18);
        vm.warp(block.timestamp + 1);
        _short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(hub.cash(fundAccount), 30e18);
        assertEq(hub.lostBacking(), -10e18, "and what is left bears what is lost next");
    }

    /// Whoever verifies a spoke's messages may say that any number is missing: all of it is written off, and an honest message restores it.
    function test_aShortfallOfAnyNumberIsWrittenOffAndTakenBack() public {
        fundCash(aliceAccount, 100);
        _short(USDC_A, type(uint128).max);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        assertEq(hub.backing(USDC_A), 0);
        vm.warp(block.timestamp + 1);
        _short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(hub.backing(USDC_A), 100e18);
        assertEq(hub.overdrawn(), 0);
    }

    function _short(uint256 assetId, uint128 amount) private {
        IRiskConfig.Asset memory a = config.asset(assetId);
        vm.prank(gateway);
        hub.receiveTotals(a.eid, a.epoch, uint64(block.timestamp), a.token, 0, 0, amount);
    }

    function _totals(uint128 totalIn, uint128 totalOut, uint128 shortfall) private {
        address usdc = token(USDC_A);
        vm.prank(gateway);
        hub.receiveTotals(A, 1, uint64(block.timestamp), usdc, totalIn, totalOut, shortfall);
    }

    function test_totalsOfTheSameTime_keepANewShortfall() public {
        _totals(10, 0, 0);
        _totals(10, 0, 3);
        _totals(12, 4, 0);
        (uint128 totalIn, uint128 totalOut, uint128 shortfall,) = hub.totals(A, 1, token(USDC_A));
        assertEq(totalIn, 12);
        assertEq(totalOut, 4);
        assertEq(shortfall, 3);
    }

    function testFuzz_totalsOfTheSameTime_inAnyOrder(
        uint128[3] memory a,
        uint128[3] memory b,
        uint128[3] memory c
    ) public {
        uint256 before = vm.snapshotState();
        bytes32 first = _totalsAfter(a, b, c);
        vm.revertToState(before);
        assertEq(_totalsAfter(c, b, a), first);
        vm.revertToState(before);
        assertEq(_totalsAfter(b, a, c), first);
    }

    function _totalsAfter(uint128[3] memory a, uint128[3] memory b, uint128[3] memory c)
        private
        returns (bytes32)
    {
        _totals(a[0], a[1], a[2]);
        _totals(b[0], b[1], b[2]);
        _totals(c[0], c[1], c[2]);
        (uint128 totalIn, uint128 totalOut, uint128 shortfall,) = hub.totals(A, 1, token(USDC_A));
        return keccak256(abi.encode(totalIn, totalOut, shortfall));
    }

    function test_bookRegressionTakesCashThenFundThenAllCash() public {
        fundCash(aliceAccount, 100);
        fundCash(bobAccount, 500);
        counter(USDC_B, fundAccount, 30e6);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_A, alice, 80e6);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 0);
        vm.expectRevert(Books.NothingToBook.selector);
        hub.bookRegression(aliceAccount, USDC_A);
        vm.warp(block.timestamp + 1 hours - 1);
        vm.expectRevert(Books.NothingToBook.selector);
        hub.bookRegression(aliceAccount, USDC_A);
        vm.warp(block.timestamp + 1);
        hub.bookRegression(aliceAccount, USDC_A);
        assertEq(hub.cash(aliceAccount), 0, "20 of 100 were left");
        assertEq(hub.cash(fundAccount), 0, "30 from the fund");
        assertEq(hub.lostBacking(), 0);
        assertEq(hub.backing(USDC_A), 420e18);
        assertEq(hub.cash(bobAccount), 450e18, "the rest from all cash");
        assertEq(hub.suspicions(A), 0);

        // The counter comes back: to the fund, and to nobody who has cash by now.
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 60);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(hub.repair(USDC_A), 60e6);
        assertEq(hub.cash(fundAccount), 30e18, "the fund's first");
        assertEq(hub.lostBacking(), -30e18, "the rest bears what is lost next");
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 100);
        assertEq(hub.cash(aliceAccount), 20e18);
        assertEq(hub.repair(USDC_A), 20e6);
        assertEq(hub.cash(fundAccount), 30e18);
        assertEq(hub.lien(aliceAccount, USDC_A), 0);
        assertEq(hub.backing(USDC_A), 520e18);
        assertEq(hub.fundBorne(), 0);
    }

    /// What others took out there is their vault's shortage. The fund gains nothing by it, and all is as before when the counter is back.
    function test_bookRegressionBeyondTheChainsBacking() public {
        fundCash(aliceAccount, 100);
        counter(USDC_B, bobAccount, 90e6);
        // Bob leaves through chain A, with Alice's backing.
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 90e6);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 0);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(aliceAccount, USDC_A);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(hub.backing(USDC_A), 0);
        assertEq(hub.overdrawn(), 90e18, "Bob waits");
        assertEq(hub.lostBacking(), -90e18, "and what he left on chain B waits for him");
        hub.repair(USDC_A);
        assertEq(hub.cash(fundAccount), 0);
        // Whoever deposits there now pays Bob, and gets what he left.
        counter(USDC_A, aliceAccount, 0);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 100);
        assertEq(hub.cash(aliceAccount), 100e18);
        assertEq(hub.backing(USDC_A), 10e18, "of the 100 at the vault 90 are Bob's");
        assertEq(hub.lostBacking(), 0);
        assertEq(hub.overdrawn(), 0);
    }

    /// What a recipient waits for at a vault isn't the fund's, whatever it paid for other losses.
    function test_theFundIsNotPaidBackWithWhatOthersWaitFor() public {
        counter(USDC_B, fundAccount, 30e6);
        fundCash(aliceAccount, 100);
        counter(USDC_B, bobAccount, 90e6);
        _short(USDC_B, 20e6);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_B);
        assertEq(hub.fundBorne(), 20e18);
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 90e6);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 0);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(aliceAccount, USDC_A);
        hub.repair(USDC_A);
        assertEq(hub.overdrawn(), 90e18);
        assertEq(hub.cash(fundAccount), 10e18);
        assertEq(hub.lostBacking(), -90e18);
    }

    /// A counter that comes back is no more trusted than a new one.
    function test_whatComesBackGoesThroughTheBucket() public {
        fundCash(aliceAccount, 100);
        fundCash(bobAccount, 100);
        counter(USDC_B, fundAccount, 100e6);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_A, alice, 100e6);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 0);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(aliceAccount, USDC_A);
        assertEq(hub.cash(fundAccount), 0);
        counter(USDC_A, bobAccount, 100e6 + USDC_CAP);
        assertEq(hub.row(bobAccount, USDC_A).immature, 0, "the bucket is empty");
        fundCash(aliceAccount, 100);
        assertEq(hub.repair(USDC_A), 0);
        vm.warp(block.timestamp + 1);
        assertEq(hub.repair(USDC_A), 100e6);
        assertEq(hub.cash(fundAccount), 100e18);
    }

    function test_bookRegressionOfAClaim() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 5e18);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 2e18);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 1e18);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Collateral.InsufficientClaim.selector, 0, 1));
        hub.withdraw(aliceAccount, WETH, alice, 1);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(aliceAccount, WETH);
        assertEq(hub.row(aliceAccount, WETH).claim, 0);
        (int256 net,,,,) = hub.vaulted(WETH);
        assertEq(net, -1e18, "who was paid there waits");
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 3e18);
        hub.mature(aliceAccount, WETH);
        hub.repair(WETH);
        (net,,,,) = hub.vaulted(WETH);
        assertEq(net, 1e18);
        assertEq(hub.row(aliceAccount, WETH).claim, 1e18);
    }

    /// A claim that was passed on before its counter fell is its holders' loss, in equal parts, until the counter is back.
    function test_lossOfClaimsIsSharedByTheirHolders() public {
        openRow(alice, WETH);
        openRow(bob, WETH);
        counter(WETH, aliceAccount, 6e18);
        counter(WETH, bobAccount, 4e18);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, backstopAccount, 1e18, 0);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 1e18);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(aliceAccount, WETH);
        assertEq(hub.portfolio(bobAccount).claims[0], 4e18, "not from maintenance margin at once");
        assertEq(hub.portfolio(bobAccount).impaired[0], 2e18);
        vm.warp(block.timestamp + 1 hours);
        assertEq(hub.portfolio(bobAccount).claims[0], 2e18);
        assertEq(hub.portfolio(backstopAccount).claims[0], 3e18);
        vm.prank(bob);
        hub.withdraw(bobAccount, WETH, bob, 2e18);
        assertEq(hub.portfolio(backstopAccount).claims[0], 3e18);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 6e18);
        hub.repair(WETH);
        assertEq(hub.portfolio(backstopAccount).claims[0], 6e18);
        assertEq(hub.row(aliceAccount, WETH).immature, 0);
    }

    /// Every balance by the same index, whoever is touched when; what comes in later is whole; and events tell all of it.
    function testFuzz_aCutTakesTheSameOfAll(uint256 seed) public {
        bytes32[4] memory accounts = [aliceAccount, bobAccount, keccak256("carol"), keccak256("dave")];
        for (uint256 n; n < 4; ++n) {
            counter(USDC_B, accounts[n], uint128(1e6 + (seed >> (40 * n)) % 1e12));
        }
        counter(USDC_A, aliceAccount, 1e12);
        uint128 missing;
        for (uint256 cut = 1; cut <= 3; ++cut) {
            (uint256 total, uint256 index) = hub.totalCash();
            uint256[4] memory before;
            for (uint256 n; n < 4; ++n) {
                before[n] = uint256(hub.cash(accounts[n]));
            }
            uint128 lost = uint128((seed >> (160 + cut)) % 3e11 + 1);
            missing += lost;
            vm.warp(block.timestamp + 1);
            _short(USDC_A, missing);
            vm.warp(block.timestamp + 1 hours);
            uint256 left = index * (total - lost * 1e12) / total;
            vm.expectEmit(address(hub));
            emit ILedger.CashCut(lost * 1e12, total, left);
            hub.repair(USDC_A);
            assertEq(hub.lostBacking(), 0);
            uint256 sum;
            for (uint256 n; n < 4; ++n) {
                uint256 now_ = uint256(hub.cash(accounts[n]));
                // Who isn't touched is rounded once for all cuts.
                assertGe(now_, before[n] * left / index, "cash as the event tells");
                assertLe(now_, before[n] * left / index + 1, "cash as the event tells");
                sum += now_;
            }
            (total,) = hub.totalCash();
            assertLe(sum, total, "never more than is backed");
            assertApproxEqAbs(sum, total, 1e8);
            // Some are touched between, and their own roundings are theirs.
            vm.startPrank(auction);
            for (uint256 n; n < 4; ++n) {
                if ((seed >> (200 + 4 * cut + n)) & 1 != 0) {
                    hub.moveCash(accounts[n], accounts[(n + 1) % 4], 1e15);
                }
            }
            vm.stopPrank();
        }
        (uint256 rest,) = hub.totalCash();
        assertEq(rest, hub.totalBacking());
    }

    /// Cash can't be cut to nothing: what is left then stays lost, and who comes later keeps what is theirs.
    function test_cashIsNeverCutToNothing() public {
        fundCash(aliceAccount, 100);
        for (uint128 n = 1; n <= 3; ++n) {
            _short(USDC_A, n * 100e6);
            vm.warp(block.timestamp + 1 hours);
            hub.repair(USDC_A);
            (uint256 total, uint256 index) = hub.totalCash();
            assertGe(index, 1e12);
            if (n == 1) assertEq(index, 1e12, "a millionth of what was there stays");
            assertEq(int256(total), int256(uint256(hub.totalBacking())) + hub.lostBacking());
            vm.warp(block.timestamp + 1);
            uint256 held = uint256(hub.cash(aliceAccount));
            counter(USDC_A, aliceAccount, (n + 1) * 100e6);
            assertEq(uint256(hub.cash(aliceAccount)), held + 100e18, "whole");
        }
    }

    function test_withdrawRaisesReleased() public {
        fundCash(aliceAccount, 100);
        vm.startPrank(alice);
        hub.withdraw(aliceAccount, USDC_A, bob, 30e6);
        hub.withdraw(aliceAccount, USDC_A, bob, 20e6);
        vm.expectRevert(LedgerBase.ZeroValue.selector);
        hub.withdraw(aliceAccount, USDC_A, address(0), 1);
        vm.stopPrank();
        assertEq(hub.released(aliceAccount, bob, USDC_A), 50e6);
        assertEq(hub.backing(USDC_A), 50e18);
    }

    function test_withdrawNeedsBackingThere() public {
        fundCash(aliceAccount, 100);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Collateral.InsufficientBacking.selector, USDC_B, 0, 1e6));
        hub.withdraw(aliceAccount, USDC_B, alice, 1e6);
    }

    function test_delegatesNeverTakeMoney() public {
        fundCash(aliceAccount, 100);
        vm.prank(alice);
        hub.setDelegate(aliceAccount, bob, true);
        vm.startPrank(bob);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.withdraw(aliceAccount, USDC_A, bob, 1);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.transferCash(aliceAccount, bobAccount, 1);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.setDelegate(aliceAccount, bob, true);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.setPortfolioMargin(aliceAccount, true);
        vm.stopPrank();
    }

    function test_debtFreeAccountLeavesWithoutPrices() public {
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 5e18);
        fundCash(aliceAccount, 100);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        oracle.set(FEED_USDC, 1e18, 0, 0, false);
        vm.startPrank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 5e18);
        hub.withdraw(aliceAccount, USDC_A, alice, 100e6);
        vm.stopPrank();
    }

    /// A profit that nobody has paid yet is no debt.
    function test_unpaidProfitHoldsNobodyBack() public {
        fundCash(aliceAccount, 1000);
        openRow(bob, WETH);
        counter(WETH, bobAccount, 1e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        oracle.set(FEED_ETH, 2100e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 1e18, 2100e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).quote, 100e18);
        oracle.set(FEED_ETH, 2100e18, 0, 0, false);
        oracle.set(FEED_USDC, 1e18, 0, 0, false);
        vm.startPrank(alice);
        hub.transferCash(aliceAccount, bobAccount, 400e18);
        hub.withdraw(aliceAccount, USDC_A, alice, 600e6);
        vm.stopPrank();
        // Bob owes.
        vm.prank(bob);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.withdraw(bobAccount, WETH, bob, 1);
    }

    function test_withdrawKeepsInitialMargin() public {
        fundCash(aliceAccount, 1000);
        fundCash(bobAccount, 1000);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.startPrank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.withdraw(aliceAccount, USDC_A, alice, 801e6);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.transferCash(aliceAccount, bobAccount, 801e18);
        hub.withdraw(aliceAccount, USDC_A, alice, 799e6);
        vm.stopPrank();
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        vm.prank(bob);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.withdraw(bobAccount, USDC_A, bob, 1);
    }

    function test_releaseToIsForTheBackstopsOwnClaims() public {
        counter(WETH, backstopAccount, 2e18);
        openRow(backstop, WETH);
        hub.mature(backstopAccount, WETH);
        vm.prank(auction);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.releaseTo(backstopAccount, WETH, auction, 1);
        vm.startPrank(backstop);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.releaseTo(aliceAccount, WETH, auction, 1);
        hub.releaseTo(backstopAccount, WETH, auction, 2e18);
        vm.stopPrank();
        assertEq(hub.released(backstopAccount, auction, WETH), 2e18);
    }

    function test_fitsTheCodeSizeLimit() public view {
        assertLt(address(hub).code.length, 24_576);
    }
}
