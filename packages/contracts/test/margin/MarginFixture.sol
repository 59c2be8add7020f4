// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Option} from "../../src/margin/Option.sol";
import {RateSwap} from "../../src/margin/RateSwap.sol";
import {DatedFixture} from "./DatedFixture.sol";

/// @notice The hub with every kind of instrument: three perpetuals, a future, four options on ETH and a rate swap.
abstract contract MarginFixture is DatedFixture {
    uint256 internal constant FEED_VOLATILITY = 5;
    uint256 internal constant FEED_RATE = 6;
    uint256 internal constant FEED_MEAN = 7;
    uint256 internal constant FIRST_OPTION = 5;
    uint256 internal constant OPTIONS = 4;
    uint256 internal constant RATE_SWAP = 9;

    Option internal option;

    function setUp() public virtual override {
        super.setUp();
        oracle.set(FEED_VOLATILITY, 0.6e18);
        oracle.set(FEED_RATE, 0.05e18);
        config.setUnderlying(FEED_RATE, IRiskConfig.Underlying(2000, 1200, 5000, 2000));
        config.setGrid(IRiskConfig.Grid(4000, 3000, 100, 8000, 4000, 2000));
        option = new Option(address(this), oracle, config);
        for (uint256 n; n < OPTIONS; ++n) {
            option.list(
                listFor(address(option), FEED_ETH),
                n % 2 == 0,
                1800e18 + n * 150e18,
                expiry,
                uint16(FEED_ETH),
                uint16(FEED_FIXING),
                uint16(FEED_VOLATILITY)
            );
        }
        option.setSkew(uint16(FEED_ETH), expiry, -2000, 500);
        RateSwap swap = new RateSwap(address(this), oracle, config);
        config.setInstrument(
            RATE_SWAP,
            IRiskConfig.Instrument(address(swap), uint16(FEED_RATE), 100_000_000e18, 100_000_000e18, 500)
        );
        uint40 start = uint40(block.timestamp);
        swap.list(RATE_SWAP, start, start + 24 * 30 days, 30 days, uint16(FEED_RATE), uint16(FEED_MEAN));
    }
}
