// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {Linear} from "../../src/margin/Linear.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {HubFixture} from "../hub/HubFixture.sol";

contract PerpTest is HubFixture {
    function setUp() public override {
        super.setUp();
        fundCash(aliceAccount, 100_000);
        fundCash(bobAccount, 100_000);
    }

    function test_pnlIsLinearAndRoundsDown() public view {
        uint256[] memory spots = new uint256[](2);
        spots[0] = 2000e18;
        spots[1] = 1;
        (int256[] memory values,) = perp.pnl(_holding(2e18, -100e18, 0), 2, spots, new uint256[](0));
        assertEq(values[0], 3900e18);
        (values,) = perp.pnl(_holding(-1, 0, 0), 2, spots, new uint256[](0));
        assertEq(values[1], -1, "a loss of a fraction of a wei is a wei");
    }

    function _holding(int256 size, int256 quote, uint256 underlying)
        internal
        pure
        returns (IInstrument.Holding[] memory holdings)
    {
        holdings = new IInstrument.Holding[](1);
        holdings[0] = IInstrument.Holding(ETH_PERP, size, quote, 0, underlying);
    }

    function test_holdingsOfSeveralUnderlyingsMeetInOneCall() public view {
        uint256[] memory spots = new uint256[](4);
        (spots[0], spots[1], spots[2], spots[3]) = (2000e18, 1000e18, 40_000e18, 50_000e18);
        IInstrument.Holding[] memory holdings = new IInstrument.Holding[](3);
        holdings[0] = IInstrument.Holding(BTC_PERP, -1e18, 40_000e18, 0, 1);
        holdings[1] = IInstrument.Holding(ETH_PERP, 2e18, 0, 0, 0);
        // Costs since its index: 5 a unit.
        holdings[2] = IInstrument.Holding(ETH_PERP, 1e18, 0, -5e18, 0);
        (int256[] memory values,) = perp.pnl(holdings, 2, spots, new uint256[](0));
        assertEq(values.length, 4);
        assertEq(values[0], 4000e18 + 1995e18);
        assertEq(values[1], 2000e18 + 995e18);
        assertEq(values[2], 0);
        assertEq(values[3], -10_000e18);
    }

    function test_refusesWhatItCannotPrice() public {
        uint256[] memory spots = new uint256[](2);
        vm.expectRevert(abi.encodeWithSelector(Linear.UnknownUnderlying.selector, 1));
        perp.pnl(_holding(1e18, 0, 1), 2, spots, new uint256[](0));
        vm.expectRevert(Linear.TooLarge.selector);
        perp.pnl(_holding(1 << 127, 0, 0), 2, spots, new uint256[](0));
        spots[1] = 1 << 127;
        vm.expectRevert(Linear.TooLarge.selector);
        perp.pnl(_holding(0, 0, 0), 2, spots, new uint256[](0));
    }

    function test_onlyClearinghouse() public {
        vm.expectRevert(Perp.OnlyClearinghouse.selector);
        perp.onTrade(ETH_PERP, 1e18, 2000e18);
    }

    function test_longsPayShortsTheSmoothedPremium() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2010e18);
        int256 value = perp.premium(ETH_PERP);
        assertEq(value, 0, "the first trade has waited for no time");
        vm.warp(block.timestamp + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2010e18);
        value = perp.premium(ETH_PERP);
        assertEq(
            value,
            perp.MAX_PREMIUM() / 6,
            "clamped to 5 bps, one half for the hour, a third for 10 of 20 + 10"
        );

        int256 alice0 = engine.accountHealth(aliceAccount).equity;
        int256 bob0 = engine.accountHealth(bobAccount).equity;
        vm.warp(block.timestamp + 8 hours);
        int256 paid = alice0 - engine.accountHealth(aliceAccount).equity;
        // 20 ETH x 2000 x 5/6 bps, one half of it: without trades it fades over the period. Kept per second, rounded.
        assertApproxEqAbs(paid, 1.666666e18, 1e13);
        assertApproxEqAbs(engine.accountHealth(bobAccount).equity - bob0, paid, 1);
        assertLe(engine.accountHealth(bobAccount).equity - bob0, paid);
        vm.warp(block.timestamp + 100 days);
        assertEq(alice0 - engine.accountHealth(aliceAccount).equity, paid, "faded");
    }

    function test_manyTradesAtOnceWeighNoMoreThanTheFirst() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.warp(block.timestamp + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2010e18);
        int256 once = perp.premium(ETH_PERP);
        assertGt(once, 0);
        for (uint256 n; n < 5; ++n) {
            trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2010e18);
        }
        int256 often = perp.premium(ETH_PERP);
        assertEq(often, once);
    }

    /// Four trades of one wei at the edge of the clamp moved 25,618 USDC between holders of 10 million in 48 hours.
    function test_dustMovesNoFunding() public {
        bytes32 wash = _whales();
        int256 before = engine.accountHealth(bobAccount).equity;
        uint256 start = block.timestamp;
        for (uint256 n = 1; n <= 4; ++n) {
            vm.warp(start + n * 6 hours);
            trade(ETH_PERP, wash, bobAccount, 1, 2000.9999e18);
        }
        vm.warp(start + 48 hours);
        assertLe(engine.accountHealth(bobAccount).equity - before, 0);
    }

    /// What moves funding is capital, a share of open interest, and time: not the number of trades between one's own accounts.
    function test_washTradesMoveFundingByTheirShareOnly() public {
        bytes32 wash = _whales();
        int256 before = engine.accountHealth(bobAccount).equity;
        uint256 start = block.timestamp;
        // A thousandth of what is open, opened and closed every six minutes for two days.
        for (uint256 n = 1; n <= 480; ++n) {
            vm.warp(start + n * 6 minutes);
            trade(ETH_PERP, wash, bobAccount, 5e18, 2000.9999e18);
            trade(ETH_PERP, bobAccount, wash, 5e18, 2000.9999e18);
        }
        int256 gain = engine.accountHealth(bobAccount).equity - before;
        // All of the premium would be 10,000,000 x 5 bps x 6 periods = 30,000.
        assertLt(gain, 30_000e18 / 100);
    }

    /// Nor does dust use up the time that a trade of weight has waited for.
    function test_dustDoesNotHoldThePremiumDown() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2000e18);
        uint256 start = block.timestamp;
        for (uint256 n = 1; n < 60; ++n) {
            vm.warp(start + n * 1 minutes);
            trade(ETH_PERP, aliceAccount, bobAccount, 0.004e18, 2000e18);
        }
        vm.warp(start + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2010e18);
        int256 value = perp.premium(ETH_PERP);
        assertGt(value, perp.MAX_PREMIUM() / 7);
    }

    /// @return wash An account of the attacker; Bob is the attacker's short.
    function _whales() private returns (bytes32 wash) {
        address carol = makeAddr("carol");
        wash = Accounts.main(carol);
        _approve(carol);
        fundCash(aliceAccount, 4_000_000);
        fundCash(bobAccount, 4_000_000);
        fundCash(wash, 10_000);
        trade(ETH_PERP, aliceAccount, bobAccount, 5000e18, 2000e18);
    }

    function testFuzz_accrueIsIdempotentAndAdditive(uint32 first, uint32 second, bool above) public {
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.warp(block.timestamp + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, above ? 2010e18 : 1990e18);
        uint256 start = block.timestamp;
        vm.warp(start + uint256(first) + second);
        int256 direct = perp.costIndex(ETH_PERP);
        vm.warp(start + first);
        perp.accrue(ETH_PERP);
        perp.accrue(ETH_PERP);
        vm.warp(start + uint256(first) + second);
        assertEq(perp.costIndex(ETH_PERP), direct);
        assertEq(perp.accrue(ETH_PERP), direct);
        assertEq(above, direct > 0 || uint256(first) + second == 0 && above);
    }

    /// Whatever is traded, whenever: the premium stays within its clamp, so funding within it times the time.
    function testFuzz_fundingIsClamped(uint256 seed) public {
        int256 index = perp.costIndex(ETH_PERP);
        int256 most = perp.MAX_PREMIUM();
        for (uint256 n; n < 8; ++n) {
            uint256 r = uint256(keccak256(abi.encode(seed, n)));
            uint256 price = 1961e18 + r % 78e18;
            bool buys = (r >> 64) % 2 == 0;
            trade(
                ETH_PERP,
                buys ? aliceAccount : bobAccount,
                buys ? bobAccount : aliceAccount,
                0.01e18 + (r >> 80) % 10e18,
                price
            );
            int256 premium = perp.premium(ETH_PERP);
            assertLe(premium, most);
            assertGe(premium, -most);
            uint256 time = (r >> 160) % 12 hours;
            vm.warp(block.timestamp + time);
            int256 paid = perp.costIndex(ETH_PERP) - index;
            // 2,000 × 5 bps × time ÷ 8 hours, and a wei.
            int256 bound_ = int256(uint256(time) * 1e18 / 8 hours) + 1;
            assertLe(paid, bound_);
            assertGe(paid, -bound_);
            index += paid;
            assertEq(perp.accrue(ETH_PERP), index, "accruing changes nothing");
        }
    }
}
