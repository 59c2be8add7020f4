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
abstract contract PositionBook is WarmingBook {
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    /// @dev Of what an account holds, IRiskConfig.curveWeight: most of the gas of a bid for the largest account goes into grids, and with the
    /// bidder's it must fit a quarter of a block (LargestAccount.t.sol).
    uint256 internal constant MAX_CURVE_WEIGHT = 9;

    /// @dev Adds to size and quote, and keeps open interest and the account's list. The only writer of an account's size.
    function _change(
        bytes32 account,
        uint256 instrumentId,
        int256 costIndex,
        int256 size,
        int256 quote,
        uint256 rowCap
    ) internal {
        Position storage p = _positions[account][instrumentId];
        if (size == 0) {
            p.quote = (p.quote + quote).toInt128();
        } else {
            Market storage m = _markets[instrumentId];
            quote += _quoteOf(p, m, costIndex);
            int256 current = _resize(m, p.size, size);
            p.size = int128(current);
            // Down, so that what is taken out again is never more.
            p.quote = (quote + current.mulFloor(_sideIndex(m, current, costIndex))).toInt128();
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

    /// @dev The holder's quote with costs up to `costIndex`, rounded against the holder.
    function _quoteOf(Position storage p, Market storage m, int256 costIndex) internal view returns (int256) {
        int256 size = p.size;
        return WadMath.accrued(size, p.quote, 0, _sideIndex(m, size, costIndex));
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
    function _pnl(Position storage p, Market storage m, int256 costIndex, uint256 mark)
        internal
        view
        returns (int256)
    {
        return int256(p.size).mulFloor(mark.toInt256()) + _quoteOf(p, m, costIndex);
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
