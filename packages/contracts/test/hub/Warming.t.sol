// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Books} from "../../src/hub/Books.sol";
import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {Deleveraging} from "../../src/hub/Deleveraging.sol";
import {Lending} from "../../src/hub/Lending.sol";
import {Settlement} from "../../src/hub/Settlement.sol";
import {Silence} from "../../src/hub/Silence.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {ILedger} from "../../src/interfaces/ILedger.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {HubFixture} from "./HubFixture.sol";

contract WarmingTest is HubFixture {
    bytes32 internal carolAccount = Accounts.main(makeAddr("carol"));

    function setUp() public override {
        super.setUp();
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 10_000);
        _approve(makeAddr("carol"));
    }

    /// @dev Alice wins 1000 of Bob's, settled.
    function _win() internal {
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2000e18);
        oracle.set(FEED_ETH, 2100e18);
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 2100e18);
    }

    function _withdraw(address who, uint128 usdc) internal {
        vm.prank(who);
        hub.withdraw(Accounts.main(who), USDC_A, who, usdc * 1e6);
    }

    /* INTO CASH */

    function test_profitBecomesCashInAStraightLine() public {
        _win();
        (uint256 amount, uint256 ripe, uint256 until) = hub.warming(aliceAccount);
        assertEq(amount, 1000e18);
        assertEq(ripe, 0);
        assertEq(until, block.timestamp + 1 days);
        assertEq(hub.cash(aliceAccount), 10_000e18);
        vm.warp(block.timestamp + 6 hours);
        (amount, ripe,) = hub.warming(aliceAccount);
        assertEq(amount, 1000e18);
        assertEq(ripe, 250e18);
        vm.expectEmit();
        emit ILedger.Warmed(aliceAccount, 250e18);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), 10_250e18);
        assertEq(warmingTotal(), 750e18);
        vm.warp(until);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), 11_000e18);
        assertEq(warmingTotal(), 0);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), 11_000e18);
    }

    function testFuzz_whenToWarmIsNobodysChoice(uint256 seed) public {
        _win();
        uint256 start = block.timestamp;
        for (uint256 n; n < 5; ++n) {
            vm.warp(start + (n + 1) * 4 hours + uint256(keccak256(abi.encode(seed, n))) % 4 hours);
            hub.warm(aliceAccount);
            uint256 expected = 1000e18 * (block.timestamp - start) / 1 days;
            assertApproxEqAbs(hub.cash(aliceAccount), int256(10_000e18 + expected), 10);
        }
    }

    /// DESIGN §4: not what the loss order may still ask for.
    function test_warmingProfitCannotLeave() public {
        _win();
        vm.expectPartialRevert(LedgerBase.InsufficientCash.selector);
        _withdraw(alice, 10_001);
        vm.prank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientCash.selector);
        hub.transferCash(aliceAccount, bobAccount, 10_001e18);
        vm.warp(block.timestamp + 12 hours);
        // What has warmed needs no call of its own.
        _withdraw(alice, 10_400);
        vm.prank(alice);
        hub.transferCash(aliceAccount, bobAccount, 100e18);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(warmingTotal(), 500e18);
    }

    function test_moreProfitIsAddedByMoneyAndTime() public {
        _win();
        vm.warp(block.timestamp + 18 hours);
        oracle.set(FEED_ETH, 2000e18);
        fundCash(bobAccount, 20_000);
        uint256 now_ = block.timestamp;
        _win();
        // 250 left for 6 hours and 1000 for 24.
        (uint256 amount,, uint256 until) = hub.warming(aliceAccount);
        assertEq(amount, 1250e18);
        assertEq(until, now_ + (250 * 6 hours + 1000 * 24 hours) / 1250);
        assertEq(hub.cash(aliceAccount), 10_750e18);
    }

    /* LOSSES */

    function test_lossesTakeWarmingProfitFirst() public {
        _win();
        oracle.set(FEED_ETH, 2000e18);
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2000e18);
        oracle.set(FEED_ETH, 1960e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), -400e18);
        assertEq(hub.cash(aliceAccount), 10_000e18);
        assertEq(warmingTotal(), 600e18);
        oracle.set(FEED_ETH, 1890e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_PERP), -700e18);
        assertEq(hub.cash(aliceAccount), 9900e18);
        assertEq(warmingTotal(), 0);
        // What it paid warms with the winner, from now on.
        assertEq(hub.settlePnl(bobAccount, ETH_PERP), 1100e18);
        (uint256 amount,, uint256 until) = hub.warming(bobAccount);
        assertEq(amount, 1100e18);
        assertEq(until, block.timestamp + 1 days);
    }

    /// It takes cash. Profit that warms counts in margin beside it: where it turned into cash meanwhile, whoever asks for that would lower MM.
    function test_aRegressionBeyondCashLeavesWarmingProfit() public {
        _win();
        // Pays what Alice's cash doesn't: beyond the fund everybody's warming profit would, hers too.
        counter(USDC_B, fundAccount, 500e6);
        _withdraw(alice, 9000);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 8500);
        vm.warp(block.timestamp + 1 hours);
        int256 mm = engine.accountHealth(aliceAccount).mm;
        int256 held = hub.cash(aliceAccount);
        (uint256 before, uint256 ripe,) = hub.warming(aliceAccount);
        assertGt(ripe, 0);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), held);
        assertEq(engine.accountHealth(aliceAccount).mm, mm);
        hub.bookRegression(aliceAccount, USDC_A);
        assertEq(engine.accountHealth(aliceAccount).mm, mm);
        assertEq(hub.cash(aliceAccount), 0);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), int256(ripe));
        (uint256 left,,) = hub.warming(aliceAccount);
        assertEq(left, before - ripe);
    }

    /// Loss order: the fund, which has 200 here, then warming profit, then all cash.
    function test_whatAVaultLacksIsTheFundsThenWarmingProfitsThenAllCash() public {
        _win();
        counter(USDC_B, fundAccount, 200e6);
        address usdc = config.asset(USDC_A).token;
        for (uint128 n = 1; n <= 2; ++n) {
            vm.warp(block.timestamp + 1);
            vm.prank(gateway);
            hub.receiveTotals(A, 1, uint64(block.timestamp), usdc, 0, 0, n * 700e6);
            vm.warp(block.timestamp + 1 hours);
            hub.repair(USDC_A);
            assertEq(hub.lostBacking(), 0);
            assertEq(hub.cash(fundAccount), 0);
            (uint256 amount,,) = hub.warming(aliceAccount);
            assertEq(amount, n == 1 ? 500e18 : 0);
            uint256 left = n == 1 ? 1e18 : uint256(1e18) * 18_800 / 19_000;
            assertEq(hub.cash(aliceAccount), int256(10_000 * left));
            assertEq(hub.cash(bobAccount), int256(9000 * left));
        }
    }

    function test_warmingProfitGoesWithALiquidatedBundle() public {
        _win();
        fundCash(carolAccount, 1000);
        vm.warp(block.timestamp + 6 hours);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, carolAccount, 0.4e18, 0);
        (uint256 amount,, uint256 until) = hub.warming(carolAccount);
        assertEq(amount, 300e18);
        assertEq(until, block.timestamp + 18 hours);
        (amount,,) = hub.warming(aliceAccount);
        assertEq(amount, 450e18);
        assertEq(money(aliceAccount), 6600e18, "six tenths of all, what has warmed since included");
        assertEq(money(carolAccount), 5400e18);
    }

    /// What is ripe but held back by a regression has its whole time behind it. Who takes it over can be valued, and has it as cash.
    function test_ripeProfitUnderRegressionGoesWithALiquidatedBundle() public {
        _win();
        fundCash(carolAccount, 1000);
        _withdraw(alice, 9000);
        vm.warp(block.timestamp + 1);
        fundCash(aliceAccount, 8500);
        vm.warp(block.timestamp + 2 days);
        oracle.set(FEED_ETH, 2100e18);
        hub.warm(aliceAccount);
        assertEq(hub.cash(aliceAccount), 1000e18, "less than what is under regression");
        vm.prank(auction);
        hub.transferFraction(aliceAccount, carolAccount, 0.4e18, 0);
        vm.warp(block.timestamp + 1);
        oracle.set(FEED_ETH, 2100e18);
        assertEq(engine.accountHealth(carolAccount).equity, 1400e18);
        hub.warm(carolAccount);
        assertEq(hub.cash(carolAccount), 1400e18);
        assertEq(warmingTotal(), 600e18);
    }

    /* LOSS ORDER */

    /// @dev Carol loses 600 to Bob and has 500: closed, nothing is open, 100 are unpaid.
    function _leaveADebt() internal {
        fundCash(carolAccount, 500);
        oracle.set(FEED_ETH, 2000e18);
        trade(ETH_PERP, carolAccount, bobAccount, 2e18, 2000e18);
        oracle.set(FEED_ETH, 1700e18);
        trade(ETH_PERP, bobAccount, carolAccount, 2e18, 1700e18);
        assertEq(hub.position(carolAccount, ETH_PERP).quote, -100e18);
        assertEq(hub.position(bobAccount, ETH_PERP).quote, 100e18);
    }

    function _socialise(uint256 amount) internal returns (uint256) {
        vm.prank(backstop);
        return hub.socialise(carolAccount, amount);
    }

    /// Whoever settled first doesn't escape: where nothing is open that could bear a loss, all that warms does, by one ratio.
    function test_aLossWithoutAnotherSideIsPaidByAllThatWarms() public {
        _win();
        _leaveADebt();
        assertEq(money(aliceAccount), 11_000e18);
        assertEq(money(bobAccount), 9500e18);
        vm.expectEmit();
        emit ILedger.WarmingsCut(100e18, uint256(1e18) * 1400 / 1500, 0);
        assertEq(_socialise(100e18), 100e18);
        (uint256 alices,,) = hub.warming(aliceAccount);
        (uint256 bobs,,) = hub.warming(bobAccount);
        assertApproxEqAbs(alices, uint256(1000e18) * 1400 / 1500, 1e4);
        assertApproxEqAbs(bobs, uint256(500e18) * 1400 / 1500, 1e4);
        assertEq(hub.instrumentsOf(carolAccount).length, 0);
        // Who still waited is paid out of it.
        assertEq(hub.settlePnl(bobAccount, ETH_PERP), 100e18);
        assertEq(hub.pnlPool(ETH_PERP), 0);
        assertEq(_held(), 20_500e18);
        // What becomes cash later is of the rest, at the same time.
        vm.warp(block.timestamp + 1 days);
        hub.warm(aliceAccount);
        assertApproxEqAbs(hub.cash(aliceAccount), 10_933.333333333333333333e18, 1e4);
        // Profit from now on is whole.
        oracle.set(FEED_ETH, 2000e18);
        _win();
        (alices,,) = hub.warming(aliceAccount);
        assertApproxEqAbs(alices, 1000e18, 1e4);
    }

    function test_warmingProfitPaysNoMoreThanThereIs() public {
        _leaveADebt();
        vm.warp(block.timestamp + 22 hours);
        hub.warm(bobAccount);
        (uint256 left,,) = hub.warming(bobAccount);
        assertLt(left, 100e18);
        assertApproxEqAbs(_socialise(100e18), left, 10);
        assertEq(_socialise(100e18), 0);
        (,, uint256 generation,) = hub.warmings();
        assertEq(generation, 1);
        assertEq(warmingTotal(), 0);
        (left,,) = hub.warming(bobAccount);
        assertEq(left, 0);
        // A new generation begins with the next profit.
        assertEq(hub.settlePnl(bobAccount, ETH_PERP), hub.position(carolAccount, ETH_PERP).quote + 100e18);
        (left,,) = hub.warming(bobAccount);
        assertGt(left, 0);
        assertEq(_held(), 20_500e18);
    }

    /// A crumb of open interest isn't charged what is none of its business.
    function test_aSideBearsNoMoreThanItIsWorth() public {
        _win();
        _leaveADebt();
        trade(ETH_PERP, aliceAccount, bobAccount, 0.01e18, 1700e18);
        int256 alice_ = engine.accountHealth(aliceAccount).equity;
        uint256 charged = _socialise(100e18);
        assertApproxEqAbs(charged, 100e18, 1e4);
        // 17 each for 0.01 ETH at 1,700, and a share of 66 by what warms.
        assertApproxEqAbs(
            engine.accountHealth(aliceAccount).equity,
            alice_ - 17e18 - int256(uint256(66e18) * 1000 / 1500),
            1e5
        );
    }

    function testFuzz_cutsAreOneRatioAndLoseNothing(uint256 seed) public {
        _win();
        _leaveADebt();
        for (uint256 n; n < 4; ++n) {
            uint256 r = uint256(keccak256(abi.encode(seed, n)));
            vm.warp(block.timestamp + r % 4 hours);
            hub.warm(r % 2 == 0 ? aliceAccount : bobAccount);
            (uint256 alices,,) = hub.warming(aliceAccount);
            (uint256 bobs,,) = hub.warming(bobAccount);
            int256 total = warmingTotal();
            uint256 cut = _socialise((r >> 8) % 30e18);
            assertEq(warmingTotal(), total - int256(cut));
            (uint256 aliceAfter,,) = hub.warming(aliceAccount);
            (uint256 bobAfter,,) = hub.warming(bobAccount);
            assertApproxEqAbs(aliceAfter * bobs / 1e18, bobAfter * alices / 1e18, 1e6);
            assertLe(aliceAfter + bobAfter, uint256(warmingTotal()));
            assertEq(_held(), 20_500e18);
        }
    }

    /// @dev All money: §6.1.
    function _held() internal view returns (int256 held) {
        held = hub.cash(aliceAccount) + hub.cash(bobAccount) + hub.cash(carolAccount);
        held += hub.cash(fundAccount) + warmingTotal() + int256(hub.pnlPool(ETH_PERP));
    }

    /* MARGIN */

    function test_settlingIsNoWayAroundTheCapOnProfit() public {
        config.setGlobal(IRiskConfig.Global(5000, 3000, 100e18, 1500, 12, 1 hours));
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2000e18);
        oracle.set(FEED_ETH, 2100e18);
        // At the average too.
        engine.observe(FEED_ETH);
        vm.warp(block.timestamp + 30 days);
        int256 im = engine.accountHealth(aliceAccount).im;
        hub.settlePnl(bobAccount, ETH_PERP);
        hub.settlePnl(aliceAccount, ETH_PERP);
        assertEq(engine.accountHealth(aliceAccount).im, im);
        assertEq(engine.accountHealth(aliceAccount).pnl, 1000e18);
        assertEq(engine.accountHealth(aliceAccount).equity, 11_000e18);
        // Nor is closing.
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 2100e18);
        assertEq(engine.accountHealth(aliceAccount).im, 10_100e18 - 1);
        assertEq(engine.accountHealth(aliceAccount).mm, 11_000e18);
        vm.warp(block.timestamp + 1 days);
        hub.warm(aliceAccount);
        assertEq(engine.accountHealth(aliceAccount).im, 11_000e18);
    }

    /* PERIOD */

    function test_periodIsTheOwnersWithinBounds() public {
        hub.setWarmingPeriod(2 hours);
        _win();
        (,, uint256 until) = hub.warming(aliceAccount);
        assertEq(until, block.timestamp + 2 hours);
        hub.setWarmingPeriod(7 days);
        (,, uint256 same) = hub.warming(aliceAccount);
        assertEq(same, until, "of profit from now on");
        vm.expectRevert(abi.encodeWithSelector(Settlement.InvalidPeriod.selector, 1 hours - 1));
        hub.setWarmingPeriod(1 hours - 1);
        vm.expectRevert(abi.encodeWithSelector(Settlement.InvalidPeriod.selector, 7 days + 1));
        hub.setWarmingPeriod(7 days + 1);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        hub.setWarmingPeriod(1 days);
    }

    function test_partsMustBeThere() public {
        LedgerBase.Modules memory modules =
            LedgerBase.Modules(gateway, auction, backstop, fund, engine, oracle, config);
        Books books = new Books(modules);
        Silence silence = new Silence(modules);
        Settlement settlement = new Settlement(modules);
        Lending lending = new Lending(modules);
        Deleveraging closing = new Deleveraging(modules);
        vm.expectRevert(abi.encodeWithSelector(Clearinghouse.NoCode.selector, address(1)));
        new Clearinghouse(address(this), modules, books, silence, Settlement(address(1)), lending, closing);
        vm.expectRevert(abi.encodeWithSelector(Clearinghouse.NoCode.selector, address(2)));
        new Clearinghouse(address(this), modules, books, Silence(address(2)), settlement, lending, closing);
        vm.expectRevert(abi.encodeWithSelector(Clearinghouse.NoCode.selector, address(3)));
        new Clearinghouse(address(this), modules, Books(address(3)), silence, settlement, lending, closing);
        vm.expectRevert(abi.encodeWithSelector(Clearinghouse.NoCode.selector, address(4)));
        new Clearinghouse(address(this), modules, books, silence, settlement, Lending(address(4)), closing);
        vm.expectRevert(abi.encodeWithSelector(Clearinghouse.NoCode.selector, address(5)));
        new Clearinghouse(
            address(this), modules, books, silence, settlement, lending, Deleveraging(address(5))
        );
    }
}
