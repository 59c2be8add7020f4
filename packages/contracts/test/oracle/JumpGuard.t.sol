// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {IValueOracle} from "../../src/interfaces/IValueOracle.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {OracleTest} from "./OracleTest.sol";

/// @dev base 5%, 1% a minute, at most 20%; a run must span 30 s. Slots of 2 s. Feeds' use-age is 120 s.
contract JumpGuardTest is OracleTest {
    int64 private constant P = 2_000e8;
    uint256 private constant WAD_P = 2_000e18;

    function setUp() public {
        _deploy(4, 4);
        oracle.update(_flat(_now(), P));
    }

    function test_within_the_guard_is_stored() public {
        _next(2, (P * 10_503) / 10_000);
        _expect(0, (WAD_P * 10_503) / 10_000, 0);
        _next(60, P); // −4.79%
        _expect(0, WAD_P, 0);
    }

    function test_beyond_the_guard_is_parked() public {
        uint256 before = block.timestamp;
        vm.warp(block.timestamp + 2);
        bytes memory report = _flat(_now(), (P * 10_503) / 10_000 + 1); // 5% and 2 s worth of 1% a minute
        vm.expectEmit(address(oracle));
        emit IPriceOracle.FeedsParked(_now(), 0x0f);
        oracle.update(report);
        for (uint256 i; i < 4; ++i) {
            _expect(i, WAD_P, (WAD_P * 10_503) / 10_000 + 1e10);
            assertEq(oracle.price(i).observedAt, before, "keeps its own time");
        }
        (, uint64 seq) = oracle.latest();
        assertEq(seq, _now(), "the report counts all the same");
    }

    function test_limit_grows_with_age() public {
        _next(600, (P * 115) / 100); // 5% + 10 * 1%
        _expect(0, (WAD_P * 115) / 100, 0);
        _next(3600, (P * 115 * 121) / 10_000); // capped at 20%
        _expect(0, (WAD_P * 115) / 100, (WAD_P * 115 * 121) / 10_000);
    }

    /// @dev DESIGN §6.9: a real −40% is accepted within T and two slots.
    function test_a_crash_is_accepted_once_it_has_lasted() public {
        int64 crashed = (P * 60) / 100;
        _next(2, crashed);
        for (uint256 i; i < 14; ++i) {
            _next(2, crashed + int64(int256(i)));
            _expect(0, WAD_P, (WAD_P * 60) / 100 + i * 1e10);
        }
        _next(2, crashed + 100);
        _expect(0, (WAD_P * 60) / 100 + 100 * 1e10, 0);
    }

    function test_a_crash_is_accepted_on_an_idle_spoke() public {
        _next(10 hours, (P * 60) / 100);
        _expect(0, WAD_P, (WAD_P * 60) / 100);
        assertFalse(oracle.price(0).fresh, "the old value has aged");
        _next(30, (P * 60) / 100);
        _expect(0, (WAD_P * 60) / 100, 0);
        assertTrue(oracle.price(0).fresh);
    }

    function test_one_block_is_never_enough() public {
        bytes memory first = _flat(_now() + 1, (P * 60) / 100);
        bytes memory second = _flat(_now() + 20, (P * 60) / 100);
        bytes memory third = _flat(_now() + 21, (P * 60) / 100);
        vm.warp(block.timestamp + 42);
        vm.roll(block.number + 1);
        oracle.update(first);
        oracle.update(second);
        _expect(0, WAD_P, (WAD_P * 60) / 100);
        vm.roll(block.number + 1);
        oracle.update(third);
        _expect(0, (WAD_P * 60) / 100, 0);
    }

    function test_one_inside_clears() public {
        _next(2, (P * 60) / 100);
        _next(28, P);
        _expect(0, WAD_P, 0);
        _next(2, (P * 60) / 100);
        _expect(0, WAD_P, (WAD_P * 60) / 100);
    }

    function test_the_other_side_starts_anew() public {
        _next(2, (P * 60) / 100);
        _next(28, (P * 160) / 100);
        _next(2, (P * 60) / 100);
        _expect(0, WAD_P, (WAD_P * 60) / 100);
        _next(28, (P * 60) / 100);
        _expect(0, WAD_P, (WAD_P * 60) / 100);
        _next(2, (P * 60) / 100);
        _expect(0, (WAD_P * 60) / 100, 0);
    }

    /// @dev A held feed keeps its value and its time; it neither confirms nor clears what is parked.
    function test_held_feed() public {
        uint256 at0 = block.timestamp;
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        (prices[1], confidences[1]) = (0, 0xffff);
        vm.warp(block.timestamp + 100);
        oracle.update(_report(_now(), prices, confidences));
        assertEq(oracle.price(0).observedAt, block.timestamp);
        assertEq(oracle.price(1).observedAt, at0);
        assertEq(oracle.price(1).price, WAD_P);
        assertTrue(oracle.price(1).fresh);
        vm.warp(block.timestamp + 22);
        oracle.update(_report(_now(), prices, confidences));
        assertFalse(oracle.price(1).fresh, "122 s old");
        assertTrue(oracle.price(0).fresh);
        vm.warp(block.timestamp + 2);
        oracle.update(_flat(_now(), P));
        assertTrue(oracle.price(1).fresh);
        assertEq(oracle.price(1).observedAt, block.timestamp);
    }

    function test_held_from_the_start_has_no_value() public {
        _deploy(4, 4);
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        (prices[1], confidences[1]) = (77, 0xffff);
        (prices[2], confidences[2]) = (-P, 5);
        oracle.update(_report(_now(), prices, confidences));
        for (uint256 i = 1; i < 3; ++i) {
            assertEq(oracle.price(i).price, 0);
            assertFalse(oracle.price(i).fresh);
        }
        _next(2, P * 9); // a first value has no guard
        assertEq(oracle.price(1).price, WAD_P * 9);
        assertEq(oracle.price(0).price, WAD_P);
    }

    /// @dev As unsigned numbers, the least int64 is the neighbour of the greatest.
    function test_a_negative_price_is_never_near_a_positive_one() public {
        _deploy(4, 4);
        oracle.update(_flat(_now(), type(int64).max));
        _next(2, type(int64).min);
        _expect(0, uint256(uint64(type(int64).max)) * 1e10, 0);
        assertEq(oracle.price(0).observedAt, block.timestamp - 2);
        _next(2, type(int64).max - 5);
        _expect(0, uint256(uint64(type(int64).max - 5)) * 1e10, 0);
    }

    function test_confidence_widens_with_age_up_to_the_whole_price() public {
        assertEq(oracle.price(0).confidence, 5e14);
        vm.warp(block.timestamp + 30 minutes);
        assertEq(oracle.price(0).confidence, 55e14); // 100 bps an hour
        vm.warp(block.timestamp + 1000 hours);
        assertEq(oracle.price(0).confidence, 1e18);
    }

    function test_parameters_are_bounded() public {
        SignerEpochs.Parameters memory p = _parameters();
        vm.expectRevert();
        oracle.setParameters(p);
        vm.startPrank(governance);
        p.jumpMax = 10_000;
        vm.expectRevert(SignerEpochs.InvalidParameters.selector);
        oracle.setParameters(p);
        p.jumpMax = p.jumpBase - 1;
        vm.expectRevert(SignerEpochs.InvalidParameters.selector);
        oracle.setParameters(p);
        p = SignerEpochs.Parameters(1, 2, 3, 4, 5, 6);
        oracle.setParameters(p);
        assertEq(abi.encode(oracle.parameters()), abi.encode(p));
        (uint32 epoch, uint64 firstSeq,) = oracle.openedEpoch();
        assertEq(epoch, 1);
        assertEq(firstSeq, 1);
        oracle.setUseAge(2, 7);
        vm.warp(block.timestamp + 8);
        assertFalse(oracle.price(2).fresh);
        assertTrue(oracle.price(1).fresh);
    }

    /* SIGNED FEEDS */

    /// @dev Feed 1 is a rate: its basis points are of one, so that 5% of guard are five points of rate.
    function test_signed_values() public {
        _deploy(4, 4, 2);
        _rate(-25_000_000, 5); // -25 %
        _expectValue(-25e16, false, 0);
        assertEq(oracle.value(1).confidence, 5e14);
        _after(2);
        _rate(-20_000_000 + 3_333, 5); // 5 points and 2 s worth of 1 a minute
        _expectValue(-19_996_667e10, false, 0);
        _after(2);
        _rate(0, 5);
        _expectValue(-19_996_667e10, true, 0);
        _after(30);
        _rate(0, 5); // across zero, confirmed
        _expectValue(0, false, 0);
        assertEq(oracle.value(1).observedAt, block.timestamp, "zero is a value");
        _after(2);
        _rate(4_000_000, 5);
        _expectValue(4e16, false, 0);

        uint256 at = block.timestamp;
        _after(2);
        _rate(4_000_000, 0xffff);
        assertEq(oracle.value(1).observedAt, at, "unusable: keeps its own time");
        _after(2);
        _rate(type(int64).min, 5);
        assertEq(oracle.value(1).observedAt, at, "stands for no value");
        _expectValue(4e16, false, 0);

        vm.expectRevert(abi.encodeWithSelector(PriceOracle.SignedFeed.selector, 1));
        oracle.price(1);
        assertEq(oracle.value(0).value, int256(WAD_P));
        assertEq(oracle.value(0).confidence, WAD_P / 2_000);
    }

    function _rate(int64 rate, uint16 confidence) private {
        (int64[] memory prices, uint16[] memory confidences) = _values(P);
        (prices[1], confidences[1]) = (rate, confidence);
        assertTrue(oracle.update(_report(_now(), prices, confidences)));
    }

    function _expectValue(int256 value, bool isParked, int256 parked) private view {
        IValueOracle.Value memory stored = oracle.value(1);
        assertEq(stored.value, value, "value");
        assertEq(stored.isParked, isParked, "is parked");
        assertEq(stored.parked, parked, "parked");
    }

    /* DESIGN §6.9 */

    /// @dev However long the chain was idle, however deep and noisy the crash, and whatever is held beside it.
    function testFuzz_a_real_crash_is_accepted_within_T_and_two_slots(uint256 seed) public {
        _after(SLOT * bound(seed >> 32, 1, 1 days));
        uint256 start = block.timestamp;
        int64 crashed = (P * int64(int256(bound(seed >> 64, 1, 75)))) / 100;
        for (uint256 i; oracle.price(0).price == WAD_P; ++i) {
            assertLe(block.timestamp - start, 30 + 2 * SLOT, "too late");
            if (i != 0) _after(SLOT);
            int64 noise = int64(int256(uint256(keccak256(abi.encode(seed, i))) % 1e8));
            (int64[] memory prices, uint16[] memory confidences) = _values(crashed + noise);
            if (noise % 2 == 0) confidences[1] = 0xffff;
            assertTrue(oracle.update(_report(_now(), prices, confidences)));
        }
        assertLe(block.timestamp - start, 30 + 2 * SLOT);
        assertEq(oracle.price(0).parked, 0);
        assertTrue(oracle.price(0).fresh);
    }

    /// @dev What any sequence of reports inside one block does to a price stays within the guard's limit.
    function testFuzz_one_block_never_moves_a_price_beyond_the_limit(int64[5] memory prices) public {
        vm.warp(block.timestamp + 60);
        vm.roll(block.number + 1);
        uint64 newest = _now();
        for (uint64 i; i < 5; ++i) {
            oracle.update(_flat(newest - 4 + i, prices[i]));
        }
        // Five reports, each within at most 6 % of the one before.
        assertGe(oracle.price(0).price, (WAD_P * 73) / 100);
        assertLe(oracle.price(0).price, (WAD_P * 134) / 100);
    }

    /* MODEL */

    struct Model {
        bool isSigned;
        int256 value;
        uint256 seq;
        bool isParked;
        int256 parked;
        uint256 parkedSeq;
        uint256 parkedBlock;
    }

    Model[] private _model;

    /// @dev The contract compares three lanes at once, on a fast path and a slow one; this does neither.
    /// forge-config: default.fuzz.runs = 64
    /// forge-config: full.fuzz.runs = 10000
    function testFuzz_equals_a_plain_model(uint256 seed, uint8 feedCount, uint8 signedFeeds) public {
        _deploy(4, bound(feedCount, 1, 7), signedFeeds);
        delete _model;
        for (uint256 i; i < feeds.length; ++i) {
            _model.push().isSigned = feeds[i].isSigned;
        }
        for (uint256 round; round < 12; ++round) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + (seed % 3 == 0 ? 30 * SLOT : SLOT));
            if (seed % 5 != 0) vm.roll(block.number + 1);
            _round(seed);
        }
    }

    function _round(uint256 seed) private {
        int64[] memory prices = new int64[](feeds.length);
        uint16[] memory confidences = new uint16[](feeds.length);
        for (uint256 i; i < feeds.length; ++i) {
            uint256 random = uint256(keccak256(abi.encode(seed, i)));
            prices[i] = _draw(random, _model[i]);
            confidences[i] = random % 11 == 0 ? 0xffff : uint16(random % 500);
        }
        assertTrue(oracle.update(_report(_now(), prices, confidences)));
        for (uint256 i; i < feeds.length; ++i) {
            _step(_model[i], prices[i], confidences[i]);
            IValueOracle.Value memory stored = oracle.value(i);
            assertEq(stored.value, _model[i].value * 1e10, "value");
            assertEq(stored.isParked, _model[i].isParked, "is parked");
            assertEq(stored.parked, _model[i].parked * 1e10, "parked");
            assertEq(stored.observedAt, _model[i].seq * SLOT, "time");
            if (_model[i].isSigned) continue;
            assertEq(int256(oracle.price(i).price), stored.value);
            assertEq(int256(oracle.price(i).parked), stored.parked);
        }
    }

    /// @dev Mostly around the old value and the guard's edges, sometimes anything.
    function _draw(uint256 random, Model storage m) private view returns (int64) {
        int256 pick = int256(random >> 8);
        if (m.seq == 0 || random % 13 == 0) return int64(pick);
        int256 unit = m.isSigned ? int256(1e8) : m.value;
        int256 moved = random % 3 == 0 ? pick % 2_001 : (pick % 2 == 0 ? -501 : int256(499)) + (pick >> 1) % 3;
        moved = m.value + (unit * moved) / 10_000;
        return moved > type(int64).max || moved < type(int64).min ? type(int64).max : int64(moved);
    }

    function _step(Model storage m, int64 next, uint16 confidence) private {
        if (confidence == 0xffff || next == type(int64).min || (!m.isSigned && next <= 0)) return;
        int256 limit = int256(500 + (100 * (_now() - m.seq) * SLOT) / 60);
        if (limit > 2_000) limit = 2_000;
        int256 difference = next > m.value ? next - m.value : m.value - next;
        bool takes = m.seq == 0 || difference * 10_000 <= (m.isSigned ? int256(1e8) : m.value) * limit;
        if (!takes && m.isParked && (m.parked > m.value) == (next > m.value)) {
            takes = block.number != m.parkedBlock && (_now() - m.parkedSeq) * SLOT >= 30;
        } else if (!takes) {
            (m.parkedSeq, m.parkedBlock) = (_now(), block.number);
        }
        m.isParked = !takes;
        m.parked = takes ? int256(0) : next;
        if (takes) (m.value, m.seq) = (next, _now());
    }

    /* HELPERS */

    function _after(uint256 time) private {
        vm.warp(block.timestamp + time);
        vm.roll(block.number + 1);
    }

    function _next(uint256 time, int64 price) private {
        _after(time);
        assertTrue(oracle.update(_flat(_now(), price)));
    }

    function _expect(uint256 feed, uint256 price, uint256 parked) private view {
        uint256[] memory ids = new uint256[](1);
        ids[0] = feed;
        IPriceOracle.Price memory stored = oracle.prices(ids)[0];
        assertEq(stored.price, price, "price");
        assertEq(stored.parked, parked, "parked");
    }
}
