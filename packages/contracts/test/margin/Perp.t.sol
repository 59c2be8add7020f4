// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

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
        int256[] memory values = perp.pnl(ETH_PERP, 2e18, -100e18, spots);
        assertEq(values[0], 3900e18);
        values = perp.pnl(ETH_PERP, -1, 0, spots);
        assertEq(values[1], -1, "a loss of a fraction of a wei is a wei");
    }

    function test_onlyClearinghouse() public {
        vm.expectRevert(Perp.OnlyClearinghouse.selector);
        perp.onTrade(ETH_PERP, 1e18, 2000e18);
    }

    function test_longsPayShortsTheSmoothedPremium() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 10e18, 2010e18);
        (int128 value,) = perp.premium(ETH_PERP);
        assertEq(value, 0, "the first trade has waited for no time");
        vm.warp(block.timestamp + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2010e18);
        (value,) = perp.premium(ETH_PERP);
        assertEq(value, perp.MAX_PREMIUM() / 2, "clamped to 5 bps, weighed one half");

        int256 alice0 = engine.accountHealth(aliceAccount).equity;
        int256 bob0 = engine.accountHealth(bobAccount).equity;
        vm.warp(block.timestamp + 8 hours);
        int256 paid = alice0 - engine.accountHealth(aliceAccount).equity;
        // 11 ETH x 2000 x 2.5 bps; the rate is kept per second, rounded.
        assertApproxEqAbs(paid, 5.5e18, 1e6);
        assertApproxEqAbs(engine.accountHealth(bobAccount).equity - bob0, paid, 1);
        assertLe(engine.accountHealth(bobAccount).equity - bob0, paid);
    }

    function test_manyTradesAtOnceWeighNoMoreThanOne() public {
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.warp(block.timestamp + 1 hours);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2010e18);
        (int128 once,) = perp.premium(ETH_PERP);
        for (uint256 n; n < 5; ++n) {
            trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2010e18);
        }
        (int128 often,) = perp.premium(ETH_PERP);
        assertEq(often, once);
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
}
