// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {MarginFixture} from "./MarginFixture.sol";
import {MarginHandler} from "./MarginHandler.sol";

/// @notice DESIGN §6.6 and §6.11 on the hub with every kind of instrument, after random acts of traders, strangers, vaults and the owner.
contract MarginInvariantsTest is MarginFixture {
    MarginHandler internal handler;

    function setUp() public override {
        super.setUp();
        _people();
    }

    function _people() private {
        uint256[] memory feeds = new uint256[](5);
        (feeds[0], feeds[1], feeds[2], feeds[3], feeds[4]) =
        (FEED_ETH, FEED_BTC, FEED_SOL, FEED_RATE, FEED_VOLATILITY);
        address[4] memory traders = [alice, bob, carol, makeAddr("dave")];
        handler = new MarginHandler(hub, venue, feeds, traders);
        for (uint256 n; n < 4; ++n) {
            if (n == 3) _approve(traders[n]);
            openRow(traders[n], WETH);
            openRow(traders[n], WBTC);
            if (n % 2 == 0) openRow(traders[n], SOL);
            vm.warp(block.timestamp + 1);
            handler.deposit(n % 2, n, 500_000e6);
            handler.deposit(WETH - 1, n, 20e18);
        }
        // Something of every kind for everyone from the first act on.
        for (uint256 n; n < 2 * config.instrumentCount(); ++n) {
            handler.trade(n, n, n / 2, 2e18, 10_000);
        }
        bytes4[] memory acts = new bytes4[](21);
        acts[0] = MarginHandler.withdraw.selector;
        acts[1] = MarginHandler.transferCash.selector;
        acts[2] = MarginHandler.choosePortfolioSet.selector;
        acts[3] = MarginHandler.settle.selector;
        acts[4] = MarginHandler.settleExpired.selector;
        acts[5] = MarginHandler.touch.selector;
        acts[6] = MarginHandler.deposit.selector;
        acts[7] = MarginHandler.impair.selector;
        acts[8] = MarginHandler.wait_.selector;
        acts[9] = MarginHandler.retune.selector;
        acts[10] = MarginHandler.retune.selector;
        acts[11] = MarginHandler.retune.selector;
        acts[12] = MarginHandler.movePrice.selector;
        acts[13] = MarginHandler.movePrice.selector;
        acts[14] = MarginHandler.deleverage.selector;
        // Trades more often: the other acts need positions to act on.
        for (uint256 n = 15; n < acts.length; ++n) {
            acts[n] = MarginHandler.trade.selector;
        }
        targetSelector(FuzzSelector(address(handler), acts));
        targetContract(address(handler));
    }

    /// @dev §6.6 is held act by act, in the handler.
    /// forge-config: default.invariant.runs = 3
    /// forge-config: default.invariant.depth = 50
    /// forge-config: full.invariant.runs = 40
    /// forge-config: full.invariant.depth = 150
    function invariant_margin() public view {
        _imIsNeverAboveMm();
        _parametersWithinBounds();
    }

    /// @dev §6.11: whatever RiskConfig took, IM's requirement is at least MM's, by both sets.
    function _imIsNeverAboveMm() private view {
        for (uint256 n; n < 4; ++n) {
            IClearinghouse.Portfolio memory p = hub.portfolio(handler.account(n));
            for (uint256 set; set < 2; ++set) {
                p.portfolioSet = set == 1;
                IMarginEngine.Health memory h = engine.health(p);
                assertLe(h.im, h.mm, "11: IM above MM");
                assertEq(h.fresh, engine.isFresh(handler.account(n)));
            }
        }
    }

    /// @dev §6.11: parameters lie within their bounds.
    function _parametersWithinBounds() private view {
        IRiskConfig.Global memory g = config.global();
        assertLe(g.rhoMm, g.rhoIm);
        assertLe(g.rhoIm, 10_000);
        assertLe(g.bufferBps, 10_000);
        assertLe(g.maxRows, 16);
        assertGt(g.maxRows, 0);
        assertGe(g.regressionDelay, 30 minutes);
        IRiskConfig.Grid memory grid = config.grid();
        assertLt(grid.volatilityDown, 10_000);
        assertLe(grid.nakedShort, 10_000);
        assertLe(grid.portfolioShock, 10_000);
        assertLe(grid.portfolioRhoMm, grid.portfolioRhoIm);
        assertLe(grid.portfolioRhoIm, 10_000);
        for (uint256 id = 1; id <= config.assetCount(); ++id) {
            IRiskConfig.Asset memory a = config.asset(id);
            assertLe(a.creditIm, a.creditMm);
            assertLe(a.creditMm, 10_000);
        }
        for (uint256 id = 1; id <= config.instrumentCount(); ++id) {
            IRiskConfig.Instrument memory i = config.instrument(id);
            IRiskConfig.Underlying memory u = config.underlying(i.feed);
            assertLe(u.shockMm, u.shockIm);
            assertLe(u.shockIm, 10_000);
            assertLe(u.tailDamping, 10_000);
            // What a trade at the band's edge gives away, MM of both sets covers.
            uint256 part = grid.portfolioShock == 0 ? 10_000 : grid.portfolioShock;
            assertLt(i.priceBand, uint256(u.shockMm) * part / 10_000 + 1);
        }
    }

    function afterInvariant() public {
        string[12] memory acts = [
            "trade",
            "withdraw",
            "transfer",
            "set",
            "settle",
            "expire",
            "deposit",
            "impair",
            "underlying",
            "grid",
            "global",
            "refused"
        ];
        for (uint256 n; n < acts.length; ++n) {
            emit log_named_uint(acts[n], handler.calls(bytes32(bytes(acts[n]))));
        }
    }
}
