// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {RiskConfig} from "../../src/hub/RiskConfig.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {RateSwap} from "../../src/margin/RateSwap.sol";
import {PriceOracle} from "../../src/oracle/PriceOracle.sol";
import {OracleTest} from "../oracle/OracleTest.sol";

/// @notice Margin shocks a rate in parts of itself, which is nothing at zero.
contract SignedRateTest is OracleTest {
    function test_aRateThatMayBeNegativeIsRefused() public {
        _deploy(4, 3, 1 << 1);
        RiskConfig config = new RiskConfig(address(this), 0);
        RateSwap swap = new RateSwap(address(this), oracle, config);
        config.setUnderlying(1, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        config.setInstrument(1, IRiskConfig.Instrument(address(swap), 1, 1e24, 1e24, 500));
        uint40 start = uint40(block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(PriceOracle.SignedFeed.selector, 1));
        swap.list(1, start, start + 60 days, 30 days, 1, 2);
    }
}
