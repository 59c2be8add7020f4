// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Clearinghouse} from "../../src/hub/Clearinghouse.sol";
import {LedgerBase} from "../../src/hub/ledger/LedgerBase.sol";
import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IClearinghouse} from "../../src/interfaces/IClearinghouse.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Black76} from "../../src/libraries/Black76.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {MarginEngine} from "../../src/margin/MarginEngine.sol";
import {Perp} from "../../src/margin/Perp.sol";
import {OracleTest} from "../oracle/OracleTest.sol";
import {CLEARINGHOUSE_PARTS, newClearinghouse} from "../hub/newClearinghouse.sol";

/// @notice Gas of a health check as a transaction of its own, all storage cold, on the real oracle.
contract MarginEngineGasTest is OracleTest {
    Clearinghouse internal hub;
    MarginEngine internal engine;
    bytes32 internal account = Accounts.main(address(this));
    bytes32 internal other = Accounts.main(makeAddr("other"));

    function setUp() public {
        _deploy(4, 4);
        int64[] memory prices = new int64[](4);
        (prices[0], prices[1], prices[2], prices[3]) = (1e8, 2000e8, 40_000e8, 100e8);
        uint16[] memory confidences = new uint16[](4);
        (confidences[0], confidences[1], confidences[2], confidences[3]) = (5, 10, 10, 20);
        oracle.update(_report(_now(), prices, confidences));

        RiskConfig config = new RiskConfig(address(this), 0);
        address predicted =
            vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2 + CLEARINGHOUSE_PARTS);
        engine = new MarginEngine(IClearinghouse(predicted), oracle, config);
        Perp perp = new Perp(predicted, oracle, config);
        hub = newClearinghouse(
            address(this),
            LedgerBase.Modules(
                address(this), address(0xa), address(0xb), address(0xf), engine, oracle, config
            )
        );
        config.setGlobal(IRiskConfig.Global(5000, 3000, 1_000_000e18, 1500, 12, 1 hours));
        config.setAsset(1, IRiskConfig.Asset(1, 1, address(1), 6, 0, true, 10_000, 10_000, 1e13, 1e9));
        hub.setVenue(address(this), true);
        hub.approveVenue(account, address(this), type(uint256).max);
        vm.prank(address(uint160(uint256(other) >> 96)));
        hub.approveVenue(other, address(this), type(uint256).max);
        hub.receiveCounter(1, 1, 1, address(1), account, 1e12);
        hub.receiveCounter(1, 1, 1, address(1), other, 1e12);
        for (uint16 n = 1; n <= 3; ++n) {
            config.setUnderlying(n, IRiskConfig.Underlying(1000, 600, 5000, 2000));
            config.setAsset(
                1 + n, IRiskConfig.Asset(n, 1, address(2), 18, n, false, 8000, 9000, 1000e18, 1e18)
            );
            config.setInstrument(n, IRiskConfig.Instrument(address(perp), n, 1000e18, 100e18, 100));
            hub.openRow(account, 1 + n);
            hub.receiveCounter(n, 1, 1, address(2), account, 10e18);
            hub.trade(n, account, other, 1e18, uint256(uint64(prices[n])) * 1e10);
        }
        vm.warp(block.timestamp + 10);
    }

    /// forge-config: default.isolate = true
    function test_gasOfThreeClaimsAndThreePerps() public {
        assertEq(hub.assetsOf(account).length, 3);
        assertEq(hub.instrumentsOf(account).length, 3);
        assertTrue(engine.accountHealth(account).fresh);
        engine.accountHealth(account);
        vm.snapshotGasLastCall("MarginEngine", "standard_3_claims_3_perps");
    }

    /// @dev Call and put together.
    function test_gasOfBlack76() public {
        vm.startSnapshotGas("MarginEngine", "black76");
        (uint256 call,) = Black76.values(2000e18, 2300e18, 0.21e18);
        vm.stopSnapshotGas();
        assertGt(call, 0);
    }
}
