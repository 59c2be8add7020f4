// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IPriceOracle} from "../interfaces/IPriceOracle.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Dated} from "./Dated.sol";
import {Linear} from "./Linear.sol";

/// @title RateSwap
/// @notice Fixed against a floating rate, both simple, on one quote unit of notional a unit of size. The long receives floating.
///
/// A unit is worth r × τ, r being the rate of its feed (0.05: 5 % a year) and τ the years for which no coupon has been paid yet. Floating
/// coupons go through the cost index, one a period; the fixed leg is the price: who buys at fixed rate × τ pays all of it.
///
/// A coupon is the mean rate of its period, signed as a fixing. Were the rate read whenever somebody calls, who calls would choose it: a peak
/// in a minute that pays a month. The mean can't be chosen, only a period be missed: then the next mean counts for both, so each side
/// sees to its own. Until a coupon is paid its period is valued at the present rate, so nothing is owed twice and nothing decays between.
contract RateSwap is Dated {
    using FixedPointMathLib for uint256;
    using Linear for int256[];
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    struct Swap {
        /// Seconds.
        uint40 expiry;
        uint40 paidUntil;
        uint32 period;
        uint16 feed;
        uint16 fixingFeed;
        /// Coupons paid so far to a unit of size: WAD.
        uint112 paid;
    }

    /// @notice Bounds of the time between coupons (seconds).
    uint256 public constant MIN_PERIOD = 1 hours;
    uint256 public constant MAX_PERIOD = 31 days;

    uint256 internal constant YEAR = 365 days;

    mapping(uint256 instrumentId => Swap) public swaps;

    event Listed(
        uint256 indexed instrumentId,
        uint256 start,
        uint256 expiry,
        uint256 period,
        uint256 feed,
        uint256 fixingFeed
    );
    /// @param rate Mean of the time (WAD a year). @param until Seconds.
    event CouponPaid(uint256 indexed instrumentId, uint256 rate, uint256 until);

    /// @notice Its first coupon would begin in the past, or the time to expiry isn't so many whole periods.
    error InvalidSchedule(uint256 start, uint256 expiry, uint256 period);

    constructor(address owner, IPriceOracle oracle_, IRiskConfig riskConfig_)
        Dated(owner, oracle_, riskConfig_)
    {}

    /// @notice Lists the terms of an instrument for ever. Only the owner.
    /// @param start Seconds; when floating begins to accrue. @param expiry Of the last coupon. @param period Seconds from coupon to coupon.
    /// @param feed Of the rate, as in RiskConfig. @param fixingFeed Its mean over each period: window and period of the fixing are `period`,
    /// and its expiries those of the coupons.
    function list(
        uint256 instrumentId,
        uint40 start,
        uint40 expiry,
        uint32 period,
        uint16 feed,
        uint16 fixingFeed
    ) external onlyOwner {
        _requireListable(instrumentId, expiry, feed, fixingFeed);
        if (
            start < block.timestamp || start >= expiry || period < MIN_PERIOD || period > MAX_PERIOD
                || (expiry - start) % period != 0
        ) revert InvalidSchedule(start, expiry, period);
        swaps[instrumentId] = Swap(expiry, start, period, feed, fixingFeed, 0);
        emit Listed(instrumentId, start, expiry, period, feed, fixingFeed);
    }

    /* COUPONS */

    /// @notice Pays the coupons of all periods that have ended, once their fixing is signed. Idempotent; anyone.
    /// @dev A fixing stands from its period's end to the next one's. What earlier periods missed it pays too.
    /// @inheritdoc IInstrument
    function accrue(uint256 instrumentId) external returns (int256 index) {
        Swap memory s = swaps[instrumentId];
        (bool due, uint256 rate) = _bring(s);
        if (due) {
            swaps[instrumentId] = s;
            emit CouponPaid(instrumentId, rate, s.paidUntil);
        }
        return -int256(uint256(s.paid));
    }

    /// @dev As it would be stored now: who is valued before somebody does is valued no differently.
    function _bring(Swap memory s) private view returns (bool due, uint256 rate) {
        if (s.paidUntil >= s.expiry || block.timestamp < uint256(s.paidUntil) + s.period) return (false, 0);
        IPriceOracle.Price memory p = oracle.price(s.fixingFeed);
        uint256 end = p.observedAt.min(s.expiry);
        if (end < uint256(s.paidUntil) + s.period) return (false, 0);
        (due, rate) = (true, p.price);
        uint256 time = (end - s.paidUntil) / s.period * s.period;
        s.paid = (s.paid + rate * time / YEAR).toUint112();
        s.paidUntil += uint40(time);
    }

    /// @notice Minus the coupons paid so far: a long receives them.
    /// @inheritdoc IInstrument
    function costIndex(uint256 instrumentId) external view returns (int256) {
        return -int256(uint256(swaps[instrumentId].paid));
    }

    /* PRICES */

    /// @notice size × τ × rate + quote, rounded down, and so is size × τ before.
    /// @inheritdoc IInstrument
    function pnl(Holding[] calldata holdings, uint256 count, uint256[] calldata spots, uint256[] calldata)
        external
        view
        returns (int256[] memory values, bool)
    {
        values = Linear.zeros(spots.length);
        uint256 bits;
        for (uint256 n; n < holdings.length; ++n) {
            Holding calldata h = holdings[n];
            Swap memory s = _current(h.instrumentId);
            int256 quote = WadMath.accrued(h.size, h.quote, h.index, -int256(uint256(s.paid)));
            bits |= values.add(spots, count, h.underlying, h.size.mulFloor(_years(s)), quote);
        }
        values.give(true, bits);
    }

    /// @inheritdoc IInstrument
    function mark(uint256 instrumentId) external view returns (uint256 price, bool fresh) {
        Swap memory s = _current(instrumentId);
        IPriceOracle.Price memory p = oracle.price(s.feed);
        return (p.price.mulWad(uint256(_years(s))), p.fresh);
    }

    /// @notice Worth nothing once the last coupon is paid.
    /// @inheritdoc IInstrument
    function settlement(uint256 instrumentId) external view returns (bool settled, uint256 price) {
        Swap memory s = _listed(instrumentId);
        return (s.paidUntil == s.expiry, 0);
    }

    /// @inheritdoc IInstrument
    function isLinear() external pure returns (bool) {
        return true;
    }

    /// @notice What a position gains when the rate rises by a basis point (WAD), rounded down. @param size WAD, signed.
    function dv01(uint256 instrumentId, int256 size) external view returns (int256) {
        return size.mulFloor(_years(_current(instrumentId))).mulFloor(1e14);
    }

    /* INTERNAL */

    /// @dev τ, WAD.
    function _years(Swap memory s) private pure returns (int256) {
        return int256(uint256(s.expiry - s.paidUntil) * 1e18 / YEAR);
    }

    function _current(uint256 instrumentId) private view returns (Swap memory s) {
        s = _listed(instrumentId);
        _bring(s);
    }

    function _listed(uint256 instrumentId) private view returns (Swap memory s) {
        s = swaps[instrumentId];
        if (s.expiry == 0) revert Unlisted(instrumentId);
    }

    function _expiry(uint256 instrumentId) internal view override returns (uint256) {
        return swaps[instrumentId].expiry;
    }
}
