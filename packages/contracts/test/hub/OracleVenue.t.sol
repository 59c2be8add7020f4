// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AccountSignatures} from "../../src/hub/AccountSignatures.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {OracleVenue} from "../../src/hub/OracleVenue.sol";
import {SignedOrders} from "../../src/hub/SignedOrders.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {QuorumSignatures} from "../../src/oracle/QuorumSignatures.sol";
import {OracleTest} from "../oracle/OracleTest.sol";
import {HubFixture} from "./HubFixture.sol";

/// @notice Four nodes and the oracle that knows them, whose reports have ETH at a price.
contract SignedReports is OracleTest {
    function open() external returns (PriceOracle) {
        _deploy(4, 4);
        return oracle;
    }

    /// @param eth Units of 1e-8. @param confidence bps.
    function at(uint64 slot, int64 eth, uint16 confidence) external view returns (bytes memory) {
        int64[] memory prices = new int64[](4);
        uint16[] memory confidences = new uint16[](4);
        (prices[0], prices[1], prices[2], prices[3]) = (1e8, eth, 40_000e8, 100e8);
        confidences[1] = confidence;
        return _report(slot, prices, confidences);
    }
}

contract OracleVenueTest is HubFixture {
    OracleVenue internal book;
    SignedReports internal reports;
    PriceOracle internal signed;
    uint256 internal aliceKey;
    uint256 internal bobKey;
    uint256 internal start;

    function setUp() public override {
        super.setUp();
        start = block.timestamp;
        (, aliceKey) = makeAddrAndKey("alice");
        (, bobKey) = makeAddrAndKey("bob");
        reports = new SignedReports();
        signed = reports.open();
        vm.warp(start);
        // The real oracle, whose word is only asked for ETH's mark beside the hub's double.
        book = new OracleVenue(hub, signed, config, keccak256("network"), 1, 60);
        signed.update(reports.at(uint64(start / 2), 2000e8, 0));
        hub.setVenue(address(book), true);
        venue = address(book);
        _approve(alice);
        _approve(bob);
        fundCash(aliceAccount, 10_000);
        fundCash(bobAccount, 10_000);
    }

    function _buy() internal view returns (SignedOrders.Order memory) {
        return SignedOrders.Order(
            aliceAccount, ETH_PERP, 3e18, 2100e18, uint64(block.timestamp + 60), 1, address(0)
        );
    }

    function _sell() internal view returns (SignedOrders.Order memory) {
        return
            SignedOrders.Order(
                bobAccount, ETH_PERP, -2e18, 1900e18, uint64(block.timestamp + 60), 1, address(0)
            );
    }

    function _sign(uint256 key, SignedOrders.Order memory order) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, book.orderHash(order));
        return abi.encodePacked(r, s, v);
    }

    function _commit(SignedOrders.Order memory a, SignedOrders.Order memory b, uint256 size)
        internal
        returns (uint64)
    {
        return book.commit(a, _sign(aliceKey, a), b, _sign(bobKey, b), size);
    }

    function _expectRefusal(SignedOrders.Order memory a, SignedOrders.Order memory b, bytes4 selector)
        internal
    {
        (bytes memory signatureA, bytes memory signatureB) = (_sign(aliceKey, a), _sign(bobKey, b));
        vm.expectPartialRevert(selector);
        book.commit(a, signatureA, b, signatureB, 1e18);
    }

    function test_tradesAtThePriceOfTheFirstSlotThatBeginsAfterwards() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        // Seconds are even here: of a slot that begins in two seconds, with the second that the chain's clock may be behind.
        uint64 slot = _commit(buy, sell, 1.5e18);
        assertEq(slot * 2, start + 2);
        vm.warp(start + 5);
        // Later reports, stored or not, are no matter.
        signed.update(reports.at(slot + 1, 2040e8, 0));
        bytes memory report = reports.at(slot, 2010e8, 0);
        vm.prank(makeAddr("anyone"));
        book.settle(buy, sell, slot, report);
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 1.5e18);
        assertEq(hub.position(aliceAccount, ETH_PERP).quote, -1.5e18 * 2010);
        assertEq(hub.position(bobAccount, ETH_PERP).size, -1.5e18);
        assertEq(book.filled(book.orderHash(buy)), 1.5e18);
        vm.expectRevert(OracleVenue.NotCommitted.selector);
        book.settle(buy, sell, slot, report);
    }

    function testFuzz_theSlotBeginsAfterTheCommitment(uint32 later, uint8 lead) public {
        vm.warp(start + later % 1_000_000);
        OracleVenue other = new OracleVenue(hub, signed, config, keccak256("network"), lead, 60);
        hub.setVenue(address(other), true);
        book = other;
        SignedOrders.Order memory buy = _buy();
        (buy.expiry) = uint64(block.timestamp + 1000);
        SignedOrders.Order memory sell = _sell();
        sell.expiry = buy.expiry;
        uint256 begins = _commit(buy, sell, 1e18) * 2;
        assertGt(begins, block.timestamp + lead);
        assertLe(begins, block.timestamp + lead + 2);
    }

    function test_onlyThatSlotsReport() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        uint64 slot = _commit(buy, sell, 1e18);
        vm.warp(start + 10);
        bytes memory report = reports.at(slot + 1, 1990e8, 0);
        vm.expectRevert(abi.encodeWithSelector(OracleVenue.WrongSlot.selector, slot + 1, slot));
        book.settle(buy, sell, slot, report);
        vm.expectRevert(OracleVenue.NotCommitted.selector);
        book.settle(buy, sell, slot + 1, report);
        report = reports.at(slot, 2000e8, 0xffff);
        vm.expectRevert(abi.encodeWithSelector(OracleVenue.NoPrice.selector, FEED_ETH));
        book.settle(buy, sell, slot, report);
        report = reports.at(slot, 2000e8, 0);
        report[report.length - 1] ^= 0x01;
        vm.expectPartialRevert(QuorumSignatures.InvalidSignature.selector);
        book.settle(buy, sell, slot, report);
    }

    function test_noReportOfTheFuture() public {
        bytes memory report = reports.at(uint64(start / 2) + 1, 2000e8, 0);
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.FutureReport.selector, start / 2 + 1));
        signed.priceIn(report, FEED_ETH);
    }

    function test_limitsHold() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        uint64 slot = _commit(buy, sell, 1e18);
        vm.warp(start + 5);
        (bytes memory high, bytes memory low) = (reports.at(slot, 2101e8, 0), reports.at(slot, 1899e8, 0));
        vm.expectRevert(abi.encodeWithSelector(SignedOrders.OutsideLimit.selector, book.orderHash(buy)));
        book.settle(buy, sell, slot, high);
        vm.expectRevert(abi.encodeWithSelector(SignedOrders.OutsideLimit.selector, book.orderHash(sell)));
        book.settle(buy, sell, slot, low);
    }

    function test_theHubsBandHolds() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        buy.limitPrice = 9000e18;
        uint64 slot = _commit(buy, sell, 1e18);
        vm.warp(start + 5);
        bytes memory report = reports.at(slot, 8000e8, 0);
        vm.expectPartialRevert(LedgerBase.PriceOutsideBand.selector);
        book.settle(buy, sell, slot, report);
    }

    function test_whatMarginRefusesGoesBackToTheOrders() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        (buy.size, sell.size) = (90e18, -90e18);
        uint64 slot = _commit(buy, sell, 90e18);
        vm.warp(start + 5);
        bytes memory report = reports.at(slot, 2000e8, 0);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        book.settle(buy, sell, slot, report);
        uint256 until = slot * 2 + 60;
        vm.warp(until);
        vm.expectRevert(abi.encodeWithSelector(OracleVenue.TooEarly.selector, until + 1));
        book.release(buy, sell, slot);
        vm.warp(until + 1);
        vm.expectRevert(abi.encodeWithSelector(OracleVenue.TooLate.selector, until));
        book.settle(buy, sell, slot, report);
        book.release(buy, sell, slot);
        assertEq(book.filled(book.orderHash(buy)), 0);
        vm.expectRevert(OracleVenue.NotCommitted.selector);
        book.release(buy, sell, slot);
    }

    function test_aCancelledOrderStaysCancelled() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        uint64 slot = _commit(buy, sell, 1e18);
        vm.prank(alice);
        book.cancel(buy);
        vm.warp(slot * 2 + 61);
        book.release(buy, sell, slot);
        assertEq(book.filled(book.orderHash(buy)), type(uint256).max);
        assertEq(book.filled(book.orderHash(sell)), 0);
    }

    function test_twoCommitmentsOfAPairInASlotAddUp() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        uint64 slot = _commit(buy, sell, 0.5e18);
        _commit(buy, sell, 1e18);
        vm.warp(start + 5);
        book.settle(buy, sell, slot, reports.at(slot, 2000e8, 0));
        assertEq(hub.position(aliceAccount, ETH_PERP).size, 1.5e18);
    }

    function test_refusals() public {
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        SignedOrders.Order memory other = _sell();
        other.size = 2e18;
        _expectRefusal(buy, other, SignedOrders.SameSide.selector);
        other = _sell();
        other.instrumentId = BTC_PERP;
        _expectRefusal(buy, other, SignedOrders.InstrumentMismatch.selector);
        other = _sell();
        other.size = -0.5e18;
        _expectRefusal(buy, other, SignedOrders.Overfilled.selector);
        other = _sell();
        other.matcher = makeAddr("matcher");
        _expectRefusal(buy, other, SignedOrders.NotMatcher.selector);
        // Good now, and no more when its slot begins.
        other = _sell();
        other.expiry = uint64(start + 1);
        _expectRefusal(buy, other, SignedOrders.Expired.selector);
        other = _sell();
        other.account = aliceAccount;
        _expectRefusal(buy, other, AccountSignatures.BadSignature.selector);
        (bytes memory a, bytes memory b) = (_sign(aliceKey, buy), _sign(bobKey, sell));
        vm.expectRevert(OracleVenue.ZeroSize.selector);
        book.commit(buy, a, sell, b, 0);
        (buy.instrumentId, sell.instrumentId) = (9, 9);
        _expectRefusal(buy, sell, OracleVenue.UnknownInstrument.selector);
    }

    /// @dev An option's price doesn't follow from a report's price alone.
    function test_onlyWhatIsWorthItsFeed() public {
        vm.mockCall(
            config.instrument(BTC_PERP).module,
            abi.encodeWithSignature("mark(uint256)", BTC_PERP),
            abi.encode(uint256(53e18), true)
        );
        (SignedOrders.Order memory buy, SignedOrders.Order memory sell) = (_buy(), _sell());
        (buy.instrumentId, sell.instrumentId) = (BTC_PERP, BTC_PERP);
        _expectRefusal(buy, sell, OracleVenue.NotSpot.selector);
    }
}
