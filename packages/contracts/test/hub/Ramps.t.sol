// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "./HubFixture.sol";

/// @notice DESIGN §6.6, §6.11: whoever says what, MM moves along slopes, and IM is never the milder one.
contract RampsTest is HubFixture {
    uint256 internal constant STEP = 10 minutes;

    function setUp() public override {
        super.setUp();
        config.setDynamicRisk(address(this));
    }

    function _target(uint256 factorIm, uint256 factorMm, uint256 thinness)
        internal
        pure
        returns (IRiskConfig.FeedTarget memory)
    {
        return IRiskConfig.FeedTarget(uint32(factorIm), uint32(factorMm), uint32(thinness), 1e6, false);
    }

    function _now() internal view returns (IRiskConfig.CurrentUnderlying memory) {
        return config.currentUnderlying(FEED_ETH);
    }

    function _distance(uint256 a, uint256 b) internal pure returns (uint256) {
        return a > b ? a - b : b - a;
    }

    function test_imRisesAtOnceAndFallsAlongASlopeMmRampsBothWays() public {
        config.moveFeed(FEED_ETH, _target(30_000, 20_000, 0));
        assertEq(_now().shockIm, 3000);
        assertEq(_now().shockMm, 600, "no time has passed");
        vm.warp(block.timestamp + 6 minutes);
        config.moveFeed(FEED_ETH, _target(30_000, 20_000, 0));
        assertEq(_now().shockMm, 610, "a tenth of an hour");
        assertEq(_now().gridShock, 1010);
        vm.warp(block.timestamp + 6 minutes);
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 0));
        assertEq(_now().shockIm, 2900, "once the owner's an hour");
        assertEq(_now().shockMm, 600);
    }

    function test_ownersShocksMoveImAtOnceAndMmAlongTheRamp() public {
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        assertEq(_now().shockIm, 2000);
        assertEq(_now().shockMm, 600);
        assertEq(config.underlying(FEED_ETH).shockMm, 1200, "what it goes to");
        vm.warp(block.timestamp + 1 hours);
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 0));
        assertEq(_now().shockMm, 616, "an hour in silence saves up ten minutes");
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(600, 600, 0, 0));
        assertEq(_now().shockMm, 616);
        assertEq(_now().shockIm, 1016, "never below the grid's, nor MM's");
    }

    function test_tailsRampForBoth() public {
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(1000, 600, 6000, 1000));
        assertEq(_now().tailShock, 5000);
        assertEq(_now().tailDamping, 2000);
        vm.warp(block.timestamp + 6 minutes);
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 0));
        assertEq(_now().tailShock, 5050);
        assertEq(_now().tailDamping, 1980);
        assertEq(config.underlying(FEED_ETH).tailShock, 6000, "what it goes to");
    }

    function test_theGridAndThePortfolioSetRamp() public {
        assertEq(config.currentGrid().portfolioShock, 10_000, "that of the Standard set");
        config.setGrid(IRiskConfig.Grid(3000, 2000, 100, 8000, 5000, 4000));
        assertEq(abi.encode(config.currentGrid()), abi.encode(config.grid()), "the first is there at once");
        config.setGrid(IRiskConfig.Grid(4000, 1990, 0, 0, 0, 0));
        assertEq(config.currentGrid().volatilityUp, 3000);
        vm.warp(block.timestamp + 6 minutes);
        uint256 version = config.version();
        vm.expectEmit();
        emit IRiskConfig.GridMoved();
        vm.prank(alice);
        assertTrue(config.moveGrid());
        assertEq(config.version(), version + 1);
        IRiskConfig.Grid memory expected = IRiskConfig.Grid(3050, 1990, 90, 8050, 5050, 4050);
        assertEq(abi.encode(config.currentGrid()), abi.encode(expected));
        assertFalse(config.moveGrid(), "no time has passed");
        vm.warp(block.timestamp + 1 days);
        config.moveGrid();
        assertEq(config.currentGrid().volatilityUp, 3133, "a day in silence saves up ten minutes");
    }

    /// @dev A band must stay below the Portfolio set's MM on its way, too.
    function test_bandBelowThePortfolioSetsMm() public {
        config.setGrid(IRiskConfig.Grid(0, 0, 0, 5000, 5000, 5000));
        config.setGrid(IRiskConfig.Grid(0, 0, 0, 10_000, 5000, 5000));
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        i.priceBand = 300;
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.OutOfBounds.selector, "priceBand"));
        config.setInstrument(ETH_PERP, i);
    }

    function test_whereNothingIsListedAllIsAtOnce() public {
        config.setUnderlying(9, IRiskConfig.Underlying(2000, 1200, 0, 0));
        config.setUnderlying(9, IRiskConfig.Underlying(1000, 500, 0, 0));
        assertEq(config.currentUnderlying(9).shockMm, 500);
    }

    function test_whileAnInputIsUnknownImOnlyTightensAndMmStays() public {
        config.moveFeed(FEED_ETH, _target(20_000, 20_000, 1000));
        vm.warp(block.timestamp + STEP);
        IRiskConfig.FeedTarget memory t = _target(10_000, 10_000, 10);
        t.held = true;
        config.moveFeed(FEED_ETH, t);
        assertEq(_now().shockIm, 2000);
        assertEq(_now().shockMm, 600);
        assertEq(_now().thinnessIm, 1000);
        assertEq(_now().thinnessMm, 0);
        (t.factorIm, t.thinness) = (25_000, 2000);
        config.moveFeed(FEED_ETH, t);
        assertEq(_now().shockIm, 2500);
        assertEq(_now().thinnessIm, 2000);
    }

    function test_creditRampsForMm() public {
        IRiskConfig.Asset memory a = config.asset(WETH);
        (a.creditIm, a.creditMm) = (5000, 6000);
        config.setAsset(WETH, a);
        (uint256 im, uint256 mm) = config.currentCredit(WETH);
        assertEq(im, 5000);
        assertEq(mm, 9000);
        vm.warp(block.timestamp + 6 minutes);
        vm.prank(alice);
        config.moveCredit(WETH);
        (, mm) = config.currentCredit(WETH);
        assertEq(mm, 8980);
        (a.creditIm, a.creditMm) = (9900, 10_000);
        config.setAsset(WETH, a);
        (im, mm) = config.currentCredit(WETH);
        assertEq(im, 8980, "no more than MM's");
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.UnknownId.selector, 99));
        config.moveCredit(99);
    }

    function test_correlationRisesWithStressAtOnceForImAndRampsForMm() public {
        config.setClass(0, IRiskConfig.RiskClass(5000, 3000, 9000, 8000));
        config.moveClass(0, 10_000, false);
        (uint256 im, uint256 mm) = config.currentRho(0);
        assertEq(im, 9000);
        assertEq(mm, 3000);
        vm.warp(block.timestamp + 6 minutes);
        config.moveClass(0, 10_000, false);
        (, mm) = config.currentRho(0);
        assertEq(mm, 3050);
        config.moveClass(0, 0, true);
        (im,) = config.currentRho(0);
        assertEq(im, 9000, "held");
        vm.warp(block.timestamp + 6 minutes);
        config.moveClass(0, 0, false);
        (im, mm) = config.currentRho(0);
        assertEq(im, 8950);
        assertEq(mm, 3000);
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.OutOfBounds.selector, "stress"));
        config.moveClass(0, 10_001, false);
    }

    function test_onlyDynamicRiskTells() public {
        vm.startPrank(alice);
        vm.expectRevert(RiskConfig.OnlyDynamicRisk.selector);
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 0));
        vm.expectRevert(RiskConfig.OnlyDynamicRisk.selector);
        config.moveClass(0, 0, false);
    }

    function test_boundsOfWhatIsTold() public {
        bytes4 bounds = RiskConfig.OutOfBounds.selector;
        vm.expectRevert(abi.encodeWithSelector(bounds, "factorIm"));
        config.moveFeed(FEED_ETH, _target(50_001, 10_000, 0));
        vm.expectRevert(abi.encodeWithSelector(bounds, "factorMm"));
        config.moveFeed(FEED_ETH, _target(10_000, 10_001, 0));
        vm.expectRevert(abi.encodeWithSelector(bounds, "thinness"));
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 1 << 27));
        vm.expectRevert(abi.encodeWithSelector(bounds, "feed"));
        config.moveFeed(9, _target(10_000, 10_000, 0));
        vm.expectRevert(abi.encodeWithSelector(bounds, "class"));
        config.setRiskClass(9, 1);
        vm.expectRevert(RiskConfig.IdentityChanged.selector);
        config.setRiskClass(FEED_ETH, 0);
    }

    /// @dev A band must stay below what MM is on its way from, too.
    function test_bandBelowMmOnItsWay() public {
        config.setUnderlying(FEED_ETH, IRiskConfig.Underlying(2000, 1000, 5000, 2000));
        IRiskConfig.Instrument memory i = config.instrument(ETH_PERP);
        i.priceBand = 600;
        vm.expectRevert(abi.encodeWithSelector(RiskConfig.OutOfBounds.selector, "priceBand"));
        config.setInstrument(ETH_PERP, i);
    }

    function test_versionTellsOfWhatMoved() public {
        uint256 version = config.version();
        config.moveFeed(FEED_ETH, _target(10_000, 10_000, 0));
        config.moveCredit(WETH);
        config.moveClass(0, 0, false);
        assertEq(config.version(), version, "nothing has");
        vm.expectEmit();
        emit IRiskConfig.FeedMoved(FEED_ETH);
        config.moveFeed(FEED_ETH, _target(20_000, 10_000, 0));
        assertEq(config.version(), version + 1);
    }

    struct Start {
        uint256 time;
        IRiskConfig.CurrentUnderlying feed;
        uint256 rho;
        uint256 credit;
        IRiskConfig.Grid grid;
    }

    /// @dev However often, with whatever targets, and by whomever it is moved: MM is as far as its slope and the time allow, and in its bounds.
    function testFuzz_mmNeverOutrunsItsSlope(uint256 seed, uint8 calls) public {
        config.setClass(0, IRiskConfig.RiskClass(5000, 3000, 9000, 8000));
        config.setGrid(IRiskConfig.Grid(3000, 2000, 100, 8000, 5000, 4000));
        Start memory start;
        start.grid = config.currentGrid();
        (start.time, start.feed) = (block.timestamp, _now());
        (, start.rho) = config.currentRho(0);
        (, start.credit) = config.currentCredit(WETH);
        for (uint256 n; n <= calls % 40; ++n) {
            seed = uint256(keccak256(abi.encode(seed)));
            vm.warp(block.timestamp + seed % (seed % 3 == 0 ? 2 : 2 hours));
            _moveAll(seed);
            _assertOrdered();
            _assertWithin(start, block.timestamp - start.time);
        }
    }

    function _moveAll(uint256 seed) internal {
        uint256 factorIm = 10_000 + (seed >> 16) % 40_001;
        IRiskConfig.FeedTarget memory t =
            _target(factorIm, 10_000 + (seed >> 32) % (factorIm - 9999), (seed >> 64) % 2e6);
        t.held = seed % 5 == 0;
        config.moveFeed(FEED_ETH, t);
        config.moveClass(0, (seed >> 96) % 10_001, seed % 7 == 0);
        config.moveCredit(WETH);
        config.moveGrid();
        if (seed % 4 != 0) return;
        uint16 rho = uint16((seed >> 160) % 10_001);
        config.setGrid(
            IRiskConfig.Grid(
                uint16(seed >> 176),
                uint16((seed >> 192) % 10_000),
                uint16((seed >> 208) % 10_001),
                seed % 8 == 0 ? 0 : uint16(5001 + (seed >> 224) % 5000),
                rho,
                rho / 2
            )
        );
        uint16 im = uint16(601 + (seed >> 112) % 9400);
        uint16 mm = uint16(601 + (seed >> 128) % (im - 600));
        config.setUnderlying(
            FEED_ETH, IRiskConfig.Underlying(im, mm, uint16(seed >> 40), uint16((seed >> 56) % 10_001))
        );
        IRiskConfig.Asset memory a = config.asset(WETH);
        a.creditMm = uint16((seed >> 144) % 10_001);
        a.creditIm = a.creditMm / 2;
        config.setAsset(WETH, a);
    }

    function _assertWithin(Start memory start, uint256 elapsed) internal view {
        IRiskConfig.CurrentUnderlying memory u = _now();
        assertLe(_distance(u.shockMm, start.feed.shockMm), 100 * elapsed / 1 hours + 1);
        assertLe(_distance(u.gridShock, start.feed.gridShock), 100 * elapsed / 1 hours + 1);
        assertLe(_distance(u.thinnessMm, start.feed.thinnessMm), 250_000 * elapsed / 1 hours + 1);
        (, uint256 rho) = config.currentRho(0);
        assertLe(_distance(rho, start.rho), 500 * elapsed / 1 hours + 1);
        (, uint256 credit) = config.currentCredit(WETH);
        assertLe(_distance(credit, start.credit), 200 * elapsed / 1 hours + 1);
        assertLe(_distance(u.tailShock, start.feed.tailShock), 500 * elapsed / 1 hours + 1);
        assertLe(_distance(u.tailDamping, start.feed.tailDamping), 200 * elapsed / 1 hours + 1);
        IRiskConfig.Grid memory g = config.currentGrid();
        uint256 most = 500 * elapsed / 1 hours + 1;
        assertLe(_distance(g.volatilityUp, start.grid.volatilityUp), most);
        assertLe(_distance(g.volatilityDown, start.grid.volatilityDown), most);
        assertLe(_distance(g.portfolioShock, start.grid.portfolioShock), most);
        assertLe(_distance(g.portfolioRhoIm, start.grid.portfolioRhoIm), most);
        assertLe(_distance(g.portfolioRhoMm, start.grid.portfolioRhoMm), most);
        assertLe(_distance(g.nakedShort, start.grid.nakedShort), 100 * elapsed / 1 hours + 1);
    }

    function _assertOrdered() internal view {
        IRiskConfig.CurrentUnderlying memory u = _now();
        assertLe(u.shockMm, u.gridShock);
        assertLe(u.gridShock, u.shockIm);
        assertLe(u.shockIm, 10_000);
        assertLe(u.thinnessMm, u.thinnessIm);
        (uint256 im, uint256 mm) = config.currentRho(0);
        assertLe(mm, im);
        assertLe(im, 10_000);
        assertLe(config.currentGrid().portfolioRhoMm, config.currentGrid().portfolioRhoIm);
        (im, mm) = config.currentCredit(WETH);
        assertLe(im, mm);
    }

    /* DEPTH AND CLASSES */

    /// @dev Long 1 ETH of 2,000 in a market 2^37 ÷ 2^26 = 2,048 deep, then 20 times as much.
    function test_sellingMoreThanTheMarketIsDeepCosts() public {
        config.moveFeed(FEED_ETH, IRiskConfig.FeedTarget(10_000, 10_000, 1 << 26, 1 << 26, false));
        IMarginEngine.Health memory h = engine.health(_perp(1e18));
        assertEq(h.im, -200e18 - 17, "less than its depth costs nothing");
        h = engine.health(_perp(20e18));
        // 40,000 is 19.53125 times 2,048: 50 bps times 18.53125 of it.
        assertEq(h.im, -4000e18 - 3706.25e18 - 17);
        assertEq(h.mm, -4000e18, "MM is on its way");
        h = engine.health(_perp(200e18));
        assertEq(h.im, -40_000e18 - 40_000e18 - 17, "a tenth at most");
        vm.warp(block.timestamp + STEP);
        config.moveFeed(FEED_ETH, IRiskConfig.FeedTarget(10_000, 10_000, 1 << 26, 1 << 26, false));
        // A quarter of it an hour: 2,796,202 of 2^37, 49,152 deep.
        assertEq(_now().thinnessMm, uint256(1 << 26) / 24);
        assertEq(engine.health(_perp(20e18)).mm, -4000e18, "40,000 is less");
        assertLt(engine.health(_perp(200e18)).mm, -40_000e18);
    }

    function test_lossesOfDifferentClassesAddInFull() public {
        config.setClass(1, IRiskConfig.RiskClass(0, 0, 0, 0));
        config.setRiskClass(9, 1);
        config.setUnderlying(9, IRiskConfig.Underlying(1000, 600, 0, 0));
        config.setInstrument(4, IRiskConfig.Instrument(address(perp), 9, 1e24, 1e24, 200));
        oracle.set(9, 30_000e18);
        IClearinghouse.Portfolio memory p = _perp(20e18);
        p.instrumentIds = new uint256[](2);
        p.sizes = new int256[](2);
        p.quotes = new int256[](2);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (ETH_PERP, 20e18, -40_000e18);
        (p.instrumentIds[1], p.sizes[1], p.quotes[1]) = (4, -1e18, 30_000e18);
        assertEq(engine.health(p).im, -4000e18 - 3000e18 - 33);
    }

    function _perp(int256 size) internal pure returns (IClearinghouse.Portfolio memory p) {
        p.assetIds = new uint256[](0);
        p.impaired = new uint256[](1);
        p.instrumentIds = new uint256[](1);
        p.sizes = new int256[](1);
        p.quotes = new int256[](1);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (ETH_PERP, size, -2000 * size);
    }
}
