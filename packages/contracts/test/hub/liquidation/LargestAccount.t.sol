// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clearinghouse} from "../../../src/hub/Clearinghouse.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";
import {RiskConfig} from "../../../src/hub/RiskConfig.sol";
import {LedgerBase} from "../../../src/hub/ledger/LedgerBase.sol";
import {IInstrument} from "../../../src/interfaces/IInstrument.sol";
import {IRiskConfig} from "../../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../../src/margin/MarginEngine.sol";
import {Option} from "../../../src/margin/Option.sol";
import {Perp} from "../../../src/margin/Perp.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../newClearinghouse.sol";
import {OracleTest} from "../../oracle/OracleTest.sol";
import {auctionTerms} from "./auctionTerms.sol";

/// @notice Gas of a bid for the largest account that any parameters allow, as a transaction of its own, on the real oracle (DESIGN §6.7).
///
/// Beside as many curved instruments as one account may have, on the finer grid of the Portfolio set, what costs most is: a claim under
/// regression, so that what is offered is valued apart from the account; a feed without a fresh price, so that the bidder is looked at before
/// the bid too; every row on a feed of its own; and a bidder whose own rows are other ones, so that it ends with twice as many.
contract LargestAccountTest is OracleTest {
    uint256 internal constant QUARTER_OF_A_BLOCK = 7_500_000;
    /// @dev As many as the oracle bears: the settlement token, underlyings, their volatilities, a fixing.
    uint256 internal constant FEEDS = 48;
    uint256 internal constant UNDERLYINGS = 40;
    uint256 internal constant FIXING = 47;
    /// @dev Of an account (RiskConfig.MAX_ROWS).
    uint256 internal constant ROWS = 16;
    /// @dev Of an account (PositionBook.MAX_CURVE_WEIGHT).
    uint256 internal constant WEIGHT = 9;
    uint64 internal constant REGRESSED = 2;

    Clearinghouse internal hub;
    MarginEngine internal engine;
    LiquidationAuction internal auction;
    RiskConfig internal config;
    Option internal option;
    Perp internal perp;
    address internal debtor = makeAddr("debtor");
    bytes32 internal target = Accounts.main(debtor);
    bytes32 internal bidder = Accounts.main(address(this));

    function setUp() public {
        _deploy(4, FEEDS);
        _update(100e8, FEEDS);
        config = new RiskConfig(address(this), 0);
        hub = Clearinghouse(
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 4 + CLEARINGHOUSE_PARTS)
        );
        engine = new MarginEngine(hub, oracle, config);
        option = new Option(address(this), oracle, config);
        perp = new Perp(address(hub), oracle, config);
        auction = new LiquidationAuction(
            hub, engine, oracle, config, address(0xf), address(0xb), auctionTerms(UNDERLYINGS)
        );
        newClearinghouse(
            address(this),
            LedgerBase.Modules(
                address(this), address(auction), address(0xb), address(0xf), engine, oracle, config
            )
        );
        config.setGlobal(IRiskConfig.Global(5000, 3000, 1_000_000e18, 1500, uint16(ROWS), 1 hours));
        config.setGrid(IRiskConfig.Grid(4000, 3000, 100, 8000, 4000, 2000));
        config.setAsset(1, IRiskConfig.Asset(1, 1, address(1), 6, 0, true, 10_000, 10_000, 1e18, 1e9));
        hub.setVenue(address(this), true);
        for (uint16 feed = 1; feed <= UNDERLYINGS; ++feed) {
            config.setUnderlying(feed, IRiskConfig.Underlying(1000, 600, 5000, 2000));
            config.setAsset(
                1 + feed,
                IRiskConfig.Asset(1, 1, address(uint160(1 + feed)), 18, feed, false, 9000, 9500, 1e24, 1e18)
            );
        }
    }

    /* GAS */

    /// forge-config: default.isolate = true
    function test_gasOfTheLargestAccount() public {
        uint256 startGas = _start(5, 4);
        vm.snapshotValue("MarginEngine", "largest_account_start", startGas);
        uint256 gas = _bid();
        vm.snapshotValue("MarginEngine", "largest_account", gas);
        assertLe(gas, QUARTER_OF_A_BLOCK);
    }

    /// @dev More options on fewer underlyings cost less.
    /// forge-config: default.isolate = true
    function test_gasOfManyOptionsOnOneUnderlying() public {
        _start(8, 1);
        assertLe(_bid(), QUARTER_OF_A_BLOCK);
    }

    /// @dev Each position of the target and each of the other side has been closed in part.
    /// forge-config: default.isolate = true
    function test_gasWhereSomethingOfEveryMarketWasClosed() public {
        _start(5, 4);
        for (uint256 id = 1; id < ROWS; ++id) {
            bytes32 maker = Accounts.main(address(uint160(0x1000 + (id <= 5 ? 1 : 2))));
            vm.startPrank(address(auction));
            assertEq(hub.deleverage(target, id, 1e15), 1e15);
            assertEq(hub.deleverage(maker, id, 1e15), 1e15);
            vm.stopPrank();
            (uint256 scale,) = hub.sideOf(id, hub.position(target, id).size > 0);
            assertLt(scale, 1e36);
        }
        assertLe(_bid(), QUARTER_OF_A_BLOCK);
    }

    /* CAP */

    function test_refusesMoreCurvedInstruments() public {
        _listInstruments(8, 3);
        _fund(target, 100_000);
        _trade(target, 1, 6, -1e18);
        bytes32 maker = _maker();
        (uint256 mark,) = option.mark(7);
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.TooManyRows.selector, target));
        hub.trade(7, maker, target, 1e18, mark);
        // Others have room.
        _trade(target, 9, 1, 1e18);
    }

    /// @dev Whoever holds other options bids from another account.
    function test_bidderHasTheSameCap() public {
        _listInstruments(8, 3);
        _fund(target, 100_000);
        _fund(bidder, 10_000_000);
        _trade(target, 1, 6, -800e18);
        _trade(bidder, 7, 1, 1e18);
        _rise();
        _startAuction();
        vm.expectRevert(abi.encodeWithSelector(LedgerBase.TooManyRows.selector, bidder));
        auction.bid(target, bidder, 0.1e18, type(uint256).max);
        bytes32 other = bytes32(uint256(Accounts.main(address(this))) | 1);
        _fund(other, 10_000_000);
        auction.bid(target, other, 0.1e18, type(uint256).max);
        assertEq(hub.instrumentsOf(other).length, 6);
    }

    /* INTERNAL */

    /// @dev The target: options, a claim of which a part is under regression, perpetuals for the rest. The bidder: other rows, as many.
    /// @return gas Of opening the auction.
    function _start(uint256 options, uint256 underlyings) internal returns (uint256 gas) {
        assertEq(options + underlyings, WEIGHT);
        _listInstruments(options, underlyings);
        _fund(target, 100_000);
        _fund(bidder, 10_000_000);
        uint16 feed = uint16(UNDERLYINGS);
        _claim(target, feed, 10e18, 1);
        _trade(target, 1, options, -5000e18 / int256(options));
        _trade(target, options + 1, ROWS - 1 - options, 1e18);
        vm.prank(debtor);
        hub.setPortfolioMargin(target, true);
        _trade(bidder, ROWS, 1, 1e18);
        for (uint256 n = 1; n < ROWS; ++n) {
            _claim(bidder, feed - n, 1e18, 1);
        }
        hub.setPortfolioMargin(bidder, true);
        assertEq(_rows(target), ROWS);
        assertEq(_rows(bidder), ROWS);

        _claim(target, feed, 9e18, REGRESSED);
        _rise();
        gas = _startAuction();
    }

    function _startAuction() internal returns (uint256 gas) {
        bytes32[] memory accounts = new bytes32[](1);
        accounts[0] = target;
        assertEq(auction.updateAndStart("", accounts), 1);
        gas = vm.lastCallGas().gasTotalUsed;
        vm.warp(block.timestamp + 1 minutes);
    }

    function _bid() internal returns (uint256 gas) {
        uint256 before = _rows(bidder);
        auction.bid(target, bidder, 0.1e18, type(uint256).max);
        gas = vm.lastCallGas().gasTotalUsed;
        assertEq(_rows(bidder), before + ROWS);
    }

    function _rows(bytes32 account) internal view returns (uint256) {
        return hub.assetsOf(account).length + hub.instrumentsOf(account).length;
    }

    /// @dev What the target wrote is under water, and one feed that it needs has no new price.
    function _rise() internal {
        vm.warp(block.timestamp + 20 minutes);
        _update(118e8, UNDERLYINGS);
    }

    /// @dev Options first, on underlyings in turn, then perpetuals on feeds of their own.
    function _listInstruments(uint256 options, uint256 underlyings) internal {
        uint40 expiry = uint40(block.timestamp + 30 days);
        for (uint256 id = 1; id <= ROWS; ++id) {
            bool curved = id <= options;
            uint16 feed = uint16(curved ? 1 + (id - 1) % underlyings : id);
            config.setInstrument(
                id, IRiskConfig.Instrument(address(curved ? IInstrument(option) : perp), feed, 1e24, 1e22, 1)
            );
            if (!curved) continue;
            option.list(id, true, (95 + id) * 1e18, expiry, feed, uint16(FIXING), uint16(UNDERLYINGS + feed));
            option.setSkew(feed, expiry, -2000, 500);
        }
    }

    /// @dev Volatilities at 60 %. @param spot Of all underlyings, 8 decimals. @param without Feed that has no price; of none: FEEDS.
    function _update(int64 spot, uint256 without) internal {
        int64[] memory prices = new int64[](FEEDS);
        uint16[] memory confidences = new uint16[](FEEDS);
        for (uint256 n; n < FEEDS; ++n) {
            prices[n] = n == 0 ? int64(1e8) : n <= UNDERLYINGS ? spot : int64(0.6e8);
            confidences[n] = n == without ? type(uint16).max : 10;
        }
        oracle.update(_report(_now(), prices, confidences));
    }

    function _fund(bytes32 account, uint128 usdc) internal {
        hub.receiveCounter(1, 1, 1, address(1), account, usdc * 1e6);
        vm.prank(Accounts.owner(account));
        hub.approveVenue(account, address(this), type(uint256).max);
    }

    function _claim(bytes32 account, uint256 feed, uint128 amount, uint64 time) internal {
        if (time < REGRESSED) {
            vm.prank(Accounts.owner(account));
            hub.openRow(account, 1 + feed);
        }
        hub.receiveCounter(1, 1, time, address(uint160(1 + feed)), account, amount);
    }

    uint160 internal makers = 0x1000;

    function _maker() internal returns (bytes32 maker) {
        maker = Accounts.main(address(++makers));
        _fund(maker, 1e9);
    }

    function _trade(bytes32 account, uint256 from, uint256 count, int256 size) internal {
        bytes32 maker = _maker();
        bool buys = size > 0;
        for (uint256 id = from; id < from + count; ++id) {
            (uint256 mark,) = IInstrument(config.instrument(id).module).mark(id);
            hub.trade(id, buys ? account : maker, buys ? maker : account, uint256(buys ? size : -size), mark);
        }
    }
}
