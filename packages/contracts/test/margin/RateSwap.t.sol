// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Settlement} from "../../src/hub/Settlement.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Dated} from "../../src/margin/Dated.sol";
import {Linear} from "../../src/margin/Linear.sol";
import {RateSwap} from "../../src/margin/RateSwap.sol";
import {DatedFixture} from "./DatedFixture.sol";

/// @notice Two years, a coupon every 30 days, the rate at 5 %.
contract RateSwapTest is DatedFixture {
    uint256 internal constant FEED_RATE = 6;
    uint256 internal constant FEED_MEAN = 7;
    uint32 internal constant PERIOD = 30 days;
    uint256 internal constant COUPONS = 24;

    RateSwap internal swap;
    uint256 internal id;
    uint40 internal start;
    uint40 internal maturity;

    function setUp() public override {
        super.setUp();
        oracle.set(FEED_RATE, 0.05e18);
        config.setUnderlying(FEED_RATE, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        swap = new RateSwap(address(this), oracle, config);
        id = _new();
        start = uint40(block.timestamp);
        maturity = uint40(start + COUPONS * PERIOD);
        _list(id, start, maturity, PERIOD);
    }

    function _new() private returns (uint256 newId) {
        newId = config.instrumentCount() + 1;
        config.setInstrument(
            newId,
            IRiskConfig.Instrument(address(swap), uint16(FEED_RATE), 100_000_000e18, 100_000_000e18, 500)
        );
    }

    function _list(uint256 newId, uint256 start_, uint256 expiry_, uint256 period) private {
        swap.list(
            newId, uint40(start_), uint40(expiry_), uint32(period), uint16(FEED_RATE), uint16(FEED_MEAN)
        );
    }

    /// @dev Signs the mean of the n-th period, a few slots after its end.
    function _sign(uint256 n, uint256 mean) private {
        vm.warp(start + n * PERIOD + 20);
        oracle.set(FEED_MEAN, mean);
        oracle.set(FEED_RATE, oracle.price(FEED_RATE).price);
    }

    function test_listsOnlyWholePeriodsFromNowOn() public {
        uint256 other = _new();
        uint256[3][5] memory bad = [
            [uint256(start) - 1, maturity, PERIOD],
            [uint256(start), maturity + 1, PERIOD],
            [uint256(start), maturity, 1 hours - 1],
            [uint256(start), start + 32 days, 32 days],
            [uint256(maturity), maturity, PERIOD]
        ];
        for (uint256 n; n < bad.length; ++n) {
            vm.expectRevert(
                abi.encodeWithSelector(RateSwap.InvalidSchedule.selector, bad[n][0], bad[n][1], bad[n][2])
            );
            _list(other, bad[n][0], bad[n][1], bad[n][2]);
        }
        vm.expectRevert(abi.encodeWithSelector(Dated.AlreadyListed.selector, id));
        _list(id, start, maturity, PERIOD);
        vm.expectRevert(abi.encodeWithSelector(Dated.Unlisted.selector, other));
        swap.mark(other);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        _list(other, start, maturity, PERIOD);
    }

    function test_isWorthTheRateTimesTheYearsAhead() public {
        // 720 of 365 days.
        uint256 tau = 720e18 / uint256(365);
        (uint256 price, bool fresh) = swap.mark(id);
        assertEq(price, tau * 5 / 100);
        assertTrue(fresh);
        assertEq(swap.dv01(id, 1_000_000e18), int256(1_000_000 * tau / 1e4));
        assertEq(swap.dv01(id, -1_000_000e18), -int256(1_000_000 * tau / 1e4));
        trade(id, aliceAccount, bobAccount, 1_000_000e18, price);
        oracle.set(FEED_RATE, 0.0501e18);
        int256 gain = engine.accountHealth(aliceAccount).pnl;
        assertApproxEqAbs(gain, swap.dv01(id, 1_000_000e18), 1e7);
        assertLt(engine.accountHealth(bobAccount).im, engine.accountHealth(bobAccount).mm);
    }

    function test_couponsAreTheSignedMeansAndNothingElse() public {
        (uint256 price,) = swap.mark(id);
        trade(id, aliceAccount, bobAccount, 1_000_000e18, price);
        assertEq(swap.accrue(id), 0);
        // A peak that somebody would like to have for a month.
        vm.warp(start + PERIOD);
        oracle.set(FEED_RATE, 0.5e18);
        assertEq(swap.accrue(id), 0, "no mean is signed yet");
        oracle.set(FEED_RATE, 0.05e18);
        int256 before = engine.accountHealth(aliceAccount).equity;
        int256 beforeBob = engine.accountHealth(bobAccount).equity;
        _sign(1, 0.06e18);
        int256 signed = engine.accountHealth(aliceAccount).equity;
        int256 coupon = int256(0.06e18 * uint256(PERIOD) / 365 days);
        vm.prank(carol);
        assertEq(swap.accrue(id), -coupon);
        assertEq(swap.accrue(id), -coupon, "again: the same");
        // What was valued at 5 % has paid 6 %.
        int256 gain = engine.accountHealth(aliceAccount).equity - before;
        assertApproxEqAbs(signed - before, gain, 1e7, "as soon as it is signed");
        assertApproxEqAbs(gain, int256(1_000_000 * (0.01e18 * uint256(PERIOD) / 365 days)), 1e7);
        assertApproxEqAbs(engine.accountHealth(bobAccount).equity - beforeBob, -gain, 1e7);
        vm.warp(start + 2 * PERIOD - 1);
        assertEq(swap.accrue(id), -coupon);
        oracle.set(FEED_MEAN, 0.06e18);
        assertEq(swap.accrue(id), -coupon, "the next period hasn't ended");
        _sign(2, 0.04e18);
        assertEq(swap.accrue(id), -coupon - int256(0.04e18 * uint256(PERIOD) / 365 days));
    }

    function test_aMissedPeriodIsPaidByTheNextMean() public {
        _sign(1, 0.06e18);
        _sign(3, 0.04e18);
        assertEq(swap.accrue(id), -int256(0.04e18 * uint256(3 * PERIOD) / 365 days));
        (, uint40 paidUntil,,,,) = swap.swaps(id);
        assertEq(paidUntil, start + 3 * PERIOD);
    }

    /// Whoever calls, whenever and how often: the coupons are the same.
    function testFuzz_whenToAccrueIsNobodysChoice(uint256 seed) public {
        uint256 total;
        for (uint256 n = 1; n <= COUPONS; ++n) {
            uint256 r = uint256(keccak256(abi.encode(seed, n)));
            uint256 mean = r % 0.2e18 + 1;
            _sign(n, mean);
            oracle.set(FEED_RATE, (r >> 64) % 0.2e18 + 1);
            total += mean * PERIOD / 365 days;
            for (uint256 calls = 1 + (r >> 128) % 3; calls > 0; --calls) {
                vm.warp(block.timestamp + (r >> 160) % 9 days);
                assertEq(swap.accrue(id), -int256(total));
            }
        }
        (bool settled, uint256 price) = swap.settlement(id);
        assertTrue(settled);
        assertEq(price, 0);
    }

    function test_fixedAgainstFloatingToTheEnd() public {
        (uint256 price,) = swap.mark(id);
        trade(id, aliceAccount, bobAccount, 1_000_000e18, price);
        for (uint256 n = 1; n < COUPONS; ++n) {
            _sign(n, 0.06e18);
            swap.accrue(id);
        }
        _sign(COUPONS, 0.06e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(Dated.Expired.selector, id));
        hub.trade(id, aliceAccount, bobAccount, 1, 0);
        // Settling pays the last coupon itself.
        hub.settleExpired(bobAccount, id);
        hub.settleExpired(aliceAccount, id);
        int256 gain = int256(1_000_000 * (0.01e18 * uint256(720)) / 365);
        assertApproxEqAbs(money(aliceAccount), 100_000e18 + gain, 1e8);
        assertApproxEqAbs(money(bobAccount), 100_000e18 - gain, 1e8);
        assertEq(hub.instrumentsOf(aliceAccount).length, 0);
        assertEq(money(aliceAccount) + money(bobAccount) + int256(hub.pnlPool(id)), 200_000e18);
    }

    function test_settlesOnlyWithItsLastCoupon() public {
        trade(id, aliceAccount, bobAccount, 1e18, 0.05e18 * uint256(720) / 365);
        _sign(COUPONS - 1, 0.06e18);
        vm.warp(maturity);
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotSettled.selector, id));
        hub.settleExpired(aliceAccount, id);
        // Its period is valued at the present rate until then.
        swap.accrue(id);
        (uint256 price,) = swap.mark(id);
        assertEq(price, uint256(PERIOD) * 1e18 / 365 days * 5 / 100);
        vm.warp(maturity + 90 days);
        oracle.set(FEED_MEAN, 0.06e18);
        hub.settleExpired(aliceAccount, id);
        assertEq(hub.position(aliceAccount, id).size, 0);
    }

    function testFuzz_bothSidesTogetherNeverGain(uint96 size, uint64 rate, uint64 quote) public view {
        int256 long = _pnl(int256(uint256(size)), -int256(uint256(quote)), rate);
        int256 short = _pnl(-int256(uint256(size)), int256(uint256(quote)), rate);
        assertLe(long + short, 0);
        assertGe(long + short, -2 - int256(uint256(rate) / 1e18));
    }

    function _pnl(int256 size, int256 quote, uint256 rate) private view returns (int256) {
        (int256[] memory values,) = swap.pnl(holding(id, size, quote), 1, one(rate), new uint256[](0));
        return values[0];
    }

    function test_refusesWhatItCannotPrice() public {
        vm.expectRevert(Linear.TooLarge.selector);
        swap.pnl(holding(id, 1 << 127, 0), 1, one(1), new uint256[](0));
        vm.expectRevert(Linear.TooLarge.selector);
        swap.pnl(holding(id, 1, 0), 1, one(1 << 127), new uint256[](0));
    }
}
