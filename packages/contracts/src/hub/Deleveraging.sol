// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {PositionBook} from "./ledger/PositionBook.sol";

/// @title Deleveraging
/// @notice The part of the Clearinghouse that turns losses into what others bear, and closes positions that nobody takes against them: code that
/// would not fit into one contract. The Clearinghouse runs it on its own state by delegatecall. By itself it owns nothing and decides nothing.
///
/// A position closes at its bankruptcy price in two steps: `socialise` charges its deficit to the other side, `deleverage` closes it against them at
/// the mark. Who had a share of the other side has that share of the deficit and of the closing.
contract Deleveraging is PositionBook {
    using FixedPointMathLib for int256;
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    constructor(Modules memory modules) Ownable(address(1)) LedgerBase(modules) {}

    /* VIEWS */

    function position(bytes32 account, uint256 instrumentId) external view returns (Position memory) {
        (int256 size, int256 quote) = _held(account, instrumentId, _costIndex(instrumentId));
        return Position(size.toInt128(), quote.toInt128());
    }

    /// @dev Costs of the instrument itself are the engine's to take.
    function positionWord(bytes32 account, uint256 instrumentId) external view returns (uint256) {
        int256 costIndex = _costIndex(instrumentId);
        (int256 size, int256 quote) = _held(account, instrumentId, costIndex);
        quote += size.mulCeil(costIndex);
        return uint128(size.toInt128()) | (uint256(uint128(quote.toInt128())) << 128);
    }

    function sideOf(uint256 instrumentId, bool long)
        external
        view
        returns (uint256 scale, uint256 generation)
    {
        Side storage side = _sides[instrumentId][long];
        return (side.scale == 0 ? ONE : side.scale, side.generation);
    }

    function _costIndex(uint256 instrumentId) internal view returns (int256) {
        return IInstrument(_instrument(instrumentId).module).costIndex(instrumentId);
    }

    /* CLOSING */

    /// @notice A stored unit of the other side keeps its share of what is left. What of the other side the house row has it closes, and all where every
    /// position is settled at one price anyway.
    function deleverage(bytes32 account, uint256 instrumentId, uint256 most)
        external
        onlyLiquidation
        returns (uint256 closed)
    {
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        int256 costIndex = _accrue(i, instrumentId);
        (int256 size,) = _held(account, instrumentId, costIndex);
        closed = size.abs().min(most);
        (bool settled, uint256 price) = IInstrument(i.module).settlement(instrumentId);
        if (!settled) {
            bool fresh;
            (price, fresh) = IInstrument(i.module).mark(instrumentId);
            // Nobody is closed at a price that may be another by now.
            if (!fresh) return 0;
        }
        if (closed == 0) return 0;
        size = size > 0 ? int256(closed) : -int256(closed);
        Market storage m = _markets[instrumentId];
        uint256 others = settled ? 0 : closed.min(_holders(m, size < 0));
        int256 proceeds = size.mulFloor(price.toInt256());
        _change(account, instrumentId, costIndex, -size, proceeds, type(uint256).max);
        _mark(CHARGED | instrumentId);
        _close(account, instrumentId, size, others, costIndex, price);
        if (others == closed) return closed;
        int256 paid = size > 0 ? int256(others) : -int256(others);
        m.houseSize = _resize(m, m.houseSize, size - paid);
        // What others don't pay of the proceeds, and no more: it owes nobody anything.
        m.houseQuote = (m.houseQuote - proceeds + paid.mulFloor(price.toInt256())).toInt128();
    }

    /// @dev Closes `others` of the side that `size` isn't on, in one write.
    function _close(
        bytes32 account,
        uint256 instrumentId,
        int256 size,
        uint256 others,
        int256 costIndex,
        uint256 price
    ) internal {
        Market storage m = _markets[instrumentId];
        Side storage side = _sides[instrumentId][size < 0];
        uint256 left = _holders(m, size < 0) - others;
        (uint256 before, uint256 base) = (side.scale, side.base);
        if (before == 0) (before, base) = (ONE, left + others);
        uint256 scale = before;
        // No more is left than open interest, and no less is closed than was to be, whatever roundings have left.
        if (others != 0) {
            scale = (left * ONE / base).min(before.zeroFloorSub((others * ONE).divUp(base)));
        }
        emit Deleveraged(instrumentId, account, size, others, price, scale, side.generation);
        if (others == 0) return;
        int256 index = _sideIndex(m, -size, costIndex);
        int256 cost = side.cost + int256(before - scale) * (index - price.toInt256());
        if (scale < LEAST_SCALE) {
            side.ended[side.generation++] = Ended(uint128(scale), cost + int256(scale) * index);
            // What a generation costs begins at nothing.
            (base, scale, cost) = (base.fullMulDiv(scale, ONE), ONE, -int256(ONE) * index);
        }
        (side.scale, side.base, side.cost) = (uint128(scale), base.toUint128(), cost);
        if (size < 0) m.long -= uint128(others);
        else m.short -= uint128(others);
        _foldRest(instrumentId, m, size < 0);
    }

    /* LOSSES */

    /// @notice Never charges more than it writes off; what rounding leaves (below a unit of the index per base unit) stays with the account.
    /// A closed position's unpaid loss has no other side: it is charged to both. What a side has nobody for, or what is more than all that a
    /// unit is worth, warming profit pays, by one ratio. Beyond the losses of instruments it is debt that is lost, to all cash.
    function socialise(bytes32 account, uint256 amount) external onlyLiquidation returns (uint256 charged) {
        uint256[] memory ids = _accounts[account].instruments.toArray();
        uint256[] memory losses = new uint256[](ids.length);
        uint256[] memory marks = new uint256[](ids.length);
        uint256 total;
        for (uint256 n; n < ids.length; ++n) {
            IRiskConfig.Instrument memory i = _instrument(ids[n]);
            int256 costIndex = _accrue(i, ids[n]);
            (marks[n],) = IInstrument(i.module).mark(ids[n]);
            int256 pnl = _pnl(account, ids[n], costIndex, marks[n]);
            if (pnl < 0) losses[n] = uint256(-pnl);
            total += losses[n];
        }
        uint256 part = amount.min(total);
        for (uint256 n; n < ids.length; ++n) {
            if (losses[n] == 0) continue;
            charged += _charge(account, ids[n], part.mulDiv(losses[n], total), marks[n]);
        }
        charged += _writeOff(account, amount - part);
    }

    /// @dev Up to `amount` of the account's debt. What isn't paid of it by then stays lost backing.
    function _writeOff(bytes32 account, uint256 amount) internal returns (uint256 written) {
        written = amount.min(_positive(-_cash(account)));
        if (written == 0) return 0;
        _credit(account, written);
        _lostBacking += written.toInt256();
        emit DebtWrittenOff(account, written);
        _spreadLoss();
    }

    /// @param most WAD that a unit of size bears: a position closes at nothing, or a short's at twice the mark, and no worse.
    function _charge(bytes32 account, uint256 instrumentId, uint256 amount, uint256 most)
        internal
        returns (uint256 charged)
    {
        Position storage p = _positions[account][instrumentId];
        Market storage m = _markets[instrumentId];
        (int256 size,) = _held(account, instrumentId, 0);
        bool longsPay = size <= 0;
        bool shortsPay = size >= 0;
        // Who has settled bears no more, and the house row stands for them.
        uint256 base = (longsPay ? _holders(m, true) : 0) + (shortsPay ? _holders(m, false) : 0);
        uint256 step = base == 0 ? 0 : amount.divWad(base);
        uint256 rest = amount;
        if (step > most) step = most;
        else if (base != 0) rest = 0;
        if (step != 0) {
            charged = step.mulWad(base);
            _mark(CHARGED | instrumentId);
            if (longsPay) m.longLoss += step.toUint128();
            if (shortsPay) m.shortLoss += step.toUint128();
            emit LossSocialised(instrumentId, longsPay, amount, charged);
        }
        if (rest != 0) {
            uint256 cut = _cutWarmings(rest - charged);
            _fillPool(m, int256(cut));
            charged += cut;
        }
        p.quote = (p.quote + charged.toInt256()).toInt128();
        _relist(account, instrumentId, p, type(uint256).max);
    }
}
