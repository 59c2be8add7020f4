// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {AuctionMath} from "../../../src/hub/AuctionMath.sol";

/// Accounts here are the model that AuctionMath assumes: every part of E and MM is proportional to what is held, cash counts
/// one for one. Rounding of the ledger itself is covered by the integration tests.
contract AuctionMathTest is Test {
    uint256 private constant WAD = 1e18;

    function curve() private pure returns (AuctionMath.Curve memory) {
        return AuctionMath.Curve(0.98e18, 0.8e18, 0.3e18, 900, 12 hours);
    }

    function test_shareAt_passesTheCornersOfTheCurve() public pure {
        assertEq(AuctionMath.shareAt(curve(), 0), 0.98e18);
        assertEq(AuctionMath.shareAt(curve(), 450), 0.89e18);
        assertEq(AuctionMath.shareAt(curve(), 900), 0.8e18);
        assertEq(AuctionMath.shareAt(curve(), 900 + 6 hours), 0.55e18);
        assertEq(AuctionMath.shareAt(curve(), 900 + 12 hours), 0.3e18);
        assertEq(AuctionMath.shareAt(curve(), type(uint256).max), 0.3e18);
    }

    function test_isValid_refusesACurveThatRisesOrReachesZero() public pure {
        assertTrue(AuctionMath.isValid(curve()));
        AuctionMath.Curve memory c = curve();
        c.slowFloor = 0;
        assertFalse(AuctionMath.isValid(c));
        c = curve();
        c.fastFloor = 0.99e18;
        assertFalse(AuctionMath.isValid(c));
        c = curve();
        c.slowFloor = 0.81e18;
        assertFalse(AuctionMath.isValid(c));
        c = curve();
        c.startShare = 1.01e18;
        assertFalse(AuctionMath.isValid(c));
        c = curve();
        c.fastSeconds = 0;
        assertFalse(AuctionMath.isValid(c));
    }

    function testFuzz_shareAt_neverRisesAndIsNeverZero(
        uint64[3] memory shares,
        uint32[2] memory lengths,
        uint32 early,
        uint32 late
    ) public pure {
        AuctionMath.Curve memory c;
        c.startShare = uint64(bound(shares[0], 1, WAD));
        c.fastFloor = uint64(bound(shares[1], 1, c.startShare));
        c.slowFloor = uint64(bound(shares[2], 1, c.fastFloor));
        c.fastSeconds = uint32(bound(lengths[0], 1, type(uint32).max));
        c.slowSeconds = uint32(bound(lengths[1], 1, type(uint32).max));
        assertTrue(AuctionMath.isValid(c));
        (uint256 first, uint256 second) = early < late ? (early, late) : (late, early);
        assertGe(AuctionMath.shareAt(c, first), AuctionMath.shareAt(c, second));
        assertGe(AuctionMath.shareAt(c, second), c.slowFloor);
        assertLe(AuctionMath.shareAt(c, first), c.startShare);
    }

    function test_maxFraction_workedExample() public pure {
        // E = 100, MM = −50, b = 20%: BM = −50 − 0.2 × 150 = −80. At d = 0.8: f = 80 / (80 + 80) = 1/2, paying 40.
        int256 bm = AuctionMath.bufferMargin(100e18, -50e18, 2000);
        assertEq(bm, -80e18);
        uint256 price = AuctionMath.fullPrice(100e18, 0.8e18);
        uint256 f = AuctionMath.maxFraction(bm, bm, price);
        assertEq(f, 0.5e18);
        assertEq(AuctionMath.payment(price, f), 40e18);
    }

    /// The heart of DESIGN §6.7: any fraction up to the maximum raises the ratio of buffer margin to maintenance requirement,
    /// and none passes the buffer by more than rounding.
    function testFuzz_maxFraction_reachesTheBufferAndNeverPassesIt(
        uint256 equity,
        uint256 missing,
        uint256 bufferBps,
        uint256 share,
        uint256 wanted
    ) public pure {
        equity = bound(equity, 1, 1e30);
        int256 mm = -int256(bound(missing, 1, 1e30));
        bufferBps = bound(bufferBps, 0, 10_000);
        share = bound(share, 0.01e18, WAD);

        int256 bm = AuctionMath.bufferMargin(int256(equity), mm, bufferBps);
        assertLe(bm, mm);
        uint256 price = AuctionMath.fullPrice(equity, share);
        assertGt(price, 0, "never free while solvent");
        uint256 max = AuctionMath.maxFraction(bm, bm, price);
        assertLt(max, WAD + 1);
        uint256 f = bound(wanted, 0, max);
        uint256 paid = AuctionMath.payment(price, f);
        assertGe(paid * WAD, price * f, "rounded against the bidder");

        // Buffer margin of what remains, times WAD so that nothing is rounded. The requirement E − MM scales with (1 − f), so
        // the ratio of both rises exactly if bmAfter > bm × (1 − f).
        int256 scaled = bm * int256(WAD - f);
        int256 bmAfter = scaled + int256(paid * WAD);
        assertLe(bmAfter, int256(WAD), "passes the buffer by more than one unit");
        if (f != 0) assertGt(bmAfter, scaled, "the buffer ratio does not rise");
        if (f == max) {
            // One ulp of the fraction is worth (missing + price) / WAD.
            assertGe(bmAfter, -(int256(price) - bm) - int256(WAD), "stops short of the buffer");
        }
    }

    /// After the largest bid an account with a buffer is no longer liquidatable.
    function testFuzz_maxFraction_cures(uint256 equity, uint256 missing, uint256 bufferBps, uint256 share)
        public
        pure
    {
        // Within nine digits of one another: beyond, the rest is dust and goes with the bid.
        equity = bound(equity, 1e12, 1e30);
        int256 mm = -int256(bound(missing, equity / 1e9 + 1, equity * 1e9));
        bufferBps = bound(bufferBps, 100, 5000);
        share = bound(share, 0.3e18, WAD);
        uint256 price = AuctionMath.fullPrice(equity, share);
        int256 bm = AuctionMath.bufferMargin(int256(equity), mm, bufferBps);
        uint256 f = AuctionMath.maxFraction(bm, bm, price);
        int256 mmAfter = mm * int256(WAD - f) + int256(AuctionMath.payment(price, f) * WAD);
        assertGe(mmAfter, 0);
    }

    function testFuzz_insolventPrice_risesFromTheDeficitToTheCap(
        uint256 deficit,
        uint256 notional,
        uint256 bonusShare,
        uint32 early,
        uint32 late,
        uint32 length
    ) public pure {
        deficit = bound(deficit, 0, 1e36);
        notional = bound(notional, 0, 1e36);
        bonusShare = bound(bonusShare, 0, WAD);
        uint256 rise = bound(length, 1, type(uint32).max);
        (uint256 first, uint256 second) = early < late ? (early, late) : (late, early);
        uint256 before = AuctionMath.insolventPrice(deficit, notional, bonusShare, first, rise);
        uint256 later = AuctionMath.insolventPrice(deficit, notional, bonusShare, second, rise);
        assertEq(AuctionMath.insolventPrice(deficit, notional, bonusShare, 0, rise), deficit);
        assertLe(before, later);
        assertLe(later, deficit + notional * bonusShare / WAD);
    }

    function testFuzz_fundedFraction_neverSpendsMoreThanThereIs(uint256 price, uint256 available)
        public
        pure
    {
        price = bound(price, 0, 1e36);
        available = bound(available, 0, 1e36);
        uint256 f = AuctionMath.fundedFraction(price, available);
        assertLe(f, WAD);
        assertLe(AuctionMath.payment(price, f), available);
    }

    function testFuzz_cappedFraction_staysWithinTheCap(int128 held, int128 size, uint128 cap) public pure {
        int256 h = int256(held) / 2;
        int256 s = int256(size) / 2;
        uint256 f = AuctionMath.cappedFraction(h, s, cap);
        assertLe(f, WAD);
        int256 after_ = h + s * int256(f) / int256(WAD);
        uint256 inventory = h < 0 ? uint256(-h) : uint256(h);
        uint256 limit = inventory > cap ? inventory : cap;
        assertLe(after_ < 0 ? uint256(-after_) : uint256(after_), limit);
        if (s != 0 && f < WAD && inventory < cap) {
            // Not timid either: one more unit of size would have passed the cap, to within the ulp of the fraction.
            uint256 step = (s < 0 ? uint256(-s) : uint256(s)) / WAD + 1;
            assertGe((after_ < 0 ? uint256(-after_) : uint256(after_)) + step + 1, cap);
        }
    }

    function test_accountSize_isTheLargerOfPositionsAndHoldings() public pure {
        assertEq(AuctionMath.accountSize(500, 100, -300), 500);
        assertEq(AuctionMath.accountSize(0, 100, -300), 400);
        assertEq(AuctionMath.accountSize(0, -300, -300), 0);
        assertEq(AuctionMath.accountSize(7, -400, -300), 7);
    }
}
