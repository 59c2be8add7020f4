// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IHubGateway} from "../../src/interfaces/IGateways.sol";
import {ILedger} from "../../src/interfaces/ILedger.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {SilenceFixture} from "./SilenceFixture.sol";

/// @notice DESIGN §4, Silent chain: initial margin at once when either is silent, maintenance along a ramp once both are.
contract SilenceTest is SilenceFixture {
    function setUp() public override {
        super.setUp();
        openRow(alice, WETH);
        counter(WETH, aliceAccount, 10e18);
    }

    function _liveness(uint256 assetId) private view returns (ILedger.Liveness liveness) {
        (liveness,,) = hub.livenessOf(assetId);
    }

    function _assertQuiet(int256 mmBefore) private {
        watch(WETH);
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Quiet));
        assertLe(im(aliceAccount), 0);
        assertEq(mm(aliceAccount), mmBefore);
        assertEq(engine.valuation(aliceAccount).offered.equity, 0, "and is in no bundle");
        vm.warp(block.timestamp + 30 days);
        watch(WETH);
        assertEq(mm(aliceAccount), mmBefore, "either alone never starts the ramp");
    }

    function test_noMessagesTakeInitialMargin() public {
        int256 before = mm(aliceAccount);
        assertGt(im(aliceAccount), 0);
        vm.warp(block.timestamp + GRACE);
        see(A);
        watch(WETH);
        assertGt(im(aliceAccount), 0, "within its grace");
        vm.warp(block.timestamp + 1);
        see(A);
        _assertQuietWhileSeen(before);
    }

    function _assertQuietWhileSeen(int256 before) private {
        watch(WETH);
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Quiet));
        assertLe(im(aliceAccount), 0);
        for (uint256 n; n < 5; ++n) {
            vm.warp(block.timestamp + 1 days);
            see(A);
            watch(WETH);
            assertEq(mm(aliceAccount), before, "either alone never starts the ramp");
        }
        hear(A);
        watch(WETH);
        assertGt(im(aliceAccount), 0, "back at once");
    }

    function test_aStandingChainTakesInitialMargin() public {
        int256 before = mm(aliceAccount);
        for (uint256 n; n < 10; ++n) {
            vm.warp(block.timestamp + GRACE);
            repeat(A);
            hear(A);
            watch(WETH);
            assertEq(im(aliceAccount) > 0, n == 0);
            assertEq(mm(aliceAccount), before);
        }
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Quiet));
        counter(WETH, aliceAccount, 11e18);
        assertEq(hub.row(aliceAccount, WETH).claim, 11e18, "and goes on maturing");
    }

    /// An outage of ours is not an outage of theirs.
    function test_aSilentOracleIsNoSilentChain() public {
        int256 before = mm(aliceAccount);
        uint256 last = block.timestamp;
        vm.warp(last + 30 days);
        oracle.set(TIME_A, last * 1e18, 0, 0, false);
        _assertQuiet(before);
    }

    function test_aFeedThatNeverHadAValueSaysNothing() public {
        oracle.set(TIME_A, 0, 0, 0, false);
        vm.warp(block.timestamp + GRACE);
        watch(WETH);
        assertGt(im(aliceAccount), 0);
    }

    /// Else a new chain's first deposit would wait for somebody to notice it.
    function test_aChainThatNeverSpokeIsNotSilent() public {
        vm.mockCall(gateway, abi.encodeCall(IHubGateway.lastSpokeTime, (A)), abi.encode(0));
        vm.warp(block.timestamp + 30 days);
        repeat(A);
        watch(WETH);
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Live));
    }

    function test_theHubsOwnChainIsNeverSilent() public {
        _list(HUB, "eth", 18, FEED_ETH, false, 8000, 9000, 1000e18);
        openRow(alice, 6);
        counter(6, aliceAccount, 1e18);
        vm.warp(block.timestamp + 30 days);
        watch(6);
        assertEq(uint8(_liveness(6)), uint8(ILedger.Liveness.Live));
    }

    function test_maintenanceFadesOnceBothAreSilent() public {
        int256 before = mm(aliceAccount);
        silence(GRACE + 1);
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Suspect));
        assertLe(im(aliceAccount), 0);
        silence(MM_GRACE - GRACE - 1);
        vm.warp(block.timestamp + 1 hours);
        assertEq(mm(aliceAccount), before, "hours of grace");
        silence(0);
        assertEq(mm(aliceAccount), before, "nothing at once");
        (,, uint32 until) = hub.livenessOf(WETH);
        assertEq(until, block.timestamp + MM_RAMP);
        for (uint256 n = 1; n <= 10; ++n) {
            silence(MM_RAMP / 10);
            assertApproxEqAbs(mm(aliceAccount), before * int256(10 - n) / 10, 100, "in a straight line");
        }
        assertApproxEqAbs(mm(aliceAccount), 0, 2000);
        assertEq(hub.row(aliceAccount, WETH).claim, 10e18, "it is still Alice's");
        // Either is heard again.
        hear(A);
        watch(WETH);
        assertEq(mm(aliceAccount), before);
        assertLe(im(aliceAccount), 0);
        see(A);
        watch(WETH);
        assertGt(im(aliceAccount), 0);
        (ILedger.Liveness liveness, uint32 from, uint32 to) = hub.livenessOf(WETH);
        assertEq(uint256(liveness) + from + to, 0);
    }

    /// Whoever watches late moves nothing at once.
    function test_nobodyWatchedForLong() public {
        int256 before = mm(aliceAccount);
        silence(60 days);
        assertEq(mm(aliceAccount), before);
        vm.warp(block.timestamp + MM_RAMP / 2);
        assertApproxEqAbs(mm(aliceAccount), before / 2, 100);
    }

    function test_fadingGoesOnWhileTheOracleIsSilentToo() public {
        uint256 last = block.timestamp;
        silence(MM_GRACE + 1);
        vm.warp(block.timestamp + MM_RAMP);
        oracle.set(TIME_A, last * 1e18, 0, 0, false);
        watch(WETH);
        assertApproxEqAbs(mm(aliceAccount), 0, 2000);
        assertEq(uint8(_liveness(WETH)), uint8(ILedger.Liveness.Suspect));
    }

    function test_nothingMaturesOnASuspectChain() public {
        silence(GRACE + 1);
        counter(WETH, aliceAccount, 12e18);
        fundCash(aliceAccount, 50);
        assertEq(hub.row(aliceAccount, WETH).immature, 2e18);
        assertEq(hub.cash(aliceAccount), 0);
        counter(USDC_B, aliceAccount, 5e6);
        assertEq(hub.cash(aliceAccount), 0, "no cash anywhere");
        openRow(alice, WBTC);
        counter(WBTC, aliceAccount, 1e8);
        assertEq(hub.row(aliceAccount, WBTC).claim, 1e8, "but claims on another chain");
        hear(A);
        watch(WETH);
        watch(USDC_A);
        assertEq(hub.mature(aliceAccount, WETH), 2e18);
        assertEq(hub.mature(aliceAccount, USDC_A), 50e6);
        assertEq(hub.mature(aliceAccount, USDC_B), 5e6);
    }

    /// §6.10: whoever owes nothing leaves any chain.
    function test_debtFreeAccountLeavesASilentChain() public {
        fundCash(aliceAccount, 50);
        silence(MM_GRACE + 1);
        silence(MM_RAMP);
        vm.startPrank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 10e18);
        hub.withdraw(aliceAccount, USDC_A, alice, 50e6);
        vm.stopPrank();
    }

    function test_suspendedClaimsLeaveTheBundle() public {
        fundCash(aliceAccount, 100);
        silence(GRACE + 1);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, bobAccount, 0.5e18, 0);
        assertEq(hub.row(aliceAccount, WETH).claim, 10e18);
        assertEq(hub.cash(bobAccount), 50e18);
    }

    /* REGRESSIONS AND SHORTFALLS FADE AS WELL */

    function test_regressedCashFadesUntilItIsBooked() public {
        fundCash(bobAccount, 100);
        vm.warp(block.timestamp + 1);
        fundCash(bobAccount, 40);
        assertEq(mm(bobAccount), 100e18);
        vm.warp(block.timestamp + 30 minutes);
        assertEq(mm(bobAccount), 70e18);
        assertEq(im(bobAccount), 40e18);
        vm.warp(block.timestamp + 30 minutes);
        assertEq(mm(bobAccount), 40e18);
        hub.bookRegression(bobAccount, USDC_A);
        assertEq(mm(bobAccount), 40e18, "nothing at once");
    }

    function test_aGrowingRegressionMovesNothingAtOnce() public {
        fundCash(bobAccount, 1000);
        counter(WETH, aliceAccount, 10e18);
        vm.warp(block.timestamp + 1);
        fundCash(bobAccount, 900);
        counter(WETH, aliceAccount, 9e18);
        vm.warp(block.timestamp + 1 hours);
        (int256 cash, int256 claims) = (mm(bobAccount), mm(aliceAccount));
        fundCash(bobAccount, 0);
        counter(WETH, aliceAccount, 1e18);
        assertEq(mm(bobAccount), cash);
        assertApproxEqAbs(mm(aliceAccount), claims, 1e18);
        assertLe(mm(aliceAccount), claims);
        vm.warp(block.timestamp + 6 minutes);
        assertApproxEqAbs(mm(bobAccount), cash - 100e18, 1e18);
        vm.expectRevert();
        hub.bookRegression(bobAccount, USDC_A);
        vm.warp(block.timestamp + 1 hours);
        hub.bookRegression(bobAccount, USDC_A);
        hub.bookRegression(aliceAccount, WETH);
        assertEq(mm(bobAccount), 0);
    }

    /// Most of it has left by then: what is missing beyond that has nothing to fade.
    function test_whatRegressesBeyondWhatThereIsMakesNothingWhole() public {
        fundCash(bobAccount, 1000);
        counter(WETH, aliceAccount, 10e18);
        vm.warp(block.timestamp + 1);
        fundCash(bobAccount, 900);
        counter(WETH, aliceAccount, 9e18);
        vm.prank(bob);
        hub.withdraw(bobAccount, USDC_A, bob, 880e6);
        vm.prank(alice);
        hub.withdraw(aliceAccount, WETH, alice, 8.5e18);
        vm.warp(block.timestamp + 30 minutes);
        (int256 cash, int256 claims) = (mm(bobAccount), mm(aliceAccount));
        assertEq(cash, 70e18);
        for (uint128 left = 2; left > 0; --left) {
            fundCash(bobAccount, left - 1);
            counter(WETH, aliceAccount, left - 1);
            assertEq(mm(bobAccount), cash);
            assertEq(mm(aliceAccount), claims);
            vm.warp(block.timestamp + 1);
            repeat(A);
            (cash, claims) = (mm(bobAccount), mm(aliceAccount));
        }
        vm.warp(block.timestamp + 1 hours);
        assertEq(mm(bobAccount), 0);
    }

    /// Of two regressions the older is booked: what the younger had faded it still has.
    function test_bookingOneOfTwoRegressionsMovesNothing() public {
        fundCash(bobAccount, 500);
        counter(USDC_B, bobAccount, 500e6);
        vm.warp(block.timestamp + 1);
        fundCash(bobAccount, 400);
        vm.warp(block.timestamp + 30 minutes);
        counter(USDC_B, bobAccount, 100e6);
        vm.warp(block.timestamp + 30 minutes);
        int256 before = mm(bobAccount);
        assertApproxEqAbs(before, 1000e18 - 100e18 - 200e18, 50e18);
        hub.bookRegression(bobAccount, USDC_A);
        assertApproxEqAbs(mm(bobAccount), before, 0.2e18);
        assertLe(mm(bobAccount), before);
    }

    function test_lossesOfOthersFade() public {
        openRow(bob, WETH);
        counter(WETH, bobAccount, 10e18);
        vm.prank(auction);
        hub.transferFraction(aliceAccount, backstopAccount, 1e18, 0);
        vm.warp(block.timestamp + 1);
        counter(WETH, aliceAccount, 0);
        vm.warp(block.timestamp + 1 hours);
        int256 before = mm(bobAccount);
        hub.bookRegression(aliceAccount, WETH);
        assertEq(mm(bobAccount), before);
        assertApproxEqAbs(im(bobAccount), 10e18 * 2000 / 2 * 8 / 10 * 9 / 10, 1e18);
        vm.warp(block.timestamp + 30 minutes);
        assertApproxEqAbs(mm(bobAccount), before * 3 / 4, 1e18);
        vm.warp(block.timestamp + 30 minutes);
        assertApproxEqAbs(mm(bobAccount), before / 2, 1e18);
    }

    function test_aShortfallFadesAndIsWrittenOffWithoutAJump() public {
        int256 before = mm(aliceAccount);
        short(WETH, 5e18);
        assertEq(mm(aliceAccount), before);
        vm.warp(block.timestamp + 45 minutes);
        assertApproxEqAbs(mm(aliceAccount), before * 5 / 8, 1e18);
        vm.warp(block.timestamp + 15 minutes);
        int256 faded = mm(aliceAccount);
        assertApproxEqAbs(faded, before / 2, 1e18);
        hub.repair(WETH);
        assertEq(mm(aliceAccount), faded);
    }

    /// §6.6: whatever is impaired, in whatever order and at whatever time, health never rises by it.
    function testFuzz_impairingNeverHelps(uint256 seed) public {
        fundCash(aliceAccount, 1000);
        counter(USDC_B, aliceAccount, 500e6);
        uint128 weth = 10e18;
        uint128 lost;
        for (uint256 n; n < 12; ++n) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + 1 + (seed >> 8) % 40 minutes);
            repeat(A);
            IMarginEngine.Health memory before = engine.accountHealth(aliceAccount);
            uint256 act = seed % 5;
            if (act == 0) counter(USDC_A, aliceAccount, uint128(hub.row(aliceAccount, USDC_A).target / 2));
            if (act == 1) counter(USDC_B, aliceAccount, uint128(hub.row(aliceAccount, USDC_B).target / 3));
            if (act == 2) counter(WETH, aliceAccount, weth = weth * 3 / 4);
            if (act == 3) short(WETH, lost = lost + uint128((seed >> 64) % 1e18));
            if (act == 4) watch(WETH);
            IMarginEngine.Health memory later = engine.accountHealth(aliceAccount);
            assertLe(later.im, before.im, "im");
            assertLe(later.mm, before.mm, "mm");
            assertApproxEqAbs(later.mm, before.mm, 10e18, "nor falls at once");
            assertLe(later.im, later.mm);
        }
    }
}
