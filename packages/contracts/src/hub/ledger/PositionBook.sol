// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../../interfaces/IInstrument.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {Accounts} from "../../libraries/Accounts.sol";
import {IdList} from "../../libraries/IdList.sol";
import {WadMath} from "../../libraries/WadMath.sol";
import {WarmingBook} from "./WarmingBook.sol";

/// @notice Zero-sum positions: what every way of changing one shares.
///
/// Per instrument, with costs accrued and the house row included: Σ size = 0 and Σ quote <= pnlPool; only roundings make it smaller.
///
/// A position's quote is kept as if its side's index were 0: what it is worth at an index is the quote less size × index. So costs and losses need
/// no index of the position, and what is read of one is a slot.
///
/// Closing a part of a side (Deleveraging) takes one write too. From then on its positions are kept in stored units, worth `scale` of a unit each:
///     size  = stored size × scale, towards 0
///     quote = stored quote − stored size × (cost + scale × index), down
/// Whoever closes c of a side at a price multiplies the scale by 1 − c ÷ side and lets `cost` pay for it, the same to each stored unit. A side's
/// new positions get as many stored units as make up their size exactly, which takes a scale of at most 1. A generation ends where its scale is
/// below LEAST_SCALE, 0 if all of it was closed: positions come into the next with what their scale and cost left. Each makes a position a
/// millionth at most, so that none passes through more than seven.
///
/// No holder has more than the whole by that: Σ size of a side <= its open interest. What open interest is more than that is the house row's,
/// below a unit (1e-18) for each position and each change of one since the side was first closed; it is closed with the last holder's position.
abstract contract PositionBook is WarmingBook {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    /// @dev Of what an account holds, IRiskConfig.curveWeight: most of the gas of a bid for the largest account goes into grids, and with the
    /// bidder's it must fit a quarter of a block (LargestAccount.t.sol).
    uint256 internal constant MAX_CURVE_WEIGHT = 9;

    /// @dev Of a scale, and of what is multiplied by one.
    uint256 internal constant ONE = 1e36;
    uint256 internal constant LEAST_SCALE = 1e30;
    uint256 internal constant COST = 1e54;

    /// @dev Adds to size and quote, and keeps open interest and the account's list. The only writer of an account's size.
    /// @return before Its size.
    function _change(
        bytes32 account,
        uint256 instrumentId,
        int256 costIndex,
        int256 size,
        int256 quote,
        uint256 rowCap
    ) internal returns (int256 before) {
        Position storage p = _positions[account][instrumentId];
        bool marked = _isMarked(CHARGED | instrumentId, _marks[0]);
        if (size == 0 && !marked) {
            before = p.size;
            p.quote = (p.quote + quote).toInt128();
        } else {
            Market storage m = _markets[instrumentId];
            int256 held;
            (before, held) = _held(account, instrumentId, costIndex);
            int256 current = _resize(m, before, size);
            quote += held;
            if (marked) {
                _store(account, instrumentId, costIndex, current, quote);
            } else {
                p.size = int128(current);
                // Down, so that what is taken out again is never more.
                p.quote = (quote + current.mulFloor(costIndex)).toInt128();
            }
        }
        _relist(account, instrumentId, p, rowCap);
    }

    /// @dev Keeps open interest in step with a size that changes. @return current
    function _resize(Market storage m, int256 before, int256 by) internal returns (int128) {
        int256 current = before + by;
        m.long = (m.long + _positive(current) - _positive(before)).toUint128();
        m.short = (m.short + _positive(-current) - _positive(-before)).toUint128();
        return current.toInt128();
    }

    /// @dev What the account holds, with costs up to `costIndex`: the size rounded towards 0, the quote against the holder.
    function _held(bytes32 account, uint256 instrumentId, int256 costIndex)
        internal
        view
        returns (int256 size, int256 quote)
    {
        Position storage p = _positions[account][instrumentId];
        (size, quote) = (p.size, p.quote);
        if (size == 0) return (size, quote);
        if (!_isMarked(CHARGED | instrumentId, _marks[0])) {
            return (size, WadMath.accrued(size, quote, 0, costIndex));
        }
        Side storage side = _sides[instrumentId][size > 0];
        (size, quote) = _carried(side, _generations[account][instrumentId], size, quote);
        if (size == 0) return (size, quote);
        (uint256 scale, int256 cost) = _terms(side, _markets[instrumentId], size, costIndex);
        quote -= _costUp(size, cost);
        size = _scaled(size, scale);
    }

    /// @dev Stored size and quote in the side's present generation.
    function _carried(Side storage side, uint256 generation, int256 size, int256 quote)
        internal
        view
        returns (int256, int256)
    {
        uint256 last = side.generation;
        for (; generation < last && size != 0; ++generation) {
            Ended storage end = side.ended[generation];
            quote -= _costUp(size, end.cost);
            size = _scaled(size, end.scale);
        }
        return (size, quote);
    }

    /// @return scale Of a stored unit. @return cost What it has cost since the generation began, 1e54.
    function _terms(Side storage side, Market storage m, int256 size, int256 costIndex)
        internal
        view
        returns (uint256 scale, int256 cost)
    {
        scale = side.scale;
        if (scale == 0) scale = ONE;
        cost = side.cost + int256(scale) * _sideIndex(m, size, costIndex);
    }

    /// @dev Of a market with a mark.
    function _store(bytes32 account, uint256 instrumentId, int256 costIndex, int256 size, int256 quote)
        internal
    {
        Position storage p = _positions[account][instrumentId];
        int256 before = p.size;
        if (before != 0) {
            Side storage side = _sides[instrumentId][before > 0];
            (int256 left,) = _carried(side, _generations[account][instrumentId], before, 0);
            if (side.scale != 0) side.base -= left.abs().toUint128();
        }
        int256 stored;
        if (size != 0) {
            int256 cost;
            (stored, cost) = _enter(account, instrumentId, costIndex, size);
            // Down, so that what is taken out again is never more.
            quote -= _costUp(-stored, cost);
        }
        (p.size, p.quote) = (stored.toInt128(), quote.toInt128());
        if (before != 0) _foldRest(instrumentId, _markets[instrumentId], before > 0);
    }

    /// @dev Stored units for a position of that size, in the side's present generation, and what one has cost.
    function _enter(bytes32 account, uint256 instrumentId, int256 costIndex, int256 size)
        internal
        returns (int256 stored, int256 cost)
    {
        Side storage side = _sides[instrumentId][size > 0];
        uint256 scale;
        (scale, cost) = _terms(side, _markets[instrumentId], size, costIndex);
        // Up: times the scale and cut off, it is the size again.
        uint256 units = (size.abs() * ONE).divUp(scale);
        stored = size > 0 ? units.toInt256() : -units.toInt256();
        if (side.scale != 0) side.base += units.toUint128();
        _generations[account][instrumentId] = side.generation;
    }

    /// @dev What roundings have left of a side that nobody holds any more becomes the house row's size.
    function _foldRest(uint256 instrumentId, Market storage m, bool long) internal {
        Side storage side = _sides[instrumentId][long];
        if (side.scale == 0 || side.base != 0) return;
        uint256 rest = _holders(m, long);
        if (rest == 0) return;
        if (long) m.long -= uint128(rest);
        else m.short -= uint128(rest);
        m.houseSize = _resize(m, m.houseSize, long ? int256(rest) : -int256(rest));
    }

    /// @dev Open interest of a side without the house row.
    function _holders(Market storage m, bool long) internal view returns (uint256) {
        return long ? m.long - _positive(m.houseSize) : m.short - _positive(-int256(m.houseSize));
    }

    /// @dev size × scale, towards 0.
    function _scaled(int256 size, uint256 scale) internal pure returns (int256) {
        return size * int256(scale) / int256(ONE);
    }

    /// @dev size × cost (1e54), up.
    function _costUp(int256 size, int256 cost) internal pure returns (int256) {
        (uint256 a, uint256 b) = (size.abs(), cost.abs());
        return
            (size < 0) == (cost < 0) ? a.fullMulDivUp(b, COST).toInt256() : -a.fullMulDiv(b, COST).toInt256();
    }

    /// @dev Cumulative cost per unit of signed size: a loss index is a cost on either side.
    function _sideIndex(Market storage m, int256 size, int256 costIndex) internal view returns (int256) {
        if (size > 0) return costIndex + int256(uint256(m.longLoss));
        if (size < 0) return costIndex - int256(uint256(m.shortLoss));
        return costIndex;
    }

    /// @dev An instrument is in the account's list exactly while it has a size or a quote there.
    function _relist(bytes32 account, uint256 instrumentId, Position storage p, uint256 rowCap) internal {
        uint256 list = _accounts[account].instruments;
        bool live = p.size != 0 || p.quote != 0;
        if (live == list.contains(instrumentId)) return;
        if (live) {
            _requireRoom(account, rowCap);
            list = list.add(instrumentId);
            // The backstop neither bids nor is liquidated.
            if (account != Accounts.main(backstop) && riskConfig.curveWeight(list) > MAX_CURVE_WEIGHT) {
                revert TooManyRows(account);
            }
            _accounts[account].instruments = list;
        } else {
            _accounts[account].instruments = list.remove(instrumentId);
        }
    }

    /// @dev Rounded down.
    function _pnl(bytes32 account, uint256 instrumentId, int256 costIndex, uint256 mark)
        internal
        view
        returns (int256)
    {
        (int256 size, int256 quote) = _held(account, instrumentId, costIndex);
        return size.mulFloor(mark.toInt256()) + quote;
    }

    /// @dev The instrument's cost index, brought to now.
    function _accrue(IRiskConfig.Instrument memory i, uint256 instrumentId) internal returns (int256) {
        return IInstrument(i.module).accrue(instrumentId);
    }

    function _instrument(uint256 instrumentId) internal view returns (IRiskConfig.Instrument memory i) {
        i = riskConfig.instrument(instrumentId);
        if (i.module == address(0)) revert UnknownInstrument(instrumentId);
    }
}
