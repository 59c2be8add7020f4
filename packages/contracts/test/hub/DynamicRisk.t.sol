// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {DynamicRisk} from "../../src/hub/DynamicRisk.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "./HubFixture.sol";

/// @notice What signed volatility, depth and open interest tell margin.
contract DynamicRiskTest is HubFixture {
    uint16 internal constant REALISED = 10;
    uint16 internal constant IMPLIED = 11;
    uint16 internal constant DEPTH = 12;
    uint16 internal constant NONE = type(uint16).max;

    DynamicRisk internal risk;

    function setUp() public override {
        super.setUp();
        risk = new DynamicRisk(address(this), config, oracle, hub);
        config.setDynamicRisk(address(risk));
        oracle.set(REALISED, 0.5e18);
        oracle.set(IMPLIED, 0.5e18);
        oracle.set(DEPTH, 1_000_000e18);
        risk.setInputs(FEED_ETH, _inputs());
    }

    /// @dev Shocks set for 60 % a year; the book counts five times; open interest from 100,000.
    function _inputs() internal pure returns (DynamicRisk.FeedInputs memory) {
        return
            DynamicRisk.FeedInputs(REALISED, IMPLIED, DEPTH, 6000, 30_000, 15_000, 50_000, 2_000_000, 100_000);
    }

    function _refresh() internal {
        risk.refresh(FEED_ETH, new uint256[](0));
    }

    function _now() internal view returns (IRiskConfig.CurrentUnderlying memory) {
        return config.currentUnderlying(FEED_ETH);
    }

    function test_calmMarketsLeaveTheOwnersShocks() public {
        _refresh();
        assertEq(_now().shockIm, 1000);
        assertEq(_now().shockMm, 600);
        assertEq(_now().thinnessIm, uint256(1 << 37) / 5_000_000);
    }

    /// @dev 90 % over 60 %: half as much again, at once for IM; MM goes there at one percent of price an hour.
    function test_theWorseVolatilityIsTheFactor() public {
        oracle.set(IMPLIED, 0.9e18);
        _refresh();
        assertEq(_now().shockIm, 1500);
        assertEq(_now().shockMm, 600);
        for (uint256 n; n < 19; ++n) {
            vm.warp(block.timestamp + 10 minutes);
            _refresh();
        }
        assertEq(_now().shockMm, 900);
        assertEq(_now().gridShock, 1316);
        oracle.set(REALISED, 6e18);
        _refresh();
        assertEq(_now().shockIm, 3000, "three times at most");
        assertEq(_now().shockMm, 900, "half as much again at most");
    }

    function test_openInterestMovesImAlone() public {
        fundCash(aliceAccount, 1_000_000);
        fundCash(bobAccount, 1_000_000);
        trade(ETH_PERP, aliceAccount, bobAccount, 100e18, 2000e18);
        uint256[] memory ids = new uint256[](1);
        ids[0] = ETH_PERP;
        risk.refresh(FEED_ETH, ids);
        assertEq(_now().shockIm, 2000, "200,000 is twice what moves nothing");
        vm.warp(block.timestamp + 10 minutes);
        risk.refresh(FEED_ETH, ids);
        assertEq(_now().shockMm, 600);
        assertEq(_now().gridShock, 1000);
        // Whoever leaves it out changes nothing; whoever reports less must have seen less.
        _refresh();
        assertEq(_now().shockIm, 2000);
        trade(ETH_PERP, bobAccount, aliceAccount, 60e18, 2000e18);
        vm.warp(block.timestamp + 10 minutes);
        risk.refresh(FEED_ETH, ids);
        assertEq(risk.counted(FEED_ETH), 40e18);
        assertEq(_now().shockIm, 1833, "a factor of one an hour");
        ids[0] = BTC_PERP;
        vm.expectRevert(abi.encodeWithSelector(DynamicRisk.OtherFeed.selector, BTC_PERP));
        risk.refresh(FEED_ETH, ids);
    }

    function test_depthMovesThinness() public {
        _refresh();
        oracle.set(DEPTH, 100_000e18);
        _refresh();
        assertEq(_now().thinnessIm, uint256(1 << 37) / 500_000);
        assertEq(_now().thinnessMm, 0);
        vm.warp(block.timestamp + 6 minutes);
        _refresh();
        // A fortieth of 2^37 ÷ 2,000,000.
        assertEq(_now().thinnessMm, uint256(1 << 37) / 2_000_000 / 40);
    }

    function test_whatIsNotFreshTightensOnly() public {
        oracle.set(IMPLIED, 0.9e18);
        _refresh();
        vm.warp(block.timestamp + 10 minutes);
        oracle.set(IMPLIED, 0.1e18, 0, 0, false);
        _refresh();
        assertEq(_now().shockIm, 1500);
        assertEq(_now().shockMm, 600);
        oracle.set(REALISED, 1.2e18);
        _refresh();
        assertEq(_now().shockIm, 2000, "what is known still tightens");
        assertEq(_now().shockMm, 600);
        oracle.set(IMPLIED, 0.1e18);
        oracle.set(DEPTH, 0, 0, 0, false);
        _refresh();
        assertEq(_now().thinnessIm, uint256(1 << 37) / 2_000_000, "as deep as is assumed");
        assertEq(_now().thinnessMm, 0);
    }

    function test_stressOfAClass() public {
        config.setClass(0, IRiskConfig.RiskClass(5000, 3000, 9000, 7000));
        risk.setClassInputs(0, DynamicRisk.ClassInputs(REALISED, 4000));
        risk.refreshClass(0);
        (uint256 im, uint256 mm) = config.currentRho(0);
        assertEq(im, 6000, "a quarter of the way");
        assertEq(mm, 3000);
        oracle.set(REALISED, 0.2e18, 0, 0, false);
        vm.warp(block.timestamp + 10 minutes);
        risk.refreshClass(0);
        (im, mm) = config.currentRho(0);
        assertEq(im, 6000, "not known to be over");
        assertEq(mm, 3000);
        oracle.set(REALISED, 2e18);
        risk.refreshClass(0);
        (im,) = config.currentRho(0);
        assertEq(im, 9000);
    }

    function test_withoutInputsTheOwnersChangesRampAllTheSame() public {
        config.setUnderlying(FEED_BTC, IRiskConfig.Underlying(1000, 600, 5000, 1500));
        vm.warp(block.timestamp + 6 minutes);
        vm.prank(alice);
        assertTrue(risk.refresh(FEED_BTC, new uint256[](0)));
        assertEq(config.currentUnderlying(FEED_BTC).shockMm, 510);
        assertFalse(risk.refresh(FEED_BTC, new uint256[](0)), "nothing more within the second");
        assertFalse(risk.refreshClass(0));
    }

    function test_depthCanBeGivenUp() public {
        for (uint256 n; n < 3; ++n) {
            vm.warp(block.timestamp + 10 minutes);
            _refresh();
        }
        assertGt(_now().thinnessMm, 0);
        DynamicRisk.FeedInputs memory i = _inputs();
        (i.depthFeed, i.depth) = (NONE, 0);
        risk.setInputs(FEED_ETH, i);
        uint256 before = _now().thinnessMm;
        vm.warp(block.timestamp + 10 minutes);
        _refresh();
        assertLt(_now().thinnessMm, before);
        assertGt(_now().thinnessMm, 0);
    }

    function test_bounds() public {
        DynamicRisk.FeedInputs memory i = _inputs();
        i.maxFactorIm = 50_001;
        vm.expectRevert(abi.encodeWithSelector(DynamicRisk.OutOfBounds.selector, "maxFactorIm"));
        risk.setInputs(FEED_ETH, i);
        (i.maxFactorIm, i.maxFactorMm) = (20_000, 20_001);
        vm.expectRevert(abi.encodeWithSelector(DynamicRisk.OutOfBounds.selector, "maxFactorMm"));
        risk.setInputs(FEED_ETH, i);
        i = _inputs();
        i.depth = 0;
        vm.expectRevert(abi.encodeWithSelector(DynamicRisk.OutOfBounds.selector, "depth"));
        risk.setInputs(FEED_ETH, i);
        vm.expectRevert(abi.encodeWithSelector(DynamicRisk.OutOfBounds.selector, "volatility"));
        risk.setClassInputs(0, DynamicRisk.ClassInputs(REALISED, 0));
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        risk.setInputs(FEED_ETH, i);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        risk.setClassInputs(0, DynamicRisk.ClassInputs(REALISED, 1));
    }

    /// @dev Whatever the feeds say, it never reverts.
    function testFuzz_neverStops(uint256 seed, uint256 realised, uint256 implied, uint256 depth) public {
        oracle.set(REALISED, realised >> (seed % 200), 0, 0, seed % 3 != 0);
        oracle.set(IMPLIED, implied >> ((seed >> 8) % 200), 0, 0, seed % 5 != 0);
        oracle.set(DEPTH, depth >> (128 + (seed >> 16) % 100), 0, 0, seed % 7 != 0);
        vm.warp(block.timestamp + (seed >> 32) % 1 hours);
        _refresh();
        risk.refreshClass(0);
    }
}
