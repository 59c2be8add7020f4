// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {IInstrument} from "../../src/interfaces/IInstrument.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {Accounts} from "../../src/libraries/Accounts.sol";
import {Future} from "../../src/margin/Future.sol";
import {HubFixture} from "../hub/HubFixture.sol";

/// @notice The hub with a dated future on ETH that expires in 30 days.
abstract contract DatedFixture is HubFixture {
    uint256 internal constant FEED_FIXING = 4;
    uint256 internal constant ETH_FUTURE = 4;
    uint256 internal constant LIFE = 30 days;

    Future internal future;
    uint40 internal expiry;
    address internal carol = makeAddr("carol");
    bytes32 internal carolAccount = Accounts.main(carol);

    function setUp() public virtual override {
        super.setUp();
        expiry = uint40(block.timestamp + LIFE);
        future = new Future(address(this), oracle, config);
        listFor(address(future), FEED_ETH);
        future.list(ETH_FUTURE, expiry, uint16(FEED_ETH), uint16(FEED_FIXING));
        _approve(carol);
        fundCash(aliceAccount, 100_000);
        fundCash(bobAccount, 100_000);
        fundCash(carolAccount, 100_000);
    }

    /// @return id Of a new instrument of the module.
    function listFor(address module, uint256 feed) internal returns (uint256 id) {
        id = config.instrumentCount() + 1;
        config.setInstrument(id, IRiskConfig.Instrument(module, uint16(feed), 100_000e18, 100_000e18, 200));
    }

    /// @dev Expires everything and signs the fixing of ETH.
    function expireAt(uint256 fixing) internal {
        if (block.timestamp < expiry) vm.warp(expiry);
        vm.warp(block.timestamp + 1);
        oracle.set(FEED_FIXING, fixing);
    }

    function holding(uint256 id, int256 size, int256 quote)
        internal
        pure
        returns (IInstrument.Holding[] memory holdings)
    {
        holdings = new IInstrument.Holding[](1);
        holdings[0] = IInstrument.Holding(id, size, quote, 0, 0);
    }

    function one(uint256 spot) internal pure returns (uint256[] memory spots) {
        spots = new uint256[](1);
        spots[0] = spot;
    }
}
