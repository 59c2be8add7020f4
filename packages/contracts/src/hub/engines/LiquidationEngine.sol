// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {ILiquidationAuction} from "../../interfaces/ILiquidation.sol";
import {IMarginEngine} from "../../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {AuctionMath} from "../AuctionMath.sol";
import {LedgerClient} from "../LedgerClient.sol";

/// @notice What engines beside the share auction have in common. The clearinghouse's owner lists an engine for asset classes
/// (`Clearinghouse.setEngine`); the auction takes accounts of all of them, so an engine may stand still and nothing waits for it. They sell solvent
/// accounts at fresh prices: what is insolvent, or under regression, is the auction's, which knows the fund.
abstract contract LiquidationEngine is LedgerClient, ReentrancyGuardTransient {
    IMarginEngine public immutable marginEngine;
    IRiskConfig public immutable riskConfig;
    ILiquidationAuction public immutable auction;
    /// @notice WAD settlement units: nothing smaller is taken or left, except that all that is offered may always be taken.
    uint256 public immutable dust;

    /// @param equity Just before, of all that is offered of the account, WAD.
    event Liquidated(
        bytes32 indexed account, bytes32 indexed bidder, uint256 fraction, uint256 payment, int256 equity
    );

    error NotLiquidatable(bytes32 account);
    /// @notice It is insolvent, or something of it is under regression.
    error LeftToTheAuction(bytes32 account);
    error PricesNotFresh(bytes32 account);
    error TakenTooSmall(uint256 wanted, uint256 maxFraction);
    error PaymentTooHigh(uint256 payment, uint256 maxPayment);

    constructor(
        ILiquidationAuction auction_,
        IMarginEngine marginEngine_,
        IRiskConfig riskConfig_,
        uint256 dust_
    ) {
        auction = auction_;
        marginEngine = marginEngine_;
        riskConfig = riskConfig_;
        dust = dust_;
    }

    /// @dev Of an account that an engine may sell now.
    function _liquidatable(bytes32 account) internal view returns (IMarginEngine.Valuation memory v) {
        v = marginEngine.valuation(account);
        if (v.account.mm >= 0) revert NotLiquidatable(account);
        if (v.impaired || v.offered.equity <= 0) revert LeftToTheAuction(account);
        if (!v.account.fresh) revert PricesNotFresh(account);
    }

    /// @param wanted WAD fraction; less is taken where the buffer is reached.
    /// @param fullPrice WAD cash for the whole account.
    function _sell(
        bytes32 account,
        bytes32 bidder,
        IMarginEngine.Valuation memory v,
        uint256 wanted,
        uint256 fullPrice,
        uint256 maxPayment
    ) internal returns (uint256 taken, uint256 payment) {
        {
            uint256 size = AuctionMath.accountSize(v.offered.notional, v.offered.equity, v.cash);
            uint256 most =
                AuctionMath.solventFraction(v, fullPrice, riskConfig.global().bufferBps, size, dust);
            taken = AuctionMath.takenFraction(wanted, most, size, dust);
            if (taken == 0) revert TakenTooSmall(wanted, most);
        }
        payment = AuctionMath.payment(fullPrice, taken);
        if (payment > maxPayment) revert PaymentTooHigh(payment, maxPayment);
        clearinghouse.liquidate(account, bidder, taken, payment);
        emit Liquidated(account, bidder, taken, payment, v.offered.equity);
        if (auction.auction(account).startedAt != 0) auction.sync(account);
    }
}
