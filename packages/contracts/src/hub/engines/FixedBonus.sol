// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {ILiquidationAuction} from "../../interfaces/ILiquidation.sol";
import {IMarginEngine} from "../../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {AuctionMath} from "../AuctionMath.sol";
import {LedgerClient} from "../LedgerClient.sol";
import {LiquidationEngine} from "./LiquidationEngine.sol";

/// @title FixedBonus
/// @notice Sells at once, to whoever comes first, at equity less a fixed share of the net notional: for asset classes so liquid that a price needs no
/// finding. Of an account whose equity is smaller than that, the bonus is what the floor leaves of it.
contract FixedBonus is LiquidationEngine {
    using FixedPointMathLib for uint256;

    /// @notice WAD share of the net notional.
    uint256 public immutable bonus;
    /// @notice Least share of equity (WAD) that the account is paid.
    uint256 public immutable floor;

    error InvalidTerms();
    error NotController(bytes32 bidder, address caller);

    constructor(
        IClearinghouse clearinghouse_,
        IMarginEngine marginEngine_,
        IRiskConfig riskConfig_,
        ILiquidationAuction auction_,
        uint256 dust_,
        uint256 bonus_,
        uint256 floor_
    ) LedgerClient(clearinghouse_) LiquidationEngine(auction_, marginEngine_, riskConfig_, dust_) {
        if (bonus_ > AuctionMath.WAD || floor_ == 0 || floor_ > AuctionMath.WAD) revert InvalidTerms();
        bonus = bonus_;
        floor = floor_;
    }

    /// @notice Takes up to `fraction` (WAD) of the account for `bidder` (the caller controls it); never past the buffer.
    /// @param maxPayment Most cash (WAD) for what is taken.
    function take(bytes32 account, bytes32 bidder, uint256 fraction, uint256 maxPayment)
        external
        nonReentrant
        returns (uint256 taken, uint256 payment)
    {
        if (!clearinghouse.isController(bidder, msg.sender)) {
            revert NotController(bidder, msg.sender);
        }
        IMarginEngine.Valuation memory v = _liquidatable(account);
        return _sell(account, bidder, v, fraction, _price(v.offered), maxPayment);
    }

    /// @notice WAD cash for the whole account now. Reverts like `take`.
    function price(bytes32 account) external view returns (uint256) {
        return _price(_liquidatable(account).offered);
    }

    function _price(IMarginEngine.Health memory offered) private view returns (uint256) {
        uint256 equity = uint256(offered.equity);
        uint256 least = AuctionMath.fullPrice(equity, floor);
        return equity.zeroFloorSub(offered.notional.fullMulDiv(bonus, AuctionMath.WAD)).max(least);
    }
}
