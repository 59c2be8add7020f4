// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {FeedRisk} from "../../src/margin/FeedRisk.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {HubFixture} from "../hub/HubFixture.sol";
import {Quadratic} from "./Quadratic.sol";

contract MarginEngineTest is HubFixture {
    /// What IM holds back for roundings with one underlying.
    int256 internal constant DUST = 17;

    function _portfolio(uint256 claims, uint256 positions)
        internal
        pure
        returns (IClearinghouse.Portfolio memory p)
    {
        p.assetIds = new uint256[](claims);
        p.claims = new uint256[](claims);
        p.impaired = new uint256[](claims + 1);
        p.instrumentIds = new uint256[](positions);
        p.sizes = new int256[](positions);
        p.quotes = new int256[](positions);
    }

    function _perp(int256 size, int256 quote) internal pure returns (IClearinghouse.Portfolio memory p) {
        p = _portfolio(0, 1);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (ETH_PERP, size, quote);
        p.cash = 1000e18;
    }

    function test_cashAloneNeedsNoPrice() public {
        oracle.set(FEED_USDC, 0, 0, 0, false);
        IClearinghouse.Portfolio memory p = _portfolio(0, 0);
        p.cash = 7e18;
        p.impaired[0] = 2e18;
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.equity, 7e18);
        assertEq(h.mm, 7e18);
        assertEq(h.im, 5e18);
        assertTrue(h.fresh);
    }

    /// @dev 1 ETH long at 2000, mark 2000: shock 10% IM, 6% MM; the tail of 50% at 20% weighs 10% of price, which is MM's worst.
    function test_onePerp() public view {
        IMarginEngine.Health memory h = engine.health(_perp(1e18, -2000e18));
        assertEq(h.equity, 1000e18);
        assertEq(h.im, 800e18 - DUST);
        assertEq(h.mm, 800e18);
        assertEq(h.notional, 2000e18);
        assertTrue(h.fresh);
    }

    function test_shocksWithoutTail() public {
        setShocks(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 0));
        IMarginEngine.Health memory h = engine.health(_perp(-1e18, 2000e18));
        assertEq(h.im, 800e18 - DUST);
        assertEq(h.mm, 880e18);
    }

    function test_creditedClaimOffsetsAShort() public {
        setShocks(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 0));
        IClearinghouse.Portfolio memory p = _portfolio(1, 1);
        (p.assetIds[0], p.claims[0]) = (WETH, 1e18);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (ETH_PERP, -1e18, 2000e18);
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.equity, 2000e18);
        // Value 0.8 x 2000, net exposure -0.2 ETH under +10%; MM 0.9 and -0.1 under +6%.
        assertEq(h.im, 1600e18 - 40e18 - DUST);
        assertEq(h.mm, 1800e18 - 12e18);
    }

    function test_confidenceIsTakenFromBothEnds() public {
        setShocks(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 0));
        oracle.set(FEED_ETH, 2000e18, 0.01e18, 0, true);
        IMarginEngine.Health memory h = engine.health(_perp(1e18, -2000e18));
        assertEq(h.equity, 1000e18);
        assertEq(h.im, 1000e18 - 20e18 - 202e18 - DUST, "low end, loss at the high end");
        assertEq(h.mm, 1000e18 + 20e18 - 118.8e18, "high end, loss at the low end");
    }

    function test_parkedWorsensOnlyIm() public {
        IMarginEngine.Health memory before = engine.health(_perp(1e18, -2000e18));
        oracle.set(FEED_ETH, 2000e18, 0, 1500e18, true);
        IMarginEngine.Health memory h = engine.health(_perp(1e18, -2000e18));
        assertEq(h.mm, before.mm);
        assertEq(h.equity, before.equity);
        assertEq(h.im, before.im - 500e18);
        oracle.set(FEED_ETH, 2000e18, 0, 2500e18, true);
        // Value at the stored end, loss at the parked one.
        assertEq(engine.health(_perp(1e18, -2000e18)).im, before.im - 50e18);
    }

    function test_stalePriceTightensImAndLeavesMm() public {
        setShocks(FEED_ETH, IRiskConfig.Underlying(1000, 600, 5000, 0));
        IClearinghouse.Portfolio memory p = _perp(1e18, -2000e18);
        IMarginEngine.Health memory before = engine.health(p);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        IMarginEngine.Health memory h = engine.health(p);
        assertFalse(h.fresh);
        assertEq(h.mm, before.mm);
        assertEq(h.im, before.im - 200e18, "shock doubled");

        p = _portfolio(1, 0);
        (p.assetIds[0], p.claims[0]) = (WETH, 1e18);
        h = engine.health(p);
        assertEq(h.im, -DUST, "no credit");
        assertEq(h.mm, 1800e18 - 108e18);
    }

    function test_depegLowersImOnly() public {
        IMarginEngine.Health memory before = engine.health(_perp(1e18, -2000e18));
        oracle.set(FEED_USDC, 0.9e18);
        IMarginEngine.Health memory h = engine.health(_perp(1e18, -2000e18));
        assertEq(h.im, before.im - 100e18);
        assertEq(h.mm, before.mm);
        oracle.set(FEED_USDC, 1.1e18);
        assertEq(engine.health(_perp(1e18, -2000e18)).im, before.im, "never above par");
        oracle.set(FEED_USDC, 1e18, 0, 0, false);
        h = engine.health(_perp(1e18, -2000e18));
        assertEq(h.im, before.im - 1000e18);
        assertFalse(h.fresh);
    }

    function test_profitCountsForImUpToItsCap() public {
        config.setGlobal(IRiskConfig.Global(5000, 3000, 300e18, 1500, 12, 1 hours));
        IMarginEngine.Health memory h = engine.health(_perp(1e18, -1500e18));
        assertEq(h.equity, 1500e18);
        assertEq(h.mm, 1300e18);
        assertEq(h.im, 1300e18 - 200e18 - DUST);
    }

    function test_impairedClaimsLeaveImOnly() public view {
        IClearinghouse.Portfolio memory p = _portfolio(1, 0);
        (p.assetIds[0], p.claims[0]) = (WETH, 2e18);
        IMarginEngine.Health memory before = engine.health(p);
        p.impaired[0] = 1e18;
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.mm, before.mm);
        assertEq(h.equity, before.equity);
        assertApproxEqAbs(h.im, before.im / 2, 20);
    }

    function test_correlationAcrossUnderlyings() public {
        setShocks(FEED_ETH, IRiskConfig.Underlying(1000, 1000, 0, 0));
        setShocks(FEED_BTC, IRiskConfig.Underlying(1000, 1000, 0, 0));
        IClearinghouse.Portfolio memory p = _portfolio(0, 2);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (ETH_PERP, 15e18, -30_000e18);
        (p.instrumentIds[1], p.sizes[1], p.quotes[1]) = (BTC_PERP, -1e18, 40_000e18);
        config.setGlobal(IRiskConfig.Global(10_000, 0, 0, 1500, 12, 1 hours));
        assertLt(engine.health(p).mm, -5000e18, "on its way");
        for (uint256 n; n < 60; ++n) {
            vm.warp(block.timestamp + 10 minutes);
            config.setGlobal(config.global());
        }
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.im, -7000e18 - 33, "sum");
        assertEq(h.mm, -5000e18, "root of squares");
    }

    /// @dev DESIGN §6.11, for random parameters, prices and portfolios.
    function testFuzz_mmIsNeverBelowIm(uint256 seed) public {
        vm.pauseGasMetering();
        uint256 r = seed;
        // Half of the runs leave IM and MM no difference but rounding, so that nothing hides a wrong order.
        bool equal = seed % 2 == 0;
        // On which nothing is listed yet, so that all is as it is set.
        config = new RiskConfig(address(this), FEED_USDC);
        config.setDynamicRisk(address(this));
        engine = new MarginEngine(hub, oracle, config);
        perp = new Perp(address(hub), oracle, config);
        for (uint256 class; class < 4; ++class) {
            r = uint256(keccak256(abi.encode(r)));
            uint16 rhoIm = uint16(r % 10_001);
            uint16 rhoMm = equal ? rhoIm : uint16((r >> 16) % (uint256(rhoIm) + 1));
            config.setClass(class, IRiskConfig.RiskClass(rhoIm, rhoMm, rhoIm, rhoMm));
        }
        for (uint256 feed; feed < 4; ++feed) {
            r = uint256(keccak256(abi.encode(r)));
            uint256 price = 1 + (r >> 16) % 100_000e18;
            oracle.set(
                feed,
                price,
                equal ? 0 : (r >> 96) % 0.3e18,
                !equal && r % 3 == 0 ? 1 + (r >> 120) % (2 * price) : 0,
                equal || r % 5 != 0
            );
            // A claim that a fall and a thin market could make worse than worthless leaves IM alone.
            uint16 im = uint16(4 + (r >> 170) % (equal ? 7900 : 9997));
            uint16 mm = equal ? im : uint16(4 + (r >> 190) % (im - 3));
            config.setRiskClass(feed, uint8((r >> 212) % 4));
            config.setUnderlying(
                feed,
                IRiskConfig.Underlying(
                    im, mm, uint16((r >> 200) % 60_000), uint16((r >> 220) % (equal ? 7900 : 10_001))
                )
            );
            if (r % 2 == 0) _moveFeed(feed, r >> 10, equal);
        }
        IRiskConfig.Global memory g = config.global();
        g.profitCapIm = equal ? type(uint96).max : uint128((r >> 32) % 1e24);
        (g.maxRows, g.regressionDelay) = (12, 1 hours);
        config.setGlobal(g);
        _listUsdc();
        for (uint256 n; n < 3; ++n) {
            r = uint256(keccak256(abi.encode(r)));
            uint16 creditMm = uint16(r % 10_001);
            uint16 creditIm = equal ? creditMm : uint16((r >> 16) % (uint256(creditMm) + 1));
            _list(B, string(abi.encode(n)), 18, 1 + n, false, creditIm, creditMm, 1e24);
            config.setInstrument(1 + n, IRiskConfig.Instrument(address(perp), uint16(1 + n), 1, 1, 1));
        }
        config.setInstrument(
            4,
            IRiskConfig.Instrument(address(new Quadratic(oracle, 1, 100_000e18)), uint16(1 + r % 3), 1, 1, 1)
        );
        uint16 share = uint16((r >> 48) % 10_001);
        config.setGrid(
            IRiskConfig.Grid(
                uint16(r >> 64),
                uint16((r >> 80) % 10_000),
                uint16((r >> 96) % 10_001),
                uint16(5001 + (r >> 112) % 5000),
                share,
                equal ? share : share / 2
            )
        );
        IClearinghouse.Portfolio memory p = _portfolio(3, 4);
        p.portfolioSet = r % 2 == 0;
        (p.instrumentIds[3], p.sizes[3]) = (4, r % 3 == 0 ? int256(0) : int256((r >> 140) % 2e22) - 1e22);
        p.cash = int256((r >> 128) % 1e24);
        if (!equal) p.impaired[3] = (r >> 200) % (uint256(p.cash) + 1);
        else oracle.set(FEED_USDC, 1e18);
        for (uint256 n; n < 3; ++n) {
            r = uint256(keccak256(abi.encode(r)));
            p.assetIds[n] = 2 + n;
            p.claims[n] = (r >> 32) % 1e24;
            p.impaired[n] = !equal && r % 4 == 0 ? (r >> 120) % (p.claims[n] + 1) : 0;
            p.instrumentIds[n] = 1 + n;
            p.sizes[n] = int256((r >> 140) % 2e22) - 1e22;
            p.quotes[n] = int256((r >> 170) % 2e26) - 1e26;
        }
        IMarginEngine.Health memory h = engine.health(p);
        assertGe(h.mm, h.im);
        if (equal) assertLe(h.mm - h.im, 100, "only what is held back for roundings");
    }

    function _listUsdc() private {
        _list(A, "cash", 6, FEED_USDC, true, 10_000, 10_000, USDC_CAP);
    }

    /// @dev A market as thin as IM has it from now on, and MM as far as it comes in a step; all the way if they are to be equal.
    function _moveFeed(uint256 feed, uint256 r, bool equal) private {
        vm.warp(block.timestamp + 10 minutes);
        uint256 most = equal ? FeedRisk.MAX_THINNESS / 25 : FeedRisk.MAX_THINNESS;
        uint32 factorIm = equal ? 10_000 : uint32(10_000 + r % 40_001);
        uint32 factorMm = equal ? 10_000 : uint32(10_000 + (r >> 30) % (factorIm - 9999));
        config.moveFeed(
            feed,
            IRiskConfig.FeedTarget(
                factorIm, factorMm, uint32((r >> 60) % most), uint32(FeedRisk.MAX_THINNESS), false
            )
        );
    }

    function test_accountsHealthIsAccountHealth() public {
        fundCash(aliceAccount, 5000);
        fundCash(bobAccount, 6000);
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        bytes32[] memory accounts = new bytes32[](2);
        (accounts[0], accounts[1]) = (aliceAccount, bobAccount);
        IMarginEngine.Health[] memory list = engine.accountsHealth(accounts);
        for (uint256 n; n < 2; ++n) {
            assertEq(abi.encode(list[n]), abi.encode(engine.accountHealth(accounts[n])));
            assertEq(abi.encode(list[n]), abi.encode(engine.health(hub.portfolio(accounts[n]))));
        }
    }
}
