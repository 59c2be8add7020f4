// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../interfaces/IClearinghouse.sol";
import {IInstrument} from "../interfaces/IInstrument.sol";
import {IMarginEngine} from "../interfaces/IMarginEngine.sol";
import {IRiskConfig} from "../interfaces/IRiskConfig.sol";
import {IdList} from "../libraries/IdList.sol";
import {WadMath} from "../libraries/WadMath.sol";
import {Backing} from "./ledger/Backing.sol";
import {LedgerBase} from "./ledger/LedgerBase.sol";
import {Positions} from "./ledger/Positions.sol";

/// @title Settlement
/// @notice The part of the Clearinghouse that trades, turns PnL into cash and moves what liquidation moves: code that would not fit into one contract.
/// The Clearinghouse runs it on its own state by delegatecall. By itself it owns nothing and decides nothing.
contract Settlement is Backing, Positions {
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    /// @notice Bounds of the time that settled profit warms for (seconds).
    uint32 public constant MIN_WARMING = 1 hours;
    uint32 public constant MAX_WARMING = 7 days;

    uint256 internal constant WAD = 1e18;

    /// @notice Not expired, or its fixing isn't known yet.
    error NotSettled(uint256 instrumentId);
    error InvalidPeriod(uint32 period);
    error FractionAboveOne();

    constructor(Modules memory modules) Ownable(address(1)) LedgerBase(modules) {}

    /* SETTLEMENT */

    function settlePnl(bytes32 account, uint256 instrumentId) external returns (int256 amount) {
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        int256 costIndex = _accrue(i, instrumentId);
        (int256 size,) = _held(account, instrumentId, costIndex);
        if (size == 0) return _settleAll(account, instrumentId, costIndex);
        (uint256 mark, bool fresh) = IInstrument(i.module).mark(instrumentId);
        if (!fresh) revert PriceNotFresh();
        marginEngine.observe(i.feed);
        return _settle(account, instrumentId, _pnl(account, instrumentId, costIndex, mark));
    }

    function _settleClosed(bytes32 account, uint256 instrumentId) internal override {
        Position storage p = _positions[account][instrumentId];
        if (p.size == 0) _settle(account, instrumentId, p.quote);
    }

    /// @dev Of a position without size: all of it that others have closed may still be stored.
    function _settleAll(bytes32 account, uint256 instrumentId, int256 costIndex) internal returns (int256) {
        Position storage p = _positions[account][instrumentId];
        if (p.size != 0) _change(account, instrumentId, costIndex, 0, 0, type(uint256).max);
        return _settle(account, instrumentId, p.quote);
    }

    /// @dev `pnl` is rounded down. Losses are paid from warming profit, then from free cash: what one leg won pays for the other, and cash
    /// doesn't turn into warming profit by that. Profit is paid as far as losers have paid, and warms.
    /// @return amount WAD that cash and warming profit changed by.
    function _settle(bytes32 account, uint256 instrumentId, int256 pnl) internal returns (int256 amount) {
        Market storage m = _markets[instrumentId];
        if (pnl < 0) {
            uint256 paid = _takeWarming(account, uint256(-pnl));
            uint256 cashPaid = (uint256(-pnl) - paid).min(_freeCash(account));
            _debit(account, cashPaid);
            paid += cashPaid;
            _fillPool(m, int256(paid));
            amount = -int256(paid);
        } else {
            uint256 taken = uint256(pnl).min(m.pool);
            _addWarming(account, taken, block.timestamp + _warmings.period);
            _fillPool(m, -int256(taken));
            amount = int256(taken);
        }
        if (amount == 0) return 0;
        Position storage p = _positions[account][instrumentId];
        p.quote = (p.quote - amount).toInt128();
        _relist(account, instrumentId, p, type(uint256).max);
        emit PnlSettled(account, instrumentId, amount);
    }

    /// @dev After a trade of `size` (signed) at `price` that left the account a smaller position: refuses what made a healthy account unhealthy,
    /// or an unhealthy one worse. A position may have covered another. Worse by what MM is now and by what it would be if all prices were sure:
    /// MM counted the position at the favourable end of its interval, and whoever closes it gets the middle.
    /// @param worse The price is worse than the oracle's, or may be by now. The account gives something away, and it must be its own: a loss that
    /// equity no longer covers would be the fund's.
    function _requireReduced(bytes32 account, uint256 instrumentId, int256 size, uint256 price, bool worse)
        internal
        view
        override
    {
        IMarginEngine.Health memory h = marginEngine.accountHealth(account);
        if (worse && h.equity < 0) revert InsufficientEquity(account, h.equity);
        if (h.mm >= 0) return;
        IClearinghouse.Portfolio memory p = marginEngine.portfolio(account);
        _undo(p, instrumentId, size, size.mulTrunc(price.toInt256()));
        int256 before = marginEngine.health(p).mm;
        if (before < 0) {
            if (h.mm >= before) return;
            int256 left = marginEngine.healthAtMid(marginEngine.portfolio(account)).mm;
            if (left >= marginEngine.healthAtMid(p).mm) return;
        }
        revert RiskNotReduced(account, before, h.mm);
    }

    /// @dev A closed position may have left the list, its quote settled.
    function _undo(IClearinghouse.Portfolio memory p, uint256 instrumentId, int256 size, int256 quote)
        internal
        pure
    {
        uint256 count = p.instrumentIds.length;
        for (uint256 n; n < count; ++n) {
            if (p.instrumentIds[n] != instrumentId) continue;
            (p.sizes[n], p.quotes[n]) = (p.sizes[n] - size, p.quotes[n] + quote);
            return;
        }
        uint256[] memory ids = new uint256[](count + 1);
        int256[] memory sizes = new int256[](count + 1);
        int256[] memory quotes = new int256[](count + 1);
        for (uint256 n; n < count; ++n) {
            (ids[n], sizes[n], quotes[n]) = (p.instrumentIds[n], p.sizes[n], p.quotes[n]);
        }
        (ids[count], sizes[count], quotes[count]) = (instrumentId, -size, quote);
        (p.instrumentIds, p.sizes, p.quotes) = (ids, sizes, quotes);
    }

    /* WARMING */

    function warm(bytes32 account) external {
        _warm(account);
    }

    function warming(bytes32 account) external view returns (uint256 amount, uint256 ripe, uint256 until) {
        (amount, ripe,) = _warmth(account);
        if (amount != 0) until = _warming[account].until;
    }

    function warmings()
        external
        view
        returns (uint256 total, uint256 index, uint256 generation, uint256 period)
    {
        return (_warmings.total, _warmings.index, _warmings.generation, _warmings.period);
    }

    /// @notice Of profit from now on. Only the owner.
    function setWarmingPeriod(uint32 period) external onlyOwner {
        if (period < MIN_WARMING || period > MAX_WARMING) revert InvalidPeriod(period);
        _warmings.period = period;
        emit WarmingPeriodSet(period);
    }

    /* EXPIRY */

    /// @notice Of what is under regression nothing is paid; of a profit, what losers have paid. What is left stays as a closed position's quote.
    function settleExpired(bytes32 account, uint256 instrumentId) external returns (int256 amount) {
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        int256 costIndex = _accrue(i, instrumentId);
        (bool settled, uint256 price) = IInstrument(i.module).settlement(instrumentId);
        if (!settled) revert NotSettled(instrumentId);
        (int256 size,) = _held(account, instrumentId, costIndex);
        if (size != 0) {
            Market storage m = _markets[instrumentId];
            int256 proceeds = size.mulFloor(price.toInt256());
            _change(account, instrumentId, costIndex, -size, proceeds, type(uint256).max);
            m.houseSize = _resize(m, m.houseSize, size);
            m.houseQuote = (m.houseQuote - proceeds).toInt128();
            emit ExpirySettled(account, instrumentId, size, price);
        }
        return _settleAll(account, instrumentId, costIndex);
    }

    /* LIQUIDATION */

    function transferFraction(bytes32 from, bytes32 to, uint256 fraction, uint256 payment) external {
        // `liquidate` comes here too, from this address.
        _require(msg.sender == auction || msg.sender == backstop || msg.sender == address(this));
        if (fraction > WAD) revert FractionAboveOne();
        if (from == to) revert SameAccount();
        uint256 rowCap = 2 * uint256(_global().maxRows);
        _transferClaims(from, to, fraction, rowCap);
        _transferPositions(from, to, int256(fraction), rowCap);
        // Before the cash: what has warmed since becomes cash by it.
        if (_accounts[from].warms) _transferWarming(from, to, fraction);
        _transferCash(from, to, fraction, payment);
        emit Transferred(from, to, fraction, int256(payment));
    }

    function _transferClaims(bytes32 from, bytes32 to, uint256 fraction, uint256 rowCap) internal {
        uint256[] memory ids = _accounts[from].assets.toArray();
        for (uint256 n; n < ids.length; ++n) {
            Row storage r = _rows[from][ids[n]];
            uint128 moved = uint128(_offeredClaim(ids[n], r).mulWad(fraction));
            if (moved == 0) continue;
            Row storage received = _rows[to][ids[n]];
            if (!received.open) _openRow(to, ids[n], false, rowCap);
            r.claim -= moved;
            received.claim += moved;
        }
    }

    function _transferPositions(bytes32 from, bytes32 to, int256 fraction, uint256 rowCap) internal {
        uint256[] memory ids = _accounts[from].instruments.toArray();
        for (uint256 n; n < ids.length; ++n) {
            uint256 id = ids[n];
            int256 costIndex = _accrue(_instrument(id), id);
            (int256 size, int256 quote) = _held(from, id, costIndex);
            (size, quote) = (size.mulTrunc(fraction), quote.mulTrunc(fraction));
            _change(from, id, costIndex, -size, -quote, type(uint256).max);
            _change(to, id, costIndex, size, quote, rowCap);
        }
    }

    function moveCash(bytes32 from, bytes32 to, uint256 amount) external onlyLiquidation {
        _moveCash(from, to, amount);
    }

    /// @dev The fraction of warming profit goes with the bundle, and warms for as long as it had to.
    function _transferWarming(bytes32 from, bytes32 to, uint256 fraction) internal {
        _warm(from);
        (uint256 worth,,) = _warmth(from);
        uint256 until = _warming[from].until;
        _addWarming(to, _takeWarming(from, worth.mulWad(fraction)), until);
    }

    /// @dev Debt last: the payment comes out of what the receiver has, not out of what nobody would lend it.
    function _transferCash(bytes32 from, bytes32 to, uint256 fraction, uint256 payment) internal {
        uint256 moved = _freeCash(from).mulWad(fraction);
        uint256 owed = _positive(-_cash(from)).mulWad(fraction);
        _debit(from, moved);
        _credit(to, moved);
        _debit(to, payment);
        _credit(from, payment + owed);
        if (owed != 0) _setCash(to, _cash(to) - owed.toInt256());
    }
}
