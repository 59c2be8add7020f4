// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {ILedger} from "../../src/interfaces/ILedger.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {DatedFixture} from "../margin/DatedFixture.sol";

/// @notice Positions closed against the other side, held to a book that closes each holder's position one by one, in fractions of a unit.
contract DeleveragingTest is DatedFixture {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;

    uint256 internal constant HOLDERS = 6;
    uint256 internal constant ONE = 1e36;
    /// @dev Of a holder, in wei of size: each act, of its own or of others, rounds it by one.
    int256 internal constant ACTS = 40;

    /// @dev What each holds and has gained, as if nothing were ever rounded: 1e36.
    int256[HOLDERS] internal sizes;
    int256[HOLDERS] internal gains;
    int256[HOLDERS] internal before;
    uint256 internal market;
    int256 internal price;
    int256 internal index;

    function setUp() public override {
        super.setUp();
        for (uint256 n; n < HOLDERS; ++n) {
            address owner = Accounts.owner(holder(n));
            _approve(owner);
            fundCash(holder(n), 1_000_000);
        }
        _listen(ETH_PERP);
    }

    function holder(uint256 n) internal pure returns (bytes32) {
        return Accounts.main(address(uint160(0x1000 + n)));
    }

    /// @dev The book that is kept from now on.
    function _listen(uint256 id) internal {
        market = id;
        price = 2000e18;
        for (uint256 n; n < HOLDERS; ++n) {
            before[n] = _equity(n);
        }
    }

    function _equity(uint256 n) internal view returns (int256) {
        return engine.accountHealth(holder(n)).equity;
    }

    function _size(uint256 n) internal view returns (int256) {
        return hub.position(holder(n), market).size;
    }

    /* ACTS */

    function _trade(uint256 buyer, uint256 seller, uint256 size, uint256 at) internal {
        _accrue();
        vm.prank(venue);
        try hub.trade(market, holder(buyer), holder(seller), size, at) {
            // Whose position changes is rounded to a whole unit.
            _book(buyer, int256(size), int256(at));
            _book(seller, -int256(size), int256(at));
        } catch {}
    }

    function _book(uint256 n, int256 size, int256 at) internal {
        sizes[n] += size * 1e18;
        gains[n] += size * (price - at);
        assertApproxEqAbs(_size(n), sizes[n] / 1e18, uint256(ACTS), "traded");
    }

    function _movePrice(uint256 to) internal {
        for (uint256 n; n < HOLDERS; ++n) {
            gains[n] += sizes[n] / 1e9 * (int256(to) - price) / 1e9;
        }
        price = int256(to);
        oracle.set(FEED_ETH, to);
    }

    function _accrue() internal {
        int256 now_ = market == ETH_PERP ? perp.costIndex(market) : int256(0);
        for (uint256 n; n < HOLDERS; ++n) {
            gains[n] -= sizes[n] / 1e9 * (now_ - index) / 1e9;
        }
        index = now_;
    }

    function _charge(uint256 n, uint256 amount) internal {
        _accrue();
        bool longsPay = _size(n) < 0;
        int256 whole = _sum(longsPay);
        // A thousandth of ETH bears what is charged here. A closed position's loss both sides bear: Positions.t.sol.
        if (whole < 1e33 || _size(n) == 0) return;
        vm.prank(backstop);
        uint256 charged = hub.socialise(holder(n), amount);
        gains[n] += int256(charged) * 1e18;
        for (uint256 k; k < HOLDERS; ++k) {
            if (sizes[k] == 0 || (sizes[k] > 0) != longsPay) continue;
            gains[k] -= int256(sizes[k].abs().fullMulDiv(charged * 1e18, uint256(whole)));
        }
    }

    /// @dev Everybody of the other side, one by one.
    function _close(uint256 n, uint256 most) internal returns (uint256 closed) {
        _accrue();
        int256 size = _size(n);
        int256 whole = _sum(size < 0);
        vm.prank(backstop);
        closed = hub.deleverage(holder(n), market, most);
        if (closed == 0) return 0;
        sizes[n] -= (size > 0 ? int256(closed) : -int256(closed)) * 1e18;
        assertApproxEqAbs(_size(n), size - (size > 0 ? int256(closed) : -int256(closed)), 0, "closed");
        for (uint256 k; k < HOLDERS; ++k) {
            if (k == n || sizes[k] == 0 || (sizes[k] > 0) == (size > 0)) continue;
            int256 part =
                int256(sizes[k].abs().fullMulDiv((closed * 1e18).min(uint256(whole)), uint256(whole)));
            sizes[k] -= sizes[k] > 0 ? part : -part;
        }
    }

    /// @dev Of a side, 1e36.
    function _sum(bool longs) internal view returns (int256 sum) {
        for (uint256 n; n < HOLDERS; ++n) {
            if (longs && sizes[n] > 0) sum += sizes[n];
            if (!longs && sizes[n] < 0) sum -= sizes[n];
        }
    }

    function _touch(uint256 n) internal {
        vm.prank(auction);
        hub.transferFraction(holder(n), backstopAccount, 0, 0);
    }

    /* CHECKS */

    function _check() internal {
        _accrue();
        int256 quotes;
        int256[2] memory held;
        (int256 houseSize, int256 houseQuote) = hub.houseRow(market);
        for (uint256 n; n < HOLDERS; ++n) {
            ILedger.Position memory p = hub.position(holder(n), market);
            ILedger.Portfolio memory all = hub.portfolio(holder(n));
            if (all.instrumentIds.length == 0) {
                assertEq(p.size, 0);
                assertEq(p.quote, 0);
            } else {
                assertEq(p.size, all.sizes[0], "margin counts what is there");
                assertEq(p.quote, all.quotes[0], "margin counts what is there");
            }
            assertApproxEqAbs(p.size, sizes[n] / 1e18, uint256(ACTS), "size");
            // A wei of size is worth 1e-18 × 2500 quote, and each act rounds a quote by a wei.
            assertApproxEqAbs(_equity(n) - before[n], gains[n] / 1e18, 200_000, "equity");
            held[p.size > 0 ? 0 : 1] += p.size;
            quotes += p.quote;
        }
        (uint256 long, uint256 short) = hub.openInterest(market);
        assertEq(long, short, "open interest");
        int256 longs = held[0] + (houseSize > 0 ? houseSize : int256(0));
        int256 shorts = -held[1] - (houseSize < 0 ? houseSize : int256(0));
        assertLe(longs, int256(long), "longs hold no more than there is");
        assertLe(shorts, int256(short), "shorts hold no more than there is");
        assertLe(int256(long) - longs, ACTS + int256(HOLDERS), "the house row's, by roundings");
        assertLe(int256(short) - shorts, ACTS + int256(HOLDERS), "the house row's, by roundings");
        int256 pool = int256(hub.pnlPool(market));
        assertApproxEqAbs(quotes + houseQuote, pool, 1_000_000, "quotes are funded by the pool");
    }

    /* TESTS */

    function test_onlyLiquidationCloses() public {
        _trade(0, 1, 1e18, 2000e18);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.deleverage(holder(0), ETH_PERP, 1e18);
        assertEq(_close(2, 1e18), 0, "it holds nothing");
        vm.prank(backstop);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.UnknownInstrument.selector, 99));
        hub.deleverage(holder(0), 99, 1e18);
    }

    function test_closesNothingAtAnOldPrice() public {
        _trade(0, 1, 1e18, 2000e18);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        assertEq(_close(0, 1e18), 0);
        assertEq(_size(0), 1e18);
        assertEq(_size(1), -1e18);
    }

    /// Three shorts of 1, 2 and 5; of eight long, two are closed: each short by a quarter, at the mark.
    function test_eachHolderOfTheOtherSideIsClosedByTheSameShare() public {
        _trade(0, 1, 1e18, 2000e18);
        _trade(0, 2, 2e18, 2000e18);
        _trade(3, 2, 5e18, 2000e18);
        _trade(4, 3, 5e18, 2000e18);
        _movePrice(1500e18);
        vm.expectEmit(address(hub));
        emit ILedger.Deleveraged(ETH_PERP, holder(0), 2e18, 2e18, 1500e18, 0.75e36, 0);
        assertEq(_close(0, 2e18), 2e18);
        assertEq(_size(0), 1e18);
        assertEq(_size(1), -0.75e18);
        assertEq(_size(2), -5.25e18);
        assertEq(_size(4), 5e18, "the same side keeps what it has");
        assertEq(_equity(1), 1_000_500e18);
        assertEq(_equity(0), 1_000_000e18 - 1500e18);
        (uint256 long, uint256 short) = hub.openInterest(ETH_PERP);
        assertEq(long, 6e18);
        assertEq(short, 6e18);
        // Who comes now trades whole units, whatever the scale.
        _trade(5, 1, 1e18 + 1, 1500e18);
        assertEq(_size(1), -1.75e18 - 1);
        _trade(1, 5, 1.75e18 + 1, 1500e18);
        assertEq(_size(1), 0);
        assertEq(hub.settlePnl(holder(1), ETH_PERP), 0, "losers have paid nothing yet");
        assertEq(hub.settlePnl(holder(0), ETH_PERP), -1500e18);
        assertEq(hub.settlePnl(holder(1), ETH_PERP), 500e18);
        assertEq(hub.instrumentsOf(holder(1)).length, 0, "nothing is left of it");
        _check();
    }

    /// What others close of a position is found by whoever looks next, and nothing of it is left when its quote is settled.
    function test_aPositionThatOthersHaveClosedLeavesTheList() public {
        _trade(0, 1, 4e18, 2000e18);
        _movePrice(2100e18);
        _close(0, 4e18);
        assertEq(_size(1), 0);
        assertEq(hub.instrumentsOf(holder(1)).length, 1, "a loss to settle");
        assertEq(hub.settlePnl(holder(1), ETH_PERP), -400e18);
        assertEq(hub.instrumentsOf(holder(1)).length, 0);
        assertEq(hub.settlePnl(holder(0), ETH_PERP), 400e18);
        assertEq(hub.instrumentsOf(holder(0)).length, 0);
        assertEq(hub.pnlPool(ETH_PERP), 0);
        _check();
    }

    /// Whose position others have closed owes nothing, and no price holds it back.
    function test_whoWasClosedLeavesWithoutAPrice() public {
        _trade(0, 1, 4e18, 2000e18);
        _movePrice(1900e18);
        _close(0, 4e18);
        oracle.set(FEED_ETH, 1900e18, 0, 0, false);
        vm.startPrank(Accounts.owner(holder(1)));
        hub.withdraw(holder(1), USDC_A, address(this), 500_000e6);
        hub.transferCash(holder(1), holder(2), 500_000e18);
        vm.stopPrank();
        vm.prank(Accounts.owner(holder(0)));
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.withdraw(holder(0), USDC_A, address(this), 1e6);
    }

    /// A whole side, twice, and one position that slept through both.
    function test_aWholeSideTwice() public {
        _trade(0, 1, 4e18, 2000e18);
        _trade(0, 2, 1e18, 2000e18);
        _movePrice(1900e18);
        vm.expectEmit(address(hub));
        emit ILedger.Deleveraged(ETH_PERP, holder(0), 5e18, 5e18, 1900e18, 0, 0);
        _close(0, type(uint256).max);
        (uint256 scale, uint256 generation) = hub.sideOf(ETH_PERP, false);
        assertEq(scale, ONE);
        assertEq(generation, 1);
        (uint256 long, uint256 short) = hub.openInterest(ETH_PERP);
        assertEq(long + short, 0);
        _check();
        _trade(3, 1, 2e18, 1900e18);
        _movePrice(1800e18);
        _check();
        _close(3, type(uint256).max);
        (, generation) = hub.sideOf(ETH_PERP, false);
        assertEq(generation, 2);
        _movePrice(2500e18);
        _check();
        assertEq(_equity(2) - before[2], 100e18, "closed once, at 1,900");
        _trade(2, 1, 3e18, 2500e18);
        _trade(4, 2, 1e18, 2500e18);
        _check();
        // Now the other way: a short that nobody takes.
        _movePrice(2600e18);
        _close(1, 2e18);
        _close(1, 1e18);
        (, generation) = hub.sideOf(ETH_PERP, true);
        assertEq(generation, 1);
        (long, short) = hub.openInterest(ETH_PERP);
        assertEq(long + short, 0);
        _check();
    }

    /// Where nearly all of a side is closed the next generation begins, and what is left goes on in it.
    function test_aScaleThatIsTooSmallBeginsAnotherGeneration() public {
        _trade(0, 1, 50e18, 2000e18);
        _trade(2, 3, 1e12, 2000e18);
        for (uint256 n = 1; n <= 9; ++n) {
            _close(0, type(uint256).max);
            (uint256 scale, uint256 generation) = hub.sideOf(ETH_PERP, false);
            assertEq(generation, n);
            assertEq(scale, ONE);
            _movePrice(2000e18 + n * 1e18);
            _check();
            // Who sold to nobody is closed against who bought.
            _trade(0, 1, 50e18 + n, uint256(price));
            _check();
        }
        assertLe(_size(3), 0);
        assertEq(_size(3), 0, "after so many nothing is left of it");
        _touch(3);
        _check();
    }

    /// forge-config: default.fuzz.runs = 24
    /// forge-config: full.fuzz.runs = 1500
    function testFuzz_asIfEachHolderWereClosedByItself(uint256 seed) public {
        for (uint256 step; step < 24; ++step) {
            _act(uint256(keccak256(abi.encode(seed, step))), true);
        }
        _check();
    }

    /// Nobody ends better or worse by being looked at earlier, later, or never.
    /// forge-config: default.fuzz.runs = 24
    /// forge-config: full.fuzz.runs = 1500
    function testFuzz_touchesDontMatter(uint256 seed) public {
        uint256 start = vm.snapshotState();
        int256[HOLDERS] memory untouched;
        for (uint256 world; world < 2; ++world) {
            for (uint256 step; step < 16; ++step) {
                uint256 r = uint256(keccak256(abi.encode(seed, step)));
                _act(r, false);
                if (world == 1 && r >> 200 & 1 == 0) _touch((r >> 208) % HOLDERS);
            }
            for (uint256 n; n < HOLDERS; ++n) {
                if (world == 0) untouched[n] = _equity(n);
                else assertApproxEqAbs(_equity(n), untouched[n], 100_000, "touched or not");
            }
            if (world == 0) vm.revertToState(start);
        }
    }

    /// @dev Sizes from a unit (1e-18) to 50 ETH, as often small as large: now and then one holder has all but a crumb of a side.
    function _act(uint256 r, bool touches) internal {
        uint256 a = (r >> 8) % HOLDERS;
        uint256 b = (a + 1 + (r >> 16) % (HOLDERS - 1)) % HOLDERS;
        uint256 act = r % 16;
        if (act < 7) {
            uint256 size = 1 + (r >> 32) % (50e18 >> ((r >> 24) % 64));
            _trade(a, b, size, uint256(price) * (9900 + (r >> 96) % 200) / 10_000);
        } else if (act < 9) {
            _movePrice(1500e18 + (r >> 32) % 1000e18);
        } else if (act < 10) {
            vm.warp(block.timestamp + (r >> 32) % 4 hours);
            _accrue();
        } else if (act < 11) {
            _charge(a, (r >> 32) % 1e18);
        } else if (act < 14) {
            uint256 size = uint256(_size(a) > 0 ? _size(a) : -_size(a));
            // All of it, or a part: by its share, as a remainder would be another number where roundings left a unit less.
            if (size != 0) _close(a, r >> 24 & 1 == 0 ? size : 1 + size * ((r >> 32) % 1e18) / 1e18);
        } else if (touches) {
            _touch(a);
        }
    }

    /* EXPIRY */

    /// Closings before the expiry, then settlement in some order: nothing is open, and everybody has what the book says.
    /// forge-config: default.fuzz.runs = 24
    /// forge-config: full.fuzz.runs = 1500
    function testFuzz_expiryAfterClosings(uint256 seed) public {
        market = ETH_FUTURE;
        for (uint256 step; step < 14; ++step) {
            uint256 r = uint256(keccak256(abi.encode(seed, step)));
            // No time passes: a future costs nothing.
            if (r % 16 != 9) _act(r, true);
        }
        _check();
        expireAt(1500e18 + seed % 1000e18);
        _movePrice(1500e18 + seed % 1000e18);
        uint256 first = seed % HOLDERS;
        int256 sum;
        for (uint256 round; round < 2; ++round) {
            for (uint256 n; n < HOLDERS; ++n) {
                hub.settleExpired(holder((first + n * 5) % HOLDERS), market);
            }
        }
        for (uint256 n; n < HOLDERS; ++n) {
            assertEq(_size(n), 0);
            assertApproxEqAbs(_equity(n) - before[n], gains[n] / 1e18, 200_000, "equity");
            sum += _equity(n) - before[n];
        }
        assertApproxEqAbs(sum, 0, 1_000_000, "what some have others had");
        (int256 size, int256 quote) = hub.houseRow(market);
        (uint256 long, uint256 short) = hub.openInterest(market);
        (, uint256 generationLong) = hub.sideOf(market, true);
        (, uint256 generationShort) = hub.sideOf(market, false);
        if (generationLong + generationShort == 0) {
            assertEq(long + short, 0, "nothing is open");
            assertEq(size, 0);
        } else {
            assertEq(long, short);
            assertLe(long, uint256(ACTS), "crumbs that a generation left");
        }
        assertApproxEqAbs(quote, 0, 1_000_000);
    }

    /// An expired position closes at its settlement price, and takes nobody's position.
    function test_whatIsSettledClosesAgainstTheHouse() public {
        market = ETH_FUTURE;
        _trade(0, 1, 3e18, 2000e18);
        _trade(2, 1, 1e18, 2000e18);
        expireAt(1900e18);
        oracle.set(FEED_ETH, 1000e18);
        vm.prank(backstop);
        assertEq(hub.deleverage(holder(0), market, 2e18), 2e18);
        assertEq(_size(0), 1e18);
        assertEq(_size(1), -4e18);
        (int256 size, int256 quote) = hub.houseRow(market);
        assertEq(size, 2e18);
        assertEq(quote, -3800e18);
        for (uint256 n; n < 3; ++n) {
            hub.settleExpired(holder(n), market);
        }
        hub.settleExpired(holder(1), market);
        assertEq(_equity(0), 1_000_000e18 - 300e18);
        assertEq(_equity(1), 1_000_000e18 + 400e18);
        (size, quote) = hub.houseRow(market);
        assertEq(size, 0);
        assertEq(quote, 0);
    }
}
