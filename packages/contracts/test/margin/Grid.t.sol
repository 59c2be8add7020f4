// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "../hub/HubFixture.sol";
import {Quadratic} from "./Quadratic.sol";

/// @notice Margin of what isn't a straight line in the spot: the grid of spot and volatility, and both sets of parameters.
contract GridTest is HubFixture {
    int256 internal constant DUST = 17;
    uint256 internal constant SQUARE = 4;

    function setUp() public override {
        super.setUp();
        Quadratic module = new Quadratic(oracle, FEED_ETH, 2000e18);
        config.setInstrument(
            SQUARE, IRiskConfig.Instrument(address(module), uint16(FEED_ETH), 1_000_000e18, 100_000e18, 100)
        );
        config.setGrid(IRiskConfig.Grid(3000, 2000, 0, 5000, 2000, 1000));
    }

    function _square(int256 size) internal pure returns (IClearinghouse.Portfolio memory p) {
        p.cash = 10_000e18;
        p.assetIds = new uint256[](0);
        p.impaired = new uint256[](1);
        p.instrumentIds = new uint256[](1);
        p.sizes = new int256[](1);
        p.quotes = new int256[](1);
        (p.instrumentIds[0], p.sizes[0]) = (SQUARE, size);
        p.quotes[0] = -size * 2000;
    }

    /// @dev Worth 2000 at mid. Worst of the core: spot +10 %, volatility +30 %: 2000 × 1.21 × 1.3 = 3146. Tail: spot +50 %, volatility +30 %:
    /// 2000 × 2.25 × 1.3 = 5850, a fifth of whose loss counts: 770.
    function test_shortIsChargedTheWorstOfTheGrid() public view {
        IMarginEngine.Health memory h = engine.health(_square(-1e18));
        assertEq(h.equity, 10_000e18);
        assertEq(h.im, 10_000e18 - 1146e18 - DUST);
        assertEq(h.mm, 10_000e18 - 770e18, "core 1146 x 6 / 10 is less than the tail");
    }

    /// @dev Worst of the core: spot −10 %, volatility −20 %: 2000 × 0.81 × 0.8 = 1296. Tail: spot −50 %, volatility +30 %: 650, of 1350 a fifth.
    function test_longIsChargedTheWorstOfTheGrid() public view {
        IMarginEngine.Health memory h = engine.health(_square(1e18));
        assertEq(h.im, 10_000e18 - 704e18 - DUST);
        assertEq(h.mm, 10_000e18 - 422.4e18);
    }

    /// @dev Half the shock: spot +5 %, volatility +30 %: 2000 × 1.1025 × 1.3 = 2866.50; the tail isn't halved.
    function test_portfolioSetHasItsOwnShocks() public view {
        IClearinghouse.Portfolio memory p = _square(-1e18);
        p.portfolioSet = true;
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.im, 10_000e18 - 866.5e18 - DUST);
        assertEq(h.mm, 10_000e18 - 770e18);
    }

    function test_perpHedgesTheSquare() public view {
        IClearinghouse.Portfolio memory p = _square(1e18);
        IMarginEngine.Health memory bare = engine.health(p);
        p.instrumentIds = new uint256[](2);
        (p.sizes, p.quotes) = (new int256[](2), new int256[](2));
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (SQUARE, 1e18, -2000e18);
        (p.instrumentIds[1], p.sizes[1], p.quotes[1]) = (ETH_PERP, -1e18, 2000e18);
        IMarginEngine.Health memory h = engine.health(p);
        assertEq(h.equity, bare.equity);
        // Where the square loses its 704 the perp gains 200, and no other point is worse.
        assertEq(h.im, bare.im + 200e18);
        assertGt(h.mm, bare.mm);
    }

    function test_nakedShortsAreChargedBesideTheGrid() public {
        IMarginEngine.Health memory before = engine.health(_square(-1e18));
        _setGrid(IRiskConfig.Grid(3000, 2000, 500, 5000, 2000, 1000));
        IMarginEngine.Health memory h = engine.health(_square(-1e18));
        assertEq(h.im, before.im - 100e18, "5 % of spot");
        assertEq(h.mm, before.mm - 60e18);
        assertEq(engine.health(_square(1e18)).im, 10_000e18 - 704e18 - DUST, "a long has none");
    }

    function test_endsOfTheIntervalAndParkedValues() public {
        IMarginEngine.Health memory before = engine.health(_square(-1e18));
        oracle.set(FEED_ETH, 2000e18, 0.01e18, 0, true);
        IMarginEngine.Health memory h = engine.health(_square(-1e18));
        assertEq(h.equity, before.equity);
        assertEq(h.im, 10_000e18 - 40.2e18 - 1146e18 * 1.01 - DUST, "2000 x 1.01^2 is 2040.20");
        assertEq(h.mm, 10_000e18 + 39.8e18 - 770e18 * 0.99, "2000 x 0.99^2 is 1960.20");
        oracle.set(FEED_ETH, 2000e18, 0, 3000e18, true);
        h = engine.health(_square(-1e18));
        assertEq(h.mm, before.mm);
        assertEq(h.im, 10_000e18 - 2500e18 - 1146e18 * 1.5 - DUST);
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        h = engine.health(_square(-1e18));
        assertEq(h.mm, before.mm);
        assertEq(h.im, before.im - 1146e18, "loss doubled");
    }

    function test_onlyTheOwnerChoosesTheSetAndImMustHold() public {
        fundCash(aliceAccount, 1100);
        fundCash(bobAccount, 100_000);
        vm.prank(bob);
        vm.expectRevert(LedgerBase.Unauthorised.selector);
        hub.setPortfolioMargin(aliceAccount, true);
        vm.startPrank(alice);
        vm.expectEmit(address(hub));
        emit PortfolioMarginSet(aliceAccount, true);
        hub.setPortfolioMargin(aliceAccount, true);
        vm.stopPrank();
        assertTrue(hub.portfolio(aliceAccount).portfolioSet);
        // The Standard set would ask 1146.
        trade(SQUARE, bobAccount, aliceAccount, 1e18, 2000e18);
        IMarginEngine.Health memory h = engine.accountHealth(aliceAccount);
        assertEq(abi.encode(h), abi.encode(engine.health(hub.portfolio(aliceAccount))));
        assertGt(h.im, 0);
        vm.startPrank(alice);
        vm.expectPartialRevert(LedgerBase.InsufficientMargin.selector);
        hub.setPortfolioMargin(aliceAccount, false);
        assertTrue(hub.portfolio(aliceAccount).portfolioSet);
    }

    /// @dev Without a Portfolio set everybody is margined by the Standard set.
    function test_withdrawnPortfolioSetIsTheStandardSet() public {
        _setGrid(IRiskConfig.Grid(3000, 2000, 0, 0, 0, 0));
        IClearinghouse.Portfolio memory p = _square(-1e18);
        IMarginEngine.Health memory standard = engine.health(p);
        p.portfolioSet = true;
        IMarginEngine.Health memory h = engine.health(p);
        // Its grid is finer, its shocks are the same.
        assertEq(h.im, standard.im);
        assertEq(h.mm, standard.mm);
    }

    /// @dev Once it has been reached.
    function _setGrid(IRiskConfig.Grid memory g) internal {
        config.setGrid(g);
        do {
            vm.warp(block.timestamp + 10 minutes);
        } while (config.moveGrid());
    }

    event PortfolioMarginSet(bytes32 indexed account, bool on);
}
