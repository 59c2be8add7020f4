// SPDX-License-Identifier: MIT
pragma solidity ^0.8.28;

import {FixedPointMathLib} from "solady/utils/FixedPointMathLib.sol";
import {SafeCastLib} from "solady/utils/SafeCastLib.sol";
import {Accounts} from "../../libraries/Accounts.sol";
import {LedgerBase} from "./LedgerBase.sol";

/// @notice Settled profit on its way to cash. It is backed as cash is, and counts for margin as unrealised profit does; it can't be withdrawn or
/// transferred, and becomes cash in a straight line over a period. So whoever settles first still bears, for that long, what the loss order
/// asks of profit: one ratio for all, in one write.
///
/// An account has shares of `_warmings`, worth `shares × index ÷ 1e18`; a cut lowers the index. When a cut leaves less than a millionth of the
/// first index, all shares of that generation are void and what is left goes to the fund. Roundings stay in `total`, with nobody:
///     Σ worth of all shares <= total
abstract contract WarmingBook is LedgerBase {
    using FixedPointMathLib for uint256;
    using SafeCastLib for uint256;

    uint256 internal constant INDEX = 1e18;
    uint256 internal constant LEAST_INDEX = 1e12;

    /// @dev Free cash alone.
    function _moveCash(bytes32 from, bytes32 to, uint256 amount) internal {
        if (from == to) revert SameAccount();
        _debit(from, amount);
        _credit(to, amount);
        emit CashMoved(from, to, amount);
    }

    /// @notice What of the account's profit has warmed becomes cash: not while more of its cash is under regression than it has, which would take
    /// of the profit at a time that a stranger chooses.
    function _warm(bytes32 account) internal {
        // Before anything that warms becomes or pays something else.
        _accrueInterest();
        AccountState storage a = _accounts[account];
        if (!a.warms || (a.regressedRows != 0 && a.regressedCash > _positive(_cash(account)))) return;
        (uint256 worth, uint256 ripe, uint256 shares) = _warmth(account);
        _warmings.total -= ripe.toUint128();
        _credit(account, ripe);
        if (worth == ripe) {
            a.warms = false;
        } else {
            Warming storage w = _warming[account];
            w.shares = uint128(shares);
            w.since = uint40(block.timestamp);
        }
        if (ripe != 0) emit Warmed(account, ripe);
    }

    /// @dev `amount` (WAD) of profit that is cash by the time `until`, in the mean with what warms already: so much money for so long.
    function _addWarming(bytes32 account, uint256 amount, uint256 until) internal {
        if (amount == 0) return;
        _warm(account);
        Warmings storage all = _warmings;
        uint256 shares = amount * INDEX / all.index;
        Warming storage w = _warming[account];
        AccountState storage a = _accounts[account];
        if (a.warms) {
            until = (shares * until + uint256(w.shares) * w.until) / (shares + w.shares);
            shares += w.shares;
        }
        // What was held back by a regression may have been ripe for long.
        until = until.max(block.timestamp + 1);
        a.warms = true;
        _warming[account] =
            Warming(shares.toUint128(), uint40(block.timestamp), uint40(until), all.generation);
        all.total += amount.toUint128();
        emit WarmingAdded(account, amount, until);
    }

    /// @dev Takes up to `amount` (WAD) out of what warms, all of it alike.
    function _takeWarming(bytes32 account, uint256 amount) internal returns (uint256 taken) {
        _warm(account);
        AccountState storage a = _accounts[account];
        if (amount == 0 || !a.warms) return 0;
        (uint256 worth,,) = _warmth(account);
        taken = amount.min(worth);
        Warming storage w = _warming[account];
        uint256 shares = taken == worth ? w.shares : (taken * INDEX).divUp(_warmings.index).min(w.shares);
        w.shares -= uint128(shares);
        if (w.shares == 0) a.warms = false;
        _warmings.total -= uint128(taken);
        emit WarmingTaken(account, taken);
    }

    /// @notice A step of the loss order: everybody's warming profit pays up to `amount` (WAD), by one ratio.
    function _cutWarmings(uint256 amount) internal returns (uint256 cut) {
        Warmings storage all = _warmings;
        uint256 total = all.total;
        cut = amount.min(total);
        if (cut == 0) return 0;
        _accrueInterest();
        uint256 left = total - cut;
        uint256 index = all.index * left / total;
        if (index < LEAST_INDEX) {
            (all.total, all.index) = (0, uint64(INDEX));
            ++all.generation;
            _credit(Accounts.main(fund), left);
        } else {
            (all.total, all.index) = (uint128(left), uint64(index));
        }
        emit WarmingsCut(cut, all.index, all.generation);
    }

    /// @notice The last steps of the loss order: of lost backing warming profit pays what it can, then all cash.
    function _spreadLoss() internal {
        int256 left = _lostBacking;
        if (left <= 0) return;
        left -= int256(_cutWarmings(uint256(left)));
        _lostBacking = left;
        _lostBacking = left - int256(_cutCash(uint256(left)));
    }

    /// @notice All cash pays up to `amount` (WAD), by one ratio, in one write. A millionth never pays: an index of nothing would swallow what
    /// comes later.
    function _cutCash(uint256 amount) private returns (uint256 cut) {
        _accrueInterest();
        uint256 total = _positiveCash();
        cut = amount.min(total - total.divUp(1e6));
        if (cut == 0) return 0;
        Loans storage l = _loans;
        uint256 index = uint256(l.cashIndex).mulDiv(total - cut, total);
        if (index < LAST_INDEX) return 0;
        (l.cashIndex, l.base) = (uint72(index), l.debt);
        _mark(INDEXED);
        emit CashCut(cut, total, index);
    }

    /// @return worth Of all that isn't cash yet, WAD.
    /// @return ripe Of it, what has warmed.
    /// @return left Shares that haven't.
    function _warmth(bytes32 account) internal view returns (uint256 worth, uint256 ripe, uint256 left) {
        Warming storage w = _warming[account];
        if (!_accounts[account].warms || w.generation != _warmings.generation) return (0, 0, 0);
        uint256 index = _warmings.index;
        left = uint256(w.shares).mulDiv(uint256(w.until).zeroFloorSub(block.timestamp), w.until - w.since);
        worth = w.shares * index / INDEX;
        ripe = worth - left * index / INDEX;
    }
}
