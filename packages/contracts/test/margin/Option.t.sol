// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {IMarginEngine} from "../../src/interfaces/IMarginEngine.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {Black76} from "../../src/libraries/Black76.sol";
import {Dated} from "../../src/margin/Dated.sol";
import {Linear} from "../../src/margin/Linear.sol";
import {Option} from "../../src/margin/Option.sol";
import {DatedFixture} from "./DatedFixture.sol";

contract OptionTest is DatedFixture {
    uint256 internal constant FEED_VOLATILITY = 5;

    Option internal option;
    uint256 internal call;
    uint256 internal put;

    function setUp() public override {
        super.setUp();
        option = new Option(address(this), oracle, config);
        oracle.set(FEED_VOLATILITY, 0.6e18);
        call = _listed(true, 2200e18);
        put = _listed(false, 2200e18);
    }

    function _listed(bool isCall, uint256 strike) private returns (uint256 id) {
        id = listFor(address(option), FEED_ETH);
        _list(id, isCall, strike, FEED_VOLATILITY);
    }

    function _list(uint256 id, bool isCall, uint256 strike, uint256 volatilityFeed) private {
        option.list(id, isCall, strike, expiry, uint16(FEED_ETH), uint16(FEED_FIXING), uint16(volatilityFeed));
    }

    function _pnl(uint256 id, int256 size, uint256 spot) private view returns (int256) {
        (int256[] memory values,) = option.pnl(holding(id, size, 0), 1, one(spot), new uint256[](0));
        return values[0];
    }

    /* LISTING */

    function test_refusesTermsThatCannotBePriced() public {
        uint256 id = listFor(address(option), FEED_ETH);
        vm.expectRevert(abi.encodeWithSelector(Option.InvalidStrike.selector, 0));
        _list(id, true, 0, FEED_VOLATILITY);
        vm.expectRevert(abi.encodeWithSelector(Option.InvalidStrike.selector, 1 << 120));
        _list(id, true, 1 << 120, FEED_VOLATILITY);
        vm.expectRevert(abi.encodeWithSelector(Dated.NoPrice.selector, 9));
        _list(id, true, 2200e18, 9);
        vm.expectRevert(abi.encodeWithSelector(Dated.AlreadyListed.selector, call));
        _list(call, true, 2300e18, FEED_VOLATILITY);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        _list(id, true, 2200e18, FEED_VOLATILITY);
        bytes memory unlisted = abi.encodeWithSelector(Dated.Unlisted.selector, id);
        vm.expectRevert(unlisted);
        option.mark(id);
        vm.expectRevert(unlisted);
        option.pnl(holding(id, 1, 0), 1, one(1e18), new uint256[](0));
    }

    function test_skewHasBoundsAndComesSlowly() public {
        vm.expectRevert(abi.encodeWithSelector(Option.InvalidSkew.selector, -10_001, 0));
        option.setSkew(uint16(FEED_ETH), expiry, -10_001, 0);
        vm.expectRevert(abi.encodeWithSelector(Option.InvalidSkew.selector, 0, 10_001));
        option.setSkew(uint16(FEED_ETH), expiry, 0, 10_001);
        vm.prank(alice);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, alice));
        option.setSkew(uint16(FEED_ETH), expiry, 1, 1);

        (uint256 before,) = option.mark(call);
        option.setSkew(uint16(FEED_ETH), expiry, -4000, 1000);
        (uint256 price,) = option.mark(call);
        assertEq(price, before, "nothing at once");
        vm.warp(block.timestamp + 12 hours);
        (int256 slope, int256 curvature) = option.skew(FEED_ETH, expiry);
        assertEq(slope, -0.2e18);
        assertEq(curvature, 0.05e18);
        option.setSkew(uint16(FEED_ETH), expiry, 0, 0);
        (slope, curvature) = option.skew(FEED_ETH, expiry);
        assertEq(slope, -0.2e18, "on from where it stands");
        vm.warp(block.timestamp + 30 days);
        (slope, curvature) = option.skew(FEED_ETH, expiry);
        assertEq(slope, 0);
        assertEq(curvature, 0);
    }

    /* VALUE */

    function test_isWorthBlack76() public view {
        // √(30/365) × 0.6, rounded as the contract rounds.
        uint256 root = 286691089540497941;
        uint256 deviation = 0.6e18 * root / 1e18;
        (uint256 c, uint256 p) = Black76.values(2000e18, 2200e18, deviation);
        (uint256 price, bool fresh) = option.mark(call);
        assertTrue(fresh);
        // Logarithms are taken one by one here: far below the library's error bound.
        assertApproxEqAbs(price, c, 1000);
        (price,) = option.mark(put);
        assertApproxEqAbs(price, p, 1000);
        assertApproxEqAbs(_pnl(call, 3e18, 2000e18), int256(3 * c), 3000);
        assertApproxEqAbs(_pnl(put, -3e18, 2000e18), -int256(3 * p), 3000);
    }

    /// A strike keeps the volatility that it has at the oracle's price.
    function test_skewStaysWithTheStrike() public {
        option.setSkew(uint16(FEED_ETH), expiry, -4000, 1000);
        vm.warp(block.timestamp + 1 days);
        // x = ln(1.1) ÷ √(29/365) = 0.33813: factor 1 − 0.13525 + 0.01143.
        uint256 root = 281872408714511374;
        uint256 deviation = uint256(0.6e18) * 876178e12 / 1e18 * root / 1e18;
        (uint256 c,) = Black76.values(2000e18, 2200e18, deviation);
        (uint256 price,) = option.mark(call);
        assertApproxEqRel(price, c, 1e13);
        (c,) = Black76.values(2400e18, 2200e18, deviation);
        assertApproxEqRel(uint256(_pnl(call, 1e18, 2400e18)), c, 1e13);
    }

    function test_scenariosScaleVolatility() public view {
        uint256[] memory spots = new uint256[](3);
        (spots[0], spots[1], spots[2]) = (2000e18, 2000e18, 2000e18);
        uint256[] memory volatilities = new uint256[](3);
        (volatilities[0], volatilities[1], volatilities[2]) = (1e18, 1.5e18, 0);
        (int256[] memory values,) = option.pnl(holding(call, 1e18, 0), 3, spots, volatilities);
        (uint256 price,) = option.mark(call);
        assertEq(values[0], int256(price));
        uint256 deviation = uint256(0.9e18) * 286691089540497941 / 1e18;
        (uint256 c,) = Black76.values(2000e18, 2200e18, deviation);
        assertApproxEqAbs(values[1], int256(c), 1000);
        assertEq(values[2], 0, "no volatility: its limit");
    }

    function test_holdingsOfSeveralUnderlyingsMeetInOneCall() public {
        uint256 btc = listFor(address(option), FEED_BTC);
        option.list(
            btc, false, 40_000e18, expiry, uint16(FEED_BTC), uint16(FEED_FIXING), uint16(FEED_VOLATILITY)
        );
        uint256[] memory spots = new uint256[](4);
        (spots[0], spots[1], spots[2], spots[3]) = (2000e18, 1000e18, 40_000e18, 50_000e18);
        IInstrument.Holding[] memory holdings = new IInstrument.Holding[](3);
        holdings[0] = IInstrument.Holding(btc, -1e18, 7e18, 0, 1);
        holdings[1] = IInstrument.Holding(call, 2e18, -1e18, 0, 0);
        // Costs since its index: 5 a unit.
        holdings[2] = IInstrument.Holding(put, 1e18, 0, -5e18, 0);
        (int256[] memory values,) = option.pnl(holdings, 2, spots, new uint256[](0));
        (uint256 c,) = option.mark(call);
        (uint256 p,) = option.mark(put);
        (uint256 b,) = option.mark(btc);
        assertEq(values[0], 2 * int256(c) - 1e18 + int256(p) - 5e18);
        assertEq(values[2], 7e18 - int256(b));
        assertGt(values[3], values[2]);
        assertEq(values[1], 2 * _pnl(call, 1e18, 1000e18) - 1e18 + _pnl(put, 1e18, 1000e18) - 5e18);
    }

    function testFuzz_parityBoundsAndMonotony(uint256 spot, uint256 up, uint256 time) public {
        spot = bound(spot, 1, 1e30);
        up = bound(up, 0, 1e30);
        vm.warp(block.timestamp + bound(time, 0, LIFE - 1));
        int256 c = _pnl(call, 1e18, spot);
        int256 p = _pnl(put, 1e18, spot);
        assertEq(c - p, int256(spot) - 2200e18, "parity");
        assertGe(c, 0);
        assertGe(p, 0);
        assertLe(c, int256(spot));
        assertLe(p, 2200e18);
        // Within the library's error bound.
        int256 error = int256(spot + up + 2200e18) / 2e15 + 2;
        assertLe(c, _pnl(call, 1e18, spot + up) + error, "a call rises with the spot");
        assertLe(_pnl(put, 1e18, spot + up), p + error, "a put falls");
    }

    /* EDGES */

    function test_extremesHaveTheirLimitOrAnError() public {
        assertEq(_pnl(call, 1e18, 0), 0);
        assertEq(_pnl(put, 1e18, 0), 2200e18);
        assertEq(_pnl(call, 1e18, 1), 0, "deep out of the money");
        uint256 far = (1 << 120) - 1;
        assertEq(_pnl(call, 1e18, far), int256(far) - 2200e18, "deep in the money");
        assertEq(_pnl(put, 1e18, far), 0);
        vm.expectRevert(Linear.TooLarge.selector);
        option.pnl(holding(call, 1e18, 0), 1, one(far + 1), new uint256[](0));
        vm.expectRevert(Linear.TooLarge.selector);
        option.pnl(holding(call, 1 << 127, 0), 1, one(1), new uint256[](0));
        vm.expectRevert(Linear.TooLarge.selector);
        option.pnl(holding(call, 1, -(1 << 127)), 1, one(1), new uint256[](0));

        uint256 tiny = _listed(true, 1);
        uint256 huge = _listed(false, far);
        assertEq(_pnl(tiny, 1e18, 2000e18), 2000e18 - 1);
        assertEq(_pnl(huge, 1e18, 2000e18), int256(far) - 2000e18);
        // A size of 127 bits of them: whatever it is worth fits.
        assertEq(_pnl(huge, type(int128).max, 0) / 1e18, int256(far) * type(int128).max / 1e36);
    }

    function test_volatilityBeyondItsBoundsCountsAsAtThem() public {
        oracle.set(FEED_VOLATILITY, 1);
        assertEq(_pnl(call, 1e18, 2100e18), 0);
        assertEq(_pnl(call, 1e18, 2300e18), 100e18);
        oracle.set(FEED_VOLATILITY, 1e30);
        // Black-76 at a deviation of 10: a call is worth nearly the forward.
        assertApproxEqRel(_pnl(call, 1e18, 2000e18), 2000e18, 1e12);
        assertApproxEqRel(_pnl(put, 1e18, 2000e18), 2200e18, 1e12);
        vm.warp(expiry - 1);
        oracle.set(FEED_VOLATILITY, 0.6e18);
        assertApproxEqAbs(_pnl(call, 1e18, 2300e18), 100e18, 1e6, "a second before expiry");
        assertLt(_pnl(call, 1e18, 2200e18), 0.2e18);
    }

    /// Nothing new on an old volatility; but whoever holds something stays valued, may reduce, and can be liquidated.
    function test_staleVolatilityStopsOnlyNewRisk() public {
        (uint256 price,) = option.mark(call);
        trade(call, aliceAccount, bobAccount, 10e18, price);
        oracle.set(FEED_VOLATILITY, 0.6e18, 0, 0, false);
        (uint256 stale, bool fresh) = option.mark(call);
        assertEq(stale, price);
        assertFalse(fresh);
        vm.prank(venue);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.trade(call, aliceAccount, bobAccount, 1e18, price);
        trade(call, bobAccount, aliceAccount, 4e18, price);
        assertEq(hub.position(aliceAccount, call).size, 6e18);
        IMarginEngine.Health memory h = engine.accountHealth(bobAccount);
        assertFalse(h.fresh || h.inputsFresh);
        assertTrue(engine.accountHealth(carolAccount).fresh, "holds none");
        // What it may cost by now is unknown: nothing leaves the account, and it takes no other risk.
        vm.prank(alice);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.withdraw(aliceAccount, USDC_A, alice, 1);
        vm.prank(venue);
        vm.expectRevert(LedgerBase.PriceNotFresh.selector);
        hub.trade(ETH_PERP, carolAccount, bobAccount, 1e18, 2000e18);
        trade(ETH_FUTURE, carolAccount, _fresh(), 1e18, 2000e18);
        vm.warp(expiry);
        oracle.set(FEED_ETH, 2000e18);
        assertTrue(engine.accountHealth(bobAccount).inputsFresh, "expired, it needs no volatility");
        oracle.set(FEED_ETH, 2000e18, 0, 0, false);
        assertFalse(engine.accountHealth(bobAccount).inputsFresh, "but the spot");
        vm.prank(auction);
        hub.transferFraction(bobAccount, carolAccount, 0.5e18, 0);
        assertEq(hub.position(carolAccount, call).size, -3e18);
    }

    /// @dev An account that holds nothing.
    function _fresh() private returns (bytes32 account) {
        address dave = makeAddr("dave");
        account = Accounts.main(dave);
        _approve(dave);
        fundCash(account, 10_000);
    }

    function test_anAbsentVolatilityIsAnErrorNotANumber() public {
        oracle.set(FEED_VOLATILITY, 0);
        vm.expectRevert(abi.encodeWithSelector(Dated.NoPrice.selector, FEED_VOLATILITY));
        option.mark(call);
        vm.expectRevert(abi.encodeWithSelector(Dated.NoPrice.selector, FEED_VOLATILITY));
        option.pnl(holding(call, 1, 0), 1, one(1), new uint256[](0));
        (int256[] memory values,) = option.pnl(holding(call, 0, -5), 1, one(1), new uint256[](0));
        assertEq(values[0], -5, "a closed position needs none");
    }

    /* EXPIRY */

    function test_paysItsIntrinsicValueAtTheFixing() public {
        (uint256 price,) = option.mark(call);
        trade(call, aliceAccount, bobAccount, 10e18, price);
        vm.warp(expiry);
        oracle.set(FEED_ETH, 2300e18);
        assertEq(_pnl(call, 1e18, 2250e18), 50e18, "expired, not fixed: at the spot");
        (uint256 mark,) = option.mark(call);
        assertEq(mark, 100e18);
        vm.prank(venue);
        vm.expectRevert(abi.encodeWithSelector(Dated.Expired.selector, call));
        hub.trade(call, bobAccount, aliceAccount, 1e18, 100e18);
        expireAt(2400e18);
        option.fix(call);
        assertEq(_pnl(call, 1e18, 5000e18), 200e18, "fixed");
        int256 paid = hub.settleExpired(bobAccount, call);
        assertEq(paid, int256(10 * price) - 2000e18);
        assertEq(hub.settleExpired(aliceAccount, call), -paid);
        assertEq(hub.settleExpired(carolAccount, put), 0);
        (, mark) = option.settlement(put);
        assertEq(mark, 0);
    }
}
