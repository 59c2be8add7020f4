// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../../interfaces/IInstrument.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {PositionBook} from "./PositionBook.sol";

/// @notice Trades.
abstract contract Positions is PositionBook {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    uint256 internal constant BPS = 10_000;

    function trade(uint256 instrumentId, bytes32 buyer, bytes32 seller, uint256 size, uint256 price)
        external
    {
        if (!isVenue[msg.sender]) revert UnlistedVenue();
        if (buyer == seller) revert SameAccount();
        if (size == 0) revert ZeroValue();
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        (uint256 mid, bool fresh) = _requireInBand(instrumentId, i, price);
        marginEngine.observe(i.feed);
        uint256 spent = size.mulWadUp(price);
        _spendAllowance(buyer, spent);
        _spendAllowance(seller, spent);
        (bool buyerReduced, bool sellerReduced) = _fillBoth(instrumentId, i, buyer, seller, size, price);
        IInstrument(i.module).onTrade(instrumentId, size, price);
        emit Traded(instrumentId, buyer, seller, size, price);
        // An old price bounds a way out for both sides, and no way in.
        if (!fresh && !(buyerReduced && sellerReduced)) revert PriceNotFresh();
        int256 filled = size.toInt256();
        _requireSafe(buyer, buyerReduced, instrumentId, filled, price, !fresh || price > mid);
        _requireSafe(seller, sellerReduced, instrumentId, -filled, price, !fresh || price < mid);
    }

    function _requireSafe(
        bytes32 account,
        bool reduced,
        uint256 instrumentId,
        int256 size,
        uint256 price,
        bool worse
    ) internal view {
        if (reduced) return _requireReduced(account, instrumentId, size, price, worse);
        if (block.timestamp < newRiskPausedUntil) revert NewRiskIsPaused(newRiskPausedUntil);
        _requireMargin(account, false);
    }

    function _fillBoth(
        uint256 instrumentId,
        IRiskConfig.Instrument memory i,
        bytes32 buyer,
        bytes32 seller,
        uint256 size,
        uint256 price
    ) internal returns (bool buyerReduced, bool sellerReduced) {
        int256 costIndex = _accrue(i, instrumentId);
        uint256 openBefore = _markets[instrumentId].long;
        int256 notional = size.mulWad(price).toInt256();
        buyerReduced = _fill(buyer, instrumentId, costIndex, size.toInt256(), -notional);
        sellerReduced = _fill(seller, instrumentId, costIndex, -size.toInt256(), notional);
        uint256 open = _markets[instrumentId].long;
        if (open > openBefore && open > i.maxOpenInterest) revert OpenInterestCap(open, i.maxOpenInterest);
        if (_isClosed(buyer, instrumentId) || _isClosed(seller, instrumentId)) {
            // The loser's payment first, so that the winner finds it in the pool.
            if (_positions[buyer][instrumentId].quote > 0) (buyer, seller) = (seller, buyer);
            _settleClosed(buyer, instrumentId);
            _settleClosed(seller, instrumentId);
        }
    }

    function _isClosed(bytes32 account, uint256 instrumentId) internal view returns (bool) {
        Position storage p = _positions[account][instrumentId];
        return p.size == 0 && p.quote != 0;
    }

    /// @return reduced The account ended with less of the same side, and nothing of the other.
    function _fill(bytes32 account, uint256 instrumentId, int256 costIndex, int256 size, int256 quote)
        internal
        returns (bool reduced)
    {
        int256 before = _change(account, instrumentId, costIndex, size, quote, _global().maxRows);
        int256 current = before + size;
        return before > 0 ? current >= 0 && current < before : current <= 0 && current > before;
    }

    function _requireInBand(uint256 instrumentId, IRiskConfig.Instrument memory i, uint256 price)
        internal
        view
        returns (uint256 mid, bool fresh)
    {
        (mid, fresh) = IInstrument(i.module).mark(instrumentId);
        uint256 distance = price > mid ? price - mid : mid - price;
        if (distance * BPS > mid * i.priceBand) revert PriceOutsideBand(price, mid);
    }

    function _spendAllowance(bytes32 account, uint256 notional) internal {
        uint256 left = venueAllowance[account][msg.sender];
        if (notional > left) revert VenueNotApproved(account, left, notional);
        if (left != type(uint256).max) venueAllowance[account][msg.sender] = left - notional;
    }

    function _settleClosed(bytes32 account, uint256 instrumentId) internal virtual;

    function _requireReduced(bytes32 account, uint256 instrumentId, int256 size, uint256 price, bool worse)
        internal
        view
        virtual;
}
