// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {AuctionMath} from "../../../src/hub/AuctionMath.sol";
import {CallerReward} from "../../../src/hub/CallerReward.sol";
import {LiquidationAuction} from "../../../src/hub/LiquidationAuction.sol";

/// @notice What tests auction by. @param nativeFeed Price of what callers pay gas in.
function auctionTerms(uint256 nativeFeed) pure returns (LiquidationAuction.Parameters memory) {
    return LiquidationAuction.Parameters({
        curve: AuctionMath.Curve(0.98e18, 0.8e18, 0.3e18, 900, 12 hours),
        bonusShare: 0.01e18,
        feeShare: 0.01e18,
        riseSeconds: 1800,
        reopenSeconds: 1 hours,
        dust: 100e18,
        reward: CallerReward.RewardTerms(400_000, uint16(nativeFeed), 0.02e18)
    });
}
