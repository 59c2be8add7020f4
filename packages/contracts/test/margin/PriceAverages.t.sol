// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {HubFixture} from "../hub/HubFixture.sol";

contract PriceAveragesTest is HubFixture {
    uint256 internal constant SECOND_ETH_PERP = 4;

    function setUp() public override {
        super.setUp();
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 1_000_000);
        _listPerp(FEED_ETH);
    }

    /* THE AVERAGE */

    function test_thePriceThatStandsIsApproached() public {
        assertEq(engine.averageOf(FEED_ETH), 0);
        engine.observe(FEED_ETH);
        assertEq(engine.averageOf(FEED_ETH), 2000e18);
        vm.warp(block.timestamp + 30 days);
        assertEq(engine.averageOf(FEED_ETH), 2000e18);
        oracle.set(FEED_ETH, 4000e18);
        assertEq(engine.averageOf(FEED_ETH), 2000e18, "nobody has observed it");
        engine.observe(FEED_ETH);
        assertEq(engine.averageOf(FEED_ETH), 2000e18, "nor has it stood");
        _stand(1 hours);
        assertApproxEqAbs(engine.averageOf(FEED_ETH), 4000e18 - 735.758882342884643e18, 1e6);
        _stand(2 days);
        assertApproxEqAbs(engine.averageOf(FEED_ETH), 4000e18, 1e6);
    }

    function testFuzz_whoObservesHowOftenMovesNothing(uint256 seed, uint256 to) public {
        engine.observe(FEED_ETH);
        to = bound(to, 1e18, 1_000_000e18);
        oracle.set(FEED_ETH, to);
        engine.observe(FEED_ETH);
        uint256 start = block.timestamp;
        for (uint256 n; n < 6; ++n) {
            vm.warp(block.timestamp + uint256(keccak256(abi.encode(seed, n))) % 10 minutes);
            engine.observe(FEED_ETH);
            engine.observe(FEED_ETH);
        }
        int256 kept = FixedPointMathLib.expWad(-int256((block.timestamp - start) * 1e18 / 1 hours));
        int256 expected = int256(to) + (2000e18 - int256(to)) * kept / 1e18;
        assertApproxEqAbs(int256(engine.averageOf(FEED_ETH)), expected, 1e8);
    }

    /// What was there for a block has the weight of a block, though it was observed.
    function test_aSpikeWeighsWhatItLasts() public {
        engine.observe(FEED_ETH);
        oracle.set(FEED_ETH, 48_000e18);
        engine.observe(FEED_ETH);
        vm.warp(block.timestamp + 12);
        oracle.set(FEED_ETH, 2000e18);
        engine.observe(FEED_ETH);
        assertApproxEqAbs(engine.averageOf(FEED_ETH), 2153e18, 1e18);
    }

    /// Whoever observes a spike when nobody else looks gets no more of it than ten minutes.
    function test_aSpikeThatNobodyObservesAwayHasNotStood() public {
        engine.observe(FEED_ETH);
        oracle.set(FEED_ETH, 48_000e18);
        engine.observe(FEED_ETH);
        oracle.set(FEED_ETH, 2000e18);
        vm.warp(block.timestamp + 1 days);
        // 46,000 × (1 − e^(−1 ÷ 6)).
        assertApproxEqAbs(engine.averageOf(FEED_ETH), 2000e18 + 7061.8e18, 1e18);
        oracle.set(FEED_ETH, 48_000e18);
        assertTrue(engine.observe(FEED_ETH), "it was time");
        assertApproxEqAbs(engine.averageOf(FEED_ETH), 2000e18 + 7061.8e18, 1e18);
        oracle.set(FEED_ETH, 2000e18);
        assertFalse(engine.observe(FEED_ETH), "just done");
    }

    function test_extremePricesAreBoundedAndZeroIsNone() public {
        oracle.set(FEED_ETH, 0);
        engine.observe(FEED_ETH);
        assertEq(engine.averageOf(FEED_ETH), 0);
        oracle.set(FEED_ETH, type(uint256).max);
        engine.observe(FEED_ETH);
        assertEq(engine.averageOf(FEED_ETH), type(uint104).max);
    }

    /* PROFIT */

    /// Mango, 2022: a price times 24 in ten minutes, and collateral of others taken out against it.
    function test_aSpikeIsNoMarginAndNothingLeavesOnIt() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 40e18, 2000e18);
        oracle.set(FEED_ETH, 4000e18);
        IMarginEngine.Health memory h = engine.accountHealth(aliceAccount);
        assertEq(h.pnl, 80_000e18);
        assertEq(h.im, 10_000e18 - 16_000e18 - 17, "as if there were no profit");
        assertEq(h.mm, 90_000e18 - 9600e18 - _tail(), "liquidation knows no average");
        vm.prank(venue);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 4000e18);
        vm.prank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.withdraw(aliceAccount, USDC_A, alice, 1);
        // Getting out needs none of it.
        trade(ETH_PERP, bobAccount, aliceAccount, 10e18, 4000e18);
    }

    function test_profitThatStandsCounts() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
        oracle.set(FEED_ETH, 2500e18);
        hub.settlePnl(bobAccount, ETH_PERP);
        int256 before = engine.accountHealth(aliceAccount).im;
        _stand(1 hours);
        int256 after_ = engine.accountHealth(aliceAccount).im;
        assertApproxEqAbs(after_ - before, 2000e18 * 0.632120558828557e18 / 1e18, 1e16);
        _stand(2 days);
        assertApproxEqAbs(engine.accountHealth(aliceAccount).im - before, 2000e18, 1e6);
    }

    /// A short's profit counts at a higher average; what falls back counts at the mark at once.
    function test_theLowerOfBothCounts() public {
        trade(ETH_PERP, bobAccount, aliceAccount, 4e18, 2000e18);
        oracle.set(FEED_ETH, 1500e18);
        int256 loss = 4e18 * 1500 / 10;
        assertEq(engine.accountHealth(aliceAccount).im, 10_000e18 - loss - 17);
        engine.observe(FEED_ETH);
        _stand(2 days);
        oracle.set(FEED_ETH, 1900e18);
        loss = 4e18 * 1900 / 10;
        assertEq(engine.accountHealth(aliceAccount).im, 10_400e18 - loss - 17);
    }

    function test_whatHedgesOneAnotherIsOne() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
        trade(SECOND_ETH_PERP, bobAccount, aliceAccount, 4e18, 2010e18);
        oracle.set(FEED_ETH, 4000e18);
        assertEq(engine.accountHealth(aliceAccount).im, 10_040e18 - 17);
    }

    /// A spike in one doesn't count where the other has just lost as much.
    function test_eachUnderlyingCountsByItself() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 4e18, 2000e18);
        trade(BTC_PERP, aliceAccount, bobAccount, 0.1e18, 40_000e18);
        oracle.set(FEED_ETH, 2500e18);
        int256 im = engine.accountHealth(aliceAccount).im;
        oracle.set(FEED_BTC, 30_000e18);
        // Of a profit of 2,000 nothing counts, of a loss of 1,000 all: and of one of 2,500.
        assertEq(engine.accountHealth(aliceAccount).pnl, 1000e18);
        assertLt(engine.accountHealth(aliceAccount).im, im - 900e18);
        oracle.set(FEED_BTC, 15_000e18);
        assertEq(engine.accountHealth(aliceAccount).pnl, -500e18);
        assertLt(engine.accountHealth(aliceAccount).im, im - 2300e18);
    }

    /// @dev As it does while somebody looks.
    function _stand(uint256 time) internal {
        for (uint256 end = block.timestamp + time; block.timestamp < end;) {
            vm.warp(block.timestamp + 10 minutes);
            engine.observe(FEED_ETH);
        }
    }

    /// @dev Tail of an MM loss of 40 ETH at 4,000, beyond that of the shock.
    function _tail() internal pure returns (int256) {
        return 40e18 * 4000 * 5000 / 10_000 * 2000 / 10_000 - 9600e18;
    }
}
