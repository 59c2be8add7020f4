// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {IPriceOracle} from "../../src/interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {WadMath} from "../../src/libraries/WadMath.sol";
import {LiquidationBase} from "../hub/liquidation/LiquidationBase.sol";

/// @notice An asset class that the core knows nothing of: a unit is worth spot² ÷ 1000, until whoever comes first after its end fixes that.
contract SquaredFuture is IInstrument {
    IPriceOracle internal immutable oracle;
    uint256 internal immutable feed;
    uint256 internal immutable end;
    uint256 internal fixedPrice;

    error Ended();

    constructor(IPriceOracle oracle_, uint256 feed_, uint256 end_) {
        (oracle, feed, end) = (oracle_, feed_, end_);
    }

    function pnl(Holding[] calldata holdings, uint256 count, uint256[] calldata spots, uint256[] calldata)
        external
        view
        returns (int256[] memory values, bool fresh)
    {
        values = new int256[](spots.length);
        fresh = fixedPrice != 0 || oracle.price(feed).fresh;
        for (uint256 n; n < holdings.length; ++n) {
            Holding calldata h = holdings[n];
            int256 quote = WadMath.accrued(h.size, h.quote, h.index, 0);
            for (uint256 k = h.underlying * count; k < (h.underlying + 1) * count; ++k) {
                uint256 unit = fixedPrice == 0 ? _squared(spots[k]) : fixedPrice;
                values[k] += WadMath.mulFloor(h.size, int256(unit)) + quote;
            }
        }
    }

    function mark(uint256) external view returns (uint256, bool) {
        if (fixedPrice != 0) return (fixedPrice, true);
        IPriceOracle.Price memory p = oracle.price(feed);
        return (_squared(p.price), p.fresh);
    }

    function settlement(uint256) external view returns (bool, uint256) {
        return (fixedPrice != 0, fixedPrice);
    }

    function isLinear() external pure returns (bool) {
        return false;
    }

    function costIndex(uint256) external pure returns (int256) {
        return 0;
    }

    function accrue(uint256) external returns (int256) {
        if (block.timestamp >= end && fixedPrice == 0) fixedPrice = _squared(oracle.price(feed).price);
        return 0;
    }

    function onTrade(uint256, uint256, uint256) external view {
        if (block.timestamp >= end) revert Ended();
    }

    function _squared(uint256 spot) private pure returns (uint256) {
        return FixedPointMathLib.mulWad(spot, spot) / 1000;
    }
}

/// @notice A new asset class is a new module: the hub as it is lists it, trades it, margins it, liquidates it and settles it.
contract NewModuleTest is LiquidationBase {
    uint256 internal constant SQUARED = 2;
    uint256 internal end;
    bytes32 internal long;
    bytes32 internal short;

    function setUp() public override {
        super.setUp();
        end = block.timestamp + 30 days;
        SquaredFuture module = new SquaredFuture(oracle, ETH_FEED, end);
        riskConfig.setInstrument(
            SQUARED, IRiskConfig.Instrument(address(module), uint16(ETH_FEED), 1_000_000e18, 1000e18, 500)
        );
        riskConfig.setGrid(IRiskConfig.Grid(0, 0, 0, 0, 0, 0));
        long = _trader(alice, 30_000e6);
        short = _trader(bob, 100_000e6);
        // 10 at 4,000.
        clearinghouse.trade(SQUARED, long, short, 10e18, 4000e18);
    }

    function test_margins() public view {
        IMarginEngine.Health memory h = _health(long);
        assertEq(h.equity, 30_000e18);
        // Worst at −20 %: 10 × (4,000 − 2,560); rising, it is the short that loses more: 10 × (5,760 − 4,000).
        assertApproxEqAbs(h.im, 30_000e18 - 14_400e18, 1e6);
        assertApproxEqAbs(_health(short).im, 100_000e18 - 17_600e18, 1e6);
    }

    function test_offsetsWithAPerpetualOfTheSameFeed() public {
        int256 before = _health(short).im;
        _trade(short, long, 40e18);
        assertGt(_health(short).im, before);
    }

    function test_liquidates() public {
        bytes32 bidder = _trader(carol, 200_000e6);
        _fundWith(50_000e6);
        // 10 × (4,000 − 1,210): little is left.
        _price(1100e18);
        assertLt(_health(long).mm, 0);
        assertEq(_start(long), 1);
        (uint256 taken,,) = _bid(carol, long, WAD);
        assertGt(taken, 0);
        assertEq(
            clearinghouse.position(bidder, SQUARED).size + clearinghouse.position(long, SQUARED).size, 10e18
        );
        assertGe(_health(long).mm, 0);
    }

    function test_settles() public {
        vm.warp(end);
        _price(2100e18);
        vm.expectRevert(SquaredFuture.Ended.selector);
        clearinghouse.trade(SQUARED, long, short, 1e18, 4410e18);
        assertEq(clearinghouse.settleExpired(short, SQUARED), -4100e18);
        _price(9000e18);
        assertEq(clearinghouse.settleExpired(long, SQUARED), 4100e18);
        assertEq(clearinghouse.settleExpired(long, SQUARED), 0);
        assertEq(clearinghouse.instrumentsOf(long).length, 0);
        (uint256 open,) = clearinghouse.openInterest(SQUARED);
        assertEq(open, 0);
    }
}
