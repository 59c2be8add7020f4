// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {IdList} from "../../src/libraries/IdList.sol";
import {Dated} from "../../src/margin/Dated.sol";
import {Holdings} from "../../src/margin/Holdings.sol";
import {Linear} from "../../src/margin/Linear.sol";
import {Losses} from "../../src/margin/Losses.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {SignerEpochs} from "../../src/oracle/SignerEpochs.sol";
import {MarginFixture} from "./MarginFixture.sol";

/// @notice Bad input ends in a typed error, never in a number (docs/margin.md; the twin's are in bad-input.test.ts).
contract BadInputTest is MarginFixture {
    function _rows(uint256 claims, uint256 positions)
        private
        pure
        returns (IClearinghouse.Portfolio memory p)
    {
        (p.assetIds, p.claims) = (new uint256[](claims), new uint256[](claims));
        p.impaired = new uint256[](claims + 1);
        p.instrumentIds = new uint256[](positions);
        (p.sizes, p.quotes) = (new int256[](positions), new int256[](positions));
    }

    function _held(uint256 id, int256 size, int256 quote)
        private
        pure
        returns (IClearinghouse.Portfolio memory p)
    {
        p = _rows(0, 1);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (id, size, quote);
    }

    function _claim(uint256 id, uint256 amount, uint256 impaired)
        private
        pure
        returns (IClearinghouse.Portfolio memory p)
    {
        p = _rows(1, 0);
        (p.assetIds[0], p.claims[0], p.impaired[0]) = (id, amount, impaired);
    }

    function _refuses(IClearinghouse.Portfolio memory p, bytes memory why) private {
        vm.expectRevert(why);
        engine.health(p);
    }

    function _refuses(IClearinghouse.Portfolio memory p, bytes4 why) private {
        _refuses(p, abi.encodeWithSelector(why));
    }

    function test_whatIsNotListed() public {
        _refuses(_held(10, 1, 0), abi.encodeWithSelector(RiskConfig.UnknownId.selector, 10));
        _refuses(_claim(6, 1, 0), abi.encodeWithSelector(RiskConfig.UnknownId.selector, 6));
        _refuses(_held(0, 1, 0), abi.encodeWithSelector(IdList.InvalidId.selector, 0));
        _refuses(_held(4096, 1, 0), abi.encodeWithSelector(IdList.InvalidId.selector, 4096));
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.UnknownInstrument.selector, 10));
        hub.trade(10, aliceAccount, bobAccount, 1e18, 1e18);
        // An id with a module that has no terms for it.
        uint256 id = listFor(address(option), FEED_ETH);
        _refuses(_held(id, 1, 0), abi.encodeWithSelector(Dated.Unlisted.selector, id));
    }

    function test_anExpiredOption() public {
        vm.warp(expiry);
        oracle.set(FEED_ETH, 2000e18);
        // Worth what it would pay; nobody trades it, and none is listed.
        assertEq(engine.health(_held(FIRST_OPTION, 1e18, 0)).equity, 200e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(Dated.Expired.selector, FIRST_OPTION));
        hub.trade(FIRST_OPTION, aliceAccount, bobAccount, 1e18, 200e18);
        uint256 id = listFor(address(option), FEED_ETH);
        vm.expectRevert(abi.encodeWithSelector(Dated.InvalidExpiry.selector, expiry));
        option.list(id, true, 1e18, expiry, uint16(FEED_ETH), uint16(FEED_FIXING), uint16(FEED_VOLATILITY));
    }

    function test_anAbsentFeed() public {
        bytes memory unknown = abi.encodeWithSelector(SignerEpochs.UnknownFeed.selector, FEED_ETH);
        vm.mockCallRevert(address(oracle), abi.encodeWithSelector(IPriceOracle.prices.selector), unknown);
        _refuses(_held(ETH_PERP, 1, 0), unknown);
        vm.clearMockedCalls();
        vm.mockCall(
            address(oracle),
            abi.encodeWithSelector(IPriceOracle.prices.selector),
            abi.encode(new IPriceOracle.Price[](1))
        );
        _refuses(_held(ETH_PERP, 1, 0), MarginEngine.MalformedAnswer.selector);
        vm.clearMockedCalls();
        // One that has had no value yet.
        oracle.set(FEED_ETH, 0);
        _refuses(_held(FIRST_OPTION, 1, 0), abi.encodeWithSelector(Dated.NoPrice.selector, FEED_ETH));
    }

    function test_zeroVolatility() public {
        oracle.set(FEED_VOLATILITY, 0);
        _refuses(_held(FIRST_OPTION, 1, 0), abi.encodeWithSelector(Dated.NoPrice.selector, FEED_VOLATILITY));
    }

    function test_extremePrices() public {
        oracle.set(FEED_ETH, 1 << 120);
        _refuses(_held(FIRST_OPTION, 1, 0), Linear.TooLarge.selector);
        oracle.set(FEED_ETH, 1 << 127);
        _refuses(_held(ETH_PERP, 1, 0), Losses.OutOfRange.selector);
        _refuses(_claim(WETH, 1, 0), Losses.OutOfRange.selector);
    }

    function test_extremeNumbers() public {
        int256 most = type(int128).max;
        _refuses(_held(ETH_PERP, most + 1, 0), Linear.TooLarge.selector);
        _refuses(_held(ETH_PERP, 1, -most - 1), Linear.TooLarge.selector);
        _refuses(_held(FIRST_OPTION, most + 1, 0), Linear.TooLarge.selector);
        // A loss that has no room.
        _refuses(_held(ETH_PERP, most, 0), Losses.OutOfRange.selector);
        _refuses(_claim(WETH, 1 << 120, 0), abi.encodeWithSelector(MarginEngine.InvalidClaim.selector, WETH));
        _refuses(_claim(WETH, 1, 2), abi.encodeWithSelector(MarginEngine.InvalidClaim.selector, WETH));
        IClearinghouse.Portfolio memory p = _rows(0, 0);
        p.cash = 1 << 150;
        _refuses(p, Losses.OutOfRange.selector);
        (p.cash, p.impaired[0]) = (0, 1 << 150);
        _refuses(p, Losses.OutOfRange.selector);
        (p.impaired[0], p.warming) = (0, 1 << 150);
        _refuses(p, Losses.OutOfRange.selector);
    }

    function test_moreRowsThanAllowed() public {
        _refuses(_rows(22, 0), IdList.ListFull.selector);
        _refuses(_rows(0, 22), IdList.ListFull.selector);
        IClearinghouse.Portfolio memory p = _rows(0, 21);
        for (uint256 n; n < 21; ++n) {
            (p.instrumentIds[n], p.sizes[n]) = (ETH_PERP, 1e18);
        }
        assertEq(engine.health(p).notional, 42_000e18, "as many as allowed");
    }

    function test_listsOfDifferentLengths() public {
        bytes4 malformed = MarginEngine.MalformedPortfolio.selector;
        IClearinghouse.Portfolio memory p = _rows(1, 1);
        p.claims = new uint256[](2);
        _refuses(p, malformed);
        p = _rows(1, 1);
        p.impaired = new uint256[](1);
        _refuses(p, malformed);
        p = _rows(1, 1);
        p.sizes = new int256[](0);
        _refuses(p, malformed);
        p = _rows(1, 1);
        p.quotes = new int256[](2);
        _refuses(p, malformed);
    }

    function test_modulesThatDoNotAnswer() public {
        vm.mockCall(address(perp), abi.encodeWithSelector(IInstrument.pnl.selector), abi.encode(1));
        _refuses(
            _held(ETH_PERP, 1, 0), abi.encodeWithSelector(Holdings.MalformedAnswer.selector, address(perp))
        );
        vm.clearMockedCalls();
        trade(ETH_PERP, aliceAccount, bobAccount, 1e18, 2000e18);
        vm.etch(address(perp), "");
        vm.expectRevert(abi.encodeWithSelector(Holdings.NotAModule.selector, address(perp)));
        engine.accountHealth(aliceAccount);
    }
}
