// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "./HubFixture.sol";

contract RiskConfigTest is HubFixture {
    function _expect(string memory field) internal {
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.OutOfBounds.selector, field));
    }

    function test_onlyOwner() public {
        IRiskConfig.Asset memory a = config.asset(WETH);
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        IRiskConfig.Global memory g = config.global();
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice);
        vm.startPrank(alice);
        vm.expectRevert(refusal);
        config.setAsset(WETH, a);
        vm.expectRevert(refusal);
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(2, 1, 0, 0));
        vm.expectRevert(refusal);
        config.setInstrument(ETH_PERP, i);
        vm.expectRevert(refusal);
        config.setGlobal(g);
        vm.stopPrank();
    }

    function test_everyChangeRaisesTheVersion() public {
        bytes[10] memory calls = [
            abi.encodeCall(config.setAsset, (WETH, config.asset(WETH))),
            abi.encodeCall(config.setUnderlying, (FEED_ETH, config.underlying(FEED_ETH))),
            abi.encodeCall(config.setRiskClass, (9, 0)),
            abi.encodeCall(config.setClass, (1, IRiskConfig.RiskClass(5000, 3000, 6000, 4000))),
            abi.encodeCall(config.setInstrument, (ETH_PERP, config.instrument(ETH_PERP))),
            abi.encodeCall(config.setGrid, (config.grid())),
            abi.encodeCall(config.setGlobal, (config.global())),
            abi.encodeCall(config.setSilence, (IRiskConfig.Silence(1 hours, 6 hours, 12 hours))),
            abi.encodeCall(config.setLivenessFeed, (A, 9)),
            abi.encodeCall(config.setDynamicRisk, (address(this)))
        ];
        for (uint256 n; n < calls.length; ++n) {
            uint256 version = config.version();
            vm.expectEmit(address(config));
            emit RiskConfig.VersionRaised(version + 1);
            (bool ok,) = address(config).call(calls[n]);
            assertTrue(ok);
            assertGt(config.version(), version);
        }
    }

    function test_assetBounds() public {
        IRiskConfig.Asset memory a = config.asset(WETH);
        a.creditMm = 10_001;
        _expect("credit");
        config.setAsset(WETH, a);
        a.creditMm = 5000;
        a.creditIm = 5001;
        _expect("credit");
        config.setAsset(WETH, a);
        a = config.asset(WETH);
        a.decimals = 19;
        _expect("decimals");
        config.setAsset(WETH, a);
        a = config.asset(WETH);
        a.matureCap = 1e30 + 1;
        _expect("matureCap");
        config.setAsset(WETH, a);
        a = config.asset(WETH);
        a.feed = 9;
        _expect("feed");
        config.setAsset(WETH, a);
        a = config.asset(USDC_A);
        a.feed = uint16(FEED_ETH);
        _expect("feed");
        config.setAsset(USDC_A, a);
    }

    function test_identityNeverChanges() public {
        IRiskConfig.Asset memory a = config.asset(WETH);
        vm.expectRevert(RiskConfig.IdentityChanged.selector);
        config.setAsset(6, a);
        a.decimals = 8;
        a.matureCap = 1;
        a.matureRate = 1;
        vm.expectRevert(RiskConfig.IdentityChanged.selector);
        config.setAsset(WETH, a);
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.UnknownId.selector, 8));
        config.setAsset(8, a);
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        i.module = alice;
        vm.expectRevert(RiskConfig.IdentityChanged.selector);
        config.setInstrument(ETH_PERP, i);
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.UnknownId.selector, 0));
        config.setInstrument(0, i);
    }

    function test_underlyingBounds() public {
        _expect("shock");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1, 2, 0, 0));
        _expect("shock");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1, 0, 0, 0));
        _expect("shock");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(10_001, 1, 0, 0));
        _expect("tailDamping");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1, 1, 1, 10_001));
        _expect("feed");
        config.setUnderlying(1 << 16, IRiskConfig.Underlying(1, 1, 1, 1));
    }

    function test_instrumentBounds() public {
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        i.priceBand = 1001;
        _expect("priceBand");
        config.setInstrument(ETH_PERP, i);
        i.priceBand = 0;
        _expect("priceBand");
        config.setInstrument(ETH_PERP, i);
        i.priceBand = 1;
        i.maxOpenInterest = type(uint128).max;
        _expect("maxOpenInterest");
        config.setInstrument(ETH_PERP, i);
        i.maxOpenInterest = 1;
        i.feed = 9;
        _expect("feed");
        config.setInstrument(4, i);
        (i.feed, i.module) = (uint16(FEED_ETH), address(0));
        _expect("module");
        config.setInstrument(4, i);
    }

    /// A trade at the edge of the band must never cost more than the maintenance margin that it leaves behind.
    function test_bandBelowShock() public {
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        i.priceBand = 600;
        _expect("priceBand");
        config.setInstrument(ETH_PERP, i);
        i.priceBand = 599;
        config.setInstrument(ETH_PERP, i);
        _expect("priceBand");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1000, 599, 5000, 2000));
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 2000));
        // Other feeds are not concerned.
        config.setUnderlying(9, IRiskConfig.Underlying(1, 1, 0, 0));
    }

    function test_globalBounds() public {
        _expect("rho");
        config.setGlobal(IRiskConfig.Global(10_001, 1, 0, 0, 1, 1 hours));
        _expect("rho");
        config.setGlobal(IRiskConfig.Global(1, 2, 0, 0, 1, 1 hours));
        _expect("bufferBps");
        config.setGlobal(IRiskConfig.Global(1, 1, 0, 10_001, 1, 1 hours));
        _expect("maxRows");
        config.setGlobal(IRiskConfig.Global(1, 1, 0, 0, 17, 1 hours));
        _expect("regressionDelay");
        config.setGlobal(IRiskConfig.Global(1, 1, 0, 0, 1, 29 minutes));
        assertGt(config.MIN_REGRESSION_DELAY(), hub.MAX_SKEW());
    }

    function test_silenceBounds() public {
        IRiskConfig.Silence memory s = IRiskConfig.Silence(2 hours, 6 hours, 12 hours);
        config.setSilence(s);
        config.setLivenessFeed(7, 0);
        (IRiskConfig.Silence memory set, bool hasFeed, uint256 feed) = config.silenceOf(7);
        assertEq(abi.encode(set, hasFeed, feed), abi.encode(s, true, 0));
        (, hasFeed,) = config.silenceOf(8);
        assertFalse(hasFeed);
        s.grace = 10 minutes - 1;
        _expect("grace");
        config.setSilence(s);
        s.grace = 3 days + 1;
        _expect("grace");
        config.setSilence(s);
        s.grace = 6 hours + 1;
        _expect("mmGrace");
        config.setSilence(s);
        (s.grace, s.mmGrace) = (30 minutes, 1 hours - 1);
        _expect("mmGrace");
        config.setSilence(s);
        s.mmGrace = 7 days + 1;
        _expect("mmGrace");
        config.setSilence(s);
        (s.mmGrace, s.mmRamp) = (6 hours, 1 hours - 1);
        _expect("mmRamp");
        config.setSilence(s);
        s.mmRamp = 30 days + 1;
        _expect("mmRamp");
        config.setSilence(s);
        _expect("feed");
        config.setLivenessFeed(7, 1 << 16);
        vm.startPrank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        config.setSilence(s);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        config.setLivenessFeed(7, 1);
    }
}
