// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Option} from "../../src/margin/Option.sol";
import {OracleTest} from "../oracle/OracleTest.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../hub/newClearinghouse.sol";

/// @notice Gas of a health check of options as a transaction of its own, all storage cold, on the real oracle.
contract OptionGasTest is OracleTest {
    Clearinghouse internal hub;
    MarginEngine internal engine;
    bytes32 internal account = Accounts.main(address(this));
    bytes32 internal other = Accounts.main(makeAddr("other"));

    function setUp() public {
        _deploy(4, 4);
        int64[] memory prices = new int64[](4);
        // Settlement token, ETH, its implied volatility, its fixing.
        (prices[0], prices[1], prices[2], prices[3]) = (1e8, 2000e8, 0.6e8, 2000e8);
        uint16[] memory confidences = new uint16[](4);
        (confidences[0], confidences[1], confidences[2], confidences[3]) = (5, 10, 10, 10);
        oracle.update(_report(_now(), prices, confidences));

        RiskConfig config = new RiskConfig(address(this), 0);
        address predicted =
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2 + CLEARINGHOUSE_PARTS);
        engine = new MarginEngine(IClearinghouse(predicted), oracle, config);
        Option option = new Option(address(this), oracle, config);
        hub = newClearinghouse(
            address(this),
            LedgerBase.Modules(
                address(this), address(0xa), address(0xb), address(0xf), engine, oracle, config
            )
        );
        config.setGlobal(IRiskConfig.Global(5000, 3000, 1_000_000e18, 1500, 12, 1 hours));
        config.setAsset(1, IRiskConfig.Asset(1, 1, address(1), 6, 0, true, 10_000, 10_000, 1e13, 1e9));
        config.setUnderlying(1, IRiskConfig.Underlying(1000, 600, 5000, 2000));
        config.setGrid(IRiskConfig.Grid(4000, 3000, 100, 8000, 4000, 2000));
        hub.setVenue(address(this), true);
        hub.approveVenue(account, address(this), type(uint256).max);
        vm.prank(address(uint160(uint256(other) >> 96)));
        hub.approveVenue(other, address(this), type(uint256).max);
        hub.receiveCounter(1, 1, 1, address(1), account, 1e12);
        hub.receiveCounter(1, 1, 1, address(1), other, 1e12);
        // Calls and puts at four strikes of two expiries.
        for (uint256 id = 1; id <= 8; ++id) {
            uint40 expiry = uint40(block.timestamp + (id <= 4 ? 7 days : 30 days));
            config.setInstrument(id, IRiskConfig.Instrument(address(option), 1, 1000e18, 100e18, 100));
            option.list(id, id % 2 == 0, 1600e18 + id * 100e18, expiry, 1, 3, 2);
            option.setSkew(1, expiry, -2000, 500);
            (uint256 mark,) = option.mark(id);
            bool buys = id % 3 != 0;
            hub.trade(id, buys ? account : other, buys ? other : account, 1e18, mark);
        }
        hub.setPortfolioMargin(account, true);
        vm.warp(block.timestamp + 10);
    }

    /// forge-config: default.isolate = true
    function test_gasOfEightOptions() public {
        assertEq(hub.instrumentsOf(account).length, 8);
        assertTrue(engine.accountHealth(account).fresh);
        engine.accountHealth(account);
        vm.snapshotGasLastCall("MarginEngine", "portfolio_8_options_23_scenarios");
    }
}
