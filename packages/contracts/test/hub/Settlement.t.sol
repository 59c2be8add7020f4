// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Settlement} from "../../src/hub/Settlement.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {DatedFixture} from "../margin/DatedFixture.sol";

contract SettlementTest is DatedFixture {
    function test_settlesAtTheFixingForAnyone() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 10e18, 2000e18);
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotSettled.selector, ETH_FUTURE));
        hub.settleExpired(aliceAccount, ETH_FUTURE);
        vm.warp(expiry);
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotSettled.selector, ETH_FUTURE));
        hub.settleExpired(aliceAccount, ETH_FUTURE);
        expireAt(2100e18);

        vm.prank(carol);
        assertEq(hub.settleExpired(bobAccount, ETH_FUTURE), -1000e18);
        assertEq(hub.position(bobAccount, ETH_FUTURE).size, 0);
        assertEq(hub.instrumentsOf(bobAccount).length, 0);
        (uint256 long, uint256 short) = hub.openInterest(ETH_FUTURE);
        assertEq(long, 10e18);
        assertEq(short, 10e18, "the house row stands for who has settled");
        (int256 size, int256 quote) = hub.houseRow(ETH_FUTURE);
        assertEq(size, -10e18);
        assertEq(quote, 21_000e18);

        assertEq(hub.settleExpired(aliceAccount, ETH_FUTURE), 1000e18);
        assertEq(hub.instrumentsOf(aliceAccount).length, 0);
        assertEq(money(aliceAccount), 101_000e18);
        assertEq(money(bobAccount), 99_000e18);
        (size, quote) = hub.houseRow(ETH_FUTURE);
        assertEq(size, 0);
        assertEq(quote, 0);
        (long, short) = hub.openInterest(ETH_FUTURE);
        assertEq(long + short, 0);
        assertEq(hub.pnlPool(ETH_FUTURE), 0);
    }

    function test_isIdempotent() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 3e18 + 7, 2000e18);
        expireAt(2100e18 + 1);
        assertEq(hub.settleExpired(carolAccount, ETH_FUTURE), 0, "nothing to settle");
        assertEq(hub.instrumentsOf(carolAccount).length, 0);
        hub.settleExpired(bobAccount, ETH_FUTURE);
        hub.settleExpired(aliceAccount, ETH_FUTURE);
        (int256 size, int256 quote) = hub.houseRow(ETH_FUTURE);
        (int256 cashA, int256 cashB) = (money(aliceAccount), money(bobAccount));
        vm.warp(block.timestamp + 1 days);
        oracle.set(FEED_FIXING, 9999e18);
        assertEq(hub.settleExpired(aliceAccount, ETH_FUTURE), 0);
        assertEq(hub.settleExpired(bobAccount, ETH_FUTURE), 0);
        (int256 size2, int256 quote2) = hub.houseRow(ETH_FUTURE);
        assertEq(size2, size);
        assertEq(quote2, quote);
        assertEq(money(aliceAccount), cashA);
        assertEq(money(bobAccount), cashB);
    }

    function test_aPerpetualNeverSettles() public {
        vm.expectRevert(abi.encodeWithSelector(Settlement.NotSettled.selector, ETH_PERP));
        hub.settleExpired(aliceAccount, ETH_PERP);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.UnknownInstrument.selector, 99));
        hub.settleExpired(aliceAccount, 99);
    }

    /// A winner who comes first waits for what losers pay; a loser's debt stays with it.
    function test_aWinnerGetsWhatLosersHavePaid() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 100e18, 2000e18);
        expireAt(3500e18);
        assertEq(hub.settleExpired(aliceAccount, ETH_FUTURE), 0);
        assertEq(hub.position(aliceAccount, ETH_FUTURE).quote, 150_000e18);
        assertEq(hub.instrumentsOf(aliceAccount).length, 1);
        assertEq(hub.settleExpired(bobAccount, ETH_FUTURE), -100_000e18);
        assertEq(hub.position(bobAccount, ETH_FUTURE).quote, -50_000e18);
        assertEq(hub.settleExpired(aliceAccount, ETH_FUTURE), 100_000e18);
        vm.warp(block.timestamp + 1);
        fundCash(bobAccount, 160_000);
        assertEq(hub.settlePnl(bobAccount, ETH_FUTURE), -50_000e18);
        assertEq(hub.settlePnl(aliceAccount, ETH_FUTURE), 50_000e18);
        assertEq(hub.instrumentsOf(aliceAccount).length, 0);
        assertEq(hub.instrumentsOf(bobAccount).length, 0);
    }

    /// A loss is borne by those who still hold the other side; the house row is nobody, and bears none.
    function test_lossesAreChargedToWhoHasNotSettled() public {
        trade(ETH_FUTURE, aliceAccount, bobAccount, 50e18, 2000e18);
        trade(ETH_FUTURE, carolAccount, bobAccount, 50e18, 2000e18);
        expireAt(3500e18);
        hub.settleExpired(aliceAccount, ETH_FUTURE);
        (int256 size, int256 quote) = hub.houseRow(ETH_FUTURE);
        int256 before = engine.accountHealth(carolAccount).equity;
        vm.prank(backstop);
        assertEq(hub.socialise(bobAccount, 50_000e18), 50_000e18);
        (int256 size2, int256 quote2) = hub.houseRow(ETH_FUTURE);
        assertEq(size2, size);
        assertEq(quote2, quote);
        assertEq(before - engine.accountHealth(carolAccount).equity, 50_000e18);
        hub.settleExpired(bobAccount, ETH_FUTURE);
        hub.settleExpired(carolAccount, ETH_FUTURE);
        hub.settleExpired(aliceAccount, ETH_FUTURE);
        (size, quote) = hub.houseRow(ETH_FUTURE);
        assertEq(size, 0);
        assertEq(quote, 0);
        assertEq(money(aliceAccount) + money(bobAccount) + money(carolAccount), 300_000e18);
        assertEq(money(bobAccount), 0, "all that it had");
        assertEq(money(aliceAccount), 175_000e18 - int256(hub.position(aliceAccount, ETH_FUTURE).quote));
        // The last who could have borne it has settled.
        vm.prank(backstop);
        assertEq(hub.socialise(bobAccount, 1e18), 0);
    }

    /// In whatever order accounts come, everyone ends with the same, and the house with dust.
    function testFuzz_orderDoesNotMatter(uint256 seed) public {
        bytes32[3] memory who = [aliceAccount, bobAccount, carolAccount];
        for (uint256 n; n < 6; ++n) {
            uint256 r = uint256(keccak256(abi.encode(seed, n)));
            uint256 mid = 1900e18 + (r >> 8) % 200e18;
            oracle.set(FEED_ETH, mid);
            trade(ETH_FUTURE, who[r % 3], who[(r + 1) % 3], 1 + (r >> 64) % 20e18, mid);
        }
        expireAt(1500e18 + seed % 1000e18);
        uint256 start = vm.snapshotState();
        int256[3] memory cash;
        for (uint256 order; order < 6; ++order) {
            uint256 first = order % 3;
            uint256 second = (first + 1 + order / 3) % 3;
            _settle(who[first]);
            _settle(who[second]);
            _settle(who[3 - first - second]);
            // What came too early for the pool.
            _settle(who[first]);
            _settle(who[second]);
            for (uint256 n; n < 3; ++n) {
                if (order == 0) cash[n] = money(who[n]);
                assertApproxEqAbs(money(who[n]), cash[n], 3, "the same but for who finds the pool's last wei");
            }
            (int256 size, int256 quote) = hub.houseRow(ETH_FUTURE);
            assertEq(size, 0);
            assertGe(quote, 0);
            assertLe(quote, 3);
            vm.revertToState(start);
        }
    }

    function _settle(bytes32 account) private {
        hub.settleExpired(account, ETH_FUTURE);
        IClearinghouse.Position memory p = hub.position(account, ETH_FUTURE);
        assertEq(p.size, 0);
        (uint256 long, uint256 short) = hub.openInterest(ETH_FUTURE);
        assertEq(long, short);
    }
}
