// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Option} from "../../src/margin/Option.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {OracleDouble} from "../hub/OracleDouble.sol";
import {LiquidationBase} from "../hub/liquidation/LiquidationBase.sol";

/// @notice The worked examples of docs/margin.md. `examples.test.ts` of packages/shared compares the page and the fixture with the twin.
contract WorkedExamplesTest is Test {
    uint256 internal constant WETH = 1;
    uint256 internal constant WBTC = 2;
    uint256 internal constant PERP = 1;
    uint256 internal constant PUT = 2;

    OracleDouble internal oracle;
    MarginEngine internal engine;
    Option internal option;
    string internal fixture;

    function setUp() public {
        vm.warp(1_700_000_000);
        fixture = vm.readFile("test/fixtures/margin-examples.json");
        oracle = new OracleDouble();
        oracle.set(0, 1e18);
        oracle.set(1, 2000e18);
        oracle.set(2, 40_000e18);
        oracle.set(3, 0.6e18);
        RiskConfig config = new RiskConfig(address(this), 0);
        engine = new MarginEngine(IClearinghouse(address(this)), oracle, config);
        config.setGlobal(IRiskConfig.Global(6000, 4000, 100_000e18, 1500, 12, 1 hours));
        for (uint16 feed = 1; feed <= 2; ++feed) {
            config.setUnderlying(feed, IRiskConfig.Underlying(1000, 600, 5000, 1000));
            config.setAsset(
                feed, IRiskConfig.Asset(feed, 1, address(1), 18, feed, false, 9500, 9700, 1e18, 1)
            );
        }
        config.setInstrument(
            PERP, IRiskConfig.Instrument(address(new Perp(address(this), oracle, config)), 1, 1e24, 1e24, 1)
        );
        option = new Option(address(this), oracle, config);
        config.setInstrument(PUT, IRiskConfig.Instrument(address(option), 1, 1e24, 1e24, 1));
        option.list(PUT, false, 1800e18, uint40(block.timestamp + 30 days), 1, 4, 3);
        config.setGrid(IRiskConfig.Grid(4000, 3000, 100, 8000, 4000, 2000));
    }

    function _number(string memory key) private view returns (int256) {
        return vm.parseJsonInt(fixture, string.concat(".", key));
    }

    function _is(string memory name, IMarginEngine.Health memory h) private view {
        assertEq(h.equity, _number(string.concat(name, "_equity")));
        assertEq(h.im, _number(string.concat(name, "_im")));
        assertEq(h.mm, _number(string.concat(name, "_mm")));
    }

    /// @dev Both bought or sold at the mark.
    function _book(int256 cash, int256 perps, int256 puts)
        private
        view
        returns (IClearinghouse.Portfolio memory p)
    {
        (uint256 mark,) = option.mark(PUT);
        p.cash = cash;
        p.impaired = new uint256[](1);
        p.instrumentIds = new uint256[](2);
        (p.instrumentIds[0], p.instrumentIds[1]) = (PERP, PUT);
        p.sizes = new int256[](2);
        p.quotes = new int256[](2);
        (p.sizes[0], p.quotes[0]) = (perps, -2000 * perps);
        (p.sizes[1], p.quotes[1]) = (puts, -(puts * int256(mark) / 1e18));
    }

    function _perps(int256 cash, int256 perps) private pure returns (IClearinghouse.Portfolio memory p) {
        p.cash = cash;
        p.impaired = new uint256[](1);
        p.instrumentIds = new uint256[](1);
        p.sizes = new int256[](1);
        p.quotes = new int256[](1);
        (p.instrumentIds[0], p.sizes[0], p.quotes[0]) = (PERP, perps, -2000 * perps);
    }

    function test_threeAssetsOnThreeChains() public view {
        (uint256 mark,) = option.mark(PUT);
        assertEq(int256(mark), _number("put_mark"));
        IClearinghouse.Portfolio memory p = _book(20_000e18, -6e18, 5e18);
        p.assetIds = new uint256[](2);
        p.claims = new uint256[](2);
        p.impaired = new uint256[](3);
        (p.assetIds[0], p.claims[0]) = (WETH, 4e18);
        (p.assetIds[1], p.claims[1]) = (WBTC, 0.25e18);
        _is("chains", engine.health(p));
    }

    function test_hedgeByThePortfolioSet() public view {
        IClearinghouse.Portfolio memory bare = _perps(5000e18, 10e18);
        IClearinghouse.Portfolio memory hedged = _book(5000e18, 10e18, 10e18);
        _is("hedged_standard", engine.health(hedged));
        hedged.portfolioSet = true;
        _is("hedged_portfolio", engine.health(hedged));
        _is("perps_standard", engine.health(bare));
        bare.portfolioSet = true;
        _is("perps_portfolio", engine.health(bare));
    }
}

/// @notice The third of them, where it happens. Up to what a fraction rounds.
contract WorkedLiquidationTest is LiquidationBase {
    uint256 internal constant ROUNDING = 1e6;

    function test_aLiquidation() public {
        string memory fixture = vm.readFile("test/fixtures/margin-examples.json");
        bytes32 account = _trader(alice, 500e6);
        bytes32 maker = _trader(bob, 100_000e6);
        _trader(carol, 100_000e6);
        _trade(account, maker, 1e18);
        _price(1700e18);
        _like(fixture, ".fallen_equity", _health(account).equity);
        _like(fixture, ".fallen_im", _health(account).im);
        _like(fixture, ".fallen_mm", _health(account).mm);
        assertEq(_start(account), 1);
        (uint256 taken, uint256 payment,) = _bid(carol, account, WAD);
        _like(fixture, ".fraction", int256(taken));
        _like(fixture, ".payment", int256(payment));
        _like(fixture, ".after_equity", _health(account).equity);
        _like(fixture, ".after_im", _health(account).im);
        _like(fixture, ".after_mm", _health(account).mm);
    }

    function _like(string memory fixture, string memory key, int256 actual) private pure {
        assertApproxEqAbs(actual, vm.parseJsonInt(fixture, key), ROUNDING, key);
    }
}
