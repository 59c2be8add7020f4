// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ILocalChain, IHubGateway} from "../../src/interfaces/IGateways.sol";
import {IRiskConfig} from "../../src/interfaces/IRiskConfig.sol";
import {HubFixture} from "./HubFixture.sol";

/// @notice A hub that hears of its spokes by messages and by a feed each.
abstract contract SilenceFixture is HubFixture {
    uint32 internal constant HUB = 100;
    uint256 internal constant TIME_A = 4;
    uint256 internal constant TIME_B = 5;
    uint256 internal constant GRACE = 2 hours;
    uint256 internal constant MM_GRACE = 6 hours;
    uint256 internal constant MM_RAMP = 10 hours;

    function setUp() public virtual override {
        super.setUp();
        config.setSilence(IRiskConfig.Silence(uint32(GRACE), uint32(MM_GRACE), uint32(MM_RAMP)));
        config.setLivenessFeed(A, TIME_A);
        config.setLivenessFeed(B, TIME_B);
        vm.mockCall(gateway, abi.encodeCall(ILocalChain.localEid, ()), abi.encode(HUB));
        hear(A);
        hear(B);
        see(A);
        see(B);
    }

    /// @dev A message of the chain arrives that was sent now.
    function hear(uint32 eid) internal {
        vm.mockCall(gateway, abi.encodeCall(IHubGateway.lastSpokeTime, (eid)), abi.encode(block.timestamp));
    }

    /// @dev A report says that the chain has a block of now.
    function see(uint32 eid) internal {
        oracle.set(eid == A ? TIME_A : TIME_B, block.timestamp * 1e18);
    }

    /// @dev A fresh report repeats what the last one said.
    function repeat(uint32 eid) internal {
        uint256 feed = eid == A ? TIME_A : TIME_B;
        oracle.set(feed, oracle.price(feed).price);
    }

    function watch(uint256 assetId) internal {
        uint256[] memory ids = new uint256[](1);
        ids[0] = assetId;
        hub.watch(ids);
    }

    /// @dev Time passes in which nothing is heard of A, and reports say so.
    function silence(uint256 time) internal {
        vm.warp(block.timestamp + time);
        repeat(A);
        hear(B);
        see(B);
        watch(WETH);
        watch(USDC_A);
    }

    function im(bytes32 account) internal view returns (int256) {
        return engine.accountHealth(account).im;
    }

    function mm(bytes32 account) internal view returns (int256) {
        return engine.accountHealth(account).mm;
    }

    function short(uint256 assetId, uint128 amount) internal {
        IRiskConfig.Asset memory a = config.asset(assetId);
        vm.prank(gateway);
        hub.receiveTotals(a.eid, a.epoch, uint64(block.timestamp), a.token, 0, 0, amount);
    }
}
