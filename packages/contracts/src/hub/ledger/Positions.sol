// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {IClearinghouse} from "../../interfaces/IClearinghouse.sol";
import {IInstrument} from "../../interfaces/IInstrument.sol";
import {IRiskConfig} from "../../interfaces/IRiskConfig.sol";
import {IdList} from "../../libraries/IdList.sol";
import {WadMath} from "../../libraries/WadMath.sol";
import {LedgerBase} from "./LedgerBase.sol";

/// @notice Zero-sum positions: trades, settlement of PnL into cash, losses charged to the other side.
///
/// Per instrument, with costs accrued: Σ size = 0 and Σ quote <= pnlPool; only roundings make it smaller.
abstract contract Positions is LedgerBase, IClearinghouse {
    using FixedPointMathLib for uint256;
    using IdList for uint256;
    using SafeCastLib for int256;
    using SafeCastLib for uint256;
    using WadMath for int256;

    struct Market {
        /// WAD quote per base unit: losses charged to each side so far. Only ever grow.
        uint128 longLoss;
        uint128 shortLoss;
        /// WAD base units.
        uint128 long;
        uint128 short;
        /// WAD; losers' cash that winners have not drawn yet.
        uint256 pool;
    }

    uint256 internal constant BPS = 10_000;

    mapping(bytes32 account => mapping(uint256 instrumentId => Position)) internal _positions;
    mapping(uint256 instrumentId => Market) internal _markets;
    /// @dev Bit instrumentId % 256 of word instrumentId ÷ 256: a loss has been charged to a side of it.
    mapping(uint256 word => uint256) internal _chargedInstruments;
    mapping(address venue => bool) public isVenue;
    /// @notice What a venue may still trade for an account (WAD quote); the maximum is not used up.
    mapping(bytes32 account => mapping(address venue => uint256)) public venueAllowance;

    event VenueListed(address indexed venue, bool listed);

    error UnlistedVenue();
    error VenueNotApproved(bytes32 account, uint256 allowance, uint256 needed);
    error PriceOutsideBand(uint256 price, uint256 mid);
    error OpenInterestCap(uint256 openInterest, uint256 cap);
    error InsufficientEquity(bytes32 account, int256 equity);

    /* VENUES */

    function setVenue(address venue, bool listed) external onlyOwner {
        isVenue[venue] = listed;
        emit VenueListed(venue, listed);
    }

    /// @inheritdoc IClearinghouse
    /// @dev The limit bounds what a delegate's orders can lose, so no delegate sets it.
    function approveVenue(bytes32 account, address venue, uint256 notionalLimit)
        external
        onlyOwnerOf(account)
    {
        venueAllowance[account][venue] = notionalLimit;
        emit VenueApproved(account, venue, notionalLimit);
    }

    /* TRADES */

    /// @inheritdoc IClearinghouse
    function trade(uint256 instrumentId, bytes32 buyer, bytes32 seller, uint256 size, uint256 price)
        external
    {
        if (!isVenue[msg.sender]) revert UnlistedVenue();
        if (buyer == seller) revert SameAccount();
        if (size == 0) revert ZeroValue();
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        (uint256 mid, bool fresh) = _requireInBand(instrumentId, i, price);
        uint256 spent = size.mulWadUp(price);
        _spendAllowance(buyer, spent);
        _spendAllowance(seller, spent);
        (bool buyerReduced, bool sellerReduced) = _fillBoth(instrumentId, i, buyer, seller, size, price);
        IInstrument(i.module).onTrade(instrumentId, size, price);
        emit Traded(instrumentId, buyer, seller, size, price);
        // An old price bounds a way out for both sides, and no way in.
        if (!fresh && !(buyerReduced && sellerReduced)) revert PriceNotFresh();
        _requireSafe(buyer, buyerReduced, !fresh || price > mid);
        _requireSafe(seller, sellerReduced, !fresh || price < mid);
    }

    /// @dev Whoever reduces at a price `worse` than the oracle's, or that may be by now, gives something away, and it must be its own:
    /// a loss that equity no longer covers would be the fund's.
    function _requireSafe(bytes32 account, bool reduced, bool worse) internal view {
        if (!reduced) return _requireMargin(account, false);
        if (!worse) return;
        int256 equity = marginEngine.accountHealth(account).equity;
        if (equity < 0) revert InsufficientEquity(account, equity);
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

        // The loser's payment first, so that the winner finds it in the pool.
        if (_positions[buyer][instrumentId].quote > 0) (buyer, seller) = (seller, buyer);
        _settleClosed(buyer, instrumentId);
        _settleClosed(seller, instrumentId);
    }

    /// @return reduced The account ended with less of the same side, and nothing of the other.
    function _fill(bytes32 account, uint256 instrumentId, int256 costIndex, int256 size, int256 quote)
        internal
        returns (bool reduced)
    {
        int256 before = _positions[account][instrumentId].size;
        _change(account, instrumentId, costIndex, size, quote, _global().maxRows);
        int256 current = before + size;
        return before > 0 ? current >= 0 && current < before : current <= 0 && current > before;
    }

    function _settleClosed(bytes32 account, uint256 instrumentId) internal {
        Position storage p = _positions[account][instrumentId];
        if (p.size == 0) _settle(account, instrumentId, p.quote);
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

    /* SETTLEMENT */

    /// @inheritdoc IClearinghouse
    function settlePnl(bytes32 account, uint256 instrumentId) external returns (int256 amount) {
        IRiskConfig.Instrument memory i = _instrument(instrumentId);
        int256 costIndex = _accrue(i, instrumentId);
        _change(account, instrumentId, costIndex, 0, 0, type(uint256).max);
        Position storage p = _positions[account][instrumentId];
        if (p.size == 0) return _settle(account, instrumentId, p.quote);
        (uint256 mark, bool fresh) = IInstrument(i.module).mark(instrumentId);
        if (!fresh) revert PriceNotFresh();
        return _settle(account, instrumentId, _pnl(p, mark));
    }

    /// @dev `pnl` is rounded down. Losses are paid from free cash, profit as far as losers have paid.
    /// @return amount WAD that cash changed by.
    function _settle(bytes32 account, uint256 instrumentId, int256 pnl) internal returns (int256 amount) {
        Market storage m = _markets[instrumentId];
        if (pnl < 0) {
            uint256 paid = uint256(-pnl).min(_freeCash(account));
            _debit(account, paid);
            m.pool += paid;
            amount = -int256(paid);
        } else {
            uint256 taken = uint256(pnl).min(m.pool);
            m.pool -= taken;
            _credit(account, taken);
            amount = int256(taken);
        }
        if (amount == 0) return 0;
        Position storage p = _positions[account][instrumentId];
        p.quote = (p.quote - amount).toInt128();
        _relist(account, instrumentId, p, type(uint256).max);
        emit PnlSettled(account, instrumentId, amount);
    }

    /* LOSSES */

    /// @notice Never charges more than it writes off; what rounding leaves (below a unit of the index per base unit) stays with the account.
    /// A closed position's unpaid loss has no other side: it is charged to both.
    /// @inheritdoc IClearinghouse
    function socialise(bytes32 account, uint256 amount) external onlyLiquidation returns (uint256 charged) {
        uint256[] memory ids = _accounts[account].instruments.toArray();
        uint256[] memory losses = new uint256[](ids.length);
        uint256 total;
        for (uint256 n; n < ids.length; ++n) {
            IRiskConfig.Instrument memory i = _instrument(ids[n]);
            int256 costIndex = _accrue(i, ids[n]);
            _change(account, ids[n], costIndex, 0, 0, type(uint256).max);
            Position storage p = _positions[account][ids[n]];
            (uint256 mark,) = IInstrument(i.module).mark(ids[n]);
            int256 pnl = _pnl(p, mark);
            if (pnl < 0) losses[n] = uint256(-pnl);
            total += losses[n];
        }
        if (total == 0) return 0;
        amount = amount.min(total);
        for (uint256 n; n < ids.length; ++n) {
            if (losses[n] == 0) continue;
            charged += _charge(account, ids[n], amount.mulDiv(losses[n], total));
        }
    }

    function _charge(bytes32 account, uint256 instrumentId, uint256 amount)
        internal
        returns (uint256 charged)
    {
        Position storage p = _positions[account][instrumentId];
        Market storage m = _markets[instrumentId];
        bool longsPay = p.size <= 0;
        bool shortsPay = p.size >= 0;
        uint256 base = (longsPay ? m.long : 0) + (shortsPay ? uint256(m.short) : 0);
        if (base == 0) return 0;
        uint256 step = amount.divWad(base);
        charged = step.mulWad(base);
        _mark(_chargedInstruments, instrumentId);
        if (longsPay) m.longLoss += step.toUint128();
        if (shortsPay) m.shortLoss += step.toUint128();
        p.quote = (p.quote + charged.toInt256()).toInt128();
        _relist(account, instrumentId, p, type(uint256).max);
        emit LossSocialised(instrumentId, longsPay, amount, charged);
    }

    /* VIEWS */

    /// @notice Costs up to now are not in `quote` yet; `portfolio` has them.
    /// @inheritdoc IClearinghouse
    function position(bytes32 account, uint256 instrumentId) external view returns (Position memory) {
        return _positions[account][instrumentId];
    }

    /// @inheritdoc IClearinghouse
    function instrumentsOf(bytes32 account) external view returns (uint256[] memory) {
        return _accounts[account].instruments.toArray();
    }

    /// @inheritdoc IClearinghouse
    function pnlPool(uint256 instrumentId) external view returns (uint256) {
        return _markets[instrumentId].pool;
    }

    /// @inheritdoc IClearinghouse
    function openInterest(uint256 instrumentId) external view returns (uint256 long, uint256 short) {
        return (_markets[instrumentId].long, _markets[instrumentId].short);
    }

    /* INTERNAL */

    /// @dev A closed position's unpaid profit is no debt.
    function _owes(bytes32 account) internal view override returns (bool) {
        for (uint256 list = _accounts[account].instruments; list != 0; list >>= 12) {
            Position storage p = _positions[account][list & IdList.MAX_ID];
            if (p.size != 0 || p.quote < 0) return true;
        }
        return false;
    }

    /// @dev Accrues, then adds to size and quote, and keeps open interest and the account's list. The only writer of sizes.
    function _change(
        bytes32 account,
        uint256 instrumentId,
        int256 costIndex,
        int256 size,
        int256 quote,
        uint256 rowCap
    ) internal {
        Position storage p = _positions[account][instrumentId];
        Market storage m = _markets[instrumentId];
        int256 before = p.size;
        int256 current = before + size;
        p.quote = (_accruedQuote(p, m, costIndex) + quote).toInt128();
        if (size != 0) {
            p.size = current.toInt128();
            m.long = (m.long + _positive(current) - _positive(before)).toUint128();
            m.short = (m.short + _positive(-current) - _positive(-before)).toUint128();
        }
        p.index = _sideIndex(m, current, costIndex);
        _relist(account, instrumentId, p, rowCap);
    }

    /// @dev The holder's quote with costs up to `costIndex`, rounded against the holder.
    function _accruedQuote(Position storage p, Market storage m, int256 costIndex)
        internal
        view
        returns (int256)
    {
        int256 size = p.size;
        return WadMath.accrued(size, p.quote, p.index, _sideIndex(m, size, costIndex));
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
            _accounts[account].instruments = list.add(instrumentId);
        } else {
            _accounts[account].instruments = list.remove(instrumentId);
        }
    }

    /// @dev Its quote has all costs up to now. Rounded down.
    function _pnl(Position storage p, uint256 mark) internal view returns (int256) {
        return int256(p.size).mulFloor(mark.toInt256()) + p.quote;
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
