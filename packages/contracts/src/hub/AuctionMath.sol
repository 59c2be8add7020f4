// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";

/// @notice Prices and fractions of the liquidation auction (DESIGN §4, invariants §6.7 and §6.8). Pure; WAD unless stated.
/// E is equity at mid prices, MM the margin excess at the favourable end of prices, d the price as a share of equity.
library AuctionMath {
    using FixedPointMathLib for uint256;

    uint256 internal constant WAD = 1e18;
    uint256 internal constant BPS = 10_000;

    /// @notice Two straight falls of the price share, then flat: never zero while the account is solvent.
    struct Curve {
        /// Shares of equity, WAD. startShare >= fastFloor >= slowFloor > 0.
        uint64 startShare;
        uint64 fastFloor;
        uint64 slowFloor;
        /// Lengths of the two falls, seconds, > 0.
        uint32 fastSeconds;
        uint32 slowSeconds;
    }

    /// @notice The curve never rises, never reaches zero, and never asks more than the equity.
    function isValid(Curve memory curve) internal pure returns (bool) {
        return curve.startShare <= WAD && curve.startShare >= curve.fastFloor
            && curve.fastFloor >= curve.slowFloor && curve.slowFloor > 0 && curve.fastSeconds > 0
            && curve.slowSeconds > 0;
    }

    /// @notice Price of the account `elapsed` seconds after its auction opened, as a share of equity.
    function shareAt(Curve memory curve, uint256 elapsed) internal pure returns (uint256) {
        if (elapsed < curve.fastSeconds) {
            return _fall(curve.startShare, curve.fastFloor, elapsed, curve.fastSeconds);
        }
        elapsed -= curve.fastSeconds;
        if (elapsed < curve.slowSeconds) {
            return _fall(curve.fastFloor, curve.slowFloor, elapsed, curve.slowSeconds);
        }
        return curve.slowFloor;
    }

    /// @notice BM = MM + b (MM − E), b in bps: liquidation stops only when this much is regained. Never above MM; rounded up,
    /// so that less may be taken.
    function bufferMargin(int256 equity, int256 mm, uint256 bufferBps) internal pure returns (int256) {
        if (equity <= mm) return mm;
        return mm - int256(uint256(equity - mm).mulDiv(bufferBps, BPS));
    }

    /// @notice Price of the whole of a solvent account: E·d, rounded up.
    function fullPrice(uint256 equity, uint256 share) internal pure returns (uint256) {
        return equity.fullMulDivUp(share, WAD);
    }

    /// @notice What of a price the account gets: the fund's fee is rounded down.
    function afterFee(uint256 price, uint256 feeShare) internal pure returns (uint256) {
        return price - price.mulWad(feeShare);
    }

    /// @notice Largest fraction that doesn't pass the buffer. What remains has BM' = BM − f·BM_o + f·E·d, where BM_o is the
    /// buffer margin of what is offered: BM itself, unless a part stays behind. It is 0 at f = BM / (BM_o − E·d). Rounded down.
    /// `fullPrice_` is E·d. Exact while the worst scenario of the remainder stays the same (always, when BM_o = BM).
    function maxFraction(int256 bufferMargin_, int256 offered, uint256 fullPrice_)
        internal
        pure
        returns (uint256)
    {
        if (bufferMargin_ >= 0) return 0;
        return uint256(-bufferMargin_)
            .fullMulDiv(WAD, uint256(-FixedPointMathLib.min(bufferMargin_, offered)) + fullPrice_);
    }

    /// @notice Most of a solvent account that may be taken, where all of it would bring it `fullPrice_`: up to the buffer, or all if less than `dust` would be left.
    function solventFraction(
        IMarginEngine.Valuation memory v,
        uint256 fullPrice_,
        uint256 bufferBps,
        uint256 size,
        uint256 dust
    ) internal pure returns (uint256 fraction) {
        fraction = maxFraction(
            bufferMargin(v.account.equity, v.account.mm, bufferBps),
            bufferMargin(v.offered.equity, v.offered.mm, bufferBps),
            fullPrice_
        );
        if (isDust(WAD - fraction, size, dust)) fraction = WAD;
    }

    /// @notice The bidder's fraction within `most`. Neither a bid nor what it leaves is smaller than dust, except that all of it may always
    /// be taken; 0: it is too small.
    function takenFraction(uint256 wanted, uint256 most, uint256 size, uint256 dust)
        internal
        pure
        returns (uint256)
    {
        if (wanted >= most) return most;
        return isDust(wanted, size, dust) || isDust(WAD - wanted, size, dust) ? 0 : wanted;
    }

    /// @notice A fraction of `size` is worth less than `dust` (both WAD settlement units).
    function isDust(uint256 fraction, uint256 size, uint256 dust) internal pure returns (bool) {
        return size.fullMulDiv(fraction, WAD) < dust;
    }

    /// @notice What a bidder pays for a fraction, rounded up.
    function payment(uint256 fullPrice_, uint256 fraction) internal pure returns (uint256) {
        return fullPrice_.fullMulDivUp(fraction, WAD);
    }

    /// @notice What the fund pays for taking the whole of an insolvent account: from the deficit to the deficit plus
    /// `bonusShare` of the net notional, over `riseSeconds`. Rounded down.
    function insolventPrice(
        uint256 deficit,
        uint256 notional,
        uint256 bonusShare,
        uint256 elapsed,
        uint256 riseSeconds
    ) internal pure returns (uint256) {
        uint256 bonus = notional.fullMulDiv(bonusShare, WAD);
        return elapsed >= riseSeconds ? deficit + bonus : deficit + bonus.fullMulDiv(elapsed, riseSeconds);
    }

    /// @notice Largest fraction whose price `available` cash pays. Rounded down.
    function fundedFraction(uint256 price, uint256 available) internal pure returns (uint256) {
        return price <= available ? WAD : available.fullMulDiv(WAD, price);
    }

    /// @notice Largest fraction of a position `size` that keeps |held + fraction × size| within `cap`. Rounded down.
    function cappedFraction(int256 held, int256 size, uint256 cap) internal pure returns (uint256) {
        uint256 taken = FixedPointMathLib.abs(size);
        if (taken == 0) return WAD;
        uint256 inventory = FixedPointMathLib.abs(held);
        uint256 room = (held < 0) != (size < 0) && held != 0 ? cap + inventory : cap.zeroFloorSub(inventory);
        return room >= taken ? WAD : room.fullMulDiv(WAD, taken);
    }

    /// @notice What an account is worth attention for: the net notional of its positions, or what it holds beside cash.
    function accountSize(uint256 notional, int256 equity, int256 cash) internal pure returns (uint256) {
        return equity > cash ? FixedPointMathLib.max(notional, uint256(equity - cash)) : notional;
    }

    function _fall(uint256 from, uint256 to, uint256 elapsed, uint256 length) private pure returns (uint256) {
        return from - (from - to).mulDiv(elapsed, length);
    }
}
