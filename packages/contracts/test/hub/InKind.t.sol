// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Collateral} from "../../src/hub/ledger/Collateral.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {SilenceFixture} from "./SilenceFixture.sol";

/// @notice DESIGN §4, Claims and cash: while backing is suspect, cash leaves in kind.
contract InKindTest is SilenceFixture {
    address[5] internal leavers;
    uint256 internal constant CASH = 1000;

    function setUp() public override {
        super.setUp();
        // 2,000 of 5,000 lie on A.
        for (uint256 n; n < 5; ++n) {
            leavers[n] = makeAddr(string(abi.encode("leaver", n)));
            counter(n < 2 ? USDC_A : USDC_B, Accounts.main(leavers[n]), uint128(CASH * 1e6));
        }
    }

    function _kept(address who) private view returns (uint256 kept) {
        (kept,) = hub.keptOf(Accounts.main(who), USDC_A);
    }

    function _leave(address who, uint256 assetId, uint128 amount)
        private
        returns (uint256 paid, uint256 kept, uint256 spent)
    {
        bytes32 account = Accounts.main(who);
        uint256 before = uint256(hub.cash(account));
        uint256 had = _kept(who);
        uint256 released = hub.released(account, who, assetId);
        vm.prank(who);
        hub.withdraw(account, assetId, who, amount);
        paid = hub.released(account, who, assetId) - released;
        kept = _kept(who) - had;
        spent = before - uint256(hub.cash(account));
    }

    function test_whoLeavesTakesOfEachKind() public {
        silence(GRACE + 1);
        (uint256 paid, uint256 kept, uint256 spent) = _leave(leavers[0], USDC_B, 300e6);
        assertEq(paid, 300e6);
        assertEq(kept, 200e6, "2 of A for 3 of B");
        assertEq(spent, 500e18, "a unit of cash is a unit of both");
        vm.prank(leavers[0]);
        vm.expectPartialRevert(bytes4(keccak256("InsufficientCash(bytes32,uint256,uint256)")));
        hub.withdraw(Accounts.main(leavers[0]), USDC_B, leavers[0], 301e6);
    }

    /// §6.4: on a suspect chain the first and the last withdrawer get the same per unit.
    function test_firstAndLastGetTheSame() public {
        silence(GRACE + 1);
        for (uint256 n; n < 5; ++n) {
            (uint256 paid, uint256 kept, uint256 spent) = _leave(leavers[n], USDC_B, 600e6);
            assertEq(paid, 600e6);
            assertEq(kept, 400e6);
            assertEq(spent, 1000e18);
        }
        assertEq(hub.totalBacking(), 0);
        // Half of what lay on A is gone for good: so is half of what each of them kept.
        short(USDC_A, 1000e6);
        for (uint256 n; n < 5; ++n) {
            vm.prank(leavers[n]);
            vm.expectPartialRevert(bytes4(keccak256("InsufficientCash(bytes32,uint256,uint256)")));
            hub.withdraw(Accounts.main(leavers[n]), USDC_A, leavers[n], 1);
        }
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        for (uint256 n; n < 5; ++n) {
            assertEq(_kept(leavers[n]), 200e6);
            vm.prank(leavers[n]);
            hub.withdraw(Accounts.main(leavers[n]), USDC_A, leavers[n], 200e6);
            assertEq(hub.released(Accounts.main(leavers[n]), leavers[n], USDC_A), 200e6);
        }
        (int256 net,,,,) = hub.vaulted(USDC_A);
        assertEq(net, 1000e6, "what is gone");
    }

    /// §6.3: whoever verifies A's messages says that any number is missing there, and it is written off; one honest message restores what was kept.
    function test_anHonestMessageRestoresWhatWasKept() public {
        silence(GRACE + 1);
        _leave(leavers[0], USDC_B, 300e6);
        vm.warp(block.timestamp + 1);
        short(USDC_A, type(uint128).max);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 0, "all of it is said to be gone");
        assertEq(hub.backing(USDC_A), 0);
        vm.warp(block.timestamp + 1);
        short(USDC_A, 500e6);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 150e6, "a quarter of 2,000 is missing");
        assertEq(hub.backing(USDC_A), 1350e18);
        vm.warp(block.timestamp + 1);
        short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 200e6);
        assertEq(hub.backing(USDC_A), 1800e18);
        (, uint256 kept,) = _leave(leavers[1], USDC_B, 300e6);
        assertEq(kept, 200e6, "the next to leave gets what the first got");
    }

    /// Who left and who stayed bear the same part of a loss, and of what comes back.
    function test_whoStaysBearsNoMore() public {
        counter(USDC_B, fundAccount, 1000e6);
        silence(GRACE + 1);
        // 4,000 on B by now.
        _leave(leavers[0], USDC_B, 600e6);
        assertEq(_kept(leavers[0]), 300e6);
        short(USDC_A, 500e6);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 225e6, "a quarter");
        assertEq(hub.backing(USDC_A), 1700e18 * 3 / 4);
        assertEq(hub.cash(fundAccount), 1000e18 - 425e18);
        short(USDC_A, 100e6);
        hub.repair(USDC_A);
        assertApproxEqAbs(_kept(leavers[0]), 285e6, 1);
        assertEq(hub.lostBacking(), 0);
    }

    function test_aSuspectVaultItselfPaysOneForOne() public {
        silence(GRACE + 1);
        (uint256 paid, uint256 kept, uint256 spent) = _leave(leavers[4], USDC_A, 100e6);
        assertEq(paid, 100e6);
        assertEq(kept, 0);
        assertEq(spent, 100e18);
    }

    function test_nothingMaturesAndAWaitingDepositLeavesAsItCame() public {
        silence(GRACE + 1);
        counter(USDC_B, aliceAccount, 700e6);
        assertEq(hub.cash(aliceAccount), 0);
        assertEq(hub.mature(aliceAccount, USDC_B), 0);
        vm.startPrank(alice);
        hub.withdraw(aliceAccount, USDC_B, alice, 600e6);
        vm.expectPartialRevert(bytes4(keccak256("InsufficientCash(bytes32,uint256,uint256)")));
        hub.withdraw(aliceAccount, USDC_B, alice, 101e6);
        vm.stopPrank();
        assertEq(hub.released(aliceAccount, alice, USDC_B), 600e6);
        assertEq(hub.row(aliceAccount, USDC_B).immature, 100e6);
        assertEq(hub.totalBacking(), 5000e18);
        // A deposit that waits for its bucket alone doesn't.
        hear(A);
        watch(USDC_A);
        vm.prank(alice);
        vm.expectPartialRevert(bytes4(keccak256("InsufficientCash(bytes32,uint256,uint256)")));
        hub.withdraw(aliceAccount, USDC_B, alice, 1e6);
        assertEq(hub.mature(aliceAccount, USDC_B), 100e6);
    }

    /// Somebody else's chain is suspect, which makes nothing mature that wouldn't.
    function test_aWaitingDepositLeavesOnlyAsItWouldHaveMatured() public {
        silence(GRACE + 1);
        counter(USDC_B, aliceAccount, 2 * USDC_CAP);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_B, alice, USDC_CAP);
        _expectNoCash(1e6);
        vm.warp(block.timestamp + 1 days);
        short(USDC_B, 1);
        _expectNoCash(1e6);
        vm.warp(block.timestamp + 1);
        short(USDC_B, 0);
        bytes32 other = Accounts.main(leavers[4]);
        counter(USDC_B, other, 500e6);
        _expectNoCash(1e6);
        vm.warp(block.timestamp + 1);
        counter(USDC_B, other, 1000e6);
        vm.prank(alice);
        hub.withdraw(aliceAccount, USDC_B, alice, 1e6);
    }

    /// @dev Nothing of the deposit leaves, and cash alice has none.
    function _expectNoCash(uint128 amount) private {
        vm.prank(alice);
        vm.expectPartialRevert(bytes4(keccak256("InsufficientCash(bytes32,uint256,uint256)")));
        hub.withdraw(aliceAccount, USDC_B, alice, amount);
    }

    function test_leavingBitByBitKeepsNoLess() public {
        silence(GRACE + 1);
        for (uint256 n; n < 6; ++n) {
            _leave(leavers[0], USDC_B, 1);
        }
        assertGe(_kept(leavers[0]), 4, "2 of A for 3 of B");
    }

    function test_onceTheChainIsHeardCashIsCashAgain() public {
        silence(GRACE + 1);
        _leave(leavers[0], USDC_B, 300e6);
        see(A);
        watch(USDC_A);
        assertEq(hub.suspectAssets(), 0);
        (uint256 paid, uint256 kept, uint256 spent) = _leave(leavers[1], USDC_B, 300e6);
        assertEq(paid + kept + spent, 300e6 + 300e18);
        // What was kept is paid at its vault, before any cash.
        vm.prank(leavers[0]);
        hub.withdraw(Accounts.main(leavers[0]), USDC_A, leavers[0], 250e6);
        assertEq(_kept(leavers[0]), 0);
        assertEq(hub.cash(Accounts.main(leavers[0])), 450e18);
    }

    function test_moreThanIsHealthyIsRefused() public {
        silence(GRACE + 1);
        vm.prank(leavers[0]);
        hub.transferCash(Accounts.main(leavers[0]), Accounts.main(leavers[1]), 1000e18);
        vm.prank(leavers[1]);
        vm.expectRevert(
            abi.encodeWithSelector(Collateral.InsufficientBacking.selector, USDC_B, 3000e6, 3001e6)
        );
        hub.withdraw(Accounts.main(leavers[1]), USDC_B, leavers[1], 3001e6);
    }

    /* SUSPECT AND SHORT */

    /// §6.4: what is missing at a suspect chain's vault is borne by who left before it was written off as by who leaves afterwards.
    function test_whoLeavesBeforeAWriteOffGainsNothing() public {
        silence(GRACE + 1);
        short(USDC_A, 1000e6);
        (uint256 paid, uint256 kept, uint256 spent) = _leave(leavers[0], USDC_B, 600e6);
        assertEq(paid, 600e6);
        assertEq(kept, 400e6, "of what is missing, too");
        assertEq(spent, 1000e18);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 200e6);
        (paid, kept, spent) = _leave(leavers[4], USDC_B, 600e6);
        assertEq(paid, 600e6);
        assertEq(kept, 200e6, "the last one gets what the first one got");
        assertEq(hub.cash(Accounts.main(leavers[4])), 0);
    }

    /// Nor does who leaves by the vault that is short, one for one, before the others.
    function test_nobodyLeavesByAShortSuspectVaultBeforeItIsWrittenOff() public {
        silence(GRACE + 1);
        short(USDC_A, 1000e6);
        vm.prank(leavers[0]);
        vm.expectRevert(abi.encodeWithSelector(Collateral.InsufficientBacking.selector, USDC_A, 0, 1));
        hub.withdraw(Accounts.main(leavers[0]), USDC_A, leavers[0], 1);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
        (uint256 paid,, uint256 spent) = _leave(leavers[0], USDC_A, 800e6);
        assertEq(paid, 800e6);
        assertEq(spent, 800e18, "a fifth of all cash is gone by then");
        assertEq(hub.cash(Accounts.main(leavers[0])), 0);
    }

    /* WHAT COMES BACK */

    function _writeOff(uint128 missing) private {
        short(USDC_A, missing);
        vm.warp(block.timestamp + 1 hours);
        hub.repair(USDC_A);
    }

    /// What is found is theirs who bore its loss: nobody buys into it by leaving after them.
    function test_whatComesBackIsForThoseWhoBoreIt() public {
        silence(GRACE + 1);
        _leave(leavers[0], USDC_B, 600e6);
        _writeOff(1000e6);
        assertEq(_kept(leavers[0]), 200e6);
        (, uint256 kept,) = _leave(leavers[1], USDC_B, 300e6);
        assertEq(kept, 100e6);
        vm.warp(block.timestamp + 1);
        short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 400e6);
        assertEq(_kept(leavers[1]), 100e6, "came after the loss");
    }

    /// A vault that lost all, and goes on: there, too, cash leaves in kind, and what may still be found stays theirs whose it was.
    function test_inKindAtAVaultThatLostAllBefore() public {
        silence(GRACE + 1);
        _leave(leavers[0], USDC_B, 300e6);
        _writeOff(2000e6);
        assertEq(_kept(leavers[0]), 0);
        hear(A);
        see(A);
        watch(USDC_A);
        counter(USDC_A, aliceAccount, 540e6);
        assertEq(hub.cash(aliceAccount), 540e18);
        assertEq(hub.backing(USDC_A), 540e18);
        silence(GRACE + 1);
        (, uint256 kept,) = _leave(leavers[1], USDC_B, 270e6);
        assertEq(kept, 54e6, "a tenth of B, a tenth of A");
        // Whoever left there and takes cash doesn't lose what isn't found yet.
        assertEq(hub.backing(USDC_A), 486e18);
        (uint256 paid,,) = _leave(leavers[0], USDC_A, 10e6);
        assertEq(paid, 10e6);
        vm.warp(block.timestamp + 1);
        short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 200e6);
        assertEq(_kept(leavers[1]), 54e6);
        vm.prank(leavers[1]);
        hub.withdraw(Accounts.main(leavers[1]), USDC_A, leavers[1], 54e6);
        assertEq(_kept(leavers[1]), 0);
    }

    /// Who takes what is left to him has no part in what comes back later, and nobody else gets it for him.
    function test_whoTakesWhatIsLeftWaitsForNothing() public {
        silence(GRACE + 1);
        _leave(leavers[0], USDC_B, 300e6);
        _leave(leavers[1], USDC_B, 300e6);
        _writeOff(1000e6);
        vm.prank(leavers[0]);
        hub.withdraw(Accounts.main(leavers[0]), USDC_A, leavers[0], 100e6);
        vm.warp(block.timestamp + 1);
        short(USDC_A, 0);
        hub.repair(USDC_A);
        assertEq(_kept(leavers[0]), 0);
        assertEq(_kept(leavers[1]), 200e6);
        (, uint256 all) = hub.keptOf(bytes32(0), USDC_A);
        assertEq(all, 200e6);
    }

    /// More losses than are told apart: who leaves after them keeps nothing there, and nobody is held back.
    function test_lossesThatAreToldApartAreBounded() public {
        silence(GRACE + 1);
        for (uint128 n; n < 9; ++n) {
            (, uint256 kept,) = _leave(leavers[n % 5], USDC_B, 30e6);
            assertEq(kept != 0, n < 8);
            short(USDC_A, 10e6 * (n + 1));
            vm.warp(block.timestamp + 1 hours);
            hub.repair(USDC_A);
        }
        vm.warp(block.timestamp + 1);
        short(USDC_A, 0);
        hub.repair(USDC_A);
        (, uint256 again,) = _leave(leavers[0], USDC_B, 30e6);
        assertGt(again, 0, "all of it came back");
    }

    /// Whatever people take in whatever order, cash stays composed as it was.
    function testFuzz_noOrderIsBetter(uint256 seed) public {
        silence(GRACE + 1);
        uint256 units;
        for (uint256 n; n < 12; ++n) {
            seed = uint256(keccak256(abi.encode(seed)));
            address who = leavers[seed % 5];
            uint256 cash = uint256(hub.cash(Accounts.main(who)));
            uint128 amount = uint128(((seed >> 8) % (cash * 6 / 10 + 1)) / 1e12);
            if (amount == 0) continue;
            (uint256 paid, uint256 kept, uint256 spent) = _leave(who, USDC_B, amount);
            units += spent;
            assertApproxEqAbs(kept, uint256(amount) * 2 / 3, n + 2, "the same part of A");
            assertEq(spent, (paid + kept) * 1e12);
        }
        assertEq(hub.totalBacking(), 5000e18 - units);
        assertApproxEqAbs(hub.backing(USDC_A) * 3, hub.backing(USDC_B) * 2, 100e12);
    }
}
